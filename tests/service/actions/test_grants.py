"""Grants: who may make them, what they allow at once, and how they end."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from keystead.core.grant import Grant
from keystead.core.key import State
from keystead.core.names import KeyReference
from keystead.core.principal import (
    INSTALLATION,
    Account,
    Principal,
    principal_arn,
    role_arn,
    root_arn,
    service_arn,
    session_arn,
    user_arn,
)
from keystead.service.caller import Caller
from keystead.service.commands import Command
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.service.commands.sts import AssumeRole
from keystead.service.identities import identify
from keystead.service.quotas import Quotas
from keystead.service.results.kms import Granted
from keystead.testing.installation import ACCOUNT, REGION
from keystead.testing.service import JOBS, ServiceBench, key_arn

ALICE, BOB, MALLORY = (user_arn(ACCOUNT, name) for name in ("alice", "bob", "mallory"))
STRANGER = "999988887777"
EVE = user_arn(STRANGER, "eve")
ROOT = root_arn(ACCOUNT)
SERVICE, RESOURCE = "backup.example.com", f"arn:aws:s3:{REGION}:{ACCOUNT}:bucket"
APP = {"app": "payroll"}
WOULD_SUCCEED = "DryRun: The request would have succeeded, but the DryRun option is set."
UNKNOWN = "ab" * 32


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with users who may do nothing, and one of another account."""
    bench = ServiceBench()
    for name in ("alice", "bob", "mallory"):
        bench.house.user(name)
    stranger(bench, "eve")
    return bench


@pytest.fixture
def key(bench: ServiceBench) -> KeyReference:
    """A symmetric key with the default policy."""
    return bench.key()


def stranger(bench: ServiceBench, name: str, policy: str = "") -> None:
    """A user of another account."""
    with bench.house.store.transact(f"stranger-{name}") as tx:
        tx.put_principal(
            Principal(arn=user_arn(STRANGER, name), account=STRANGER, name=name, created=1.0, policy=policy)
        )


def role(bench: ServiceBench, name: str) -> None:
    """A role that the account's principals may assume, without a policy."""
    trust = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "sts:AssumeRole"}
    bench.do(i.CreatePrincipal(name, kind="role", trust=json.dumps({"Statement": trust})))


def session_of(bench: ServiceBench, name: str, session: str = "ci-7") -> Caller:
    """The admin in a new session of the role."""
    assumed = bench.do(AssumeRole(role_arn(ACCOUNT, name), session))
    opened = bench.gate.session_tokens().read(assumed.credentials.token.encode())
    assert opened is not None
    with bench.house.store.view() as view:
        principal = view.principal(opened[0].principal)
        assert principal is not None
        identity = identify(view, principal, opened[0])
    return Caller(identity, f"of-{opened[0].access_key}", REGION, opened[0].access_key, "sigv4")


