"""AWS STS's protocol before a real gate: who asks, what, and how it is answered."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import QueryParser

from arrived import Arrived
from keystead.core.errors import KeysteadError, NotAuthenticated
from keystead.core.principal import Principal, Provider, provider_arn, role_arn, session_arn, user_arn
from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential, sign
from keystead.fronts.aws.credentials import Credentials
from keystead.fronts.aws.sts.form import MAX_BYTES
from keystead.fronts.aws.sts.front import Sts, speaks
from keystead.service.action import Mode
from keystead.service.commands import sts as c
from keystead.service.entry import Entry
from keystead.service.workingset import NotLoaded
from keystead.testing.installation import ACCOUNT, REGION, Installation
from keystead.testing.issuer import Issuer

AWS: Any = ServiceModel(Loader().load_service_model("sts", "service-2"))
PARSER: Any = QueryParser()
VERSION = "2011-06-15"
ADMIN = user_arn(ACCOUNT, "admin")
DEPLOY = role_arn(ACCOUNT, "deploy")
FORM = "application/x-www-form-urlencoded; charset=utf-8"
ASSUME = {"RoleArn": DEPLOY, "RoleSessionName": "ci-7"}


class Endpoint:
    """One front and one gate, asked one request after the other."""

    def __init__(self) -> None:
        self.house = Installation()
        self.gate = self.house.gate()
        self.front = Sts(credentials=Credentials(self.gate, self.house.clock), clock=self.house.clock)
        self._numbers = 0
        id_, secret = self.house.admin
        self.admin = Credential(id_, Secret(secret.encode()))
        trust = {
            "Effect": "Allow",
            "Principal": {"AWS": ADMIN},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
        }
        self.put(
            Principal(
                arn=DEPLOY,
                account=ACCOUNT,
                name="deploy",
                created=1.0,
                trust=json.dumps({"Version": "2012-10-17", "Statement": trust}),
            )
        )

    def put(self, principal: Principal) -> None:
        """Keep a principal."""
        with self.house.store.transact("put") as tx:
            tx.put_principal(principal)

    def request(
        self,
        form: Mapping[str, str] | bytes,
        *,
        method: str = "POST",
        target: str = "/",
        service: str = "sts",
        who: Credential | None = None,
    ) -> Arrived:
        """A signed request."""
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        headers = {"Content-Type": FORM} if method == "POST" else {}
        signed = sign(
            method,
            "localhost",
            target,
            headers,
            body,
            credentials=who or self.admin,
            region=REGION,
            service=service,
            now=self.house.clock.now(),
        )
        return Arrived.sent(method, target, {**signed, "User-Agent": "tests"}, body, secure=True)

    def answer(self, request: Arrived) -> tuple[int, bytes]:
        """The status and body, as a worker would come to them."""
        self._numbers += 1
        name = f"r-{self._numbers}"
        while True:
            try:
                asked = self.front.read(request, name)
                if self.gate.action(asked.command).mode is Mode.HOT:
                    answer = self.gate.handle(asked.caller, asked.command)
                    self.gate.settle([answer])
                else:
                    answer = self.gate.ask(asked.caller, asked.command)
                return 200, asked.write(answer.outcome())
            except NotLoaded as missing:
                self.gate.working.admit(self.gate.working.load(missing.wanted))
            except KeysteadError as error:
                return self.front.write_error(error, name)

    def call(self, action: str, who: Credential | None = None, **members: str) -> dict[str, Any]:
        """A successful answer, as botocore reads it."""
        status, body = self.answer(self.request({"Action": action, "Version": VERSION, **members}, who=who))
        assert status == 200, body
        return parsed(action, body)

    def refusal(self, request: Arrived) -> tuple[int, str, str]:
        """The status, code and message of an error, as botocore reads it."""
        status, body = self.answer(request)
        error = PARSER.parse({"status_code": status, "headers": {}, "body": body}, None)["Error"]
        return status, error["Code"], error["Message"]

    def record(self) -> Entry:
        """The newest record."""
        return self.house.entries()[-1]


def parsed(action: str, body: bytes) -> dict[str, Any]:
    """What botocore makes of an answer."""
    output = AWS.operation_model(action).output_shape
    found: dict[str, Any] = PARSER.parse({"status_code": 200, "headers": {}, "body": body}, output)
    return found


def credential(answer: dict[str, Any]) -> Credential:
    """The credentials in an answer."""
    given = answer["Credentials"]
    return Credential(
        given["AccessKeyId"],
        Secret(given["SecretAccessKey"].encode()),
        Secret(given["SessionToken"].encode()),
    )


@pytest.fixture
def endpoint() -> Endpoint:
    """An installation with a role that the admin may assume."""
    return Endpoint()


def test_who_somebody_is(endpoint: Endpoint) -> None:
    """A user by POST and by GET; the answer carries the request's id."""
    me = endpoint.call("GetCallerIdentity")
    assert (me["Account"], me["Arn"], me["UserId"][:4]) == (ACCOUNT, ADMIN, "AIDA")
    assert me["ResponseMetadata"]["RequestId"] == "r-1"
    asked = f"/?Action=GetCallerIdentity&Version={VERSION}"
    status, body = endpoint.answer(endpoint.request(b"", method="GET", target=asked))
    assert (status, parsed("GetCallerIdentity", body)["Arn"]) == (200, ADMIN)
    assert (endpoint.record().action, endpoint.record().outcome) == ("sts:GetCallerIdentity", "Success")
    assert endpoint.record().source == "192.0.2.1"


