"""One decision: whatever protocol a request comes in, the same policies decide it in the same way.

Requests of the native API and of AWS KMS's, for the same operations, by users of two accounts and by sessions of roles,
under random policies of all kinds and beside random grants. They are dry runs, so that the second finds what the first
has found. None of the operations that both have can be granted, so grants must change nothing there; what they do
change is who may look at a key, which the native API asks for a whole list.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arrived import Arrived
from keystead.core.declaration import Declaration, Kind
from keystead.core.grant import CONTEXTUAL, Grant
from keystead.core.policy import default_key_policy
from keystead.core.principal import (
    INSTALLATION,
    AccessKey,
    Account,
    Principal,
    Session,
    policy_arn,
    role_arn,
    root_arn,
    secret_binding,
    session_arn,
    user_arn,
)
from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential, sign
from keystead.fronts.aws.credentials import Credentials
from keystead.fronts.aws.json11 import Json11
from keystead.fronts.front import Asked, Front
from keystead.fronts.native.front import Native
from keystead.service.action import Mode
from keystead.service.entry import OK, Entry
from keystead.service.gate import Answer
from keystead.service.workingset import NotLoaded
from keystead.testing.installation import ACCOUNT, EVERYTHING, REGION, Installation

THERE = "444455556666"  # another account
USER, ROLE = user_arn(ACCOUNT, "alice"), role_arn(ACCOUNT, "deploy")
SESSION = session_arn(ACCOUNT, "deploy", "ci-7")
STRANGER = user_arn(THERE, "carol")
CALLERS = {USER: ACCOUNT, SESSION: ACCOUNT, STRANGER: THERE}
GRANTEES = [USER, ROLE, SESSION, STRANGER, root_arn(ACCOUNT), root_arn(THERE)]
SECRET = b"s" * 40
SEEN = ("DescribeKey", "GetKeyPolicy", "GetKeyRotationStatus", "ListResourceTags")  # to be in a list of keys


class Operation(NamedTuple):
    """One operation in both protocols."""

    name: str
    native: dict[str, Any]
    aws: dict[str, Any]


def operations(key: str) -> list[Operation]:
    """Those that both have."""
    policy = default_key_policy(key.split(":")[4])
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


class Settled(NamedTuple):
    """What decides: policies as texts."""

    identity: str  # of the users and the role
    key_policy: str  # of both keys
    session: str | None = None  # the session's
    boundary: str | None = None  # of the users and the role
    guardrails: tuple[tuple[str, str], ...] = ()  # each with its scope
    grants: tuple[dict[str, Any], ...] = ()  # members of grants, on both keys


class Hall:
    """Both fronts before one gate, and two accounts, each with a key that has an alias."""

    def __init__(self) -> None:
        self.house = Installation()
        self.gate = self.house.gate()
        credentials = Credentials(self.gate, self.house.clock)
        self.fronts: dict[str, Front] = {
            "kms": Json11(credentials=credentials, clock=self.house.clock, regions=()),
            "keystead": Native(credentials=credentials, clock=self.house.clock, help_url=""),
        }
        self.numbers = 0
        self.session: str | None = None
        custodian = self.house.custodian
        wrapped = custodian.enroll(THERE)
        custodian.admit(THERE, wrapped)
        with self.house.store.transact("there") as tx:
            tx.put_account(Account(id=THERE, name="there", created=0.0))
            tx.put_account_key(THERE, wrapped)
        self.users = {arn: self.user(arn) for arn in (USER, STRANGER)}
        self.admins = {
            account: self.user(user_arn(account, "root"), EVERYTHING) for account in (ACCOUNT, THERE)
        }
        self.keys: dict[str, str] = {}
        for account, admin in self.admins.items():
            self.keys[account] = key = self.ask("kms", "CreateKey", {}, admin, dry=False).entry.key
            alias = {"TargetKeyId": key, "AliasName": "alias/a"}
            self.ask("kms", "CreateAlias", alias, admin, dry=False)
        self.operations = {account: operations(key) for account, key in self.keys.items()}

    def user(self, arn: str, policy: str = "") -> Credential:
        """A new user of either account, and what it signs with."""
        _, _, _, _, account, resource = arn.split(":")
        self.numbers += 1
        access_key_id = f"AKIA{self.numbers:016d}"
        protected = self.house.custodian.protect(account, SECRET, secret_binding(access_key_id))
        with self.house.store.transact(f"user-{arn}") as tx:
            tx.put_principal(
                Principal(arn=arn, account=account, name=resource[5:], created=0.0, policy=policy)
            )
            tx.put_access_key(AccessKey(id=access_key_id, principal=arn, protected=protected, created=0.0))
        return Credential(access_key_id, Secret(SECRET))

    def settle(self, settled: Settled) -> None:
        """Put these policies and grants, and no others."""
        self.numbers += 1
        self.session = settled.session
        with self.house.store.transact(f"settle-{self.numbers}") as tx:
            for arn in (USER, ROLE, STRANGER):
                _, _, _, _, account, resource = arn.split(":")
                principal = Principal(arn=arn, account=account, name=resource.rpartition("/")[2], created=0.0)
                principal = replace(principal, policy=settled.identity, tags=(("team", "red"),))
                if settled.boundary is not None:
                    limit = Declaration(
                        account=account,
                        kind=Kind.POLICY,
                        name="limit",
                        text=settled.boundary,
                        created=0.0,
                        updated=0.0,
                    )
                    tx.put_declaration(limit)
                    principal = replace(principal, boundary=policy_arn(account, "limit"))
                tx.put_principal(principal)
            for scope in (INSTALLATION, ACCOUNT, THERE):
                for each in tx.declarations(scope, Kind.GUARDRAIL, "", 100):
                    tx.delete_declaration(scope, Kind.GUARDRAIL, each.name)
            for number, (scope, text) in enumerate(settled.guardrails):
                guardrail = Declaration(
                    account=scope,
                    kind=Kind.GUARDRAIL,
                    name=f"g{number}",
                    text=text,
                    created=0.0,
                    updated=0.0,
                )
                tx.put_declaration(guardrail)
            for account, arn in self.keys.items():
                key = tx.key(REGION, arn.rpartition("/")[2])
                assert key is not None
                tx.put_key(replace(key, policy=settled.key_policy))
                for old in tx.grants(REGION, key.id, None, "", 100):
                    tx.delete_grant(REGION, key.id, old.id)
                for number, members in enumerate(settled.grants):
                    grant = Grant(
                        id=f"{number:064x}",
                        region=REGION,
                        key_id=key.id,
                        issuer=root_arn(account),
                        created=0.0,
                        **members,
                    )
                    tx.put_grant(grant)

    def caller(self, arn: str) -> Credential:
        """One of the users, or a session of the role."""
        if arn != SESSION:
            return self.users[arn]
        self.numbers += 1
        now = self.house.clock.now()
        one = Session(
            access_key=f"ASIA{self.numbers:016d}",
            arn=SESSION,
            principal=ROLE,
            user_id="AROA:ci-7",
            issued=now,
            expires=now + 3600,
            policies=() if self.session is None else (self.session,),
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
    ) -> Answer:
        """The answer to one request, with its record."""
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
        return answer


HALL = Hall()

ACTIONS = st.sampled_from(
    [
        "*",
        "kms:*",
        *(f"kms:{operation.name}" for operation in HALL.operations[ACCOUNT]),
        "kms:*Alias",
        "kms:Tag*",
    ]
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
        {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}},
        {"StringEquals": {"aws:ResourceAccount": THERE}},
        {"StringEquals": {"kms:CallerAccount": THERE}},
    ]
)
WHO = st.sampled_from([*GRANTEES, "*"])


def policy(statements: list[dict[str, Any]]) -> str:
    """A policy's text."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