def allow(*actions: str, effect: str = "Allow") -> str:
    """An identity policy."""
    statement = {"Effect": effect, "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def deny_in_key(bench: ServiceBench, key: KeyReference, who: str, action: str) -> None:
    """Put a key policy that leaves all to the account but denies one action to one user."""
    statements = [
        {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"},
        {"Sid": "No", "Effect": "Deny", "Principal": {"AWS": who}, "Action": action, "Resource": "*"},
    ]
    bench.do(c.PutKeyPolicy(key, json.dumps({"Statement": statements})))


def full(key: KeyReference) -> KeyReference:
    """The key by its ARN."""
    return KeyReference(key.name, account=ACCOUNT, region=REGION)


def give(
    bench: ServiceBench, key: KeyReference, *operations: str, who: str = "admin", **members: Any
) -> Granted:
    """Make a grant, to alice unless told otherwise."""
    made = bench.do(c.CreateGrant(key, operations, **{"grantee": ALICE, **members}), who)
    assert isinstance(made, Granted)
    return made


def listed(bench: ServiceBench, key: KeyReference, **members: Any) -> list[str]:
    """The ids of a key's grants."""
    return [grant.id for _, grant in bench.do(c.ListGrants(key, **members)).grants]


def sealed(bench: ServiceBench, key: KeyReference, context: Mapping[str, str] | None = None) -> bytes:
    """A ciphertext of a key."""
    return bytes(bench.do(c.Encrypt(key, b"secret", context)).blob)


# --- what they allow -------------------------------------------------------------------------------------


def test_a_grant_allows_at_once_and_no_longer_than_it_lasts(bench: ServiceBench, key: KeyReference) -> None:
    """The record of the use names it; in another process too, which has looked before."""
    other = ServiceBench(bench.house, "w1")
    blob = sealed(bench, key)
    for at in (bench, other):
        assert at.refusal(c.Decrypt(blob), "alice").startswith("AccessDenied")
    made = give(bench, key, "Decrypt")
    record = bench.records[-1]
    assert (record.action, record.subject, record.key) == ("kms:CreateGrant", made.grant_id, key_arn(key))
    assert len(bytes.fromhex(made.grant_id)) == 32
    for at in (bench, other):
        assert at.do(c.Decrypt(blob), "alice").plaintext == b"secret"
        record = at.records[-1]
        assert (record.decision, record.decided_by, record.statement) == ("Allow", "grant", made.grant_id)
        assert at.refusal(c.Decrypt(blob), "bob").startswith("AccessDenied")
        assert at.refusal(c.Encrypt(key, b"x"), "alice").startswith("AccessDenied")
    other.do(c.RevokeGrant(key, made.grant_id))
    record = other.records[-1]
    assert (record.action, record.subject, record.outcome) == ("kms:RevokeGrant", made.grant_id, "Success")
    for at in (bench, other):
        assert at.refusal(c.Decrypt(blob), "alice").startswith("AccessDenied")
        assert at.records[-1].decided_by == "none"


def test_an_answer_that_a_revoked_grant_allowed_is_withheld(bench: ServiceBench, key: KeyReference) -> None:
    """It was decided before the revocation and would leave after it."""
    other = ServiceBench(bench.house, "w1")
    blob, made = sealed(bench, key), give(bench, key, "Decrypt")
    answer = bench.handle(bench.caller("alice"), c.Decrypt(blob))
    assert answer.error is None
    other.do(c.RevokeGrant(key, made.grant_id))
    assert bench.gate.settle([answer]) == [answer]


def test_a_refusal_that_a_new_grant_mends_is_asked_again(bench: ServiceBench, key: KeyReference) -> None:
    """Who was told of the grant is not refused by a process that had not heard of it."""
    other = ServiceBench(bench.house, "w1")
    blob = sealed(bench, key)
    answer = bench.handle(bench.caller("alice"), c.Decrypt(blob))
    assert answer.error is not None
    give(other, key, "Decrypt")
    assert bench.gate.settle([answer]) == [answer]


def test_a_grant_counts_for_what_only_looks_as_well(bench: ServiceBench, key: KeyReference) -> None:
    """DescribeKey is decided in the store, by the same grants."""
    assert bench.refusal(c.DescribeKey(key), "alice").startswith("AccessDenied")
    made = give(bench, key, "DescribeKey")
    assert bench.do(c.DescribeKey(key), "alice").key.id == key.name
    assert bench.records[-1].statement == made.grant_id


def test_re_encryption_takes_a_grant_on_both_keys(bench: ServiceBench, key: KeyReference) -> None:
    """ReEncryptFrom on one, ReEncryptTo on the other."""
    other, blob = bench.key(), sealed(bench, key)
    give(bench, key, "ReEncryptFrom")
    assert "kms:ReEncryptTo" in bench.refusal(c.ReEncrypt(blob, other), "alice")
    give(bench, other, "ReEncryptTo")
    assert bench.do(c.ReEncrypt(blob, other), "alice").key == key_arn(other)
    assert bench.refusal(c.ReEncrypt(sealed(bench, other), key), "alice").startswith("AccessDenied")


@pytest.mark.parametrize("constraint", ["context_equals", "context_subset"])
def test_a_constraint_holds_for_each_use(bench: ServiceBench, key: KeyReference, constraint: str) -> None:
    """Equals: this context; Subset: at least this one; letter by letter, with and without a context."""
    members: dict[str, Any] = {constraint: APP}
    give(bench, key, "Encrypt", "Decrypt", "DescribeKey", **members)
    subset = constraint == "context_subset"
    for context, allowed in [
        (APP, True),
        ({**APP, "stage": "test"}, subset),
        ({"app": "Payroll"}, False),
        ({"App": "payroll"}, False),
        ({}, False),
        (None, False),
    ]:
        blob = sealed(bench, key, context)
        for command in (c.Encrypt(key, b"x", context), c.Decrypt(blob, context=context)):
            answer = bench.answer(command, "alice")
            assert (answer.error is None) is allowed, context
    bench.do(c.DescribeKey(key), "alice")


def test_a_denial_names_the_grant_that_wants_another_context(bench: ServiceBench, key: KeyReference) -> None:
    """And not one for another operation, for others, or for a resource; to the caller nothing more is said."""
    silent = "no statement of the identity-policy is about the action"
    asked = c.Encrypt(key, b"x", {"app": "other"})
    told = bench.refusal(asked, "alice")
    assert bench.records[-1].missing == silent
    give(bench, key, "Encrypt", context_equals=APP, grantee=BOB)
    give(bench, key, "Encrypt", context_equals=APP, source_arn=RESOURCE)
    give(bench, key, "Decrypt", context_equals=APP)
    assert bench.refusal(asked, "alice") == told
    assert bench.records[-1].missing == silent
    made = give(bench, key, "Encrypt", context_subset=APP)
    assert bench.refusal(asked, "alice") == told
    assert bench.records[-1].missing == f"grant {made.grant_id}: encryption context"
    bench.do(i.PutPrincipalPolicy("alice", allow("kms:Encrypt", effect="Deny")))
    assert "explicit deny" in bench.refusal(asked, "alice")
    assert bench.records[-1].missing == ""


def test_a_denial_names_the_accounts_grant_to_those_whom_the_account_lets(bench: ServiceBench) -> None:
    """The others lack more than a context."""
    only_admin = {"Effect": "Allow", "Principal": {"AWS": user_arn(ACCOUNT, "admin")}, "Action": "kms:*"}
    key = bench.key(c.CreateKey(policy=json.dumps({"Statement": [{**only_admin, "Resource": "*"}]})))
    made = give(bench, key, "Encrypt", grantee=ROOT, context_equals=APP)
    bench.do(i.PutPrincipalPolicy("alice", allow("kms:Encrypt")))
    for who, missing in (
        ("alice", f"grant {made.grant_id}: encryption context"),
        ("bob", "key-policy statement #0: another principal"),
    ):
        assert bench.refusal(c.Encrypt(key, b"x"), who).startswith("AccessDenied")
        assert bench.records[-1].missing == missing
    bench.do(c.Encrypt(key, b"x", APP), "alice")


@pytest.mark.parametrize("policy", ["key", "identity"])
def test_a_denial_in_any_policy_wins(bench: ServiceBench, key: KeyReference, policy: str) -> None:
    """For what is asked of the working set and of the store."""
    give(bench, key, "Encrypt", "DescribeKey", "RetireGrant", retiring=ALICE)
    if policy == "key":
        deny_in_key(bench, key, ALICE, "kms:*")
    else:
        bench.do(i.PutPrincipalPolicy("alice", allow("kms:*", effect="Deny")))
    (grant_id,) = listed(bench, key)
    for command in (
        c.Encrypt(key, b"x"),
        c.DescribeKey(key),
        c.RetireGrant(key=full(key), grant_id=grant_id),
    ):
        assert "with an explicit deny in" in bench.refusal(command, "alice")
    assert listed(bench, key) == [grant_id]


@pytest.mark.parametrize("command", [c.Encrypt, c.DescribeKey])
def test_a_grant_to_the_account_is_for_those_whom_the_account_lets(
    bench: ServiceBench, command: type[Command]
) -> None:
    """As a key policy that names the root does; here the key policy leaves nothing to the account."""
    only_admin = {"Effect": "Allow", "Principal": {"AWS": user_arn(ACCOUNT, "admin")}, "Action": "kms:*"}
    policy = json.dumps({"Statement": [{**only_admin, "Resource": "*"}]})
    key = bench.key(c.CreateKey(policy=policy))
    name = command.__name__
    asked = c.Encrypt(key, b"x") if command is c.Encrypt else c.DescribeKey(key)
    bench.do(i.PutPrincipalPolicy("alice", allow(f"kms:{name}")))
    assert bench.refusal(asked, "alice").startswith("AccessDenied")
    made = give(bench, key, name, grantee=ROOT)
    bench.do(asked, "alice")
    record = bench.records[-1]
    assert (record.decided_by, record.statement) == ("grant", made.grant_id)
    assert bench.refusal(asked, "bob").startswith("AccessDenied")


def test_a_grant_reaches_into_another_account(bench: ServiceBench, key: KeyReference) -> None:
    """Its grantee needs nothing else, and names the key by its ARN; its root's grant needs the account's leave."""
    blob = sealed(bench, key)
    assert bench.refusal(c.Decrypt(blob, full(key)), EVE).startswith("AccessDenied")
    give(bench, key, "Decrypt", "DescribeKey", grantee=EVE)
    assert bench.do(c.Decrypt(blob, full(key)), EVE).plaintext == b"secret"
    bench.do(c.DescribeKey(full(key)), EVE)
    stranger(bench, "oscar")
    give(bench, key, "Encrypt", grantee=root_arn(STRANGER))
    assert bench.refusal(c.Encrypt(full(key), b"x"), user_arn(STRANGER, "oscar")).startswith("AccessDenied")
    stranger(bench, "oscar", allow("kms:Encrypt"))
    bench.do(c.Encrypt(full(key), b"x"), user_arn(STRANGER, "oscar"))


def test_a_grant_to_a_service_lets_no_user_in(bench: ServiceBench, key: KeyReference) -> None:
    """It is kept and shown, and nobody here is that service."""
    made = give(bench, key, "Decrypt", grantee="", grantee_service=SERVICE, retiring=BOB, source_arn=RESOURCE)
    assert listed(bench, key, grantee_service=SERVICE) == [made.grant_id]
    for who in ("alice", "bob", EVE):
        assert bench.refusal(c.Decrypt(sealed(bench, key), full(key)), who).startswith("AccessDenied")


# --- making them -----------------------------------------------------------------------------------------


def test_a_name_makes_the_same_request_the_same_grant(bench: ServiceBench, key: KeyReference) -> None:
    """With a new token each time; other parameters make another grant, and no name makes one every time."""
    first = give(bench, key, "Encrypt", "Decrypt", name="n", context_subset=APP)
    again = give(bench, key, "Decrypt", "Encrypt", "Decrypt", name="n", context_subset=APP, context_equals={})
    assert again.grant_id == first.grant_id
    assert again.token != first.token
    assert bench.records[-1].subject == first.grant_id
    others = [
        give(bench, key, "Encrypt", "Decrypt", name="n"),
        give(bench, key, "Encrypt", name="n", context_subset=APP),
        give(bench, key, "Encrypt", "Decrypt", name="m", context_subset=APP),
        give(bench, key, "Encrypt", "Decrypt", name="n", context_equals=APP),
        give(bench, key, "Encrypt", "Decrypt", name="n", context_subset=APP, grantee=BOB),
        give(bench, key, "Encrypt", "Decrypt", name="n", context_subset=APP, retiring=BOB),
        give(bench, key, "Encrypt", "Decrypt", context_subset=APP),
        give(bench, key, "Encrypt", "Decrypt", context_subset=APP),
    ]
    ids = {first.grant_id, *(made.grant_id for made in others)}
    assert len(ids) == 9
    assert listed(bench, key) == sorted(ids)
    bench.do(c.RetireGrant(first.token), "admin")  # tokens of one grant are the same for every purpose
    assert bench.refusal(c.RetireGrant(again.token)) == f"NotFound: Grant ID {first.grant_id} not found"


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"grantee": ""}, "You must specify either GranteePrincipal or GranteeServicePrincipal."),
        (
            {"grantee_service": SERVICE},
            "You must specify either GranteePrincipal or GranteeServicePrincipal.",
        ),
        (
            {"retiring": BOB, "retiring_service": SERVICE},
            "You can specify either RetiringPrincipal or RetiringServicePrincipal.",
        ),
        (
            {"grantee": "", "grantee_service": SERVICE, "retiring": BOB},
            "GranteeServicePrincipal needs a SourceArn constraint and a retiring principal.",
        ),
        (
            {"grantee": "", "grantee_service": SERVICE, "source_arn": RESOURCE},
            "GranteeServicePrincipal needs a SourceArn constraint and a retiring principal.",
        ),
        ({"operations": ()}, "Operations must name at least one operation."),
        (
            {"operations": ("Decrypt", "Sign")},
            "Operation Sign is not valid for a key with KeySpec SYMMETRIC_DEFAULT and KeyUsage ENCRYPT_DECRYPT.",
        ),
        (
            {"context_equals": APP, "context_subset": APP},
            "You can specify either EncryptionContextEquals or EncryptionContextSubset.",
        ),
        (
            {"context_subset": {str(number): "x" for number in range(9)}},
            "An encryption context constraint has at most 8 pairs.",
        ),
        (
            {"operations": ("DescribeKey", "RetireGrant", "CreateGrant"), "context_equals": APP},
            "An encryption context constraint needs an operation with an encryption context.",
        ),
    ],
)
def test_what_is_no_grant(bench: ServiceBench, key: KeyReference, members: dict[str, Any], told: str) -> None:
    """It is refused with what is wrong, and nothing is stored."""
    command = c.CreateGrant(key, **{"operations": ("Decrypt",), "grantee": ALICE, **members})
    assert bench.refusal(command) == f"InvalidRequest: {told}"
    assert listed(bench, key) == []