def test_a_role_is_assumed_and_its_session_asks(endpoint: Endpoint) -> None:
    """With all that botocore expects of the answer, and credentials that work until they are over."""
    now = endpoint.house.clock.now()
    tag = {"Tags.member.1.Key": "team", "Tags.member.1.Value": "a"}
    opened = endpoint.call("AssumeRole", None, **ASSUME, **tag, DurationSeconds="900")
    arn = session_arn(ACCOUNT, "deploy", "ci-7")
    assert opened["AssumedRoleUser"]["Arn"] == arn
    assert opened["AssumedRoleUser"]["AssumedRoleId"].endswith(":ci-7")
    assert opened["Credentials"]["Expiration"].timestamp() == now + 900
    assert opened["PackedPolicySize"] > 0
    session = credential(opened)
    me = endpoint.call("GetCallerIdentity", session)
    assert (me["Arn"], me["UserId"]) == (arn, opened["AssumedRoleUser"]["AssumedRoleId"])
    endpoint.house.clock.time += 900
    request = endpoint.request({"Action": "GetCallerIdentity", "Version": VERSION}, who=session)
    assert endpoint.refusal(request) == (
        403,
        "ExpiredToken",
        "The security token included in the request is expired",
    )


def test_a_user_gets_a_session_of_its_own(endpoint: Endpoint) -> None:
    """And is still who it was."""
    session = credential(endpoint.call("GetSessionToken", DurationSeconds="900"))
    assert endpoint.call("GetCallerIdentity", session)["Arn"] == ADMIN


