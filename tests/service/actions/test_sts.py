"""Sessions: who gets one, of whom, for how long, and what it carries."""

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import msgspec
import pytest

from keystead.core.declaration import Declaration, Kind
from keystead.core.policy import builtin
from keystead.core.principal import (
    Principal,
    Provider,
    Session,
    mfa_binding,
    provider_arn,
    role_arn,
    root_arn,
    session_arn,
    user_arn,
)
from keystead.crypto.totp import STEP_SECONDS, password
from keystead.service.actions.sts import MOST_OPENERS
from keystead.service.caller import ANONYMOUS, Caller, Identity
from keystead.service.commands import identity as i
from keystead.service.commands import kms
from keystead.service.commands import sts as c
from keystead.service.identities import identify, lives, unique_id
from keystead.service.sessiontoken import MAX_CHARACTERS
from keystead.testing.installation import ACCOUNT, EVERYTHING, REGION
from keystead.testing.issuer import Issuer
from keystead.testing.service import JOBS, ServiceBench

OTHER = "444455556666"
DEPLOY = role_arn(ACCOUNT, "deploy")
BOB = user_arn(ACCOUNT, "bob")
ALL = ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity")
SECRET = b"12345678901234567890"
SERIAL = f"arn:aws:iam::{ACCOUNT}:mfa/bob"
WRONG = "AccessDenied: MultiFactorAuthentication failed with invalid MFA one time pass code. "
NO_DEVICE = (
    "AccessDenied: MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial "
    "number is valid and associated with this user."
)
NOT_AUTHORIZED = "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"

_requests = count(1)