@pytest.mark.parametrize("member", ["grantee", "retiring"])
@pytest.mark.parametrize(
    "arn",
    [
        "nobody",
        "arn:aws:iam::1:user/alice",
        "arn:aws:iam::111122223333:group/alice",
        user_arn(ACCOUNT, "nobody"),
        user_arn(ACCOUNT, "path/alice"),
        user_arn(STRANGER, "nobody"),
        user_arn(INSTALLATION, "nobody"),
        principal_arn(ACCOUNT, "service-account", "alice"),
        service_arn(ACCOUNT, "ghost"),
        role_arn(ACCOUNT, "ghost"),
        role_arn(STRANGER, "worker"),
        session_arn(ACCOUNT, "ghost", "session"),
        session_arn(ACCOUNT, "work", "er/session"),
        session_arn(STRANGER, "worker", "session"),
        "*",
    ],
)
def test_principals_must_be_some(bench: ServiceBench, key: KeyReference, member: str, arn: str) -> None:
    """In the form of one, and in an account that is here it must exist: nobody finds a grant waiting for the name."""
    role(bench, "worker")
    with bench.house.store.transact("accounts") as tx:
        for account in (STRANGER, INSTALLATION):
            tx.put_account(Account(id=account, name="other", created=1.0))
    told = f"InvalidArn: ARN does not refer to a valid principal: {arn}"
    members: dict[str, Any] = {"grantee": ALICE, member: arn}
    assert bench.refusal(c.CreateGrant(key, ("Decrypt",), **members)) == told
    assert listed(bench, key) == []


@pytest.mark.parametrize(
    "arn",
    [
        ROOT,
        EVE,
        JOBS,
        principal_arn(ACCOUNT, "service-account", "billing"),
        role_arn(ACCOUNT, "worker"),
        session_arn(ACCOUNT, "worker", "session"),
        root_arn(STRANGER),
    ],
)
def test_principals_of_every_kind_are_taken(bench: ServiceBench, key: KeyReference, arn: str) -> None:
    """Those that exist, in whatever account, a session by its role, and an account as such."""
    role(bench, "worker")
    bench.do(i.CreatePrincipal("billing", kind="service-account"))
    with bench.house.store.transact("account") as tx:
        tx.put_account(Account(id=STRANGER, name="other", created=1.0))
    made = give(bench, key, "Decrypt", grantee=arn, retiring=arn)
    assert listed(bench, key, grantee=arn) == [made.grant_id]


