"""Keystead's own protocol before real gates."""

import json
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrived import Arrived
from keystead.core.errors import (
    AccessDenied,
    DataDamaged,
    InvalidCiphertext,
    InvalidRequest,
    InvalidSignature,
    KeysteadError,
    Kind,
    LimitExceeded,
    NotAuthenticated,
    NotFound,
    TooLarge,
    UnknownCredentials,
)
from keystead.core.principal import user_arn
from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential, sign
from keystead.fronts.aws.credentials import Credentials
from keystead.fronts.front import Asked
from keystead.fronts.native.front import OUT_OF_ORDER, ROWS, STATUS, Native
from keystead.service.entry import Entry
from keystead.service.gate import InternalError
from keystead.service.workingset import NotLoaded
from keystead.testing.installation import ACCOUNT, EVERYTHING, REGION, Installation

HELP = "https://keystead.example/errors/"


class Told(NamedTuple):
    """An answer."""

    status: int
    value: dict[str, Any]


class Desk:
    """The front with a gate behind it, asked one request after the other."""

    def __init__(self) -> None:
        self.house = Installation()
        self.gate = self.house.gate()
        self.front = Native(
            credentials=Credentials(self.gate, self.house.clock), clock=self.house.clock, help_url=HELP
        )
        self._numbers = 0

    def request(
        self,
        target: str,
        body: bytes = b"{}",
        *,
        method: str = "POST",
        service: str = "keystead",
        who: tuple[str, str] | None = None,
    ) -> Arrived:
        """A signed request."""
        access_key_id, secret = who or self.house.admin
        headers = sign(
            method,
            "localhost",
            target,
            {"Content-Type": "application/json"},
            body,
            credentials=Credential(access_key_id, Secret(secret.encode())),
            region=REGION,
            service=service,
            now=self.house.clock.now(),
        )
        return Arrived.sent(method, target, headers, body)

    def read(self, request: Arrived) -> Asked:
        """What the front understands, once the working set holds what it needs."""
        while True:
            try:
                return self.front.read(request, "r-0")
            except NotLoaded as missing:
                self.gate.working.admit(self.gate.working.load(missing.wanted))

    def answer(self, request: Arrived) -> Told:
        """The answer, as the control plane would come to it."""
        self._numbers += 1
        try:
            self.gate.working.catch_up()
            asked = self.read(request)
            asked.caller.request = f"r-{self._numbers}"
            body = asked.write(self.gate.ask(asked.caller, asked.command).outcome())
            return Told(200, json.loads(body))
        except KeysteadError as error:
            status, body = self.front.write_error(error, "r-0")
            return Told(status, json.loads(body))

    def call(self, operation: str, who: tuple[str, str] | None = None, **members: Any) -> Told:
        """One request with such a body."""
        return self.answer(self.request(f"/v1/{operation}", json.dumps(members).encode(), who=who))


@pytest.fixture(scope="module")
def desk() -> Desk:
    """One for all tests that leave nothing behind that matters."""
    return Desk()


# --- what it does ------------------------------------------------------------------------------------------


def test_a_user_comes_works_and_goes() -> None:
    """With what an operation answers, over a signed request."""
    desk = Desk()

    def call(operation: str, **members: Any) -> dict[str, Any]:
        told = desk.call(operation, **members)
        assert told.status == 200, told
        return told.value

    arn = user_arn(ACCOUNT, "billing")
    created = desk.house.clock.now()
    user = call("CreatePrincipal", name="billing")
    assert user.items() >= {"arn": arn, "name": "billing", "enabled": True, "policy": ""}.items()
    assert call("PutPrincipalPolicy", name="billing", policy=EVERYTHING) == {}
    listed = call("ListPrincipals")
    assert listed["principals"][2] == user | {"policy": EVERYTHING}
    assert listed["marker"] == ""

    made = call("CreateAccessKey", name="billing")
    access_key = {key: made[key] for key in ("access_key_id", "principal", "created", "enabled")}
    who = (made["access_key_id"], made["secret_access_key"])
    assert access_key == {"access_key_id": who[0], "principal": arn, "created": created, "enabled": True}
    assert len(who[1]) == 40
    assert desk.call("ListPrincipals", who).status == 200
    (listed,) = call("ListAccessKeys", name="billing")["access_keys"]
    assert listed.items() >= access_key.items()
    assert who[1] not in json.dumps(listed)
    assert (listed["last_used"]["action"], listed["last_used"]["region"]) == (
        "keystead:ListPrincipals",
        REGION,
    )

    assert call("SetAccessKeyStatus", access_key_id=who[0], enabled=False) == {}
    assert desk.call("ListPrincipals", who).value["code"] == "UnknownCredentials"
    assert call("SetAccessKeyStatus", access_key_id=who[0], enabled=True) == {}
    assert desk.call("ListPrincipals", who).status == 200
    assert call("DeleteAccessKey", access_key_id=who[0]) == {}
    assert call("ListAccessKeys", name="billing") == {"access_keys": []}
    assert call("DeletePrincipal", name="billing") == {}
    assert desk.call("ListAccessKeys", name="billing").status == 404