def statement(effect: str, actions: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    """One statement of an identity policy."""
    return {"Effect": effect, "Action": actions, "Resource": resource, **more}


def policy(*statements: dict[str, Any]) -> str:
    """A policy."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(
    *who: str, actions: Any = ALL, kind: str = "AWS", condition: Any = None, effect: str = "Allow"
) -> str:
    """A trust policy of one statement."""
    one: dict[str, Any] = {"Effect": effect, "Principal": {kind: list(who)}, "Action": actions}
    return policy({**one, "Condition": condition} if condition else one)


MAY_ASSUME = policy(statement("Allow", "sts:*"))


class Bench(ServiceBench):
    """A service bench with bob, who may do nothing but what trust policies say."""

    def __init__(self) -> None:
        super().__init__()
        self.house.user("bob")

    def put(self, principal: Principal) -> Principal:
        """Store a principal."""
        with self.house.store.transact(f"put-{next(_requests)}") as tx:
            tx.put_principal(principal)
        return principal

    def change(self, arn: str, **fields: Any) -> Principal:
        """Change a principal."""
        with self.house.store.view() as view:
            found = view.principal(arn)
        assert found is not None
        return self.put(replace(found, **fields))

    def role(self, name: str = "deploy", trusts: str = "", account: str = ACCOUNT, **fields: Any) -> str:
        """A role that bob may assume, unless it is told otherwise; its ARN."""
        arn = role_arn(account, name)
        made: dict[str, Any] = {"created": self.house.clock.now(), "trust": trusts or trust(BOB), **fields}
        self.put(Principal(arn=arn, account=account, name=name, **made))
        return arn

    def session(self, result: Any) -> Session:
        """What a new session's token says."""
        opened = self.gate.session_tokens().read(result.credentials.token.encode())
        assert opened is not None
        assert opened[1].reveal() == result.credentials.secret.encode()
        return opened[0]

    def as_(self, result: Any) -> Caller:
        """Whoever has the session's credentials, as a front makes it."""
        session = self.session(result)
        with self.house.store.view() as view:
            principal = view.principal(session.principal)
            assert principal is not None
            identity = identify(view, principal, session)
        return Caller(identity, f"s-{next(_requests)}", REGION, session.access_key, "sigv4")

    def enable_mfa(self, arn: str = BOB) -> None:
        """Give a principal a device."""
        self.change(arn, mfa=self.house.custodian.protect(ACCOUNT, SECRET, mfa_binding(arn)))

    def code(self, steps: int = 0) -> str:
        """What the device shows now, or some steps away."""
        return password(SECRET, int(self.house.clock.now() // STEP_SECONDS) + steps)

    def declare(self, name: str, text: str, kind: Kind = Kind.POLICY) -> str:
        """A policy of the account's; its ARN."""
        with self.house.store.transact(f"declare-{next(_requests)}") as tx:
            tx.put_declaration(
                Declaration(account=ACCOUNT, kind=kind, name=name, text=text, created=1.0, updated=1.0)
            )
        return f"arn:aws:iam::{ACCOUNT}:policy/{name}"


@pytest.fixture
def bench() -> Bench:
    """An installation."""
    return Bench()


def refused(action: str = "sts:AssumeRole", who: str = BOB, role: str = DEPLOY) -> str:
    """AWS's words for a role that is not to be assumed."""
    return f"AccessDenied: User: {who} is not authorized to perform: {action} on resource: {role}"


# --- who somebody is -------------------------------------------------------------------------------------


def test_everybody_may_know_who_they_are(bench: Bench) -> None:
    """A user without any permission, and a session; a denial of it counts for nothing."""
    bench.change(BOB, policy=policy(statement("Deny", "*")))
    bench.role()
    me = bench.do(c.GetCallerIdentity(), "bob")
    assert (me.account, me.arn) == (ACCOUNT, BOB)
    assert me.user_id.startswith("AIDA")
    assert len(me.user_id) == 21
    record = bench.records[-1]
    assert (record.action, record.principal, record.outcome) == ("sts:GetCallerIdentity", BOB, "Success")

    bench.change(BOB, policy="")
    opened = bench.do(c.AssumeRole(DEPLOY, "ci-7"), "bob")
    me = bench.do(c.GetCallerIdentity(), bench.as_(opened))
    assert (me.account, me.arn, me.user_id) == (ACCOUNT, opened.arn, opened.role_id)


# --- who may assume a role -------------------------------------------------------------------------------


def test_a_role_gives_credentials_for_an_hour(bench: Bench) -> None:
    """In AWS's forms, and the record names the session."""
    bench.role(session_seconds=7200)
    opened = bench.do(c.AssumeRole(DEPLOY, "ci-7"), "bob")
    now = bench.house.clock.now()
    with bench.house.store.view() as view:
        role = view.principal(DEPLOY)
    assert role is not None
    assert opened.arn == session_arn(ACCOUNT, "deploy", "ci-7")
    assert opened.role_id == f"{unique_id(role)}:ci-7"
    given = opened.credentials
    assert (given.access_key[:4], len(given.access_key), len(given.secret)) == ("ASIA", 20, 40)
    assert given.expires == now + 3600
    session = bench.session(opened)
    assert (session.access_key, session.arn, session.principal) == (given.access_key, opened.arn, DEPLOY)
    assert (session.issued, session.expires, session.mfa) == (now, now + 3600, 0.0)
    assert opened.packed is None
    record = bench.records[-1]
    assert (record.action, record.principal, record.subject) == ("sts:AssumeRole", BOB, opened.arn)
    assert (record.decision, record.decided_by, record.outcome) == ("Allow", "key-policy", "Success")
    assert not any(given.token in str(record) or given.secret in str(record) for record in bench.records)


def test_a_session_may_what_its_role_may(bench: Bench) -> None:
    """And not what the one who opened it may."""
    bench.role(policy=policy(statement("Allow", "kms:CreateKey")))
    session = bench.as_(bench.do(c.AssumeRole(DEPLOY, "ci-7"), "bob"))
    bench.do(kms.CreateKey(), session)
    assert bench.refusal(kms.ListKeys(), session).startswith("AccessDenied")
    assert bench.refusal(kms.CreateKey(), "bob").startswith("AccessDenied")


@pytest.mark.parametrize(
    ("trusts", "identity", "allowed"),
    [
        (trust(BOB), "", True),  # within an account it is enough that the trust policy names the user
        (trust(root_arn(ACCOUNT)), "", False),  # the account: then an identity policy must allow
        (trust(root_arn(ACCOUNT)), MAY_ASSUME, True),
        (trust(ACCOUNT), MAY_ASSUME, True),
        (trust(user_arn(ACCOUNT, "alice")), MAY_ASSUME, False),
        (trust(root_arn(OTHER)), MAY_ASSUME, False),
        (trust(BOB), policy(statement("Deny", "sts:AssumeRole")), False),
        (trust(BOB, effect="Deny"), MAY_ASSUME, False),
        (trust(BOB, actions="sts:TagSession"), MAY_ASSUME, False),
        (trust("arn:aws:iam::111122223333:oidc-provider/x", kind="Federated"), MAY_ASSUME, False),
    ],
)
def test_within_an_account_the_trust_policy_decides(
    bench: Bench, trusts: str, identity: str, *, allowed: bool
) -> None:
    """By AWS's rules for a resource of the same account."""
    bench.change(BOB, policy=identity)
    bench.role(trusts=trusts)
    if allowed:
        bench.do(c.AssumeRole(DEPLOY, "ci-7"), "bob")
    else:
        assert bench.refusal(c.AssumeRole(DEPLOY, "ci-7"), "bob") == refused()
        assert (bench.records[-1].decision, bench.records[-1].subject) == ("Deny", DEPLOY)


@pytest.mark.parametrize(
    ("trusts", "identity", "allowed"),
    [
        (trust(BOB), "", False),
        (trust(BOB), MAY_ASSUME, True),
        (trust(root_arn(ACCOUNT)), MAY_ASSUME, True),
        (trust(root_arn(OTHER)), MAY_ASSUME, False),
        (trust(BOB), policy(statement("Allow", "sts:*", role_arn(OTHER, "another"))), False),
    ],
)
def test_across_accounts_both_sides_must_allow(
    bench: Bench, trusts: str, identity: str, *, allowed: bool
) -> None:
    """The role's account by the trust policy, the caller's by an identity policy."""
    bench.change(BOB, policy=identity)
    there = bench.role(trusts=trusts, account=OTHER)
    if allowed:
        opened = bench.do(c.AssumeRole(there, "ci-7"), "bob")
        assert opened.arn == session_arn(OTHER, "deploy", "ci-7")
    else:
        assert bench.refusal(c.AssumeRole(there, "ci-7"), "bob") == refused(role=there)


@pytest.mark.parametrize("lacking", ["absent", "disabled", "no trust", "a user", "a group"])
def test_what_cannot_be_assumed_looks_like_what_is_forbidden(bench: Bench, lacking: str) -> None:
    """Nobody learns which roles there are, not even an administrator of the account."""
    arn = DEPLOY
    if lacking == "disabled":
        bench.role(enabled=False)
    elif lacking == "no trust":
        bench.role()
        bench.change(DEPLOY, trust="")
    elif lacking == "a user":
        arn = user_arn(ACCOUNT, "admin")
    elif lacking == "a group":
        arn = f"arn:aws:iam::{ACCOUNT}:group/deploy"
        bench.put(Principal(arn=arn, account=ACCOUNT, name="deploy", created=1.0, trust=trust(BOB)))
    for who in ("bob", "admin"):
        assert bench.refusal(c.AssumeRole(arn, "ci-7"), who) == refused(who=user_arn(ACCOUNT, who), role=arn)
        assert (bench.records[-1].decision, bench.records[-1].subject) == ("Deny", arn)


def test_a_confused_deputy_needs_the_external_id(bench: Bench) -> None:
    """A service that many use cannot be made to use another's role, unless it was told their secret word."""
    condition = {"StringEquals": {"sts:ExternalId": "12345"}}
    bench.role(trusts=trust(BOB, condition=condition))
    assert bench.refusal(c.AssumeRole(DEPLOY, "ci-7"), "bob") == refused()
    assert bench.refusal(c.AssumeRole(DEPLOY, "ci-7", external_id="12346"), "bob") == refused()
    bench.do(c.AssumeRole(DEPLOY, "ci-7", external_id="12345"), "bob")
    # It counts for the tags of the same request as well.
    bench.do(c.AssumeRole(DEPLOY, "ci-7", external_id="12345", tags=(("team", "a"),)), "bob")


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"StringEquals": {"sts:RoleSessionName": "ci-7"}}, True),
        ({"StringLike": {"sts:RoleSessionName": "${aws:username}-*"}}, False),
        ({"StringEquals": {"aws:ResourceTag/stage": "test"}}, True),
        ({"StringEquals": {"aws:ResourceAccount": ACCOUNT}}, True),
        ({"StringEquals": {"aws:PrincipalTag/team": "a"}}, True),
        ({"Bool": {"aws:MultiFactorAuthPresent": "true"}}, False),
    ],
)
def test_conditions_of_a_trust_policy(bench: Bench, condition: Any, *, allowed: bool) -> None:
    """They may ask of the request, the caller and the role."""
    bench.change(BOB, tags=(("team", "a"),))
    bench.role(trusts=trust(BOB, condition=condition), tags=(("stage", "test"),))
    if allowed:
        bench.do(c.AssumeRole(DEPLOY, "ci-7"), "bob")
    else:
        assert bench.refusal(c.AssumeRole(DEPLOY, "ci-7"), "bob") == refused()


def test_parts_of_the_service_assume_no_role(bench: Bench) -> None:
    """Only users, programs with access keys and sessions do."""
    bench.role(trusts=trust(root_arn(ACCOUNT)))
    told = "AccessDenied: Roles may not be assumed by root accounts."
    assert bench.refusal(c.AssumeRole(DEPLOY, "ci-7"), JOBS) == told


