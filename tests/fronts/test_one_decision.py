"""One decision: whatever protocol a request comes in, the same policies decide it in the same way.

Requests of the native API and of AWS KMS's, for the same operations, by users and by sessions of roles, under random
policies. They are dry runs, so that the second finds what the first has found.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from arrived import Arrived
from keystead.core.policy import default_key_policy
from keystead.core.principal import Principal, Session, role_arn, session_arn, user_arn
from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential, sign
from keystead.fronts.aws.credentials import Credentials
from keystead.fronts.aws.json11 import Json11
from keystead.fronts.front import Asked, Front
from keystead.fronts.native.front import Native
from keystead.service.action import Mode
from keystead.service.entry import Entry
from keystead.service.workingset import NotLoaded
from keystead.testing.installation import ACCOUNT, REGION, Installation

USER, ROLE = user_arn(ACCOUNT, "alice"), role_arn(ACCOUNT, "deploy")
SESSION = session_arn(ACCOUNT, "deploy", "ci-7")
SECRET = b"s" * 40


class Operation(NamedTuple):
    """One operation in both protocols."""

    name: str
    native: dict[str, Any]
    aws: dict[str, Any]


def operations(key: str) -> list[Operation]:
    """Those that both have."""
    policy = default_key_policy(ACCOUNT)
    here: dict[str, Any] = {"key_id": key}
    there: dict[str, Any] = {"KeyId": key}
    tag = {"TagKey": "team", "TagValue": "red"}
    return [
        Operation("CreateKey", {"tags": {"team": "red"}}, {"Tags": [tag]}),
        Operation(
            "CreateKey",
            {"spec": "HMAC_256", "usage": "GENERATE_VERIFY_MAC"},
            {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
        ),
        Operation("PutKeyPolicy", {**here, "policy": policy}, {**there, "Policy": policy}),
        Operation("UpdateKeyDescription", {**here, "description": "x"}, {**there, "Description": "x"}),
        Operation("TagResource", {**here, "tags": {"team": "red"}}, {**there, "Tags": [tag]}),
        Operation("UntagResource", {**here, "names": ["team"]}, {**there, "TagKeys": ["team"]}),
        Operation("CreateAlias", {**here, "name": "alias/b"}, {"TargetKeyId": key, "AliasName": "alias/b"}),
        Operation("UpdateAlias", {**here, "name": "alias/a"}, {"TargetKeyId": key, "AliasName": "alias/a"}),
        Operation("DeleteAlias", {"name": "alias/a"}, {"AliasName": "alias/a"}),
        Operation("EnableKeyRotation", {**here, "period_days": 90}, {**there, "RotationPeriodInDays": 90}),
        Operation("DisableKeyRotation", here, there),
        Operation("EnableKey", here, there),
        Operation("DisableKey", here, there),
    ]


class Hall:
    """Both fronts before one gate, and a key with an alias."""

    def __init__(self) -> None:
        self.house = Installation()
        self.gate = self.house.gate()
        credentials = Credentials(self.gate, self.house.clock)
        self.fronts: dict[str, Front] = {
            "kms": Json11(credentials=credentials, clock=self.house.clock, regions=()),
            "keystead": Native(credentials=credentials, clock=self.house.clock, help_url=""),
        }
        self.user = self.house.user("alice")
        self.numbers = 0
        made = self.ask("kms", "CreateKey", {}, self.admin, dry=False)
        self.key = made.key
        self.ask(
            "kms", "CreateAlias", {"TargetKeyId": self.key, "AliasName": "alias/a"}, self.admin, dry=False
        )
        self.operations = operations(self.key)

    @property
    def admin(self) -> Credential:
        """Who may do everything."""
        access_key_id, secret = self.house.admin
        return Credential(access_key_id, Secret(secret.encode()))

    def settle(self, identity: str, key_policy: str, boundary: str) -> None:
        """Put these policies; the boundary is that of the role alone, as a session's policy."""
        with self.house.store.transact(f"settle-{self.numbers}") as tx:
            alice = tx.principal(USER)
            assert alice is not None
            tx.put_principal(replace(alice, policy=identity, tags=(("team", "red"),)))
            role = Principal(arn=ROLE, account=ACCOUNT, name="deploy", created=0.0, policy=identity)
            tx.put_principal(replace(role, tags=(("team", "red"),)))
            key = tx.key(REGION, self.key.rpartition("/")[2])
            assert key is not None
            tx.put_key(replace(key, policy=key_policy))
        self.boundary = boundary

    def caller(self, *, session: bool) -> Credential:
        """The user, or a session of the role."""
        self.numbers += 1
        if not session:
            access_key_id, secret = self.user
            return Credential(access_key_id, Secret(secret.encode()))
        now = self.house.clock.now()
        one = Session(
            access_key=f"ASIA{self.numbers:016d}",
            arn=SESSION,
            principal=ROLE,
            user_id="AROA:ci-7",
            issued=now,
            expires=now + 3600,
            policies=(self.boundary,),
        )
        token = self.gate.session_tokens().make(one, SECRET, self.house.random)
        return Credential(one.access_key, Secret(SECRET), Secret(token.encode()))

    def read(self, front: Front, arrived: Arrived, request: str) -> Asked:
        """What a front understands, once the working set holds what it needs."""
        while True:
            try:
                return front.read(arrived, request)
            except NotLoaded as missing:
                self.gate.working.admit(self.gate.working.load(missing.wanted))

    def ask(
        self, protocol: str, operation: str, body: Mapping[str, Any], who: Credential, *, dry: bool
    ) -> Entry:
        """The newest record of one request."""
        self.gate.working.catch_up()
        target = "/" if protocol == "kms" else f"/v1/{operation}"
        headers = {"content-type": "application/json", "user-agent": "tests"}
        if protocol == "kms":
            headers["x-amz-target"] = f"TrentService.{operation}"
        if dry:
            headers["x-amz-meta-dry-run"] = "true"
        data = json.dumps(body).encode()
        signed = sign(
            "POST",
            "localhost",
            target,
            headers,
            data,
            credentials=who,
            region=REGION,
            service=protocol,
            now=self.house.clock.now(),
        )
        sent = {name.lower().encode(): value.encode() for name, value in {**headers, **signed}.items()}
        sent[b"host"] = b"localhost"
        self.numbers += 1
        request = f"r-{self.numbers}"
        asked = self.read(self.fronts[protocol], Arrived(b"POST", target.encode(), sent, data), request)
        assert self.gate.action(asked.command).mode is not Mode.HOT
        answer = self.gate.ask(asked.caller, asked.command)
        if not dry:
            answer.outcome()
        return answer.entry