def test_a_token_of_an_identity_provider_needs_no_signature(endpoint: Endpoint) -> None:
    """It says who asks; a signature that is there as well is not looked at."""
    issuer = Issuer(now=endpoint.house.clock.now)
    arn = provider_arn(ACCOUNT, issuer.url)
    with endpoint.house.store.transact("provider") as tx:
        tx.put_provider(
            Provider(
                arn=arn,
                account=ACCOUNT,
                url=issuer.url,
                audiences=("keystead",),
                created=1.0,
                keys=json.dumps({"keys": issuer.published}),
                fetched=1.0,
            )
        )
    trust = {"Effect": "Allow", "Principal": {"Federated": arn}, "Action": "sts:AssumeRoleWithWebIdentity"}
    claim = "https://aws.amazon.com/source_identity"
    setting = {**trust, "Action": "sts:SetSourceIdentity"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [trust, setting]})
    endpoint.put(Principal(arn=DEPLOY, account=ACCOUNT, name="deploy", created=1.0, trust=text))
    members = {**ASSUME, "WebIdentityToken": issuer.token(sub="the app", **{claim: "bob"})}
    form = {"Action": "AssumeRoleWithWebIdentity", "Version": VERSION, **members}
    body = urlencode(form).encode()
    signed = endpoint.request(form)
    for request in (
        Arrived.sent("POST", "/", {"Content-Type": FORM, "Host": "localhost"}, body, secure=True),
        signed,
    ):
        status, answer = endpoint.answer(request)
        assert status == 200, answer
        opened = parsed("AssumeRoleWithWebIdentity", answer)
        assert (opened["SubjectFromWebIdentityToken"], opened["Audience"]) == ("the app", "keystead")
        assert (opened["Provider"], opened["SourceIdentity"]) == (issuer.url, "bob")
        assert endpoint.record().auth == "anonymous"
        me = endpoint.call("GetCallerIdentity", credential(opened))
        assert me["Arn"] == session_arn(ACCOUNT, "deploy", "ci-7")


@pytest.mark.parametrize("action", ["GetCallerIdentity", "AssumeRole", "GetSessionToken"])
def test_all_others_are_signed(endpoint: Endpoint, action: str) -> None:
    """With this service's name, and as they are; nobody is told more before that."""
    form = {"Action": action, "Version": VERSION}
    bare = Arrived.sent(
        "POST", "/", {"Content-Type": FORM, "Host": "localhost"}, urlencode(form).encode(), secure=True
    )
    assert endpoint.refusal(bare) == (403, "MissingAuthenticationToken", "Missing Authentication Token")
    assert endpoint.refusal(endpoint.request(form, service="kms"))[1] == "SignatureDoesNotMatch"
    changed = endpoint.request(form)
    changed.body += b"&RoleArn=x"
    assert endpoint.refusal(changed)[1] == "SignatureDoesNotMatch"
    stranger = Credential("AKIAIOSFODNN7EXAMPLE", Secret(b"s" * 40))
    assert endpoint.refusal(endpoint.request(form, who=stranger))[:2] == (403, "InvalidClientTokenId")


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"Action": "AssumeRoot"}, "Could not find operation AssumeRoot for version 2011-06-15"),
        ({"Action": "x" * 200}, f"Could not find operation {'x' * 128} for version 2011-06-15"),
        (
            {"Action": "GetCallerIdentity", "Version": "1"},
            "Could not find operation GetCallerIdentity for version 1",
        ),
        ({}, "Could not find operation  for version 2011-06-15"),
    ],
)
def test_what_is_not_served_is_no_action(endpoint: Endpoint, form: dict[str, str], told: str) -> None:
    """Said in AWS's words."""
    request = endpoint.request({"Version": VERSION, **form})
    assert endpoint.refusal(request) == (400, "InvalidAction", told)


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/x", b""),
        ("POST", f"/?Action=GetCallerIdentity&Version={VERSION}", b""),
        ("GET", "//?Action=GetCallerIdentity&Version=" + VERSION, b""),
        ("GET", "/?Action=GetCallerIdentity&Version=" + VERSION, b"Action=GetSessionToken"),
        ("PUT", "/?Action=GetCallerIdentity&Version=" + VERSION, b""),
    ],
)
def test_a_request_has_one_form_at_one_place(
    endpoint: Endpoint, method: str, target: str, body: bytes
) -> None:
    """A POST in its body, a GET in its query, at the root."""
    assert endpoint.refusal(endpoint.request(body, method=method, target=target))[1] == "InvalidAction"