def test_a_service_account_assumes_roles_as_users_do(bench: Bench) -> None:
    """If the role trusts it."""
    arn = f"arn:aws:iam::{ACCOUNT}:service-account/billing"
    bench.put(Principal(arn=arn, account=ACCOUNT, name="billing", created=1.0))
    bench.role(trusts=trust(arn))
    bench.do(c.AssumeRole(DEPLOY, "ci-7"), arn)


# --- how long --------------------------------------------------------------------------------------------


def test_a_session_lasts_as_long_as_its_role_allows(bench: Bench) -> None:
    """An hour unless asked otherwise, or less where the role has less."""
    bench.role(session_seconds=7200)
    now = bench.house.clock.now()
    assert bench.do(c.AssumeRole(DEPLOY, "ci-7", 7200), "bob").credentials.expires == now + 7200
    told = "InvalidRequest: The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    assert bench.refusal(c.AssumeRole(DEPLOY, "ci-7", 7201), "bob") == told
    bench.change(DEPLOY, session_seconds=900)
    assert bench.do(c.AssumeRole(DEPLOY, "ci-7"), "bob").credentials.expires == now + 900


def test_a_chain_lasts_an_hour_at_most(bench: Bench) -> None:
    """However long the second role would allow; a user's own session begins no chain."""
    bench.role()
    first = bench.do(c.AssumeRole(DEPLOY, "ci-7"), "bob")
    second = bench.role("second", trust(DEPLOY, BOB), session_seconds=43_200)
    told = (
        "InvalidRequest: The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role "
        "chaining"
    )
    assert bench.refusal(c.AssumeRole(second, "ci-7", 3601), bench.as_(first)) == told
    bench.do(c.AssumeRole(second, "ci-7", 3600), bench.as_(first))
    own = bench.do(c.GetSessionToken(), "bob")
    bench.do(c.AssumeRole(second, "ci-7", 43_200), bench.as_(own))


# --- what limits a session -------------------------------------------------------------------------------


def test_session_policies_narrow(bench: Bench) -> None:
    """A session may what its role and one of its own policies allow."""
    bench.role(policy=EVERYTHING)
    only_keys = policy(statement("Allow", ["kms:DescribeKey", "kms:ListKeys"]))
    opened = bench.do(c.AssumeRole(DEPLOY, "ci-7", policy=only_keys), "bob")
    assert opened.packed == -(-100 * len(opened.credentials.token) // MAX_CHARACTERS) > 0
    session = bench.as_(opened)
    bench.do(kms.ListKeys(), session)
    assert bench.refusal(kms.GenerateRandom(8), session).startswith("AccessDenied")


def test_session_policies_by_name(bench: Bench) -> None:
    """Those of the role's account and those that are built in; one that is gone allows nothing."""
    bench.role(policy=EVERYTHING)
    named = bench.declare("keys", policy(statement("Allow", "kms:ListAliases")))
    opened = bench.do(c.AssumeRole(DEPLOY, "ci-7", policies=(named, named)), "bob")
    assert bench.session(opened).attached == (named,)
    assert opened.packed > 0
    bench.do(kms.ListAliases(), bench.as_(opened))
    assert bench.refusal(kms.ListKeys(), bench.as_(opened)).startswith("AccessDenied")

    built_in = bench.do(c.AssumeRole(DEPLOY, "ci-7", policies=(builtin.AUDITOR,)), "bob")
    bench.do(kms.ListKeys(), bench.as_(built_in))
    assert bench.refusal(kms.CreateKey(), bench.as_(built_in)).startswith("AccessDenied")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"policy": "{"}, "MalformedPolicy: The policy is not valid JSON."),
        (
            {"policies": (f"arn:aws:iam::{ACCOUNT}:policy/none",)},
            f"MalformedPolicy: The account of the role has no policy arn:aws:iam::{ACCOUNT}:policy/none.",
        ),
        (
            {"policies": (f"arn:aws:iam::{OTHER}:policy/keys",)},
            f"MalformedPolicy: The account of the role has no policy arn:aws:iam::{OTHER}:policy/keys.",
        ),
        (
            {"policies": tuple(f"arn:aws:iam::{ACCOUNT}:policy/{n}" for n in range(11))},
            "InvalidRequest: PolicyArns has more than 10 policies.",
        ),
    ],
)
def test_session_policies_that_are_none(bench: Bench, given: Any, told: str) -> None:
    """They are refused, but nobody learns by them whether a role is there."""
    bench.declare("keys", EVERYTHING)
    assert bench.refusal(c.AssumeRole(DEPLOY, "ci-7", **given), "bob") == refused()
    bench.role()
    assert bench.refusal(c.AssumeRole(DEPLOY, "ci-7", **given), "bob") == told


def test_a_deny_that_could_never_apply_is_refused(bench: Bench) -> None:
    """As in any other policy that is put."""
    bench.role()
    never = policy(statement("Deny", "*", Condition={"StringEquals": {"aws:SourceArn": "x"}}))
    assert bench.refusal(c.AssumeRole(DEPLOY, "ci-7", policy=never), "bob").startswith("MalformedPolicy")


def test_what_does_not_fit_into_a_token_is_refused(bench: Bench) -> None:
    """Policies are packed, and these cannot be packed well enough."""
    bench.role()
    noise = [bench.house.random(100).hex() for _ in range(60)]
    large = policy(statement("Allow", "kms:*", [f"arn:aws:kms:*:*:alias/{each}" for each in noise]))
    assert bench.refusal(c.AssumeRole(DEPLOY, "ci-7", policy=large), "bob").startswith("PolicyTooLarge: ")


# --- tags and the source identity ------------------------------------------------------------------------


def test_tags_need_their_own_leave(bench: Bench) -> None:
    """From the trust policy as well: who may assume a role may not for that say who they are to its policies."""
    bench.role(trusts=trust(BOB, actions="sts:AssumeRole"))
    tagged = c.AssumeRole(DEPLOY, "ci-7", tags=(("team", "a"),))
    assert bench.refusal(tagged, "bob") == refused("sts:TagSession")
    condition = {
        "StringEquals": {"aws:RequestTag/team": "a"},
        "ForAllValues:StringEquals": {"aws:TagKeys": "team"},
    }
    bench.change(
        DEPLOY,
        trust=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    json.loads(trust(BOB, actions="sts:AssumeRole"))["Statement"][0],
                    json.loads(trust(BOB, actions="sts:TagSession", condition=condition))["Statement"][0],
                ],
            }
        ),
    )
    bench.do(tagged, "bob")
    other = c.AssumeRole(DEPLOY, "ci-7", tags=(("team", "b"),))
    assert bench.refusal(other, "bob") == refused("sts:TagSession")


