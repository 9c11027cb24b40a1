"""What a principal may do, put together from all that the store says."""

import json
from dataclasses import replace
from typing import Any

import pytest

from keystead.core.declaration import Declaration, Kind, declaration_ref
from keystead.core.policy import builtin, decide
from keystead.core.principal import (
    INSTALLATION,
    AccessKey,
    Principal,
    Session,
    role_arn,
    service_arn,
    user_arn,
)
from keystead.service.caller import Identity
from keystead.service.circumstances import Circumstances
from keystead.service.desk import asked_by
from keystead.service.identities import PAGE, identify, lives, rests_on, unique_id
from keystead.store.memory import Memory

ACCOUNT = "111122223333"
BOB = Principal(arn=user_arn(ACCOUNT, "bob"), account=ACCOUNT, name="bob", created=1.0)
OPERATORS = Principal(
    arn=f"arn:aws:iam::{ACCOUNT}:group/operators", account=ACCOUNT, name="operators", created=1.0
)
ROLE = Principal(arn=f"arn:aws:iam::{ACCOUNT}:role/deploy", account=ACCOUNT, name="deploy", created=1.0)
FIRST = Principal(arn=f"arn:aws:iam::{ACCOUNT}:role/first", account=ACCOUNT, name="first", created=1.0)
ELSEWHERE = Principal(arn=role_arn("444455556666", "x"), account="444455556666", name="x", created=1.0)
SESSION = Session(
    access_key="ASIA",
    arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/ci",
    principal=ROLE.arn,
    user_id="AROA:ci",
    issued=10.0,
    epoch=7,
    expires=20.0,
)


def policy(effect: str, *actions: str) -> str:
    """A policy of one statement."""
    return json.dumps({"Statement": {"Effect": effect, "Action": list(actions), "Resource": "*"}})


def policy_arn(name: str) -> str:
    """The ARN of one of the account's."""
    return f"arn:aws:iam::{ACCOUNT}:policy/{name}"


class Shelf:
    """A store with principals and declarations."""

    def __init__(self) -> None:
        self.store = Memory()

    def put(self, *principals: Principal) -> None:
        """Keep principals."""
        with self.store.transact("put") as tx:
            for each in principals:
                tx.put_principal(each)

    def reach(self, number: int) -> None:
        """Change something else until the newest change has that number."""
        while True:
            with self.store.view() as view:
                newest = view.newest_change()
            if newest == number:
                return
            assert newest < number
            self.declare(f"n{newest}", "{}", account="777788889999")

    def lives(self, session: Session, now: float = 15.0) -> bool:
        """Whether a session counts by what is kept."""
        with self.store.view() as view:
            return lives(view, session, now)

    def declare(self, name: str, text: str, kind: Kind = Kind.POLICY, account: str = ACCOUNT) -> str:
        """Keep a declaration; its ARN as a policy."""
        with self.store.transact("declare") as tx:
            tx.put_declaration(
                Declaration(account=account, kind=kind, name=name, text=text, created=1.0, updated=1.0)
            )
        return policy_arn(name)

    def identity(self, principal: Principal, session: Session | None = None) -> Identity:
        """The identity of a principal or a session of it."""
        with self.store.view() as view:
            return identify(view, principal, session)


def may(identity: Identity, action: str) -> bool:
    """Whether it may do that where no key is involved."""

    def nothing() -> Circumstances:
        raise LookupError(action)

    return decide(asked_by(identity, action, "*", nothing)).allowed


@pytest.fixture
def shelf() -> Shelf:
    """An empty store."""
    return Shelf()


def test_a_principal_may_what_its_own_policy_says(shelf: Shelf) -> None:
    """And one without a policy nothing."""
    assert not may(shelf.identity(BOB), "kms:ListKeys")
    identity = shelf.identity(replace(BOB, policy=policy("Allow", "kms:ListKeys"), tags=(("team", "a"),)))
    assert may(identity, "kms:ListKeys")
    assert not may(identity, "kms:ListAliases")
    assert (identity.arn, identity.principal, identity.session_of) == (BOB.arn, BOB.arn, "")
    assert (identity.account, identity.tags, identity.user_id) == (ACCOUNT, (("team", "a"),), unique_id(BOB))