@pytest.mark.parametrize(
    ("members", "told"),
    [
        (
            {"RoleArn": "x"},
            "Value 'x' at 'roleArn' failed to satisfy constraint: Member must have length greater",
        ),
        ({"RoleArn": ADMIN}, f"{ADMIN} is invalid"),
        ({"RoleArn": "arn:aws:iam::111122223333:rolex/y"}, "arn:aws:iam::111122223333:rolex/y is invalid"),
        ({"RoleSessionName": "a b"}, "Value 'a b' at 'roleSessionName' failed to satisfy constraint"),
        ({"DurationSeconds": "899"}, "Value '899' at 'durationSeconds' failed to satisfy constraint"),
        ({"DurationSeconds": "43201"}, "Value '43201' at 'durationSeconds' failed to satisfy constraint"),
        ({"DurationSeconds": "long"}, "Value 'long' at 'DurationSeconds' must be a whole number."),
        ({"ExternalId": "x"}, "Value 'x' at 'externalId' failed to satisfy constraint"),
        ({"TokenCode": "12345"}, "Value '12345' at 'tokenCode' failed to satisfy constraint"),
        ({"Tags.member.1.Key": "k"}, "Value null at 'tags.1.member.value' failed to satisfy constraint"),
        ({"ProvidedContexts.member.1.ProviderArn": DEPLOY}, "ProvidedContexts is not supported here."),
        ({"MinimumSessionTokenSize": "1"}, "MinimumSessionTokenSize is not supported here."),
        ({"Unheard": "of"}, "Unknown parameter: 'Unheard'"),
    ],
)
def test_values_are_held_against_aws_s_model(endpoint: Endpoint, members: dict[str, str], told: str) -> None:
    """What is not allowed, or not done here, is said, and nothing is left out in silence."""
    form = {"Action": "AssumeRole", "Version": VERSION, **ASSUME, **members}
    status, code, message = endpoint.refusal(endpoint.request(form))
    assert (status, code) == (400, "ValidationError")
    assert told in message


def test_a_token_is_never_said_back(endpoint: Endpoint) -> None:
    """Also if it is too long, or nothing else is right."""
    token = "secret-" * 3000
    body = urlencode(
        {"Action": "AssumeRoleWithWebIdentity", "Version": VERSION, "WebIdentityToken": token}
    ).encode()
    request = Arrived.sent("POST", "/", {"Content-Type": FORM, "Host": "localhost"}, body, secure=True)
    status, code, message = endpoint.refusal(request)
    assert (status, code) == (400, "ValidationError")
    assert "at 'webIdentityToken'" in message
    assert "secret-" not in message


@pytest.mark.parametrize("parameter", ["ProviderId", "MinimumSessionTokenSize"])
def test_what_web_identities_have_elsewhere(endpoint: Endpoint, parameter: str) -> None:
    """Is refused, not left out."""
    form = {**ASSUME, "WebIdentityToken": "abcd", parameter: "1234"}
    body = urlencode({"Action": "AssumeRoleWithWebIdentity", "Version": VERSION, **form}).encode()
    request = Arrived.sent("POST", "/", {"Content-Type": FORM, "Host": "localhost"}, body, secure=True)
    assert endpoint.refusal(request) == (400, "ValidationError", f"{parameter} is not supported here.")


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ({"SerialNumber": "arn:aws:iam::1:mfa/x"}, c.AssumeRoleWithMfa),
        ({"TokenCode": "123456"}, c.AssumeRoleWithMfa),
        ({}, c.AssumeRole),
    ],
)
def test_a_one_time_password_makes_it_a_change(
    endpoint: Endpoint, given: dict[str, str], command: type[c.AssumeRole]
) -> None:
    """Since it is used up."""
    endpoint.call("GetCallerIdentity")
    form = {"Action": "AssumeRole", "Version": VERSION, **ASSUME, **given}
    asked = endpoint.front.read(endpoint.request(form), "r-0")
    assert type(asked.command) is command
    assert asked.operation == "AssumeRole"
    assert (asked.caller.secure, asked.caller.agent, asked.caller.region) == (True, "tests", REGION)
    form = {"Action": "GetSessionToken", "Version": VERSION, **given}
    asked = endpoint.front.read(endpoint.request(form), "r-0")
    assert type(asked.command) is (c.GetSessionTokenWithMfa if given else c.GetSessionToken)