def test_session_tags_take_the_place_of_the_roles(bench: Bench) -> None:
    """Whatever the case of their names; the others stay."""
    bench.role(tags=(("Team", "x"), ("stage", "test")))
    opened = bench.do(c.AssumeRole(DEPLOY, "ci-7", tags=(("team", "a"), ("new", "n"))), "bob")
    identity = bench.as_(opened).identity
    assert dict(identity.tags) == {"Team": "a", "stage": "test", "new": "n"}


def test_transitive_tags_go_along_a_chain(bench: Bench) -> None:
    """Those that were said to, and nobody on the way can change or drop them."""
    bench.role(tags=(("Team", "x"),))
    tags = (("team", "a"), ("job", "7"))
    first = bench.do(c.AssumeRole(DEPLOY, "ci-7", tags=tags, transitive=("team",)), "bob")
    second = bench.role("second", trust(DEPLOY))
    caller = bench.as_(first)
    opened = bench.do(c.AssumeRole(second, "x-1", tags=(("more", "m"),)), caller)
    session = bench.session(opened)
    assert session.tags == (("Team", "a"), ("more", "m"))
    assert session.transitive == ("Team",)
    told = (
        "InvalidRequest: One of the specified transitive tag keys can't be set because it conflicts with a "
        "transitive tag key from the calling session."
    )
    assert bench.refusal(c.AssumeRole(second, "x-1", tags=(("TEAM", "b"),)), caller) == told
    # A role that takes no tags takes no inherited ones either.
    bench.change(second, trust=trust(DEPLOY, actions="sts:AssumeRole"))
    assert bench.refusal(c.AssumeRole(second, "x-1"), caller) == refused(
        "sts:TagSession", who=first.arn, role=second
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"tags": (("team", "a"), ("Team", "b"))},
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        ),
        ({"tags": (("AWS:x", "a"),)}, "Tag keys must not begin with aws:, which is reserved."),
        (
            {"tags": (("team", "a"),), "transitive": ("job",)},
            "The specified transitive tag key must be included in the requested tags.",
        ),
        (
            {"tags": tuple((f"t{n}", "") for n in range(51))},
            "A session has at most 50 tags, those of the calling session included.",
        ),
        ({"source_identity": "aws:me"}, "SourceIdentity must not begin with aws:"),
    ],
)
def test_tags_that_no_session_may_have(bench: Bench, given: Any, told: str) -> None:
    """They are refused with what is wrong."""
    bench.role()
    assert bench.refusal(c.AssumeRole(DEPLOY, "ci-7", **given), "bob") == f"InvalidRequest: {told}"


def test_a_source_identity_stays(bench: Bench) -> None:
    """Along a chain, whose every role must take it; it cannot be changed."""
    bench.role()
    first = bench.do(c.AssumeRole(DEPLOY, "ci-7", source_identity="bob@example.com"), "bob")
    assert first.source_identity == "bob@example.com"
    second = bench.role("second", trust(DEPLOY))
    caller = bench.as_(first)
    for given in ("", "bob@example.com"):
        opened = bench.do(c.AssumeRole(second, "x-1", source_identity=given), caller)
        assert opened.source_identity == bench.session(opened).source_identity == "bob@example.com"
    told = "InvalidRequest: The source identity of the calling session cannot be changed."
    assert bench.refusal(c.AssumeRole(second, "x-1", source_identity="eve"), caller) == told
    bench.change(second, trust=trust(DEPLOY, actions="sts:AssumeRole"))
    told = refused("sts:SetSourceIdentity", who=first.arn, role=second)
    assert bench.refusal(c.AssumeRole(second, "x-1"), caller) == told


# --- sessions that end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["disabled", "deleted", "revoked", "expired"])
def test_a_session_that_has_ended_opens_no_other(bench: Bench, end: str) -> None:
    """However it ended: the store is asked, not what a process remembers."""
    bench.role()
    second = bench.role("second", trust(DEPLOY))
    caller = bench.as_(bench.do(c.AssumeRole(DEPLOY, "ci-7"), "bob"))
    bench.do(c.AssumeRole(second, "x-1"), caller)
    if end == "disabled":
        bench.change(DEPLOY, enabled=False)
    elif end == "deleted":
        with bench.house.store.transact("delete") as tx:
            tx.delete_principal(DEPLOY)
    elif end == "revoked":
        bench.change(DEPLOY, sessions_from=2**40)
    else:
        bench.house.clock.time += 3600
    told = "UnknownCredentials: The security token included in the request is invalid."
    assert bench.refusal(c.AssumeRole(second, "x-1"), caller) == told


def test_a_session_that_is_being_opened_while_its_role_is_revoked_is_revoked_too(bench: Bench) -> None:
    """By the clock it would come after the revocation; what it had seen of the store is before it."""
    bench.role()
    other = ServiceBench(bench.house, "w1")
    real = bench.gate.random

    def meanwhile(count: int) -> bytes:
        bench.gate.random = real
        other.do(i.RevokePrincipal("deploy", "role"))
        return real(count)

    bench.gate.random = meanwhile
    answer = bench.gate.perform(bench.caller("bob"), c.AssumeRole(DEPLOY, "ci-7"))
    session = bench.session(answer.outcome())
    with bench.house.store.view() as view:
        role = view.principal(DEPLOY)
        assert role is not None
        assert role.enabled
        assert not lives(view, session, session.issued)
    assert bench.gate.settle([answer]) == [answer]  # nor does the answer leave


# --- by whom they were opened ----------------------------------------------------------------------------


def with_key(bench: Bench, name: str = "bob") -> Caller:
    """A user who asks with a new access key, as a front makes it."""
    key = bench.do(i.CreateAccessKey(name)).access_key
    return msgspec.structs.replace(bench.caller(name), access_key=key.id, auth="sigv4")


def test_a_session_says_by_whom_it_was_opened(bench: Bench) -> None:
    """The whole chain with each once, and the access key that began it; also where it is a user's own."""
    bob = with_key(bench)
    bench.role("first")
    bench.role("second", trust(role_arn(ACCOUNT, "first"), role_arn(ACCOUNT, "second")))
    own = bench.do(c.GetSessionToken(), bob)
    first = bench.do(c.AssumeRole(role_arn(ACCOUNT, "first"), "x-1"), bench.as_(own))
    second = bench.do(c.AssumeRole(role_arn(ACCOUNT, "second"), "x-1"), bench.as_(first))
    again = bench.do(c.AssumeRole(role_arn(ACCOUNT, "second"), "x-1"), bench.as_(second))
    for _ in range(MOST_OPENERS):  # a chain that goes on with the same roles is never too long
        again = bench.do(c.AssumeRole(role_arn(ACCOUNT, "second"), "x-1"), bench.as_(again))
    begun = (BOB, role_arn(ACCOUNT, "first"))
    for opened, openers in (
        (bench.do(c.AssumeRole(role_arn(ACCOUNT, "first"), "x-1"), bob), (BOB,)),
        (own, (BOB,)),
        (first, (BOB,)),
        (second, begun),
        (again, (*begun, role_arn(ACCOUNT, "second"))),
    ):
        session = bench.session(opened)
        assert (session.openers, session.opened_with) == (openers, bob.access_key)


