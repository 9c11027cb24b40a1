"""The front for linked servers: whom it believes, what it takes and how it answers."""

import json
from collections.abc import Callable

import pytest

from arrived import Arrived
from keystead.crypto import links
from keystead.crypto.links import Claim
from keystead.crypto.transfer import TransferIdentity
from keystead.fronts.links import ROWS, WINDOW_SECONDS
from keystead.service.commands import kms as c
from linkedpair import HERE, THERE, Linked, Sent

BODY = json.dumps({"region": THERE, "key_ids": []}).encode()


@pytest.fixture
def pair() -> Linked:
    """Two linked installations."""
    return Linked()


def request(pair: Linked, operation: str = "LinkStates", body: bytes = BODY, late: float = 0.0) -> Sent:
    """A request of the first to the second, signed as it should be."""
    claim = Claim(
        links.fingerprint(TransferIdentity.from_text(pair.here.identity)),
        int((pair.here.house.clock.now() - late) * 1e6),
        "00" * 16,
    )
    there = TransferIdentity.from_text(pair.there.identity)
    signature = pair.here.house.custodian.vouch(claim.statement(there, operation, body))
    return Sent(f"/v1/{operation}", body, claim.header(signature))


def code(answer: tuple[int, bytes]) -> str:
    """The status and the code of an error."""
    return f"{answer[0]} {json.loads(answer[1]).get('code', '')}"


def test_an_answer_is_signed(pair: Linked) -> None:
    """For the request it is to, so that nobody between can make one up."""
    status, body = pair.there.take(request(pair))
    assert status == 200
    answer = json.loads(body)
    assert json.loads(answer["answer"]) == {"gone": []}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s._replace(body=BODY + b" "), "403 InvalidSignature"),
        (lambda s: s._replace(target="/v1/LinkMember"), "403 InvalidSignature"),
        (lambda s: s._replace(target="/v1/CreatePrincipal"), "404 NotFound"),
        (lambda s: s._replace(authorization=s.authorization[:-2]), "403 NotAuthenticated"),
        (
            lambda s: s._replace(authorization=s.authorization.replace("sender=", "sender=00")[:-2]),
            "403 NotAuthenticated",
        ),
    ],
)
def test_what_is_not_signed_like_this(pair: Linked, change: Callable[[Sent], Sent], told: str) -> None:
    """A request that is not whole, or is another than the one that was signed."""
    assert code(pair.there.take(change(request(pair)))) == told


def test_who_is_not_linked(pair: Linked) -> None:
    """A sender that the configuration does not name, and a request that was meant for another server."""
    to_itself = request(pair)
    assert code(pair.here.take(to_itself)) == "403 UnknownCredentials"
    stranger = to_itself.authorization.replace("sender=", "sender=" + "0" * 64)
    cut = stranger[: len("Keystead-Link sender=") + 64] + to_itself.authorization[stranger.index("=") + 65 :]
    assert code(pair.there.take(to_itself._replace(authorization=cut))) == "403 UnknownCredentials"


@pytest.mark.parametrize("late", [WINDOW_SECONDS + 1, -WINDOW_SECONDS - 1])
def test_a_request_of_another_time(pair: Linked, late: float) -> None:
    """More than five minutes early or late, it is refused, which says what to look at."""
    assert code(pair.there.take(request(pair, late=late))) == "403 InvalidSignature"
    assert pair.there.take(request(pair, late=late / 2))[0] == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"region": 1}', b"\xff", b"[" * 5000, BODY[:-1] + b',"a":1}']
)
def test_a_body_that_does_not_fit(pair: Linked, body: bytes) -> None:
    """Is refused before the gate is asked."""
    for operation in ROWS:
        assert code(pair.there.take(request(pair, operation, body))) == "400 InvalidRequest"


def test_numbers_without_an_end_do_not_arrive(pair: Linked) -> None:
    """What the store could not keep does not come in."""
    key = pair.here.bench.key(c.CreateKey(multi_region=True))
    pair.here.bench.do(c.ReplicateKey(key, THERE))
    pair.here.tell()
    news = json.loads(pair.here.sent[-1].body)
    for member in ("current_version", "rotations_on_demand", "rotation_period_days"):
        body = json.dumps({**news, member: 1 << 70}).encode()
        assert code(pair.there.take(request(pair, "LinkMember", body))) == "400 InvalidRequest"


def test_these_operations_are_asked_in_no_other_way(pair: Linked) -> None:
    """Not by a POST without such a signature, and with one by no other method."""
    sent = request(pair)
    for authorization in ("", "AWS4-HMAC-SHA256 Credential=x"):
        assert pair.there.take(sent._replace(authorization=authorization))[0] in (400, 403)
    headers = {b"authorization": sent.authorization.encode()}
    with pytest.raises(Exception, match="no such operation"):
        pair.there.front.read(Arrived(b"GET", b"/v1/LinkStates", headers, BODY), "r-1")


def test_a_refusal_is_on_record_by_its_name(pair: Linked) -> None:
    """Nothing in it is proven, but it says which operation was asked for."""
    arrived = Arrived(b"POST", b"/v1/LinkMember", {}, b"")
    entry = pair.there.front.describe(arrived, "r-1")
    assert (entry.action, entry.request) == ("keystead:LinkMember", "r-1")
    assert HERE not in entry.action