HALL = Hall()

ACTIONS = st.sampled_from(
    ["*", "kms:*", *(f"kms:{operation.name}" for operation in HALL.operations), "kms:*Alias", "kms:Tag*"]
)
CONDITIONS = st.sampled_from(
    [
        {},
        {"StringEquals": {"aws:PrincipalTag/team": "red"}},
        {"StringEquals": {"aws:RequestTag/team": "red"}},
        {"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}},
        {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}},
        {"Bool": {"aws:SecureTransport": "true"}},
        {"StringLike": {"aws:UserAgent": "tests*"}},
        {"StringEquals": {"aws:RequestedRegion": REGION}},
        {"StringEquals": {"kms:KeySpec": "HMAC_256"}},
        {"NumericLessThan": {"kms:RotationPeriodInDays": "100"}},
        {"Null": {"aws:TokenIssueTime": "true"}},
        {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/a"}},
        {"StringEquals": {"aws:username": "alice"}},
    ]
)
STATEMENT = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Allow", "Allow", "Deny"]),
        "Action": ACTIONS,
        "Resource": st.sampled_from(
            ["*", f"arn:aws:kms:{REGION}:{ACCOUNT}:*", f"arn:aws:kms:*:{ACCOUNT}:alias/*"]
        ),
        "Condition": CONDITIONS,
    }
)
WHO = st.sampled_from([f"arn:aws:iam::{ACCOUNT}:root", USER, ROLE, SESSION, "*"])


def policy(statements: list[dict[str, Any]]) -> str:
    """A policy's text."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


IDENTITY = st.lists(STATEMENT, min_size=1, max_size=3).map(policy)
KEY_POLICY = st.lists(
    st.builds(lambda statement, who: {**statement, "Principal": {"AWS": who}}, STATEMENT, WHO),
    min_size=1,
    max_size=3,
).map(policy)


@given(
    identity=IDENTITY,
    key_policy=KEY_POLICY,
    boundary=IDENTITY,
    session=st.booleans(),
    operation=st.sampled_from(HALL.operations),
)
def test_the_decision_is_the_same_whatever_the_protocol(
    identity: str,
    key_policy: str,
    boundary: str,
    session: bool,
    operation: Operation,
) -> None:
    """With the same statements, the same thing missing and the same outcome."""
    HALL.settle(identity, key_policy, boundary)
    who = HALL.caller(session=session)
    native = HALL.ask("keystead", operation.name, operation.native, who, dry=True)
    aws = HALL.ask("kms", operation.name, operation.aws, who, dry=True)

    def told(entry: Entry) -> tuple[object, ...]:
        return (
            entry.action,
            entry.principal,
            entry.decision,
            entry.decided_by,
            entry.statement,
            entry.matched,
            entry.missing,
            entry.outcome,
            entry.key or entry.subject,
        )

    same_key = slice(0, -1) if operation.name == "CreateKey" else slice(None)  # its id is drawn anew
    assert told(native)[same_key] == told(aws)[same_key]
    assert native.decision in ("Allow", "Deny")
    assert (native.outcome == "DryRun") or native.outcome in (
        "AccessDenied",
        "MalformedPolicy",
        "AlreadyExists",
    )


def test_the_hall_knows_both_answers() -> None:
    """The admin's dry run goes well, and who has no rights is refused: otherwise all would be the same by accident."""
    for operation in HALL.operations:
        HALL.settle(
            policy([{"Effect": "Deny", "Action": "*", "Resource": "*"}]), default_key_policy(ACCOUNT), ""
        )
        assert (
            HALL.ask("keystead", operation.name, operation.native, HALL.admin, dry=True).outcome == "DryRun"
        )
        refused = HALL.ask("keystead", operation.name, operation.native, HALL.caller(session=False), dry=True)
        assert refused.outcome == "AccessDenied"