@pytest.mark.parametrize(
    "end",
    [
        i.RevokePrincipal("bob"),
        i.RevokePrincipal("bob", disable=True),
        i.UpdatePrincipal("bob", enabled=False),
        i.DeletePrincipal("bob"),
        i.SetAccessKeyStatus("AKIA", enabled=False),
        i.DeleteAccessKey("AKIA"),
        i.RevokePrincipal("deploy", "role"),
    ],
    ids=repr,
)
def test_whoever_loses_all_loses_the_sessions_of_a_chain(bench: Bench, end: Any) -> None:
    """Those it opened and those that were opened with these: none is good any more, nor opens another."""
    bob = with_key(bench)
    bench.role()
    second = bench.role("second", trust(DEPLOY, role_arn(ACCOUNT, "second")))
    first = bench.do(c.AssumeRole(DEPLOY, "x-1"), bob)
    chained = bench.as_(bench.do(c.AssumeRole(second, "x-1"), bench.as_(first)))
    bench.do(c.AssumeRole(second, "x-1"), chained)
    if isinstance(end, i.SetAccessKeyStatus | i.DeleteAccessKey):
        end = msgspec.structs.replace(end, access_key_id=bob.access_key)
    bench.do(end)
    told = "UnknownCredentials: The security token included in the request is invalid."
    for caller in (bench.as_(first), chained):
        assert bench.refusal(c.AssumeRole(second, "x-1"), caller) == told


def test_a_session_of_ones_own_ends_with_its_access_key_and_no_other(bench: Bench) -> None:
    """It counts again when that is enabled again, as the access key does."""
    (first,) = bench.do(i.ListAccessKeys("bob")).access_keys
    bench.do(i.DeleteAccessKey(first.id))
    bob, also = with_key(bench), with_key(bench)
    bench.role()
    one, two = (bench.as_(bench.do(c.GetSessionToken(), who)) for who in (bob, also))
    bench.do(i.SetAccessKeyStatus(bob.access_key, enabled=False))
    told = "UnknownCredentials: The security token included in the request is invalid."
    assert bench.refusal(c.AssumeRole(DEPLOY, "x-1"), one) == told
    bench.do(c.AssumeRole(DEPLOY, "x-1"), two)
    bench.do(i.SetAccessKeyStatus(bob.access_key, enabled=True))
    bench.do(c.AssumeRole(DEPLOY, "x-1"), one)


def test_a_chain_crosses_accounts_with_all_its_openers(bench: Bench) -> None:
    """A role of another account's ends with the user of this one."""
    theirs = bench.role("theirs", trust(BOB), account=OTHER)
    bench.change(BOB, policy=MAY_ASSUME)
    opened = bench.as_(bench.do(c.AssumeRole(theirs, "x-1"), with_key(bench)))
    bench.change(theirs, trust=trust(theirs), policy=MAY_ASSUME)
    bench.do(c.AssumeRole(theirs, "x-1"), opened)
    bench.do(i.RevokePrincipal("bob"))
    told = "UnknownCredentials: The security token included in the request is invalid."
    assert bench.refusal(c.AssumeRole(theirs, "x-1"), opened) == told


def test_a_chain_goes_through_eight_users_and_roles(bench: Bench) -> None:
    """One more is refused, whatever trusts it."""
    caller = with_key(bench)
    names = [f"r{number}" for number in range(MOST_OPENERS + 1)]
    before = BOB
    for name in names[:-1]:
        arn = bench.role(name, trust(before))
        caller = bench.as_(bench.do(c.AssumeRole(arn, "x-1"), caller))
        before = arn
    assert caller.identity.session is not None
    assert len(caller.identity.session.openers) == MOST_OPENERS
    last = bench.role(names[-1], trust(before))
    assert bench.refusal(c.AssumeRole(last, "x-1"), caller) == (
        "InvalidRequest: The chain of sessions would go through more than 8 users and roles: assume the role from a "
        "session that is nearer to its beginning."
    )


def test_a_session_from_before_sessions_had_openers_lives_and_opens_no_other(bench: Bench) -> None:
    """Until it is over it may what its role may; renewed, it would never end with the one who opened it."""
    bench.role(trusts=trust(BOB, DEPLOY), policy=MAY_ASSUME)
    caller = bench.as_(bench.do(c.AssumeRole(DEPLOY, "x-1"), with_key(bench)))
    session = caller.identity.session
    assert session is not None
    caller.identity.session = replace(session, openers=(), opened_with="")
    bench.do(c.GetCallerIdentity(), caller)
    assert bench.refusal(c.AssumeRole(DEPLOY, "x-1"), caller) == (
        "AccessDenied: This session was opened before sessions said by whom: open it anew with an access key, and "
        "assume the role from the new one."
    )


# --- one's own sessions ----------------------------------------------------------------------------------


def test_a_user_gets_temporary_credentials_of_its_own(bench: Bench) -> None:
    """For twelve hours unless asked otherwise, without any permission, and the session is the user."""
    now = bench.house.clock.now()
    opened = bench.do(c.GetSessionToken(), "bob")
    assert opened.credentials.expires == now + 43_200
    assert bench.do(c.GetSessionToken(900), "bob").credentials.expires == now + 900
    assert bench.records[-1].subject == BOB
    session = bench.session(opened)
    assert (session.arn, session.principal, session.mfa) == (BOB, BOB, 0.0)
    me = bench.do(c.GetCallerIdentity(), bench.as_(opened))
    assert (me.arn, me.user_id) == (BOB, bench.do(c.GetCallerIdentity(), "bob").user_id)
    bench.role()
    bench.do(c.AssumeRole(DEPLOY, "ci-7"), bench.as_(opened))


def test_sessions_get_no_sessions_of_their_own(bench: Bench) -> None:
    """Nor does a part of the service."""
    bench.role()
    told = "AccessDenied: Cannot call GetSessionToken with session credentials"
    for opened in (bench.do(c.GetSessionToken(), "bob"), bench.do(c.AssumeRole(DEPLOY, "ci-7"), "bob")):
        assert bench.refusal(c.GetSessionToken(), bench.as_(opened)) == told
    assert bench.refusal(c.GetSessionToken(), JOBS) == told


def test_a_user_may_be_denied_sessions(bench: Bench) -> None:
    """Although it needs no leave."""
    bench.change(BOB, policy=policy(statement("Deny", "sts:GetSessionToken")))
    told = (
        f"AccessDenied: User: {BOB} is not authorized to perform: sts:GetSessionToken on resource: * with an explicit "
        "deny in an identity-based policy"
    )
    assert bench.refusal(c.GetSessionToken(), "bob") == told
    assert (bench.records[-1].decision, bench.records[-1].statement) == ("Deny", "#0")


