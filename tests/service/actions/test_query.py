"""Accounts ask the audit, and see what concerns them."""

import json
from typing import Any

import pytest
from msgspec.structs import replace
from typing_extensions import override

from keystead.core.errors import QueryUnavailable
from keystead.core.grant import Grant
from keystead.core.names import KeyReference
from keystead.core.policy.actions import ACTIONS as CLASSES
from keystead.core.policy.actions import Class
from keystead.core.principal import root_arn, user_arn
from keystead.core.query import Answered, Question, Row
from keystead.service.action import Mode
from keystead.service.actions import query
from keystead.service.commands import identity as i
from keystead.service.commands import kms as c
from keystead.service.commands import query as q
from keystead.service.records import NoRecords
from keystead.testing.installation import ACCOUNT, REGION
from keystead.testing.service import ServiceBench, key_arn

ALICE = user_arn(ACCOUNT, "alice")


def document(*statements: dict[str, Any]) -> str:
    """A policy of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str, **more: Any) -> dict[str, Any]:
    """A statement that allows an action everywhere."""
    return {"Sid": "May", "Effect": "Allow", "Action": action, "Resource": "*", **more}


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with an admin and a user."""
    bench = ServiceBench()
    bench.house.user("alice", document(allow("kms:Decrypt")))
    return bench


def events(bench: ServiceBench, who: str = "admin", **asked: Any) -> list[str]:
    """The requests that are found, the newest first."""
    found = bench.do(q.QueryAudit(**asked), who).events
    return [event.entry.request for event in found]


def last(bench: ServiceBench) -> str:
    """The newest request."""
    return bench.records[-1].request


def used(bench: ServiceBench, key: KeyReference, who: str = "admin") -> str:
    """A use of a key: its request."""
    sealed = bench.do(c.Encrypt(key, b"x")).blob
    bench.do(c.Decrypt(sealed), who)
    return last(bench)


def test_it_is_a_read_and_may_take_long() -> None:
    """So it holds nobody up, and a policy of reads allows it."""
    assert {action.name for action in query.ACTIONS.values()} == {"keystead:QueryAudit"}
    assert {action.mode for action in query.ACTIONS.values()} == {Mode.SLOW}
    assert CLASSES["keystead:QueryAudit"] is Class.READ


def test_entries_are_found_by_what_they_say(bench: ServiceBench) -> None:
    """The request, who asked, the key by id or alias, and how it ended."""
    key, other = bench.key(), bench.key()
    bench.do(c.CreateAlias("alias/payroll", key))
    request, beside = used(bench, key, "alice"), used(bench, other)
    assert events(bench, request=request) == [request]
    assert events(bench, principal=ALICE) == [request]
    for named in (
        key,
        KeyReference("alias/payroll", is_alias=True),
        KeyReference(key.name, False, ACCOUNT, REGION),
    ):
        assert request in events(bench, key=named, action="kms:Decrypt")
        assert beside not in events(bench, key=named)
    assert events(bench, action="kms:Decrypt", outcome="Success", oldest_first=True) == [request, beside]
    event = bench.do(q.QueryAudit(request=request)).events[0]
    assert event.event == f"keystead-test/w0/{bench.records.index(event.entry)}"


def test_counts_say_who_used_a_key(bench: ServiceBench) -> None:
    """With how many, since when and until when."""
    key = bench.key()
    for _ in range(3):
        used(bench, key, "alice")
    told = bench.do(q.QueryAudit(key=key, uses=True, by=("principal", "action", "action")))
    assert told.by == ("principal", "action")
    assert {(count.by, count.count) for count in told.counts} == {
        ((user_arn(ACCOUNT, "admin"), "kms:Encrypt"), 3),
        ((ALICE, "kms:Decrypt"), 3),
    }
    assert not told.more
    assert bench.do(q.QueryAudit(key=key, uses=True, by=("principal",), limit=1)).more