def test_attached_policies_give_and_deny(shelf: Shelf) -> None:
    """The account's and those that are built in; one that is not there gives nothing."""
    lists = shelf.declare("lists", policy("Allow", "kms:ListKeys", "kms:ListAliases"))
    no_aliases = shelf.declare("no-aliases", policy("Deny", "kms:ListAliases"))
    bob = replace(BOB, attached=(lists, no_aliases, policy_arn("gone"), builtin.OPERATOR))
    identity = shelf.identity(bob)
    assert may(identity, "kms:ListKeys")
    assert not may(identity, "kms:ListAliases")
    assert may(identity, "kms:ConnectCustomKeyStore")
    assert not may(identity, "kms:GenerateRandom")
    refs = {declaration_ref(ACCOUNT, Kind.POLICY, name) for name in ("lists", "no-aliases", "gone")}
    assert refs <= set(identity.refs)


def test_groups_give_to_their_members(shelf: Shelf) -> None:
    """By their own policies and those attached to them, unless the group is disabled or gone."""
    lists = shelf.declare("lists", policy("Allow", "kms:ListAliases"))
    group = replace(OPERATORS, policy=policy("Allow", "kms:ListKeys"), attached=(lists,))
    bob = replace(BOB, groups=(group.arn,))
    assert not may(shelf.identity(bob), "kms:ListKeys")
    shelf.put(group)
    identity = shelf.identity(bob)
    assert may(identity, "kms:ListKeys")
    assert may(identity, "kms:ListAliases")
    assert {group.arn, declaration_ref(ACCOUNT, Kind.POLICY, "lists")} <= set(identity.refs)
    shelf.put(replace(group, enabled=False))
    identity = shelf.identity(bob)
    assert not may(identity, "kms:ListKeys")
    assert group.arn in identity.refs


def test_a_boundary_limits_and_one_that_is_gone_allows_nothing(shelf: Shelf) -> None:
    """What is missing never makes anybody stronger."""
    bob = replace(BOB, policy=policy("Allow", "*"), boundary=policy_arn("limit"))
    assert not may(shelf.identity(bob), "kms:ListKeys")
    shelf.declare("limit", policy("Allow", "kms:ListKeys"))
    identity = shelf.identity(bob)
    assert may(identity, "kms:ListKeys")
    assert not may(identity, "kms:ListAliases")


@pytest.mark.parametrize("scope", [ACCOUNT, INSTALLATION])
def test_guardrails_of_the_account_and_the_installation_hold(shelf: Shelf, scope: str) -> None:
    """However many there are, and none of another account's."""
    bob = replace(BOB, policy=policy("Allow", "*"))
    for number in range(PAGE):
        shelf.declare(f"g{number:03}", policy("Deny", f"kms:Sign{number}"), Kind.GUARDRAIL, scope)
    shelf.declare("z", policy("Deny", "kms:ListKeys"), Kind.GUARDRAIL, scope)
    shelf.declare("other", policy("Deny", "*"), Kind.GUARDRAIL, "444455556666")
    identity = shelf.identity(bob)
    assert len(identity.guardrails) == PAGE + 1
    assert not may(identity, "kms:ListKeys")
    assert may(identity, "kms:ListAliases")
    assert declaration_ref(scope, Kind.GUARDRAIL, "") in identity.refs


def test_parts_of_the_service_have_no_guardrails(shelf: Shelf) -> None:
    """Nobody keeps the jobs from their duty."""
    shelf.declare("all", policy("Deny", "*"), Kind.GUARDRAIL, INSTALLATION)
    jobs = Principal(
        arn=service_arn(ACCOUNT, "jobs"),
        account=ACCOUNT,
        name="jobs",
        created=1.0,
        policy=policy("Allow", "*"),
    )
    identity = shelf.identity(jobs)
    assert may(identity, "keystead:DestroyKey")
    assert identity.refs == (jobs.arn,)


def test_a_session_is_its_role_within_limits(shelf: Shelf) -> None:
    """It has the role's policies, its own limits, both their tags, and rests on all of that."""
    role = replace(ROLE, policy=policy("Allow", "kms:*"), tags=(("team", "a"), ("stage", "test")))
    identity = shelf.identity(role, SESSION)
    assert may(identity, "kms:ListAliases")
    assert (identity.arn, identity.principal, identity.session_of) == (SESSION.arn, ROLE.arn, ROLE.arn)
    assert (identity.user_id, identity.session) == ("AROA:ci", SESSION)

    named = shelf.declare("lists", policy("Allow", "kms:ListKeys"))
    limited = replace(
        SESSION,
        policies=(policy("Allow", "kms:DescribeKey"),),
        attached=(named,),
        tags=(("team", "b"), ("job", "7")),
    )
    identity = shelf.identity(role, limited)
    assert [may(identity, f"kms:{each}") for each in ("ListKeys", "DescribeKey", "ListAliases")] == [
        True,
        True,
        False,
    ]
    assert dict(identity.tags) == {"team": "b", "stage": "test", "job": "7"}
    assert {ROLE.arn, declaration_ref(ACCOUNT, Kind.POLICY, "lists")} <= set(identity.refs)