# --- one-time passwords ----------------------------------------------------------------------------------


def test_a_one_time_password_counts_for_the_session(bench: Bench) -> None:
    """Policies can ask for it, and how long ago it was shown."""
    bench.enable_mfa()
    condition = {
        "Bool": {"aws:MultiFactorAuthPresent": "true"},
        "NumericLessThan": {"aws:MultiFactorAuthAge": "60"},
    }
    bench.change(BOB, policy=policy(statement("Allow", "kms:CreateKey", Condition=condition)))
    assert bench.refusal(kms.CreateKey(), "bob").startswith("AccessDenied")
    plain = bench.as_(bench.do(c.GetSessionToken(), "bob"))
    assert bench.refusal(kms.CreateKey(), plain).startswith("AccessDenied")
    opened = bench.do(c.GetSessionTokenWithMfa(None, SERIAL, bench.code()), "bob")
    assert bench.session(opened).mfa == bench.house.clock.now()
    bench.do(kms.CreateKey(), bench.as_(opened))
    bench.house.clock.time += 61
    assert bench.refusal(kms.CreateKey(), bench.as_(opened)).startswith("AccessDenied")


def test_a_role_may_want_a_one_time_password(bench: Bench) -> None:
    """Shown with the request, or when the caller's session began; the role's session does not remember it."""
    bench.enable_mfa()
    bench.role(trusts=trust(BOB, condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}))
    assert bench.refusal(c.AssumeRole(DEPLOY, "ci-7"), "bob") == refused()
    command = c.AssumeRoleWithMfa(DEPLOY, "ci-7", serial=SERIAL, code=bench.code())
    assert command.about == DEPLOY
    opened = bench.do(command, "bob")
    assert bench.session(opened).mfa == 0.0
    stages = [record.stage for record in bench.records if record.subject in (DEPLOY, opened.arn)]
    assert stages[-2:] == ["intent", "outcome"]
    bench.house.clock.time += STEP_SECONDS
    own = bench.do(c.GetSessionTokenWithMfa(None, SERIAL, bench.code()), "bob")
    bench.do(c.AssumeRole(DEPLOY, "ci-7"), bench.as_(own))


def test_a_role_may_want_a_fresh_one_time_password(bench: Bench) -> None:
    """One that comes with the request is as fresh as can be."""
    bench.enable_mfa()
    bench.role(trusts=trust(BOB, condition={"NumericLessThan": {"aws:MultiFactorAuthAge": "10"}}))
    own = bench.as_(bench.do(c.GetSessionTokenWithMfa(None, SERIAL, bench.code()), "bob"))
    bench.house.clock.time += STEP_SECONDS
    assert bench.refusal(c.AssumeRole(DEPLOY, "ci-7"), own) == refused()
    bench.do(c.AssumeRoleWithMfa(DEPLOY, "ci-7", serial=SERIAL, code=bench.code()), own)


def test_a_one_time_password_counts_once(bench: Bench) -> None:
    """Whoever has seen it cannot use it, nor one from before it."""
    bench.enable_mfa()
    before = bench.code(-1)
    command = c.GetSessionTokenWithMfa(None, SERIAL, bench.code())
    bench.do(command, "bob")
    assert bench.refusal(command, "bob") == WRONG
    assert bench.refusal(c.GetSessionTokenWithMfa(None, SERIAL, before), "bob") == WRONG
    bench.do(c.GetSessionTokenWithMfa(None, SERIAL, bench.code(1)), "bob")