def test_a_key_that_is_gone_is_asked_about_by_its_id(bench: ServiceBench) -> None:
    """The audit outlives it; an alias does not."""
    gone = KeyReference("00000000-0000-0000-0000-000000000000")
    assert events(bench, key=gone) == []
    assert "Alias" in bench.refusal(q.QueryAudit(key=KeyReference("alias/nobody", is_alias=True)))
    far = KeyReference("alias/nobody", is_alias=True, account="444455556666", region=REGION)
    assert "name the key by its ARN" in bench.refusal(q.QueryAudit(key=far))


def test_pages_go_on_where_the_last_one_ended(bench: ServiceBench) -> None:
    """By a marker that nobody can make, and that another account's list does not take."""
    key = bench.key()
    for _ in range(4):
        used(bench, key)
    whole = events(bench, key=key)
    first = bench.do(q.QueryAudit(key=key, limit=5))
    rest = bench.do(q.QueryAudit(key=key, limit=500, marker=first.marker))
    assert [event.entry.request for event in (*first.events, *rest.events)] == whole
    assert rest.marker == ""
    assert "InvalidMarker" in bench.refusal(q.QueryAudit(marker="AAAA"))
    assert "InvalidMarker" in bench.refusal(q.QueryAudit(marker=forged(bench)))


def forged(bench: ServiceBench) -> str:
    """A marker of this list that says nothing it could go on after."""
    made: list[str] = []
    with bench.house.store.view() as tx:
        desk = bench.gate._desk(bench.caller(), tx, bench.gate._entry(bench.caller(), "keystead:QueryAudit"))
        made.append(desk.make_marker("audit", "yesterday"))
    return made[0]


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"limit": 0}, "limit is from 1 to 1000"),
        ({"limit": 1001}, "limit is from 1 to 1000"),
        ({"context": "tenant=acme"}, "64 hexadecimal digits"),
        ({"by": ("colour",)}, "not by colour"),
        ({"version": 3}, "name the key"),
        ({"source": "10.0.0.0/99"}, "an address, or a network"),
        ({"since": 2, "until": 1}, "ends before it begins"),
        ({"since": 2, "until": 2}, "until must be after since"),
    ],
)
def test_what_makes_no_sense_is_refused(bench: ServiceBench, asked: dict[str, Any], problem: str) -> None:
    """With what would."""
    assert problem in bench.refusal(q.QueryAudit(**asked))


def test_a_time_that_ends_before_it_begins_is_refused_for_what_somebody_did(bench: ServiceBench) -> None:
    """An end without a beginning is none of those."""
    assert "InvalidRequest" in bench.refusal(q.AuditReach(principal=ALICE, since=2, until=1))
    assert bench.do(q.AuditReach(principal=ALICE, until=1)).did == []
    assert events(bench, until=1) == []


def test_a_request_is_found_by_what_its_client_calls_it(bench: ServiceBench) -> None:
    """By those whom it concerns."""
    key = bench.key()
    bench.do(c.DescribeKey(key), replace(bench.caller(), client_request="order-7"))
    request = last(bench)
    assert bench.records[-1].client_request == "order-7"
    assert events(bench, request="order-7") == events(bench, request=request) == [request]
    _, other = other_account(bench)
    assert events(bench, other, request="order-7") == []


def test_who_may_not_ask_learns_nothing(bench: ServiceBench) -> None:
    """And that it asked is on record, with what."""
    assert "AccessDenied" in bench.refusal(q.QueryAudit(principal=ALICE, by=("key", "hour")), "alice")
    record = bench.records[-1]
    assert (record.action, record.subject) == ("keystead:QueryAudit", f"principal={ALICE} by=key,hour")
    assert "AccessDenied" in bench.refusal(q.AuditReach(principal=ALICE), "alice")
    assert bench.records[-1].subject == ALICE


def test_what_is_asked_is_on_record_within_bounds(bench: ServiceBench) -> None:
    """However long it is."""
    key = bench.key()
    bench.do(q.QueryAudit(key=key, principal="x" * 2000))
    assert bench.records[-1].subject == f"key={key.name} principal={'x' * 2000}"[:500]