@pytest.mark.parametrize(
    "arn",
    [
        user_arn(STRANGER, "nobody-we-know"),
        role_arn(STRANGER, "path/worker"),
        session_arn(STRANGER, "worker", "session"),
        f"arn:aws:sts::{ACCOUNT}:federated-user/anna",
    ],
)
def test_principals_that_are_not_kept_here_are_taken_by_their_form(
    bench: ServiceBench, key: KeyReference, arn: str
) -> None:
    """Nobody can tell whether an account that is not here has them, and nobody here is a federated user."""
    made = give(bench, key, "Decrypt", grantee=arn, retiring=arn)
    assert listed(bench, key, grantee=arn) == [made.grant_id]


@pytest.mark.parametrize("session", [False, True])
def test_a_grant_does_not_wait_for_a_role(bench: ServiceBench, key: KeyReference, *, session: bool) -> None:
    """Once there is the role the grant can be made, and its session decrypts by it; what waited before is gone."""
    named = session_arn(ACCOUNT, "ghost", "ci-7") if session else role_arn(ACCOUNT, "ghost")
    command = c.CreateGrant(key, ("Decrypt",), grantee=named)
    blob = sealed(bench, key)
    assert bench.refusal(command) == f"InvalidArn: ARN does not refer to a valid principal: {named}"
    with bench.house.store.transact("waiting") as tx:  # as it could be made in earlier versions
        tx.put_grant(
            Grant(
                id=UNKNOWN,
                region=REGION,
                key_id=key.name,
                grantee=named,
                operations=("Decrypt",),
                issuer=ROOT,
                created=1.0,
            )
        )
    role(bench, "ghost")
    assert listed(bench, key) == []
    assert bench.refusal(c.Decrypt(blob), session_of(bench, "ghost")).startswith("AccessDenied")
    bench.do(command)
    assert bench.do(c.Decrypt(blob), session_of(bench, "ghost")).plaintext == b"secret"


def test_what_a_roles_sessions_were_granted_goes_with_it(bench: ServiceBench, key: KeyReference) -> None:
    """In every process, and not what another role's were whose name begins alike."""
    other = ServiceBench(bench.house, "w1")
    blob = sealed(bench, key)
    for name in ("a", "ab"):
        role(bench, name)
        give(bench, key, "Decrypt", grantee=session_arn(ACCOUNT, name, "ci-7"))
    for at in (bench, other):
        for name in ("a", "ab"):
            assert at.do(c.Decrypt(blob), session_of(at, name)).plaintext == b"secret"
        assert at.refusal(c.Decrypt(blob), session_of(at, "a", "ci-8")).startswith("AccessDenied")
    bench.do(i.DeletePrincipal("a", "role"))
    role(bench, "a")
    for at in (bench, other):
        assert at.refusal(c.Decrypt(blob), session_of(at, "a")).startswith("AccessDenied")
        assert at.do(c.Decrypt(blob), session_of(at, "ab")).plaintext == b"secret"
    bench.do(i.RevokePrincipal("ab", "role"))
    for at in (bench, other):
        assert at.refusal(c.Decrypt(blob), session_of(at, "ab")).startswith("AccessDenied")
    assert listed(bench, key) == []


def test_who_is_gone_retires_nothing(bench: ServiceBench, key: KeyReference) -> None:
    """A user or a role that is made anew may not retire what one of its name might; the grantee keeps the grant."""
    role(bench, "worker")
    blob = sealed(bench, key)
    enders = (BOB, role_arn(ACCOUNT, "worker"), session_arn(ACCOUNT, "worker", "ci-7"))
    made = [give(bench, key, "Decrypt", retiring=arn, name=arn) for arn in enders]
    bench.do(i.DeletePrincipal("bob"))
    bench.do(i.DeletePrincipal("worker", "role"))
    bench.do(i.CreatePrincipal("bob"))
    role(bench, "worker")
    for caller in ("bob", session_of(bench, "worker")):
        for one in made:
            command = c.RetireGrant(key=full(key), grant_id=one.grant_id)
            assert bench.refusal(command, caller).startswith("AccessDenied")
    assert [grant.retiring for _, grant in bench.do(c.ListGrants(key)).grants] == ["", "", ""]
    for arn in enders:
        assert bench.do(c.ListRetirableGrants(arn)).grants == []
    assert bench.do(c.Decrypt(blob), "alice").plaintext == b"secret"


def test_who_may_not_make_grants_finds_out_nothing(bench: ServiceBench, key: KeyReference) -> None:
    """Not whether a user exists, nor what the key is for."""
    for command in (
        c.CreateGrant(key, ("Decrypt",), grantee=user_arn(ACCOUNT, "nobody")),
        c.CreateGrant(key, ("Sign",), grantee=ALICE),
    ):
        assert bench.refusal(command, "mallory").startswith("AccessDenied")


def test_only_a_symmetric_key_has_a_context_to_constrain(bench: ServiceBench) -> None:
    """An RSA key encrypts without one; a data key is not made with it either."""
    key = bench.key(c.CreateKey("RSA_2048", "ENCRYPT_DECRYPT"))
    command = c.CreateGrant(key, ("Encrypt",), grantee=ALICE, context_equals=APP)
    assert (
        bench.refusal(command) == "InvalidRequest: Only symmetric encryption keys have an encryption context."
    )
    assert "Operation GenerateDataKey is not valid" in bench.refusal(
        c.CreateGrant(key, ("GenerateDataKey",), grantee=ALICE)
    )
    give(bench, key, "Encrypt", "GetPublicKey", context_equals={})
    bench.do(c.GetPublicKey(key), "alice")
    assert bench.records[-1].decided_by == "grant"


def test_the_key_is_named_by_id_or_arn_and_must_be_usable(bench: ServiceBench, key: KeyReference) -> None:
    """An alias is not taken; a key that is disabled or pending deletion gets no new grants and keeps the old ones."""
    bench.do(c.CreateAlias("alias/app", key))
    alias = KeyReference("alias/app", is_alias=True)
    for command in (
        c.CreateGrant(alias, ("Decrypt",), grantee=ALICE),
        c.ListGrants(alias),
        c.RevokeGrant(alias, UNKNOWN),
        c.RetireGrant(key=alias, grant_id=UNKNOWN),
    ):
        assert bench.refusal(command) == "NotFound: Invalid keyId 'alias/app'"
    first, second = (give(bench, full(key), "Decrypt", retiring=BOB) for _ in range(2))
    bench.do(c.DisableKey(key))
    arn, command = key_arn(key), c.CreateGrant(key, ("Decrypt",), grantee=ALICE)
    assert bench.refusal(command) == f"KeyDisabled: {arn} is disabled."
    bench.do(c.ScheduleKeyDeletion(key))
    assert bench.refusal(command) == f"InvalidKeyState: {arn} is pending deletion."
    assert listed(bench, key) == sorted([first.grant_id, second.grant_id])
    bench.do(c.RevokeGrant(key, first.grant_id))
    bench.do(c.RetireGrant(second.token), "bob")
    assert listed(bench, key) == []


