"""Decisions are explained to whom they concern, with the policies that made them."""

import json
from hashlib import sha256
from typing import Any

import pytest

from keystead.core.declaration import Declaration, Kind
from keystead.core.policy import builtin, default_key_policy
from keystead.core.principal import INSTALLATION, Principal, user_arn
from keystead.service.commands import decisions as d
from keystead.service.commands import kms as c
from keystead.service.entry import Entry, encode
from keystead.service.results.decisions import Explained, Explanation
from keystead.testing.installation import ACCOUNT
from keystead.testing.service import ServiceBench


def document(*statements: dict[str, Any]) -> str:
    """A policy of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def version(text: str) -> str:
    """What the version of a policy is."""
    return sha256(text.encode()).hexdigest()[:12]


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with an admin and a user of whom no policy speaks."""
    bench = ServiceBench()
    bench.house.user("bob")
    return bench


def explained(bench: ServiceBench, request: str, who: str = "") -> Explanation:
    """What is said of a request."""
    told = bench.do(d.ExplainDecision(request), who) if who else bench.do(d.ExplainDecision(request))
    assert isinstance(told, Explanation)
    return told


def last(bench: ServiceBench) -> Explained:
    """What is said of the newest request."""
    told = explained(bench, bench.records[-1].request)
    assert told.missing == ""
    return told.decisions[0]


def test_an_allowed_request_is_explained_by_its_statements(bench: ServiceBench) -> None:
    """Each with the policy's name and the version of its text, which is current as long as that is."""
    key = bench.key()
    bench.do(c.Encrypt(key, b"x"))
    one = last(bench)
    of_key, of_admin = one.entry.matched
    assert of_key == f"key-policy @{version(default_key_policy(ACCOUNT))} Enable IAM User Permissions"
    assert of_admin.startswith(f"identity-policy {user_arn(ACCOUNT, 'admin')}@")
    assert (one.entry.decision, one.entry.action, one.changed) == ("Allow", "kms:Encrypt", ())


def test_a_denial_says_the_smallest_thing_that_was_missing(bench: ServiceBench) -> None:
    """The condition's operator and key are told, and not what the policy wants."""
    allow = {"Sid": "May", "Effect": "Allow", "Action": "kms:Encrypt", "Resource": "*"}
    condition = {"StringEquals": {"kms:EncryptionContext:app": "payroll"}}
    bench.house.user("carol", document({**allow, "Condition": condition}))
    key = bench.key()
    assert "AccessDenied" in bench.refusal(c.Encrypt(key, b"x"), "carol")
    one = last(bench)
    assert (one.entry.decision, one.entry.matched) == ("Deny", ())
    assert one.entry.missing == "identity-policy statement May: StringEquals kms:EncryptionContext:app"
    assert "payroll" not in str(one.entry)


def test_a_policy_that_has_changed_since_is_marked(bench: ServiceBench) -> None:
    """The decision keeps the version that made it."""
    key = bench.key()
    bench.do(c.Encrypt(key, b"x"))
    request = bench.records[-1].request
    text = document(
        {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "kms:*", "Resource": "*"},
    )
    bench.do(c.PutKeyPolicy(key, text))
    (one,) = explained(bench, request).decisions
    assert one.changed == (one.entry.matched[0],)
    bench.do(c.ScheduleKeyDeletion(key))
    assert explained(bench, request).decisions[0].changed == one.changed


def test_a_change_is_explained_with_its_intent_and_its_outcome(bench: ServiceBench) -> None:
    """The newest first."""
    key = bench.key()
    bench.do(c.DisableKey(key))
    stages = [each.entry.stage for each in explained(bench, bench.records[-1].request).decisions]
    assert stages == ["outcome", "intent"]


def test_a_grant_that_allowed_is_named(bench: ServiceBench) -> None:
    """It has an id and no version."""
    key = bench.key()
    granted = bench.do(c.CreateGrant(key, operations=("Encrypt",), grantee=user_arn(ACCOUNT, "bob")))
    bench.do(c.Encrypt(key, b"x"), "bob")
    assert last(bench).entry.matched == (f"grant @ {granted.grant_id}",)


def test_re_encrypt_is_explained_by_the_policies_of_both_keys(bench: ServiceBench) -> None:
    """Each of them may have changed by itself."""
    source, target = bench.key(), bench.key()
    blob = bench.do(c.Encrypt(source, b"x")).blob
    bench.do(c.ReEncrypt(blob, target))
    one = last(bench)
    assert [text.split()[0] for text in one.entry.matched] == ["key-policy", "identity-policy"] * 2
    assert one.changed == ()


@pytest.mark.parametrize("request_id", ["", "no-such-request", "x" * 128])
def test_an_unknown_decision_is_not_found(bench: ServiceBench, request_id: str) -> None:
    """As is one that concerns other accounts only."""
    assert bench.refusal(d.ExplainDecision(request_id)).startswith("NotFound: There is no decision")


def test_explaining_is_a_permission_of_its_own(bench: ServiceBench) -> None:
    """And on record, like everything that is asked."""
    key = bench.key()
    assert "AccessDenied" in bench.refusal(c.Encrypt(key, b"x"), "bob")
    request = bench.records[-1].request
    assert "keystead:ExplainDecision" in bench.refusal(d.ExplainDecision(request), "bob")
    assert (bench.records[-1].action, bench.records[-1].subject) == ("keystead:ExplainDecision", request)


# --- whose policies, and whether they have changed ---------------------------------------------------------

