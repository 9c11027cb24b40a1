"""Key policies: kept to the letter, in force at once, and no way to lock oneself out by mistake."""

import json

import pytest

from keystead.core.policy import default_key_policy
from keystead.core.principal import Principal, Session
from keystead.service.caller import Caller
from keystead.service.commands import kms as c
from keystead.service.identities import identify
from keystead.testing.installation import ACCOUNT, EVERYTHING, REGION
from keystead.testing.service import ServiceBench, key_arn

ADMIN = f"arn:aws:iam::{ACCOUNT}:user/admin"


def policy(*principals: str, effect: str = "Allow", action: str = "kms:*") -> str:
    """A key policy of one statement."""
    listed = ", ".join(f'"{principal}"' for principal in principals)
    return (
        f'{{"Statement":  {{"Effect": "{effect}", "Principal": {{"AWS": [{listed}]}}, '
        f'"Action": "{action}", "Resource": "*"}}}}'
    )


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with an admin and a user who may do nothing by itself."""
    bench = ServiceBench()
    bench.house.user("bob")
    return bench


def test_a_policy_is_kept_to_the_letter(bench: ServiceBench) -> None:
    """Terraform and people compare texts; a new key has AWS's default."""
    key = bench.key()
    assert bench.do(c.GetKeyPolicy(key)).text == default_key_policy(ACCOUNT)
    text = policy(ADMIN)
    bench.do(c.PutKeyPolicy(key, text))
    assert bench.do(c.GetKeyPolicy(key)).text == text
    assert bench.records[-2].action == "kms:PutKeyPolicy"
    assert bench.records[-2].key == key_arn(key)
    bench.do(c.ListKeyPolicies(key))


def test_a_policy_is_in_force_when_it_was_put(bench: ServiceBench) -> None:
    """A user is let in, and out again, without anything else being touched."""
    key = bench.key()
    assert bench.refusal(c.Encrypt(key, b"x"), "bob").startswith("AccessDenied")
    bench.do(c.PutKeyPolicy(key, policy(ADMIN, f"arn:aws:iam::{ACCOUNT}:user/bob")))
    bench.do(c.Encrypt(key, b"x"), "bob")
    assert (bench.records[-1].decided_by, bench.records[-1].statement) == ("key-policy", "#0")
    bench.do(c.PutKeyPolicy(key, policy(ADMIN)))
    assert bench.refusal(c.Encrypt(key, b"x"), "bob").startswith("AccessDenied")


def test_a_deny_says_that_it_was_one(bench: ServiceBench) -> None:
    """In AWS's words, and the record has the statement."""
    key = bench.key()
    text = (
        f'{{"Statement": [{{"Sid": "All", "Effect": "Allow", "Principal": {{"AWS": "{ACCOUNT}"}}, "Action": "*", '
        '"Resource": "*"}, {"Sid": "Not this", "Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", '
        '"Resource": "*"}]}'
    )
    bench.do(c.PutKeyPolicy(key, text))
    assert bench.refusal(c.Encrypt(key, b"x")) == (
        f"AccessDenied: User: {ADMIN} is not authorized to perform: kms:Encrypt on resource: {key_arn(key)} "
        "with an explicit deny in a resource-based policy"
    )
    record = bench.records[-1]
    assert (record.decision, record.decided_by, record.statement) == ("Deny", "key-policy", "Not this")


@pytest.mark.parametrize(
    "text",
    [
        policy("*", effect="Deny"),
        policy(f"arn:aws:iam::{ACCOUNT}:user/bob"),
        policy(ADMIN, action="kms:Encrypt"),
        policy("999988887777"),
    ],
)
def test_nobody_locks_themselves_out_by_mistake(bench: ServiceBench, text: str) -> None:
    """A policy under which the caller could never put another is refused, unless it is meant."""
    key = bench.key()
    told = bench.refusal(c.PutKeyPolicy(key, text))
    assert told.startswith(
        "MalformedPolicy: The new key policy will not allow you to update the key policy in the future."
    )
    bench.do(c.DescribeKey(key))
    bench.do(c.PutKeyPolicy(key, text, bypass_lockout_check=True))
    assert bench.refusal(c.PutKeyPolicy(key, default_key_policy(ACCOUNT))).startswith("AccessDenied")


def test_a_lockout_is_refused_with_the_statement_to_add(bench: ServiceBench) -> None:
    """Put beside the statements that there were, it makes the policy one that is taken."""
    key = bench.key()
    narrow = json.loads(policy(f"arn:aws:iam::{ACCOUNT}:user/bob"))
    told = bench.refusal(c.PutKeyPolicy(key, json.dumps(narrow)))
    statement, _ = json.JSONDecoder().raw_decode(told.partition("Add this statement: ")[2])
    narrow["Statement"] = [narrow["Statement"], statement]
    bench.do(c.PutKeyPolicy(key, json.dumps(narrow)))
    bench.do(c.PutKeyPolicy(key, default_key_policy(ACCOUNT)))


def test_a_lockout_by_a_boundary_says_so(bench: ServiceBench) -> None:
    """No statement of the key's policy would help a session whose limits do not let it put another."""
    role = Principal(
        arn=f"arn:aws:iam::{ACCOUNT}:role/deploy",
        account=ACCOUNT,
        name="deploy",
        created=0.0,
        policy=EVERYTHING,
    )
    with bench.house.store.transact("role") as tx:
        tx.put_principal(role)
    with bench.house.store.view() as view:
        epoch = view.newest_change()
    now = bench.house.clock.now()
    session = Session(
        access_key="ASIAX",
        arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/ci",
        principal=role.arn,
        user_id="x",
        issued=now,
        epoch=epoch,
        expires=now + 60,
        policies=(policy_of("kms:CreateKey"),),
    )
    with bench.house.store.view() as view:
        caller = Caller(identify(view, role, session), "r-session", REGION, "ASIAX", "sigv4")
    told = bench.refusal(c.CreateKey(policy=policy(f"arn:aws:iam::{ACCOUNT}:role/deploy")), caller)
    assert "Your session policy does not allow it: ask with other credentials." in told


def policy_of(action: str) -> str:
    """An identity policy that allows one action."""
    return json.dumps({"Statement": {"Effect": "Allow", "Action": action, "Resource": "*"}})


def test_a_lockout_by_a_denial_names_its_statement(bench: ServiceBench) -> None:
    """Another Allow would not help, so none is proposed."""
    key = bench.key()
    told = bench.refusal(c.PutKeyPolicy(key, policy("*", effect="Deny")))
    assert (
        f"Statement #0 denies it to you: name others there, or add a condition that spares {ADMIN}." in told
    )


def test_a_policy_that_is_none_is_refused(bench: ServiceBench) -> None:
    """The text says what is wrong, and the old one stays."""
    key = bench.key()
    assert bench.refusal(c.PutKeyPolicy(key, "{}")) == "MalformedPolicy: The policy must have a Statement."
    assert bench.do(c.GetKeyPolicy(key)).text == default_key_policy(ACCOUNT)


def test_a_key_pending_deletion_may_get_a_policy(bench: ServiceBench) -> None:
    """So that somebody else can be allowed to rescue it."""
    key = bench.key()
    bench.do(c.ScheduleKeyDeletion(key))
    bench.do(c.PutKeyPolicy(key, policy(ADMIN, f"arn:aws:iam::{ACCOUNT}:user/bob")))
    bench.do(c.CancelKeyDeletion(key), "bob")