GRANT = st.fixed_dictionaries(
    {
        "grantee": st.sampled_from(GRANTEES),
        "operations": st.lists(
            st.sampled_from(
                ["DescribeKey", "DescribeKey", "CreateGrant", "RetireGrant", *sorted(CONTEXTUAL)]
            ),
            min_size=1,
            max_size=4,
            unique=True,
        ).map(tuple),
    },
    optional={
        "context_subset": st.just({"app": "payroll"}),
        "source_arn": st.sampled_from(["", "", f"arn:aws:s3:{REGION}:{ACCOUNT}:bucket"]),
    },
)


def settled_about(actions: st.SearchStrategy[str]) -> st.SearchStrategy[Settled]:
    """Policies of all kinds whose statements are about these actions, and grants."""
    statement = st.fixed_dictionaries(
        {
            "Effect": st.sampled_from(["Allow", "Allow", "Allow", "Deny"]),
            "Action": actions,
            "Resource": st.sampled_from(
                ["*", f"arn:aws:kms:{REGION}:{ACCOUNT}:*", f"arn:aws:kms:*:{ACCOUNT}:alias/*"]
            ),
            "Condition": CONDITIONS,
        }
    )
    statements = st.lists(statement, min_size=1, max_size=3)
    of_key = st.builds(lambda statement, who: {**statement, "Principal": {"AWS": who}}, statement, WHO)
    denial = statement.map(lambda statement: policy([{**statement, "Effect": "Deny"}]))
    guardrails = st.lists(
        st.tuples(st.sampled_from([INSTALLATION, ACCOUNT, THERE]), denial), min_size=1, max_size=2
    )
    return st.builds(
        Settled,
        identity=statements.map(policy),
        key_policy=st.lists(of_key, min_size=1, max_size=3).map(policy),
        session=st.none() | statements.map(policy),
        boundary=st.none() | statements.map(policy),
        guardrails=st.just(()) | guardrails.map(tuple),
        grants=st.lists(GRANT, max_size=3).map(tuple),
    )