def test_a_dry_run_makes_and_ends_nothing(bench: ServiceBench, key: KeyReference) -> None:
    """It says whether it would have, after every check, and the record says that it was one."""
    dry = c.CreateGrant(key, ("Decrypt",), grantee=ALICE, dry_run=True)
    assert bench.refusal(dry) == WOULD_SUCCEED
    assert bench.records[-1].dry_run
    assert listed(bench, key) == []
    made = give(bench, key, "Decrypt", retiring=BOB)
    epoch = bench.records[-1].epoch
    for command in (
        c.RevokeGrant(key, made.grant_id, dry_run=True),
        c.RetireGrant(made.token, dry_run=True),
        c.RetireGrant(key=full(key), grant_id=made.grant_id, dry_run=True),
    ):
        assert bench.refusal(command) == WOULD_SUCCEED
        record = bench.records[-1]
        assert (record.dry_run, record.subject) == (True, made.grant_id)
        assert bench.refusal(command, "mallory").startswith("AccessDenied")
        assert bench.records[-1].dry_run
    assert bench.refusal(dry, "mallory").startswith("AccessDenied")
    assert listed(bench, key) == [made.grant_id]
    assert bench.records[-1].epoch == epoch + 1  # of the grant itself, and of nothing since


def test_the_quota_counts_the_grants_of_a_key(bench: ServiceBench) -> None:
    """A known grant is given again beyond it, a dry run fails as well, and an end makes room."""
    bench = ServiceBench(bench.house, "small", quotas=Quotas(grants_per_key=2))
    key = bench.key()
    first = give(bench, key, "Decrypt", name="n")
    give(bench, key, "Encrypt")
    told = "LimitExceeded: The key has 2 grants: the quota is reached. Revoke or retire one first."
    for dry_run in (False, True):
        assert bench.refusal(c.CreateGrant(key, ("Decrypt",), grantee=BOB, dry_run=dry_run)) == told
    assert give(bench, key, "Decrypt", name="n").grant_id == first.grant_id
    give(bench, bench.key(), "Decrypt")
    bench.do(c.RevokeGrant(key, first.grant_id))
    give(bench, key, "Decrypt", grantee=BOB)