@pytest.mark.parametrize(("steps", "counts"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_half_a_minute_wrong(bench: Bench, steps: int, *, counts: bool) -> None:
    """And not more."""
    bench.enable_mfa()
    command = c.GetSessionTokenWithMfa(None, SERIAL, bench.code(steps))
    if counts:
        bench.do(command, "bob")
    else:
        assert bench.refusal(command, "bob") == WRONG


def test_a_request_with_half_of_it_is_refused(bench: Bench) -> None:
    """In AWS's words; a device must be the caller's own."""
    told = "AccessDenied: MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."
    assert bench.refusal(c.GetSessionTokenWithMfa(None, SERIAL, ""), "bob") == told
    assert bench.refusal(c.AssumeRoleWithMfa(DEPLOY, "ci-7", code="123456"), "bob") == told
    assert bench.refusal(c.GetSessionTokenWithMfa(None, SERIAL, bench.code()), "bob") == NO_DEVICE
    bench.enable_mfa()
    other = f"arn:aws:iam::{ACCOUNT}:mfa/alice"
    assert bench.refusal(c.GetSessionTokenWithMfa(None, other, bench.code()), "bob") == NO_DEVICE
    assert bench.refusal(c.GetSessionTokenWithMfa(None, SERIAL, bench.code()), "admin") == NO_DEVICE


def test_nobody_guesses_one_time_passwords(bench: Bench) -> None:
    """After five wrong ones in five minutes not even the right one counts, until the first is five minutes old."""
    bench.enable_mfa()
    wrong = f"{(int(bench.code()) + 1) % 1_000_000:06}"
    for _ in range(5):
        assert bench.refusal(c.GetSessionTokenWithMfa(None, SERIAL, wrong), "bob") == WRONG
        bench.house.clock.time += 60
    told = (
        "AccessDenied: MultiFactorAuthentication failed, too many invalid one time pass codes. Try again in five "
        "minutes."
    )
    bench.house.clock.time -= 1
    assert bench.refusal(c.GetSessionTokenWithMfa(None, SERIAL, bench.code()), "bob") == told
    bench.house.clock.time += 1
    bench.do(c.GetSessionTokenWithMfa(None, SERIAL, bench.code()), "bob")
    assert [r.outcome for r in bench.records if r.stage == "outcome"] == ["AccessDenied"] * 6 + ["Success"]


def test_a_one_time_password_of_a_refused_request_is_not_used_up(bench: Bench) -> None:
    """Nothing has happened by it."""
    bench.enable_mfa()
    code = bench.code()
    assert bench.refusal(c.AssumeRoleWithMfa(DEPLOY, "ci-7", serial=SERIAL, code=code), "bob") == refused()
    bench.do(c.GetSessionTokenWithMfa(None, SERIAL, code), "bob")


def test_a_dry_run_gives_no_credentials_out(bench: Bench) -> None:
    """By whatever way one would come to a session; it is on record as one, and the one-time password stays good."""
    bench.enable_mfa()
    bench.role()
    code = bench.code()
    for command in (
        c.AssumeRole(DEPLOY, "ci-7"),
        c.AssumeRoleWithMfa(DEPLOY, "ci-7", serial=SERIAL, code=code),
        c.GetSessionToken(),
        c.GetSessionTokenWithMfa(None, SERIAL, code),
    ):
        caller = bench.caller("bob")
        caller.dry_run = True
        assert bench.refusal(command, caller).startswith("DryRun")
        assert bench.records[-1].dry_run
    bench.do(c.GetSessionTokenWithMfa(None, SERIAL, code), "bob")


# --- identity providers ----------------------------------------------------------------------------------


class Federation:
    """A bench whose account trusts an issuer, and a role that trusts what it says of "app"."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.issuer = Issuer(now=bench.house.clock.now)
        self.arn = provider_arn(ACCOUNT, self.issuer.url)
        self.provider = Provider(
            arn=self.arn,
            account=ACCOUNT,
            url=self.issuer.url,
            audiences=("other", "keystead"),
            created=bench.house.clock.now(),
            keys=json.dumps({"keys": self.issuer.published}),
            fetched=bench.house.clock.now(),
        )
        with bench.house.store.transact("provider") as tx:
            tx.put_provider(self.provider)
        self.trusts()

    def trusts(self, condition: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Have the role trust the issuer, under a condition."""
        conditions = {"StringEquals": {self.key("sub"): "app"}} if condition is None else condition
        actions = fields.pop("actions", ["sts:AssumeRoleWithWebIdentity", "sts:SetSourceIdentity"])
        self.bench.role(
            trusts=trust(self.arn, actions=actions, kind="Federated", condition=conditions),
            policy=EVERYTHING,
            **fields,
        )

    def key(self, claim: str) -> str:
        """The condition key for a claim."""
        return f"{self.issuer.url.removeprefix('https://')}:{claim}"

    def caller(self) -> Caller:
        """Somebody without credentials of ours."""
        identity = Identity("", "", self.bench.caller("bob").identity.policy)
        return Caller(identity, f"w-{next(_requests)}", "", auth=ANONYMOUS)

    def ask(self, token: str = "", role: str = DEPLOY, name: str = "ci-7", **more: Any) -> Any:
        """A session for a token; the issuer's usual one unless it is given."""
        return self.bench.do(
            c.AssumeRoleWithWebIdentity(role, name, token or self.issuer.token(), **more), self.caller()
        )

    def refusal(self, token: str = "", role: str = DEPLOY, name: str = "ci-7", **more: Any) -> str:
        """What is told instead; the record must not have the token."""
        given = token or self.issuer.token()
        command = c.AssumeRoleWithWebIdentity(role, name, given, **more)
        told = self.bench.refusal(command, self.caller())
        record = self.bench.records[-1]
        assert (record.action, record.auth) == ("sts:AssumeRoleWithWebIdentity", "anonymous")
        assert given.rpartition(".")[2] not in str(record) or not given.rpartition(".")[2]
        return told


@pytest.fixture
def federation(bench: Bench) -> Federation:
    """An account that trusts an issuer."""
    return Federation(bench)


def test_a_token_opens_a_session(bench: Bench, federation: Federation) -> None:
    """The record names the provider, its account, the session and whom the token is about."""
    opened = federation.ask()
    assert (opened.arn, opened.subject) == (session_arn(ACCOUNT, "deploy", "ci-7"), "app")
    assert (opened.audience, opened.provider) == ("keystead", federation.issuer.url)
    session = bench.session(opened)
    assert (session.principal, session.provider) == (DEPLOY, federation.arn)
    assert session.expires == bench.house.clock.now() + 3600
    record = bench.records[-1]
    assert (record.principal, record.account) == (federation.arn, ACCOUNT)
    assert (record.subject, record.auth) == (f"{opened.arn} app", "anonymous")
    assert (record.decision, record.outcome) == ("Allow", "Success")
    bench.do(kms.CreateKey(), bench.as_(opened))


def test_a_dry_run_with_a_token_gives_no_credentials_out(bench: Bench, federation: Federation) -> None:
    """The token is checked as ever."""
    caller = federation.caller()
    caller.dry_run = True
    command = c.AssumeRoleWithWebIdentity(DEPLOY, "ci-7", federation.issuer.token())
    assert bench.refusal(command, caller).startswith("DryRun")


def test_a_session_by_token_may_be_limited(bench: Bench, federation: Federation) -> None:
    """By policies and a time, as any other."""
    only = policy(statement("Allow", "kms:ListKeys"))
    opened = federation.ask(seconds=900, policy=only, policies=(builtin.AUDITOR,))
    assert opened.credentials.expires == bench.house.clock.now() + 900
    assert bench.refusal(kms.CreateKey(), bench.as_(opened)).startswith("AccessDenied")
    assert federation.refusal(seconds=3601).startswith("InvalidRequest: The requested DurationSeconds")


def test_a_chain_that_a_provider_began_has_its_roles_as_openers(bench: Bench, federation: Federation) -> None:
    """There is no user and no access key: it ends with any of the roles."""
    opened = federation.ask()
    assert (bench.session(opened).openers, bench.session(opened).opened_with) == ((), "")
    second = bench.role("second", trust(DEPLOY, role_arn(ACCOUNT, "second")))
    chained = bench.do(c.AssumeRole(second, "x-1"), bench.as_(opened))
    assert (bench.session(chained).openers, bench.session(chained).opened_with) == ((DEPLOY,), "")
    bench.do(c.AssumeRole(second, "x-1"), bench.as_(chained))
    bench.do(i.RevokePrincipal("deploy", "role"))
    told = "UnknownCredentials: The security token included in the request is invalid."
    assert bench.refusal(c.AssumeRole(second, "x-1"), bench.as_(chained)) == told


@pytest.mark.parametrize("claims", [{"aud": ["keystead"]}, {"aud": ["x", "other"], "azp": "other"}])
def test_the_audience_is_the_one_that_is_trusted(federation: Federation, claims: dict[str, Any]) -> None:
    """Of several."""
    audience = federation.ask(federation.issuer.token(**claims)).audience
    assert audience == claims["aud"][-1]


@pytest.mark.parametrize(
    ("condition", "claims"),
    [
        ({"StringEquals": {"sub": "app"}}, {"sub": "eve"}),
        (
            {"StringLike": {"sub": "repo:example/*:ref:refs/heads/main"}},
            {"sub": "repo:eve/app:ref:refs/heads/main"},
        ),
        ({"StringEquals": {"aud": "keystead"}}, {"aud": "other"}),
        ({"StringEquals": {"environment": "prod"}}, {}),
        ({"ForAnyValue:StringEquals": {"groups": "admins"}}, {"groups": ["users"]}),
    ],
)
def test_a_trust_policy_asks_for_claims(
    federation: Federation, condition: dict[str, dict[str, str]], claims: dict[str, Any]
) -> None:
    """Whom the token is not about as it must be is not authorized, in AWS's words."""
    named = {
        operator: {federation.key(claim): value for claim, value in wanted.items()}
        for operator, wanted in condition.items()
    }
    federation.trusts(named)
    assert federation.refusal(federation.issuer.token(**claims)) == NOT_AUTHORIZED
    record = federation.bench.records[-1]
    assert (record.decision, record.principal) == ("Deny", federation.arn)
    right: dict[str, Any] = {
        claim: [value] if claim == "groups" else value.replace("*", "app")
        for wanted in condition.values()
        for claim, value in wanted.items()
    }
    federation.ask(federation.issuer.token(**right))


def test_claims_have_the_same_name_in_upper_and_lower_case(federation: Federation) -> None:
    """As all condition keys; a token in which two differ only by that could be read in two ways."""
    federation.trusts({"StringEquals": {federation.key("JOBWorkflow"): "build"}})
    federation.ask(federation.issuer.token(jobWorkflow="build"))
    told = "InvalidIdentityToken: The token has two claims whose names differ only in case."
    assert federation.refusal(federation.issuer.token(jobWorkflow="x", jobworkflow="build")) == told


@pytest.mark.parametrize(
    "trusts",
    [
        trust(ACCOUNT, actions="sts:*"),
        trust(root_arn(ACCOUNT), actions="sts:*"),
        trust(BOB, actions="*"),
        trust("accounts.example.com", kind="Federated", actions="sts:*"),
        trust(f"arn:aws:iam::{OTHER}:oidc-provider/localhost:0", kind="Federated", actions="sts:*"),
        trust(f"arn:aws:iam::{ACCOUNT}:oidc-provider/localhost:1", kind="Federated", actions="sts:*"),
        trust(
            f"arn:aws:iam::{ACCOUNT}:oidc-provider/localhost:0", kind="Federated", actions="sts:AssumeRole"
        ),
    ],
)
def test_only_a_statement_that_names_the_provider_lets_a_token_in(
    federation: Federation, trusts: str
) -> None:
    """Neither the account nor anybody in it is whom an identity provider speaks of."""
    assert federation.arn == f"arn:aws:iam::{ACCOUNT}:oidc-provider/localhost:0"
    federation.bench.role(trusts=trusts, policy=EVERYTHING)
    assert federation.refusal() == NOT_AUTHORIZED


def test_nobody_assumes_a_role_as_a_provider_without_a_token(bench: Bench, federation: Federation) -> None:
    """A user with every permission is not the provider."""
    assert bench.refusal(c.AssumeRole(DEPLOY, "ci-7"), "admin") == refused(who=user_arn(ACCOUNT, "admin"))
    assert federation.ask().arn


@pytest.mark.parametrize("lacking", ["absent", "disabled", "no trust"])
def test_a_role_that_is_not_there_looks_forbidden_to_a_token(
    bench: Bench, federation: Federation, lacking: str
) -> None:
    """Nobody learns by a token which roles there are."""
    role = role_arn(ACCOUNT, "absent") if lacking == "absent" else DEPLOY
    if lacking == "disabled":
        bench.change(DEPLOY, enabled=False)
    elif lacking == "no trust":
        bench.change(DEPLOY, trust="")
    assert federation.refusal(role=role) == NOT_AUTHORIZED
    assert (bench.records[-1].decision, bench.records[-1].subject) == ("Deny", f"{role} app")


def test_a_guardrail_keeps_tokens_out(bench: Bench, federation: Federation) -> None:
    """What an account may not at all, nobody may by its providers."""
    bench.declare("no-tokens", policy(statement("Deny", "sts:AssumeRoleWithWebIdentity")), Kind.GUARDRAIL)
    assert federation.refusal() == NOT_AUTHORIZED
    assert bench.records[-1].decided_by == "guardrail"


def test_an_issuer_that_the_account_does_not_trust(bench: Bench, federation: Federation) -> None:
    """Is told so, and nothing is on record as that provider's; another account's providers count for nothing."""
    other = Issuer(path="/other", now=bench.house.clock.now)
    told = f"InvalidIdentityToken: No OpenIDConnect provider found in your account for {other.url}"
    assert federation.refusal(other.token()) == told
    assert (bench.records[-1].principal, bench.records[-1].account, bench.records[-1].subject) == (
        "",
        "",
        DEPLOY,
    )
    there = bench.role(account=OTHER)
    told = (
        f"InvalidIdentityToken: No OpenIDConnect provider found in your account for {federation.issuer.url}"
    )
    assert federation.refusal(role=there) == told


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (lambda f: f.issuer.token(aud="somebody-else"), "InvalidIdentityToken"),
        (lambda f: f.issuer.token(iss=f.issuer.url.replace("https", "http")), "InvalidIdentityToken"),
        (lambda f: f.issuer.token(exp=f.bench.house.clock.now() - 1), "ExpiredIdentityToken"),
        (lambda f: f.issuer.token()[:-8] + "AAAAAAAA", "InvalidIdentityToken"),
        (lambda f: f.issuer.signer.token(f.issuer.claims(), alg="none"), "InvalidIdentityToken"),
        (lambda f: f.issuer.signer.token(f.issuer.claims(), alg="HS256"), "InvalidIdentityToken"),
        (lambda _: "no.token", "InvalidIdentityToken"),
    ],
)
def test_a_token_that_is_not_right_is_refused(federation: Federation, token: Any, code: str) -> None:
    """And on record as nobody's."""
    assert federation.refusal(token(federation)).startswith(f"{code}: ")
    record = federation.bench.records[-1]
    assert (record.principal, record.outcome) == ("", code)