def test_an_account_counts_by_account_what_concerns_it(bench: ServiceBench) -> None:
    """Others that used its keys among them, and nothing of what those do among themselves."""
    account, admin = other_account(bench)
    theirs = bench.do(c.CreateKey(), admin).key
    shared = KeyReference(theirs.id, account=account, region=REGION)
    bench.do(c.PutKeyPolicy(shared, document(allow("kms:*", Principal={"AWS": [account, ACCOUNT]}))), admin)
    bench.do(c.Encrypt(shared, b"x"))
    bench.do(c.Encrypt(shared, b"x"), admin)
    used(bench, bench.key())

    def uses(who: str, **asked: Any) -> dict[str, int]:
        counts = bench.do(q.QueryAudit(uses=True, by=("account",), **asked), who).counts
        return {count.by[0]: count.count for count in counts}

    assert uses(admin) == {account: 1, ACCOUNT: 1}
    assert uses("admin") == {ACCOUNT: 3}
    assert uses("admin", everything=True) == {ACCOUNT: 3, account: 1}
    assert "AccessDenied" in bench.refusal(q.QueryAudit(everything=True, by=("account",)), admin)


# --- accounts ------------------------------------------------------------------------------------------------


def other_account(bench: ServiceBench) -> tuple[str, str]:
    """Another account: its id and its administrator's ARN."""
    made = bench.do(i.CreateAccount("other"))
    return made.account.id, made.administrator.arn


def test_an_account_sees_what_concerns_it(bench: ServiceBench) -> None:
    """Its principals' requests and those for its keys; the first account may see everything, and nobody else."""
    account, admin = other_account(bench)
    key = bench.key()
    mine = used(bench, key)
    bench.do(
        c.PutKeyPolicy(
            key,
            document(
                allow("kms:*", Principal={"AWS": ACCOUNT}),
                allow("kms:Encrypt", Principal={"AWS": root_arn(account)}, Sid="Others"),
            ),
        )
    )
    reference = KeyReference(key.name, account=ACCOUNT, region=REGION)
    bench.do(c.Encrypt(reference, b"x"), admin)
    theirs = last(bench)
    assert mine in events(bench, limit=1000)
    assert theirs in events(bench, limit=1000)
    assert events(bench, admin, action="kms:Encrypt") == [theirs]
    assert mine not in events(bench, admin, limit=1000)
    assert "AccessDenied" in bench.refusal(q.QueryAudit(everything=True), admin)
    seen = bench.do(q.QueryAudit(everything=True, limit=1000)).events
    assert {event.entry.account for event in seen} >= {ACCOUNT, account}


def test_of_a_decision_an_account_sees_what_its_own_policies_said(bench: ServiceBench) -> None:
    """As when it has the decision explained."""
    account, admin = other_account(bench)
    key = bench.key()
    policy = document(
        allow("kms:*", Principal={"AWS": ACCOUNT}),
        allow("kms:Encrypt", Principal={"AWS": root_arn(account)}, Sid="Others"),
    )
    bench.do(c.PutKeyPolicy(key, policy))
    bench.do(c.Encrypt(KeyReference(key.name, account=ACCOUNT, region=REGION), b"x"), admin)
    request = last(bench)
    (ours,) = bench.do(q.QueryAudit(request=request)).events
    (theirs,) = bench.do(q.QueryAudit(request=request), admin).events
    (whole,) = bench.do(q.QueryAudit(request=request, everything=True)).events
    assert [text.split(" ")[0] for text in ours.entry.matched] == ["key-policy"]
    assert [text.split(" ")[0] for text in theirs.entry.matched] == ["identity-policy"]
    assert len(whole.entry.matched) == 2


# --- reach ---------------------------------------------------------------------------------------------------