def test_a_users_own_session_is_the_user(shelf: Shelf) -> None:
    """Whom key policies and grants name."""
    own = replace(SESSION, arn=BOB.arn, principal=BOB.arn, user_id=unique_id(BOB))
    assert shelf.identity(BOB, own).session_of == ""


@pytest.mark.parametrize(
    ("fields", "now", "alive"),
    [
        ({}, 19.9, True),
        ({}, 20.0, False),
        ({"enabled": False}, 15.0, False),
        ({"sessions_from": 7}, 15.0, True),
        ({"sessions_from": 8}, 15.0, False),
    ],
)
def test_when_a_session_lives(shelf: Shelf, fields: dict[str, Any], now: float, *, alive: bool) -> None:
    """Until it is over, or its role is disabled, or the role's sessions of that epoch are revoked."""
    shelf.put(replace(ROLE, **fields))
    shelf.reach(7)
    assert shelf.lives(SESSION, now) is alive


@pytest.mark.parametrize("opener", [BOB, FIRST, ELSEWHERE])
def test_a_session_ends_with_each_of_its_openers(shelf: Shelf, opener: Principal) -> None:
    """By the same rule as with its role, wherever in the chain it is, in another account too."""
    chained = replace(SESSION, openers=(BOB.arn, FIRST.arn, ELSEWHERE.arn))
    shelf.put(ROLE, BOB, FIRST, ELSEWHERE)
    shelf.reach(7)
    assert shelf.lives(chained)
    shelf.put(replace(opener, sessions_from=7))
    assert shelf.lives(chained)
    for ended in (replace(opener, enabled=False), replace(opener, sessions_from=8)):
        shelf.put(ended)
        assert not shelf.lives(chained)
        assert shelf.lives(SESSION)
        shelf.put(opener)
        assert shelf.lives(chained)
    with shelf.store.transact("delete") as tx:
        tx.delete_principal(opener.arn)
    assert not shelf.lives(chained)


def test_a_session_ends_with_the_access_key_that_it_was_opened_with(shelf: Shelf) -> None:
    """It must be there, enabled, and of the one who began the chain."""
    opened = replace(SESSION, openers=(BOB.arn, FIRST.arn), opened_with="AKIABOB")
    key = AccessKey(id="AKIABOB", principal=BOB.arn, protected="p", created=1.0)
    shelf.put(ROLE, BOB, FIRST, ELSEWHERE)
    shelf.reach(7)
    assert not shelf.lives(opened)
    for each, alive in (
        (key, True),
        (replace(key, enabled=False), False),
        (replace(key, principal=ELSEWHERE.arn), False),
    ):
        with shelf.store.transact("key") as tx:
            tx.put_access_key(each)
        assert shelf.lives(opened) is alive
        assert shelf.lives(SESSION)


def test_a_session_rests_on_all_that_may_end_it(shelf: Shelf) -> None:
    """So that a change of any of it is seen."""
    opened = replace(SESSION, openers=(BOB.arn, FIRST.arn), opened_with="AKIABOB")
    assert {ROLE.arn, BOB.arn, FIRST.arn, "AKIABOB"} <= set(shelf.identity(ROLE, opened).refs)
    assert rests_on(opened) == (ROLE.arn, BOB.arn, FIRST.arn, "AKIABOB")
    assert rests_on(SESSION) == (ROLE.arn,)


def test_a_session_of_a_future_that_never_was_is_over(shelf: Shelf) -> None:
    """The store was set back to a backup: that it was revoked since would not be seen in it."""
    shelf.put(ROLE)
    shelf.reach(6)
    assert not shelf.lives(SESSION)
    shelf.reach(7)
    assert shelf.lives(SESSION)


def test_unique_ids() -> None:
    """In AWS's form, and another one for whoever has the name next."""
    assert unique_id(BOB) == unique_id(replace(BOB, policy=policy("Allow", "*")))
    assert (unique_id(BOB)[:4], len(unique_id(BOB))) == ("AIDA", 21)
    assert unique_id(ROLE)[:4] == "AROA"
    assert unique_id(BOB) != unique_id(replace(BOB, created=2.0))
    assert unique_id(BOB) != unique_id(replace(BOB, arn=user_arn(ACCOUNT, "eve")))