def test_an_issuer_sets_the_source_identity(bench: Bench, federation: Federation) -> None:
    """By a claim of AWS's, if the role takes it."""
    claim = {"https://aws.amazon.com/source_identity": "bob"}
    condition = {"StringEquals": {federation.key("sub"): "app"}}
    opened = federation.ask(federation.issuer.token(**claim))
    assert opened.source_identity == bench.session(opened).source_identity == "bob"
    federation.trusts(condition, actions="sts:AssumeRoleWithWebIdentity")
    assert federation.refusal(federation.issuer.token(**claim)) == NOT_AUTHORIZED


@pytest.mark.parametrize("claimed", ["aws:bob", "", "x", "x" * 65, "b b", ["bob"]])
def test_a_source_identity_that_is_none(federation: Federation, claimed: Any) -> None:
    """It is refused, not left out."""
    token = federation.issuer.token(**{"https://aws.amazon.com/source_identity": claimed})
    told = "InvalidIdentityToken: The token's claim https://aws.amazon.com/source_identity is not a source identity."
    assert federation.refusal(token) == told


def test_credentials_are_not_shown(bench: Bench) -> None:
    """Whoever prints a result learns nothing that opens anything."""
    opened = bench.do(c.GetSessionToken(), "bob")
    assert (repr(opened), repr(opened.credentials)) == ("<NewSession>", "<Credentials>")