def could(bench: ServiceBench, principal: str = ALICE) -> list[tuple[str, str, str, str]]:
    """What somebody could open."""
    told = bench.do(q.AuditReach(principal=principal))
    return [(each.key, each.action, each.by, each.condition) for each in told.could]


def test_what_somebody_did_open_is_told_by_key_and_version(bench: ServiceBench) -> None:
    """The source of a re-encryption was opened too; what only sealed was not."""
    bench.house.user("bob", document(allow("kms:*")))
    bob = user_arn(ACCOUNT, "bob")
    key, other = bench.key(), bench.key()
    sealed = bench.do(c.Encrypt(key, b"x"), "bob").blob
    bench.do(c.Decrypt(sealed), "bob")
    bench.do(c.RotateKeyOnDemand(key))
    bench.do(c.Decrypt(bench.do(c.Encrypt(key, b"x"), "bob").blob), "bob")
    bench.do(c.ReEncrypt(sealed, other), "bob")
    told = bench.do(q.AuditReach(principal=bob))
    assert {(count.by, count.count) for count in told.did} >= {
        ((key_arn(key), "1", "kms:Decrypt"), 1),
        ((key_arn(key), "2", "kms:Decrypt"), 1),
        ((key_arn(key), "1", "kms:ReEncrypt"), 1),
    }
    assert (told.more, told.missing, told.keys) == (False, "", 2)
    assert bench.do(q.AuditReach(principal=bob, since=int(bench.house.clock.now() * 1e6) + 1)).did == []
    assert bench.do(q.AuditReach(principal=bob, limit=1)).more


def test_what_somebody_could_open_is_decided_by_what_holds_now(bench: ServiceBench) -> None:
    """By a policy, with a condition, by a grant, or not at all."""
    key = bench.key()
    arn = key_arn(key)
    assert could(bench) == [(arn, "kms:Decrypt", "identity-policy", "")]
    condition = {"StringEquals": {"kms:EncryptionContext:tenant": "acme"}}
    bench.do(i.PutPrincipalPolicy("alice", document(allow("kms:Decrypt", Condition=condition))))
    told = "identity-policy statement May: StringEquals kms:EncryptionContext:tenant"
    assert could(bench) == [(arn, "kms:Decrypt", "condition", told)]
    bench.do(i.PutPrincipalPolicy("alice", document(allow("kms:Encrypt"))))
    assert could(bench) == []
    bound = bench.do(
        c.CreateGrant(key, grantee=ALICE, operations=("Decrypt",), context_subset={"tenant": "acme"})
    ).grant_id
    assert could(bench) == [(arn, "kms:Decrypt", "grant", f"grant {bound}: an encryption context")]
    bench.do(c.CreateGrant(key, grantee=ALICE, operations=("Decrypt",)))
    assert could(bench) == [(arn, "kms:Decrypt", "grant", "")]
    deny = {**allow("kms:*"), "Effect": "Deny"}
    bench.do(i.PutPrincipalPolicy("alice", document(deny)))
    assert could(bench) == []


def test_what_the_account_was_granted_is_opened_by_whom_its_policies_let(bench: ServiceBench) -> None:
    """A grant to the account's root gives nothing to those whose own policies do not allow the action."""
    root = root_arn(ACCOUNT)
    only_admin = {**allow("kms:*"), "Principal": {"AWS": user_arn(ACCOUNT, "admin")}}
    key = bench.key(c.CreateKey(policy=document(only_admin)))
    arn = key_arn(key)
    granted = bench.do(c.CreateGrant(key, grantee=root, operations=("Decrypt",))).grant_id
    assert could(bench) == [(arn, "kms:Decrypt", "grant", "")]
    condition = {"StringEquals": {"kms:EncryptionContext:tenant": "acme"}}
    bench.do(i.PutPrincipalPolicy("alice", document(allow("kms:Decrypt", Condition=condition))))
    told = "identity-policy statement May: StringEquals kms:EncryptionContext:tenant"
    assert could(bench) == [(arn, "kms:Decrypt", "condition", told)]
    bench.do(i.PutPrincipalPolicy("alice", document(allow("kms:Encrypt"))))
    assert could(bench) == []
    mine = bench.do(
        c.CreateGrant(key, grantee=ALICE, operations=("Decrypt",), context_equals={"tenant": "acme"})
    ).grant_id
    assert could(bench) == [(arn, "kms:Decrypt", "grant", f"grant {mine}: an encryption context")]
    bench.do(i.PutPrincipalPolicy("alice", document(allow("kms:Decrypt"))))
    assert could(bench) == [(arn, "kms:Decrypt", "grant", "")]
    bench.do(c.RevokeGrant(key, granted))
    assert could(bench) == [(arn, "kms:Decrypt", "grant", f"grant {mine}: an encryption context")]