OTHER = "999988887777"
KEY = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/1234"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/deploy"
NAMED = f"arn:aws:iam::{ACCOUNT}:policy/use"
TEXT = document({"Effect": "Deny", "Action": "kms:*", "Resource": "*"})


def found(bench: ServiceBench, **members: Any) -> Explained:
    """What is said of an entry that has these members."""
    entry = Entry(**{"account": ACCOUNT, "request": "r-1", "outcome": "AccessDenied", "v": 1, **members})
    log = bench.house.logs["w0"]
    log.append(encode(entry))
    log.commit()
    (one,) = explained(bench, "r-1").decisions
    return one


@pytest.mark.parametrize(
    "text",
    [
        "guardrail {account}/no-export@{version} #0",
        "guardrail 000000000000/no-export@{version} #0",
        "identity-policy {named}@{version} #0",
        "permission-boundary {named}@{version} #0",
        "key-policy {role}@{version} #0",
        "identity-policy {role}@{version} #0",
    ],
)
def test_a_policy_is_current_until_it_has_another_text(bench: ServiceBench, text: str) -> None:
    """Named ones, guardrails, a role's own and its trust policy; one that is gone has changed as well."""
    told = text.format(account=ACCOUNT, version=version(TEXT), named=NAMED, role=ROLE)
    with bench.house.store.transact("put") as tx:
        for account in (ACCOUNT, INSTALLATION):
            for kind, name in ((Kind.GUARDRAIL, "no-export"), (Kind.POLICY, "use")):
                tx.put_declaration(
                    Declaration(account=account, kind=kind, name=name, text=TEXT, created=0.0, updated=0.0)
                )
        tx.put_principal(
            Principal(arn=ROLE, account=ACCOUNT, name="deploy", created=0.0, policy=TEXT, trust=TEXT)
        )
    one = found(bench, matched=(told,), subject=ROLE)
    assert (one.entry.matched, one.changed) == ((told,), ())
    with bench.house.store.transact("delete") as tx:
        for account in (ACCOUNT, INSTALLATION):
            tx.delete_declaration(account, Kind.GUARDRAIL, "no-export")
            tx.delete_declaration(account, Kind.POLICY, "use")
        tx.delete_principal(ROLE)
    assert explained(bench, "r-1").decisions[0].changed == (told,)


def test_a_built_in_policy_and_a_sessions_own_are_what_they_were(bench: ServiceBench) -> None:
    """The first changes with the program only, the second is in the token."""
    text = f"identity-policy {builtin.AUDITOR}@{version(builtin.BUILT_IN[builtin.AUDITOR].text)} Read"
    one = found(bench, matched=(text, f"session-policy #0@{version(TEXT)} #0"))
    assert one.changed == ()


def test_another_accounts_guardrail_is_not_looked_up(bench: ServiceBench) -> None:
    """Whether it has changed is not for this account to know; it counts as changed."""
    text = f"guardrail {OTHER}/theirs@{version(TEXT)} #0"
    assert found(bench, matched=(text,)).changed == (text,)


MINE = (f"key-policy @{version(TEXT)} ours", "grant @ 0123")
THEIRS = (f"identity-policy arn:aws:iam::{OTHER}:user/eve@{version(TEXT)} theirs",)


@pytest.mark.parametrize(
    ("members", "matched", "missing"),
    [
        # Somebody else's principal and this account's key, and the reverse.
        (
            {"account": OTHER, "key": KEY, "missing": "key-policy statement a: b"},
            MINE,
            "key-policy statement a: b",
        ),
        ({"account": OTHER, "key": KEY, "missing": "identity-policy statement a: b"}, MINE, ""),
        (
            {
                "key": KEY.replace(ACCOUNT, OTHER),
                "missing": "no statement of the key-policy is about the action",
            },
            THEIRS,
            "",
        ),
        # A grant is of the key's account.
        (
            {"account": OTHER, "key": KEY, "missing": "grant 0123: encryption context"},
            MINE,
            "grant 0123: encryption context",
        ),
        (
            {"key": KEY.replace(ACCOUNT, OTHER), "missing": "grant 0123: encryption context"},
            THEIRS,
            "",
        ),
        # A role of another account, and one of this.
        ({"subject": ROLE.replace(ACCOUNT, OTHER), "missing": "key-policy statement a: b"}, THEIRS, ""),
        (
            {"subject": ROLE, "missing": "key-policy statement a: b"},
            (*MINE, *THEIRS),
            "key-policy statement a: b",
        ),
    ],
)
def test_each_account_sees_what_its_own_policies_said(
    bench: ServiceBench, members: dict[str, Any], matched: tuple[str, ...], missing: str
) -> None:
    """A caller learns nothing of the key's account's policies, and that one nothing of the caller's."""
    one = found(bench, matched=(*MINE, *THEIRS), **members)
    assert (one.entry.matched, one.entry.missing) == (matched, missing)


def test_what_concerns_other_accounts_only_is_not_found(bench: ServiceBench) -> None:
    """It looks like a decision that never was."""
    entry = Entry(account=OTHER, key=KEY.replace(ACCOUNT, OTHER), request="r-1", v=1)
    bench.do(c.ListKeys())
    log = bench.house.logs["w0"]
    log.append(encode(entry))
    log.commit()
    assert bench.refusal(d.ExplainDecision("r-1")) == bench.refusal(d.ExplainDecision("r-2")).replace(
        "r-2", "r-1"
    )