def test_principals_come_in_pages() -> None:
    """A marker leads to the next page; it is empty on the last."""
    desk = Desk()
    for name in ("a", "b", "c"):
        desk.house.user(name)
    names: list[str] = []
    marker = ""
    for _ in range(3):
        page = desk.call("ListPrincipals", limit=2, marker=marker).value
        names += [principal["name"] for principal in page["principals"]]
        marker = page["marker"]
        if not marker:
            break
    assert names == ["jobs", "a", "admin", "b", "c"]
    assert desk.call("ListPrincipals", marker="made-up").value["code"] == "InvalidMarker"


def test_an_empty_body_is_one_without_members(desk: Desk) -> None:
    """What takes nothing need not be sent an empty object."""
    assert desk.answer(desk.request("/v1/ListPrincipals", b"")).status == 200
    told = desk.answer(desk.request("/v1/CreatePrincipal", b""))
    assert (told.status, told.value["code"]) == (400, "InvalidRequest")
    assert "name" in told.value["detail"]


# --- who is asking -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/ListPrincipals", b"{}"),
        ("/v1/Nonsense", b"{}"),
        ("/elsewhere", b"{}"),
        ("/v1/ListPrincipals", b"{"),
    ],
)
def test_a_stranger_is_told_nothing_else(desk: Desk, target: str, body: bytes) -> None:
    """Without a proof of who asks, no answer says what would be valid."""
    unsigned = desk.request(target, body)
    del unsigned.headers[b"authorization"]
    for request, error in (
        (unsigned, NotAuthenticated),
        (desk.request(target, body, who=("AKIANOBODY", "secret")), UnknownCredentials),
        (desk.request(target, body, who=(desk.house.admin[0], "wrong")), InvalidSignature),
        (desk.request(target, body, service="kms"), InvalidSignature),
    ):
        with pytest.raises(error):
            desk.read(request)


def test_a_signature_for_aws_is_refused_with_the_right_scope(desk: Desk) -> None:
    """Whoever mixed the two services up learns which one this is."""
    with pytest.raises(InvalidSignature, match="correct service: 'keystead'"):
        desk.read(desk.request("/v1/ListPrincipals", service="kms"))


def test_the_caller_is_who_signed(desk: Desk) -> None:
    """Principal, access key, region and address reach the gate."""
    caller = desk.read(desk.request("/v1/ListPrincipals")).caller
    assert caller.identity.arn == user_arn(ACCOUNT, "admin")
    assert (caller.access_key, caller.region) == (desk.house.admin[0], REGION)
    assert (caller.auth, caller.source) == ("sigv4", "192.0.2.1")


def test_a_user_without_a_policy_administers_nothing(desk: Desk) -> None:
    """A signature is not a permission."""
    who = desk.house.user("nobody")
    told = desk.call("CreatePrincipal", who, name="x")
    assert (told.status, told.value["code"]) == (403, "AccessDenied")


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/ListPrincipals"),
        ("POST", "/v1/Nonsense"),
        ("POST", "/v1/"),
        ("POST", "/v2/ListPrincipals"),
        ("POST", "ListPrincipals"),
        ("POST", "/v1/ListPrincipals?limit=1"),
        ("POST", "/v1/ListPrincipals/"),
        ("POST", "//v1/ListPrincipals"),
    ],
)
def test_other_addresses_are_no_operations(desk: Desk, method: str, target: str) -> None:
    """An operation is a POST to its own address, to the letter, though the signature is good."""
    with pytest.raises(NotFound, match="no such operation"):
        desk.read(desk.request(target, method=method))