def test_all_grants_that_count_are_looked_at(bench: ServiceBench) -> None:
    """The last of many as well: it allows as much as the first."""
    bench.do(i.PutPrincipalPolicy("alice", document(allow("kms:Encrypt"))))
    key = bench.key()
    with bench.house.store.transact("many") as tx:
        for number in range(200):
            tx.put_grant(
                Grant(
                    id=f"{number:064x}",
                    region=REGION,
                    key_id=key.name,
                    grantee=ALICE,
                    operations=("Decrypt" if number == 199 else "Encrypt",),
                    issuer=root_arn(ACCOUNT),
                    created=1.0,
                )
            )
    assert could(bench) == [(key_arn(key), "kms:Decrypt", "grant", "")]


def test_each_key_is_opened_by_what_its_usage_allows(bench: ServiceBench) -> None:
    """A key for signatures opens nothing."""
    bench.key(c.CreateKey(spec="ECC_NIST_P256", usage="SIGN_VERIFY"))
    agreeing = bench.key(c.CreateKey(spec="ECC_NIST_P256", usage="KEY_AGREEMENT"))
    bench.do(i.PutPrincipalPolicy("alice", document(allow("kms:*"))))
    assert could(bench) == [(key_arn(agreeing), "kms:DeriveSharedSecret", "identity-policy", "")]


def test_who_is_disabled_could_open_nothing(bench: ServiceBench) -> None:
    """Whatever its policies say."""
    bench.key()
    bench.do(i.UpdatePrincipal("alice", enabled=False))
    assert could(bench) == []


def test_only_so_many_keys_are_looked_at(bench: ServiceBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it says that there are more."""
    monkeypatch.setattr(query, "MOST_KEYS", 2)
    for _ in range(3):
        bench.key()
    told = bench.do(q.AuditReach(principal=ALICE))
    assert (len(told.could), told.keys, told.missing) == (2, 2, "only 2 keys were looked at")


def test_another_accounts_principal_is_not_there(bench: ServiceBench) -> None:
    """As one that never was."""
    _, admin = other_account(bench)
    for arn in (admin, user_arn(ACCOUNT, "nobody")):
        assert "NotFound" in bench.refusal(q.AuditReach(principal=arn))


# --- where nobody answers ------------------------------------------------------------------------------------


def test_a_worker_answers_no_question() -> None:
    """The reader belongs to the control process."""
    with pytest.raises(QueryUnavailable, match="by the control plane"):
        NoRecords().ask(Question(), 1.0)


def test_what_a_reader_did_not_search_is_told(bench: ServiceBench) -> None:
    """Whoever asked must know that there may be more."""

    class Partial(NoRecords):
        @override
        def ask(self, question: Question, seconds: float) -> Answered:
            return Answered(origin="o", rows=(Row(log="w0", index=1, entry={"time": 3}),), missing="the rest")

    bench.gate._records = Partial()
    told = bench.do(q.QueryAudit(everything=True))
    assert told.missing == "the rest"
    assert [event.event for event in told.events] == ["o/w0/1"]
    assert bench.do(q.AuditReach(principal=ALICE)).missing == "the rest"