def test_a_name_is_looked_for_among_all_grants_of_the_grantee(
    bench: ServiceBench, key: KeyReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are."""
    monkeypatch.setattr("keystead.service.actions.grants.AT_ONCE", 2)
    made = {give(bench, key, "Decrypt", name=f"n{number}").grant_id for number in range(5)}
    assert {give(bench, key, "Decrypt", name=f"n{number}").grant_id for number in range(5)} == made


# --- by virtue of another grant --------------------------------------------------------------------------


def test_who_may_make_grants_by_a_grant_passes_on_no_more_than_it_has(
    bench: ServiceBench, key: KeyReference
) -> None:
    """Fewer operations or the same, and as strict a constraint; each of its grants counts."""
    plain = give(bench, key, "DescribeKey", "CreateGrant")
    strict = give(bench, key, "Encrypt", "Decrypt", "CreateGrant", context_subset=APP)
    give(bench, key, "GenerateDataKey")

    made = give(bench, key, "DescribeKey", who="alice", grantee=BOB)
    assert bench.records[-1].statement == plain.grant_id
    for members in (
        {"context_subset": APP},
        {"context_equals": APP},
        {"context_subset": {**APP, "stage": "test"}},
    ):
        give(bench, key, "Decrypt", who="alice", grantee=BOB, **members)
        record = bench.records[-1]
        assert (record.decided_by, record.statement) == ("grant", strict.grant_id)

    count = len(listed(bench, key))
    for operations, members in [
        (("Decrypt",), {}),
        (("Decrypt",), {"context_subset": {"app": "other"}}),
        (("Decrypt", "DescribeKey"), {"context_subset": APP}),
        (("GenerateDataKey",), {}),
        (("RetireGrant",), {}),
    ]:
        command = c.CreateGrant(key, operations, grantee=BOB, **members)  # type: ignore[arg-type]  # by name
        told = bench.refusal(command, "alice")
        assert told.startswith(f"AccessDenied: User: {ALICE} is not authorized to perform: kms:CreateGrant")
    assert len(listed(bench, key)) == count

    bench.do(c.DescribeKey(key), "bob")
    bench.do(c.RevokeGrant(key, plain.grant_id))
    bench.do(c.DescribeKey(key), "bob")  # a grant outlives the one by which it was made
    assert made.grant_id in listed(bench, key)


def test_who_may_by_policy_grants_what_it_likes(bench: ServiceBench, key: KeyReference) -> None:
    """A grant with CreateGrant beside the policy does not narrow it."""
    give(bench, key, "DescribeKey", "CreateGrant")
    bench.do(i.PutPrincipalPolicy("alice", allow("kms:CreateGrant")))
    give(bench, key, "Decrypt", who="alice", grantee=BOB)
    assert bench.records[-1].decided_by == "identity-policy"


# --- tokens ----------------------------------------------------------------------------------------------


def conditional(effect: str, action: str, condition: dict[str, Any]) -> str:
    """An identity policy with one statement under a condition, beside all of AWS KMS if it denies."""
    statements = [
        {"Sid": "If", "Effect": effect, "Action": action, "Resource": "*", "Condition": condition},
        *([] if effect == "Allow" else [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}]),
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


SECRET, ANY = {"kms:EncryptionContext:app": "secret"}, {"kms:EncryptionContextKeys": "false"}
# A condition, the members of a grant that it holds for, and those of one that it does not hold for.
ON_THE_CONSTRAINT: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"StringEquals": SECRET}, {"context_equals": {"app": "secret"}}, {"context_equals": APP}),
    ({"StringEquals": SECRET}, {"context_subset": {"app": "secret", "x": "y"}}, {"context_subset": APP}),
    ({"StringEquals": SECRET}, {"context_equals": {"App": "secret"}}, {}),
    ({"Null": ANY}, {"context_equals": APP}, {}),
    ({"Null": ANY}, {"context_subset": APP}, {}),
    (
        {"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": "app"}},
        {"context_subset": {"app": "", "x": "y"}},
        {"context_subset": {"x": "app"}},
    ),
    (
        {"StringEquals": {"kms:GrantConstraintType": "EncryptionContextSubset"}},
        {"context_subset": APP},
        {"context_equals": APP},
    ),
]


@pytest.mark.parametrize(("condition", "holds", "not_so"), ON_THE_CONSTRAINT)
def test_policies_can_ask_what_the_constraint_of_a_new_grant_is(
    bench: ServiceBench,
    key: KeyReference,
    condition: dict[str, Any],
    holds: dict[str, Any],
    not_so: dict[str, Any],
) -> None:
    """A denial of one context denies a grant for it, an Allow of one allows that, and neither says more."""
    made, other = (c.CreateGrant(key, ("Decrypt",), BOB, **members) for members in (holds, not_so))
    bench.do(i.PutPrincipalPolicy("alice", conditional("Deny", "kms:CreateGrant", condition)))
    assert bench.refusal(made, "alice").startswith("AccessDenied")
    assert bench.records[-1].statement == "If"
    bench.do(other, "alice")
    bench.do(i.PutPrincipalPolicy("alice", conditional("Allow", "kms:CreateGrant", condition)))
    assert bench.refusal(other, "alice").startswith("AccessDenied")
    bench.do(made, "alice")
    assert bench.records[-1].statement == "If"


@pytest.mark.parametrize("by_token", [True, False])
@pytest.mark.parametrize(("condition", "holds", "not_so"), ON_THE_CONSTRAINT)
def test_policies_can_ask_what_the_constraint_of_a_grant_to_retire_is(
    bench: ServiceBench,
    key: KeyReference,
    condition: dict[str, Any],
    holds: dict[str, Any],
    not_so: dict[str, Any],
    *,
    by_token: bool,
) -> None:
    """Of the grant that is retired, however it is named; a denial is stronger than being named in it as retiring."""

    def retiring(members: dict[str, Any], ender: str = "") -> c.RetireGrant:
        made = give(bench, key, "Decrypt", grantee=BOB, retiring=ender, **members)
        return c.RetireGrant(made.token) if by_token else c.RetireGrant(key=full(key), grant_id=made.grant_id)

    bench.do(i.PutPrincipalPolicy("alice", conditional("Deny", "kms:RetireGrant", condition)))
    for ender in ("", ALICE):
        assert bench.refusal(retiring(holds, ender), "alice").startswith("AccessDenied")
        assert bench.records[-1].statement == "If"
        bench.do(retiring(not_so, ender), "alice")
    bench.do(i.PutPrincipalPolicy("alice", conditional("Allow", "kms:RetireGrant", condition)))
    assert bench.refusal(retiring(not_so), "alice").startswith("AccessDenied")
    bench.do(retiring(holds), "alice")


def test_an_account_retires_by_whom_its_policies_let_under_a_condition_on_the_constraint(
    bench: ServiceBench,
) -> None:
    """Also where the key's policy leaves nothing to the account, and the grant alone does."""
    admin = {"AWS": user_arn(ACCOUNT, "admin")}
    statement = {"Effect": "Allow", "Principal": admin, "Action": "kms:*", "Resource": "*"}
    key = bench.key(c.CreateKey(policy=json.dumps({"Statement": statement})))
    bench.do(i.PutPrincipalPolicy("bob", conditional("Allow", "kms:RetireGrant", {"StringEquals": SECRET})))
    secret, other = (
        give(bench, key, "Decrypt", context_equals={"app": app}) for app in ("secret", "payroll")
    )
    assert bench.refusal(c.RetireGrant(other.token), "bob").startswith("AccessDenied")
    bench.do(c.RetireGrant(secret.token), "bob")
    assert bench.records[-1].statement == secret.grant_id


def test_a_token_adds_nothing_and_garbage_is_refused(bench: ServiceBench, key: KeyReference) -> None:
    """A grant works without its token; one of another key or of a grant that is gone is passed over."""
    other = bench.key()
    gone, foreign = give(bench, key, "Decrypt"), give(bench, other, "Encrypt", grantee=BOB)
    bench.do(c.RevokeGrant(key, gone.grant_id))
    here = give(bench, key, "Encrypt", "DescribeKey")
    for command in (
        lambda *tokens: c.Encrypt(key, b"x", tokens=tokens),
        lambda *tokens: c.DescribeKey(key, tokens=tokens),
    ):
        bench.do(command(gone.token, foreign.token, here.token), "alice")
        assert bench.refusal(command(gone.token, foreign.token, here.token), "mallory").startswith(
            "AccessDenied"
        )
        assert bench.refusal(command(here.token, "rubbish"), "alice").startswith("InvalidGrantToken")
    made = c.CreateGrant(key, ("Decrypt",), grantee=ALICE, tokens=("rubbish",))
    assert bench.refusal(made).startswith("InvalidGrantToken")
    assert bench.refusal(c.RetireGrant("rubbish")).startswith("InvalidGrantToken")


# --- lists -----------------------------------------------------------------------------------------------


def test_the_grants_of_a_key_are_listed_in_pages(bench: ServiceBench, key: KeyReference) -> None:
    """Each with the key's ARN; a marker continues the list that it was given for, and no other."""
    ids = sorted(give(bench, key, "Decrypt", name=f"n{number}").grant_id for number in range(5))
    give(bench, bench.key(), "Decrypt")
    found, marker = [], ""
    for size in (2, 2, 1):
        page = bench.do(c.ListGrants(key, limit=2, marker=marker))
        assert {arn for arn, _ in page.grants} == {key_arn(key)}
        assert len(page.grants) == size
        found += [grant.id for _, grant in page.grants]
        marker = page.marker
    assert (found, marker) == (ids, "")
    elsewhere = bench.do(c.ListGrants(key, limit=1)).marker
    for command in (
        c.ListGrants(key, marker="rubbish"),
        c.ListGrants(key, marker=elsewhere, grantee=ALICE),
        c.ListGrants(bench.key(), marker=elsewhere),
    ):
        assert bench.refusal(command).startswith("InvalidMarker")


def test_grants_are_listed_by_grantee_or_id(bench: ServiceBench, key: KeyReference) -> None:
    """An id that is none of the key's is refused; a grantee without grants has an empty list."""
    first, second = give(bench, key, "Decrypt"), give(bench, key, "Decrypt", grantee=BOB)
    other = give(bench, bench.key(), "Decrypt")
    assert listed(bench, key, grantee=BOB) == [second.grant_id]
    assert listed(bench, key, grantee=MALLORY) == listed(bench, key, grantee_service=SERVICE) == []
    assert listed(bench, key, grant_id=first.grant_id) == [first.grant_id]
    assert listed(bench, key, grant_id=first.grant_id, grantee=ALICE) == [first.grant_id]
    assert listed(bench, key, grant_id=first.grant_id, grantee=BOB) == []
    for grant_id in (other.grant_id, UNKNOWN, "x"):
        told = bench.refusal(c.ListGrants(key, grant_id=grant_id))
        assert told == "InvalidGrantId: The grant id is not one of a grant on this key."
    assert bench.refusal(c.ListGrants(key, grantee="nobody")).startswith("InvalidArn")
    assert bench.refusal(c.ListGrants(key, grant_id=first.grant_id), "alice").startswith("AccessDenied")


def test_what_a_principal_may_retire_is_listed_for_its_account(
    bench: ServiceBench, key: KeyReference
) -> None:
    """Of all keys in the Region, those of other accounts too; the policy of a user must allow it, no key's does."""
    ids = sorted(give(bench, bench.key(), "Decrypt", retiring=BOB).grant_id for _ in range(3))
    give(bench, key, "Decrypt", retiring=ALICE)
    page = bench.do(c.ListRetirableGrants(BOB, limit=2))
    rest = bench.do(c.ListRetirableGrants(BOB, marker=page.marker))
    shown = [*page.grants, *rest.grants]
    assert ([grant.id for _, grant in shown], rest.marker) == (ids, "")
    assert all(arn == key_arn(KeyReference(grant.key_id)) for arn, grant in shown)
    assert bench.do(c.ListRetirableGrants(BOB), region="us-east-1").grants == []
    assert bench.refusal(c.ListRetirableGrants(BOB), "bob").startswith("AccessDenied")
    assert bench.refusal(c.ListRetirableGrants("nobody")).startswith("InvalidArn")
    assert bench.refusal(c.ListRetirableGrants(BOB, marker="rubbish")).startswith("InvalidMarker")
    told = "InvalidRequest: You must specify either RetiringPrincipal or RetiringServicePrincipal."
    assert bench.refusal(c.ListRetirableGrants()) == told
    assert bench.refusal(c.ListRetirableGrants(BOB, SERVICE)) == told

    give(bench, key, "Decrypt", retiring=EVE)
    assert bench.refusal(c.ListRetirableGrants(EVE)) == (
        f"AccessDenied: User: {user_arn(ACCOUNT, 'admin')} is not authorized to perform: "
        f"kms:ListRetirableGrants on resource: {EVE} because it is not a principal of your account"
    )
    stranger(bench, "eve", allow("kms:ListRetirableGrants"))
    ((arn, _),) = bench.do(c.ListRetirableGrants(EVE), EVE).grants
    assert arn == key_arn(key)


def test_a_service_is_in_no_account_so_each_sees_its_own(bench: ServiceBench, key: KeyReference) -> None:
    """What a service may retire of other accounts' grants is not shown."""
    made = give(
        bench,
        key,
        "Decrypt",
        grantee="",
        grantee_service=SERVICE,
        retiring_service=SERVICE,
        source_arn=RESOURCE,
    )
    ((_, grant),) = bench.do(c.ListRetirableGrants(retiring_service=SERVICE)).grants
    assert (grant.id, grant.retiring_service, grant.source_arn) == (made.grant_id, SERVICE, RESOURCE)
    stranger(bench, "eve", allow("kms:ListRetirableGrants"))
    assert bench.do(c.ListRetirableGrants(retiring_service=SERVICE), EVE).grants == []


# --- ending them -----------------------------------------------------------------------------------------


def test_revoking_takes_permission_on_the_key_and_a_grant_that_is_there(
    bench: ServiceBench, key: KeyReference
) -> None:
    """The retiring principal has not got it; a grant of another key is not this key's."""
    made, other = give(bench, key, "Decrypt", "RetireGrant", retiring=BOB), bench.key()
    for who in ("alice", "bob", "mallory"):
        assert bench.refusal(c.RevokeGrant(key, made.grant_id), who).startswith("AccessDenied")
    for reference, grant_id in ((key, UNKNOWN), (other, made.grant_id), (key, "x")):
        told = f"NotFound: Grant ID {grant_id} not found"
        assert bench.refusal(c.RevokeGrant(reference, grant_id)) == told
    bench.do(c.RevokeGrant(key, made.grant_id))
    assert bench.refusal(c.RevokeGrant(key, made.grant_id)) == f"NotFound: Grant ID {made.grant_id} not found"


@pytest.mark.parametrize("by_token", [True, False])
@pytest.mark.parametrize(
    ("who", "operations", "members", "allowed"),
    [
        ("bob", ("Decrypt",), {"retiring": BOB}, True),
        (EVE, ("Decrypt",), {"retiring": EVE}, True),
        (EVE, ("RetireGrant",), {"grantee": EVE}, True),
        ("alice", ("Decrypt", "RetireGrant"), {}, True),
        ("alice", ("Decrypt", "RetireGrant"), {"context_equals": APP}, True),
        ("admin", ("Decrypt",), {}, True),  # by policy
        ("alice", ("Decrypt",), {}, False),
        ("mallory", ("RetireGrant",), {"retiring": BOB}, False),
        ("mallory", ("Decrypt",), {"retiring": ROOT}, False),
        ("mallory", ("RetireGrant",), {"grantee": ROOT}, False),
        (EVE, ("Decrypt",), {"retiring": root_arn(STRANGER)}, False),
        (EVE, ("Decrypt",), {}, False),
    ],
)
def test_who_may_retire_a_grant(
    bench: ServiceBench,
    key: KeyReference,
    who: str,
    operations: tuple[str, ...],
    members: dict[str, Any],
    allowed: bool,
    by_token: bool,
) -> None:
    """Whom the grant names as retiring, its grantee if it says so, and whom policy lets; a token alone lets nobody."""
    made = give(bench, key, *operations, **members)
    command = c.RetireGrant(made.token) if by_token else c.RetireGrant(key=full(key), grant_id=made.grant_id)
    if allowed:
        bench.do(command, who)
    else:
        assert bench.refusal(command, who).startswith("AccessDenied")
    record = bench.records[-1]
    assert (record.action, record.subject, record.key) == ("kms:RetireGrant", made.grant_id, key_arn(key))
    assert (record.decision == "Allow") is allowed
    assert listed(bench, key) == ([] if allowed else [made.grant_id])
    if allowed and who != "admin":
        assert (record.decided_by, record.statement) == ("grant", made.grant_id)


@pytest.mark.parametrize(
    ("operations", "members"),
    [
        (("Decrypt",), {}),  # the account that it was issued in
        (("Decrypt",), {"retiring": ROOT}),
        (("RetireGrant",), {"grantee": ROOT}),
    ],
)
def test_an_account_retires_by_whom_its_policies_let(
    bench: ServiceBench, operations: tuple[str, ...], members: dict[str, Any]
) -> None:
    """Also where the key's policy leaves nothing to the account."""
    admin = {
        "Effect": "Allow",
        "Principal": {"AWS": user_arn(ACCOUNT, "admin")},
        "Action": "kms:*",
        "Resource": "*",
    }
    key = bench.key(c.CreateKey(policy=json.dumps({"Statement": admin})))
    made = give(bench, key, *operations, **members)
    assert bench.refusal(c.RetireGrant(made.token), "bob").startswith("AccessDenied")
    bench.do(i.PutPrincipalPolicy("bob", allow("kms:RetireGrant")))
    bench.do(c.RetireGrant(made.token), "bob")
    record = bench.records[-1]
    assert (record.decided_by, record.statement) == ("grant", made.grant_id)
    assert listed(bench, key) == []


def test_another_account_does_not_retire_because_it_lets_its_own(
    bench: ServiceBench, key: KeyReference
) -> None:
    """It is named by no part of the grant."""
    made = give(bench, key, "Decrypt", retiring=BOB)
    stranger(bench, "eve", allow("kms:*"))
    for command in (c.RetireGrant(made.token), c.RetireGrant(key=full(key), grant_id=made.grant_id)):
        assert bench.refusal(command, EVE).startswith("AccessDenied")


def test_retiring_by_a_grant_means_that_grant(bench: ServiceBench, key: KeyReference) -> None:
    """Who may retire one grant on a key may not retire the others."""
    give(bench, key, "RetireGrant")
    other = give(bench, key, "Decrypt", grantee=BOB)
    for command in (c.RetireGrant(other.token), c.RetireGrant(key=full(key), grant_id=other.grant_id)):
        assert bench.refusal(command, "alice").startswith("AccessDenied")


def test_a_grant_is_retired_in_its_region(bench: ServiceBench) -> None:
    """The members of a multi-Region key have one id and grants of their own."""
    key = bench.key(c.CreateKey(multi_region=True))
    bench.do(c.ReplicateKey(key, "us-east-1"))
    made = give(bench, key, "Decrypt", retiring=BOB)
    for command in (c.RetireGrant(made.token), c.RetireGrant(key=full(key), grant_id=made.grant_id)):
        told = bench.answer(command, "bob", region="us-east-1").error
        assert str(told) == f"Invalid arn {REGION}"
    there = KeyReference(key.name, account=ACCOUNT, region="us-east-1")
    assert (
        bench.refusal(c.RetireGrant(key=there, grant_id=made.grant_id), "bob")
        == "NotFound: Invalid arn us-east-1"
    )
    assert listed(bench, key) == [made.grant_id]
    bench.do(c.RetireGrant(key=full(key), grant_id=made.grant_id), "bob")


def test_what_is_not_there_is_not_found_by_its_account_and_forbidden_to_others(
    bench: ServiceBench, key: KeyReference
) -> None:
    """Whether the key exists or not; who is let by a policy across accounts is told as well."""
    made = give(bench, key, "Decrypt", retiring=EVE)
    bench.do(c.RetireGrant(made.token), EVE)
    nowhere = KeyReference("00000000-0000-4000-8000-000000000000", account=ACCOUNT, region=REGION)
    told = f"NotFound: Grant ID {made.grant_id} not found"
    by_id = c.RetireGrant(key=full(key), grant_id=made.grant_id)
    for command in (c.RetireGrant(made.token), by_id):
        assert bench.refusal(command) == told
        assert bench.refusal(command, "mallory") == told
        assert bench.refusal(command, EVE).startswith("AccessDenied")
    by_id_elsewhere = c.RetireGrant(key=nowhere, grant_id=made.grant_id)
    assert bench.refusal(by_id_elsewhere) == f"NotFound: Key '{key_arn(nowhere)}' does not exist"
    forbidden = bench.refusal(by_id_elsewhere, EVE)
    assert forbidden == bench.refusal(by_id, EVE).replace(key.name, nowhere.name)

    statements = [
        {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "kms:*", "Resource": "*"}
        for arn in (ROOT, EVE)
    ]
    bench.do(c.PutKeyPolicy(key, json.dumps({"Statement": statements})))
    stranger(bench, "eve", allow("kms:RetireGrant"))
    assert bench.refusal(by_id, EVE) == told


def test_a_token_outlives_its_key(bench: ServiceBench, key: KeyReference) -> None:
    """The grants go with the key; what names one of them finds neither."""
    made = give(bench, key, "Decrypt", retiring=BOB)
    with bench.house.store.transact("destroy") as tx:
        stored = tx.key(REGION, key.name)
        assert stored is not None
        tx.delete_grant(REGION, key.name, made.grant_id)
        tx.put_key(replace(stored, state=State.DESTROYED))
    told = f"NotFound: Key '{key_arn(key)}' does not exist"
    assert bench.refusal(c.RetireGrant(made.token), "bob") == told
    other = ServiceBench()
    assert other.refusal(c.RetireGrant(made.token)) == told


@pytest.mark.parametrize("given", ["nothing", "all", "key", "id", "token and id"])
def test_a_grant_is_named_in_one_way(bench: ServiceBench, key: KeyReference, given: str) -> None:
    """By its token, or by key and id."""
    made = give(bench, key, "Decrypt")
    command = {
        "nothing": c.RetireGrant(),
        "all": c.RetireGrant(made.token, full(key), made.grant_id),
        "key": c.RetireGrant(key=full(key)),
        "id": c.RetireGrant(grant_id=made.grant_id),
        "token and id": c.RetireGrant(made.token, grant_id=made.grant_id),
    }[given]
    told = "InvalidRequest: You must specify either a grant token, or a key ARN and a grant id."
    assert bench.refusal(command) == told
    assert listed(bench, key) == [made.grant_id]


# --- who is gone -----------------------------------------------------------------------------------------


def test_what_was_granted_to_a_user_goes_with_it(
    bench: ServiceBench, key: KeyReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On all keys and in all Regions; a user who is given the name later has none of it."""
    monkeypatch.setattr("keystead.service.actions.principals.AT_ONCE", 2)
    far, blob = bench.key(region="us-east-1"), sealed(bench, key)
    for _ in range(3):
        give(bench, key, "Decrypt")
    bench.do(c.CreateGrant(far, ("Encrypt",), grantee=ALICE), region="us-east-1")
    kept = give(bench, key, "Decrypt", grantee=BOB, retiring=ALICE)
    assert bench.do(c.Decrypt(blob), "alice").plaintext == b"secret"
    bench.do(i.DeletePrincipal("alice"))
    assert listed(bench, key) == [kept.grant_id]
    assert bench.do(c.ListGrants(far), region="us-east-1").grants == []
    bench.do(i.CreatePrincipal("alice"))
    assert bench.refusal(c.Decrypt(blob), "alice").startswith("AccessDenied")