MORE = settings(max_examples=10 * settings().max_examples)  # since there is more to draw than elsewhere


def told(entry: Entry) -> tuple[object, ...]:
    """What a record says about a decision."""
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


@MORE
@given(
    settled=settled_about(ACTIONS),
    who=st.sampled_from(list(CALLERS)),
    number=st.integers(0, len(HALL.operations[ACCOUNT]) - 1),
    foreign=st.sampled_from([False, False, True]),
)
def test_the_decision_is_the_same_whatever_the_protocol(
    settled: Settled, who: str, number: int, *, foreign: bool
) -> None:
    """With the same statements, the same thing missing and the same outcome."""
    HALL.settle(settled)
    (other,) = HALL.keys.keys() - {CALLERS[who]}
    operation = HALL.operations[other if foreign else CALLERS[who]][number]
    credential = HALL.caller(who)
    native = HALL.ask("keystead", operation.name, operation.native, credential, dry=True).entry
    aws = HALL.ask("kms", operation.name, operation.aws, credential, dry=True).entry

    same_key = slice(0, -1) if operation.name == "CreateKey" else slice(None)  # its id is drawn anew
    assert told(native)[same_key] == told(aws)[same_key]
    assert native.decided_by != "grant"  # nobody can be granted any of these
    without_key = operation.name in ("CreateKey", "DeleteAlias")
    if foreign and not without_key:
        assert native.outcome in (
            "AccessDenied",
            "InvalidRequest",
        )  # the latter of an alias for another's key
    else:
        assert native.decision in ("Allow", "Deny")
        assert native.outcome in ("DryRun", "AccessDenied", "MalformedPolicy", "AlreadyExists")


def listed(credential: Credential, key: str) -> tuple[bool, Entry]:
    """Whether a key is in the list that the native API gives somebody, and the record of that."""
    answer = HALL.ask("keystead", "ListKeyStates", {}, credential, dry=True)
    if answer.error is not None:
        return False, answer.entry
    result: Any = answer.outcome()
    return key in [state.key.arn for state in result.keys], answer.entry


def also(text: str, action: list[str], **members: Any) -> str:
    """A policy with a first statement that allows something more."""
    first = {"Effect": "Allow", "Action": action, "Resource": "*", **members}
    return policy([first, *json.loads(text)["Statement"]])


LISTS, OTHERS = "keystead:ListKeyStates", [f"kms:{name}" for name in SEEN[1:]]