def test_session_policies_by_name_are_handed_on(endpoint: Endpoint) -> None:
    """In their order."""
    endpoint.call("GetCallerIdentity")
    names = [f"arn:aws:iam::aws:policy/{name}" for name in ("b", "a")]
    given = {f"PolicyArns.member.{n}.arn": name for n, name in enumerate(names, 1)}
    form = {"Action": "AssumeRole", "Version": VERSION, **ASSUME, **given, "Policy": "{}"}
    command = endpoint.front.read(endpoint.request(form), "r-0").command
    assert isinstance(command, c.AssumeRole)
    assert (command.policies, command.policy) == (tuple(names), "{}")


def test_a_form_that_is_none(endpoint: Endpoint) -> None:
    """Is refused before anything else is looked at."""
    assert endpoint.refusal(endpoint.request(b"Action=A&Action=B"))[:2] == (400, "MalformedQueryString")
    assert endpoint.refusal(endpoint.request(b"a" * (MAX_BYTES + 1)))[:2] == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize(
    ("sent", "action"),
    [
        (b"Action=AssumeRole&Version=1", "sts:AssumeRole"),
        (b"Version=1&Action=AssumeRoleWithWebIdentity", "sts:AssumeRoleWithWebIdentity"),
        (b"Action=DeleteEverything", ""),
        (b"Action=AssumeRole%00", ""),
        (b"xAction=AssumeRole", ""),
        (b"", ""),
    ],
)
def test_what_is_recorded_of_a_refused_request(endpoint: Endpoint, sent: bytes, action: str) -> None:
    """The action if there is one of that name, and the access key that it claims."""
    entry = endpoint.front.describe(endpoint.request(sent), "r-9")
    assert (entry.action, entry.access_key, entry.request) == (action, endpoint.admin.id, "r-9")
    assert (entry.source, entry.principal) == ("192.0.2.1", "")
    asked = endpoint.front.describe(Arrived.sent("GET", f"/?{sent.decode()}", {}, b"", secure=True), "r-9")
    assert (asked.action, asked.access_key) == (action, "")


def test_the_head_of_every_answer(endpoint: Endpoint) -> None:
    """Its type, and the request's id where AWS's clients look for it."""
    assert endpoint.front.head("r-1", b"") == b"Content-Type: text/xml\r\nx-amzn-RequestId: r-1\r\n"
    status, body = endpoint.front.write_error(NotAuthenticated("who?"), "r-1")
    assert (status, b"<RequestId>r-1</RequestId>" in body) == (403, True)


@pytest.mark.parametrize(
    ("method", "target", "headers", "ours"),
    [
        ("POST", "/", {"Content-Type": FORM}, True),
        ("POST", "/", {"Content-Type": "Application/X-WWW-form-urlencoded"}, True),
        ("GET", "/?Action=GetCallerIdentity", {}, True),
        ("GET", "/", {}, False),
        ("GET", "/?X-Amz-Signature=x", {}, False),
        ("POST", "/", {"Content-Type": "application/x-amz-json-1.1"}, False),
        ("POST", "/", {}, False),
        ("PUT", "/", {}, False),
        ("POST", "/", {"Content-Type": FORM, "X-Amz-Target": "TrentService.Encrypt"}, False),
        ("GET", "/?Action=X", {"X-Amz-Target": "TrentService.Encrypt"}, False),
    ],
)
def test_which_requests_are_in_this_protocol(
    method: str, target: str, headers: dict[str, str], *, ours: bool
) -> None:
    """Forms and queries, unless they name a target of AWS KMS's."""
    assert speaks(Arrived.sent(method, target, headers, b"", secure=True)) is ours
