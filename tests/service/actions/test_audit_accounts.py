"""An account's own part of the audit: complete, provable, and nothing of anybody else's."""

import json

import pytest

from keystead.audit.accounts import leaf_of, read_head
from keystead.core.errors import QueryUnavailable
from keystead.core.ledger import Removable, Row
from keystead.core.names import KeyReference
from keystead.core.policy import builtin
from keystead.core.policy.actions import ACTIONS as CLASSES
from keystead.core.policy.actions import Class
from keystead.core.principal import root_arn, user_arn
from keystead.core.retention import Hold
from keystead.crypto.merkle import Frontier, verify_consistency
from keystead.service import unattended
from keystead.service.actions import audit_accounts, retention
from keystead.service.commands import identity as i
from keystead.service.commands import kms
from keystead.service.commands import ledger as c
from keystead.testing.installation import ACCOUNT
from keystead.testing.service import ServiceBench


@pytest.fixture
def bench() -> ServiceBench:
    """A gate with an account of its own, beside which there is another one."""
    return ServiceBench()


def other(bench: ServiceBench) -> str:
    """A second account; its administrator."""
    account: str = bench.do(i.CreateAccount("other")).account.id
    return user_arn(account, "admin")


def signed(bench: ServiceBench) -> None:
    """Have a checkpoint made, and the trees brought up to it."""
    bench.house.audit.later()
    bench.gate.tend()
    bench.house.trees.update()


def fetched(bench: ServiceBench, who: str = "admin") -> list[Row]:
    """What an account is given, once it leads to its head."""
    told = bench.do(c.ListAccountHeads(), who)
    (section,) = told.sections
    name = f"{bench.house.audit.signer.name}/w0/account/{told.account}"
    head = read_head(section.head, bench.house.audit.signer.verifier.named(name))
    rows: list[Row] = []
    while len(rows) < head.entries:
        rows += bench.do(c.ListAccountEntries("w0", len(rows), 3), who).rows
    tree = Frontier()
    for row in rows[: head.entries]:
        assert row.seen is not None
        tree.append(leaf_of(row.record, row.seen))
    assert tree.root() == head.root
    return rows[: head.entries]


def test_an_account_gets_all_of_its_own_and_nothing_of_others(bench: ServiceBench) -> None:
    """Two accounts that have nothing to do with each other do not find each other's identifiers."""
    admin = other(bench)
    account = admin.split(":")[4]
    bench.house.trees.update()
    key = bench.key()
    bench.do(kms.Encrypt(key, b"x"))
    own = bench.do(kms.CreateKey(), admin).key
    signed(bench)
    mine = b"".join(row.seen or b"" for row in fetched(bench, admin))
    signed(bench)
    theirs = [row.seen or b"" for row in fetched(bench)]
    assert own.id.encode() in mine
    for secret in (ACCOUNT, key.name, bench.house.admin[0]):
        assert secret.encode() not in mine
    assert own.id.encode() not in b"".join(theirs)
    assert account.encode() not in b"".join(each for each in theirs if b"CreateAccount" not in each)


def test_both_accounts_of_a_request_have_it_as_far_as_they_may_see(bench: ServiceBench) -> None:
    """Who asks for another account's key has the entry, and so has the key's; each with its own policies' part."""
    admin = other(bench)
    account = admin.split(":")[4]
    policy = json.dumps(
        {
            "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": root_arn(whose)}, "Action": action, "Resource": "*"}
                for whose, action in ((ACCOUNT, "kms:*"), (account, "kms:Encrypt"))
            ]
        }
    )
    key = bench.key(kms.CreateKey(policy=policy))
    reference = bench.do(kms.DescribeKey(key)).key.arn
    bench.do(kms.Encrypt(KeyReference(key.name, account=ACCOUNT, region="eu-central-1"), b"x"), admin)
    signed(bench)
    (asked,) = [row.seen or b"" for row in fetched(bench, admin) if b"kms:Encrypt" in (row.seen or b"")]
    (owned,) = [row.seen or b"" for row in fetched(bench) if b'"action":"kms:Encrypt"' in (row.seen or b"")]
    assert reference.encode() in asked
    assert reference.encode() in owned
    assert b"key-policy" not in asked.partition(b'"matched":[')[2].partition(b"]")[0]
    assert b"identity-policy" not in owned.partition(b'"matched":[')[2].partition(b"]")[0]


def test_a_head_leads_on_from_one_that_was_kept(bench: ServiceBench) -> None:
    """Asked with what it had before, an account gets the proof that it has not become another list."""
    bench.key()
    signed(bench)
    (old,) = bench.do(c.ListAccountHeads()).sections
    bench.key()
    signed(bench)
    (new,) = bench.do(c.ListAccountHeads((("w0", old.entries),))).sections
    verifier = bench.house.audit.signer.verifier.named(f"keystead-test/w0/account/{ACCOUNT}")
    first, second = read_head(old.head, verifier), read_head(new.head, verifier)
    assert first.entries < second.entries
    verify_consistency(first.entries, second.entries, new.since, first.root, second.root)
    assert bench.refusal(c.ListAccountHeads((("w0", 10_000),))).startswith("InvalidRequest: The log w0 has")


@pytest.mark.parametrize(("first", "limit"), [(-1, 10), (0, 0), (0, 1001)])
def test_pages_have_bounds(bench: ServiceBench, first: int, limit: int) -> None:
    """A page begins in the list and has from one to a thousand entries."""
    assert "limit from 1 to 1000" in bench.refusal(c.ListAccountEntries("w0", first, limit))


def test_to_read_the_audit_is_itself_on_record(bench: ServiceBench) -> None:
    """Who reads, and what, is the next entry; a refusal too."""
    bench.house.user("mallory")
    bench.do(c.ListAccountEntries("w0", 5, 7))
    assert (bench.records[-1].action, bench.records[-1].subject) == (
        "keystead:ListAccountEntries",
        f"{ACCOUNT} w0 5",
    )
    assert bench.refusal(c.ListAccountHeads(), "mallory").startswith("AccessDenied")
    assert (bench.records[-1].action, bench.records[-1].decision) == ("keystead:ListAccountHeads", "Deny")


READING = [
    command
    for command, action in {**audit_accounts.ACTIONS, **retention.ACTIONS}.items()
    if CLASSES[action.name] is Class.READ
]


def test_the_auditors_policy_covers_the_reading_actions_and_no_other(bench: ServiceBench) -> None:
    """Whoever has the built-in policy reads all of the account's audit, and neither holds nor removes any of it."""
    bench.house.user("auditor")
    bench.do(i.UpdatePrincipal("auditor", attached=(builtin.AUDITOR,)))
    for command in READING:
        bench.do(command(**({"log": "w0"} if command is c.ListAccountEntries else {})), "auditor")
    assert len(READING) == 4
    for refused in (c.PutLegalHold("h", "why"), c.LiftLegalHold("h", "why"), c.PruneAudit()):
        assert bench.refusal(refused, "auditor").startswith("AccessDenied")


def test_where_nobody_attends_to_it_nothing_is_answered() -> None:
    """A worker's gate says who answers instead."""
    logs, removal = unattended.NoAccountLogs(), unattended.NoRetention()
    hold = Hold("h", ACCOUNT, "", "why", 0.0, "arn")
    for ask in (
        lambda: logs.sections(ACCOUNT, {}),
        lambda: logs.rows("w0", ACCOUNT, 0, 1),
        lambda: removal.removable([hold], 0.0),
        lambda: removal.remove(Removable({}, more=False)),
    ):
        with pytest.raises(QueryUnavailable, match="answered by the control plane"):
            ask()