@MORE
@given(
    settled=settled_about(
        st.sampled_from(["kms:DescribeKey", "kms:DescribeKey", "kms:Describe*", "kms:Get*"])
    ),
    who=st.sampled_from(list(CALLERS)),
    others=st.sampled_from([True, True, False]),
    limits=st.booleans(),
)
def test_a_list_has_the_keys_that_may_be_looked_at_one_by_one(
    settled: Settled, who: str, *, others: bool, limits: bool
) -> None:
    """All that the list tells of a key may be asked for through AWS's protocol as well, by policy or grant."""
    account = CALLERS[who]
    reads = [LISTS, *OTHERS] if others else [LISTS]
    HALL.settle(
        settled._replace(
            identity=also(settled.identity, reads),
            key_policy=also(settled.key_policy, reads, Principal={"AWS": root_arn(account)}),
            session=also(settled.session, reads) if settled.session and limits else None,
            boundary=also(settled.boundary, reads) if settled.boundary and limits else None,
        )
    )
    key, credential = HALL.keys[account], HALL.caller(who)
    seen, entry = listed(credential, key)
    alone = [HALL.ask("kms", name, {"KeyId": key}, credential, dry=True).entry for name in SEEN]
    assert seen == (entry.outcome == OK and all(each.outcome == OK for each in alone))
    assert {each.outcome for each in (entry, *alone)} <= {OK, "AccessDenied"}


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("grantee", ["itself", "account", "nobody"])
def test_a_grant_counts_whatever_the_protocol(who: str, grantee: str) -> None:
    """A key that may be looked at by a grant alone is in the list; a grant to the account leaves it to policies."""
    account = CALLERS[who]
    action = [*SEEN[1:], *(["DescribeKey"] if grantee == "account" else [])]
    identity = {
        "Effect": "Allow",
        "Action": ["keystead:*", *(f"kms:{name}" for name in action)],
        "Resource": "*",
    }
    owner = {
        "Effect": "Allow",
        "Principal": {"AWS": root_arn(account)},
        "Action": [f"kms:{name}" for name in SEEN[1:]],
        "Resource": "*",
    }
    names = {"itself": ROLE if who == SESSION else who, "account": root_arn(account)}
    grants = ({"grantee": names[grantee], "operations": ("DescribeKey",)},) if grantee in names else ()
    HALL.settle(Settled(policy([identity]), policy([owner]), grants=grants))
    seen, _ = listed(HALL.caller(who), HALL.keys[account])
    entry = HALL.ask("kms", "DescribeKey", {"KeyId": HALL.keys[account]}, HALL.caller(who), dry=True).entry
    assert (seen, entry.decided_by) == ((True, "grant") if grants else (False, "none"))


@pytest.mark.parametrize("who", CALLERS)
def test_the_hall_knows_both_answers(who: str) -> None:
    """The admin's dry run goes well, and who has no rights is refused: otherwise all would be the same by accident."""
    account = CALLERS[who]
    deny = policy([{"Effect": "Deny", "Action": "*", "Resource": "*"}])
    for operation in HALL.operations[account]:
        HALL.settle(Settled(deny, default_key_policy(account)))
        answer = HALL.ask("keystead", operation.name, operation.native, HALL.admins[account], dry=True)
        assert answer.entry.outcome == "DryRun"
        refused = HALL.ask("keystead", operation.name, operation.native, HALL.caller(who), dry=True)
        assert refused.entry.outcome == "AccessDenied"


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize(
    ("limit", "decided_by"),
    [
        ({}, "identity-policy"),
        ({"guardrails": ((INSTALLATION, "no"),)}, "guardrail"),
        ({"guardrails": ((ACCOUNT, "no"), (THERE, "no"))}, "guardrail"),
        ({"boundary": "no"}, "permission-boundary"),
        ({"session": "no"}, "session-policy"),
    ],
)
def test_all_that_limits_is_asked_in_the_hall(who: str, limit: dict[str, Any], decided_by: str) -> None:
    """What is drawn has an effect: each kind of policy that denies everything is what decides."""
    deny = policy([{"Effect": "Deny", "Action": "*", "Resource": "*"}])
    members = json.loads(json.dumps(limit).replace('"no"', json.dumps(deny)))
    HALL.settle(Settled(EVERYTHING, default_key_policy(CALLERS[who]))._replace(**members))
    if "session" in limit and who != SESSION:
        decided_by = "identity-policy"
    for protocol in HALL.fronts:
        operation = HALL.operations[CALLERS[who]][2]
        body = operation.native if protocol == "keystead" else operation.aws
        entry = HALL.ask(protocol, operation.name, body, HALL.caller(who), dry=True).entry
        assert entry.decided_by == decided_by