@pytest.mark.parametrize(
    ("operation", "body", "part"),
    [
        ("CreatePrincipal", b'{"name": 5}', "$.name"),
        ("CreatePrincipal", b'{"name": "x", "polices": ""}', "polices"),
        ("CreatePrincipal", b'{"name": "' + b"n" * 65 + b'"}', "length <= 64"),
        ("PutPrincipalPolicy", b'{"name": "' + b"n" * 100_000 + b'", "policy": ""}', "length <= 64"),
        ("PutPrincipalPolicy", b'{"name": "x"}', "policy"),
        ("DeleteAccessKey", b'{"access_key_id": "' + b"A" * 129 + b'"}', "length <= 128"),
        ("ListPrincipals", b"[]", "object"),
        ("ListPrincipals", b"{", "truncated"),
        ("ListPrincipals", b'{"marker": "\xff"}', "not UTF-8"),
        ("ListPrincipals", b'{"limit": 0}', "from 1 to 1000"),
        ("ListPrincipals", b'{"limit": 1001}', "from 1 to 1000"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_what_is_wrong(
    desk: Desk, operation: str, body: bytes, part: str
) -> None:
    """The member is named; nothing else of the body is said back."""
    with pytest.raises(InvalidRequest) as told:
        desk.read(desk.request(f"/v1/{operation}", body))
    assert part in str(told.value)
    assert len(str(told.value)) < 200


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=200)
    | st.sampled_from(["admin", "jobs", "nobody", EVERYTHING, "AKIA" + "A" * 16, "x" * 64, "{}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
MEMBERS = {field for row in ROWS.values() for field in row.takes.__struct_fields__}
BODIES = (
    st.fixed_dictionaries({}, optional=dict.fromkeys(sorted(MEMBERS), JSON))
    .map(lambda value: json.dumps(value).encode())
    .filter(lambda body: b"admin" not in body)
)
ROOM = Desk()


@pytest.mark.parametrize("operation", sorted(ROWS))
@given(data=st.data())
def test_no_body_makes_an_operation_fail_by_a_bug(operation: str, data: st.DataObject) -> None:
    """A signed request with any body is answered or refused: never with a 5xx."""
    fields = ROWS[operation].takes.__struct_fields__
    body = data.draw(
        st.fixed_dictionaries({}, optional=dict.fromkeys(fields, JSON)).map(lambda v: json.dumps(v).encode())
        | BODIES
        | st.binary(max_size=60)
    )
    if b"admin" in body:
        return  # it would take away the very user that asks
    told = ROOM.answer(ROOM.request(f"/v1/{operation}", body))

    assert told.status in {200, 400, 403, 404, 409, 429}, told
    assert (told.status == 200) or {"code", "detail", "help", "request"} == told.value.keys()


# --- errors ------------------------------------------------------------------------------------------------


def test_every_kind_of_error_has_a_status() -> None:
    """No error is without one, and each is a client's or a server's."""
    assert STATUS.keys() == set(Kind)
    assert all(400 <= status < 600 for status in STATUS.values())


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (AccessDenied("not you"), HTTPStatus.FORBIDDEN, "not you"),
        (TooLarge("by far"), HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "by far"),
        (LimitExceeded("two"), HTTPStatus.TOO_MANY_REQUESTS, "two"),
        (DataDamaged("row 5 of /secret/place"), HTTPStatus.SERVICE_UNAVAILABLE, OUT_OF_ORDER),
        (InvalidCiphertext(), HTTPStatus.BAD_REQUEST, InvalidCiphertext.__doc__),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_has_its_code_a_detail_and_its_page(
    desk: Desk, error: KeysteadError, status: HTTPStatus, detail: str
) -> None:
    """What concerns the operator alone is kept from callers."""
    assert desk.front.write_error(error, "r-1") == (
        status,
        msgspec.json.encode(
            {
                "code": error.code,
                "detail": detail,
                "help": f"{HELP}#{error.code.lower()}",
                "request": "r-1",
            }
        ),
    )


def test_a_bug_is_a_500_without_detail(desk: Desk) -> None:
    """Not even the name of the exception is told."""
    assert desk.front.write_error(InternalError("ValueError"), "r-1") == (
        500,
        b'{"code":"Internal","request":"r-1"}',
    )


def test_an_answer_carries_its_request_id(desk: Desk) -> None:
    """So that it can be found in the audit."""
    assert desk.front.head("r-1", b"{}") == b"Content-Type: application/json\r\nX-Request-Id: r-1\r\n"


# --- what can be recorded of a request that was refused ----------------------------------------------------


@pytest.mark.parametrize(
    ("target", "action"),
    [
        ("/v1/CreatePrincipal", "keystead:CreatePrincipal"),
        ("/v1/Nonsense", ""),
        ("/v1/" + "x" * 9000, ""),
        ("/elsewhere", ""),
    ],
)
def test_a_refused_request_is_described_by_what_it_claims_and_nothing_more(
    desk: Desk, target: str, action: str
) -> None:
    """The claimed access key, a known operation's name, where it came from: no principal."""
    request = desk.request(target, who=("AKIACLAIMED", "x"))
    assert desk.front.describe(request, "r-9") == Entry(
        access_key="AKIACLAIMED", action=action, request="r-9", source="192.0.2.1"
    )


@given(target=st.binary(max_size=30), authorization=st.binary(max_size=60))
def test_whatever_a_stranger_sends_can_be_described(target: bytes, authorization: bytes) -> None:
    """No bytes make it fail."""
    request = Arrived.sent("POST", "/", {}, b"")
    request.target = target
    request.headers = {b"authorization": authorization}
    assert ROOM.front.describe(request, "r").principal == ""
