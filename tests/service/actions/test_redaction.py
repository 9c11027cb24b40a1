"""Redacting a subject, and what is shown of commitments before and after."""

import pytest
from msgspec.structs import replace

from keystead.audit import proof
from keystead.core.principal import Account, Principal, user_arn
from keystead.core.subject import MEMBERS, SOURCE, SOURCE_IDENTITY, commitment
from keystead.service.actions import query
from keystead.service.commands import kms
from keystead.service.commands import ledger as c
from keystead.service.commands.decisions import ExplainDecision
from keystead.service.commands.proofs import ProveEvent
from keystead.service.commands.query import QueryAudit
from keystead.testing.installation import ACCOUNT, EVERYTHING
from keystead.testing.service import ServiceBench

ALICE, BOB = "192.0.2.7", "192.0.2.8"
REASON = "request of 2026-03-01"


@pytest.fixture
def bench() -> ServiceBench:
    """The control process's gate, which writes commitments, after a use from each of two addresses."""
    bench = ServiceBench(slot="control", redactable=frozenset(MEMBERS))
    for source in (ALICE, BOB):
        use(bench, source)
    return bench


def use(bench: ServiceBench, source: str) -> str:
    """Something is asked from an address; the request's id."""
    caller = replace(bench.caller(), source=source)
    bench.do(kms.GenerateRandom(8), caller)
    return caller.request


def asked(bench: ServiceBench, source: str) -> list[str]:
    """What the sources are of the entries that a source is asked about."""
    found = bench.do(QueryAudit(source=source))
    return [event.entry.source for event in found.events]


def redact(
    bench: ServiceBench, value: str = ALICE, member: str = SOURCE, *, despite_holds: bool = False
) -> str:
    """The commitment that is nobody's any more."""
    return str(bench.do(c.RedactSubject(member, value, REASON, despite_holds)).commitment)


def test_a_value_is_gone_and_the_record_says_what_stood_for_it(bench: ServiceBench) -> None:
    """The entries name the commitment and the reason; the value is in none of them."""
    (old,) = {entry.source for entry in bench.records[:1]}
    assert redact(bench) == old
    intent, outcome = bench.records[-2:]
    assert (intent.stage, intent.subject) == ("intent", "")
    assert (outcome.subject, outcome.detail, outcome.outcome) == (f"source {old}", REASON, "Success")
    assert bench.refusal(c.RedactSubject(SOURCE, ALICE, REASON)).startswith("NotFound")
    assert ALICE not in str(bench.records)
    use(bench, ALICE)
    assert bench.records[-1].source != old
    assert redact(bench, BOB) == bench.records[1].source


def test_a_source_identity_is_redacted_like_an_address(bench: ServiceBench) -> None:
    """By the same command, as the other member."""
    wanted = bench.gate.working
    with bench.house.store.view() as view:
        assert view.subjects(SOURCE_IDENTITY, "", 9) == []
    bench.gate._subjects.keep(((SOURCE_IDENTITY, "alice"),))
    assert redact(bench, "alice", SOURCE_IDENTITY).startswith("sha256:")
    assert wanted.commitment((SOURCE_IDENTITY, "alice")) is None


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (c.RedactSubject("principal", ALICE, REASON), "InvalidRequest"),
        (c.RedactSubject(SOURCE, "", REASON), "InvalidRequest"),
        (c.RedactSubject(SOURCE, ALICE, " "), "InvalidRequest"),
        (c.RedactSubject(SOURCE, ALICE, f"{ALICE} asked for it"), "InvalidRequest"),
        (c.RedactSubject(SOURCE, "192.0.2.9", REASON), "NotFound"),
        (c.RedactSubject(SOURCE_IDENTITY, ALICE, REASON), "NotFound"),
    ],
)
def test_what_cannot_be_redacted_is_refused(
    bench: ServiceBench, command: c.RedactSubject, refusal: str
) -> None:
    """Members that hold no commitments, values that are not there, and reasons that would keep the value."""
    assert bench.refusal(command).startswith(refusal)
    assert asked(bench, ALICE) == [ALICE]
    assert ALICE not in str(bench.records)


def test_only_the_first_account_redacts(bench: ServiceBench) -> None:
    """A subject may be in the entries of all accounts."""
    other = "444455556666"
    arn = user_arn(other, "root")
    wrapped = bench.house.custodian.enroll(other)
    with bench.house.store.transact("r") as tx:
        tx.put_account(Account(id=other, name="other", created=0.0))
        tx.put_account_key(other, wrapped)
        tx.put_principal(Principal(arn=arn, account=other, name="root", created=0.0, policy=EVERYTHING))
    assert bench.refusal(c.RedactSubject(SOURCE, ALICE, REASON), arn).startswith("AccessDenied")
    bench.house.user("bob")
    assert bench.refusal(c.RedactSubject(SOURCE, ALICE, REASON), "bob").startswith("AccessDenied")
    assert asked(bench, ALICE) == [ALICE]


def test_a_dry_run_redacts_nothing(bench: ServiceBench) -> None:
    """All is checked, and stays."""
    caller = replace(bench.caller(), dry_run=True)
    assert bench.refusal(c.RedactSubject(SOURCE, ALICE, REASON), caller).startswith("DryRun")
    assert asked(bench, ALICE) == [ALICE]


def test_legal_holds_are_not_passed_over_in_silence(bench: ServiceBench) -> None:
    """With one in force, nothing is redacted unless it is said that the holds do not count."""
    bench.do(c.PutLegalHold("case-7", "an order"))
    assert bench.refusal(c.RedactSubject(SOURCE, ALICE, REASON)).startswith("HeldBack")
    assert asked(bench, ALICE) == [ALICE]
    redact(bench, despite_holds=True)
    assert asked(bench, ALICE) == []


def test_answers_have_values_and_say_what_they_stand_for(bench: ServiceBench) -> None:
    """Unless the entries are wanted as they were written; who checks can see that both are the same."""
    found = bench.do(QueryAudit(source=ALICE))
    written = bench.do(QueryAudit(source=ALICE, as_written=True))
    (event,), (raw,) = found.events, written.events
    assert event.entry.source == ALICE
    assert replace(event.entry, source=raw.entry.source) == raw.entry
    (disclosed,) = (found.disclosed[raw.entry.source],)
    assert commitment(bytes.fromhex(disclosed.salt), disclosed.member, disclosed.value) == raw.entry.source
    redact(bench)
    later = bench.do(QueryAudit(action="kms:GenerateRandom", oldest_first=True))
    assert [each.entry.source for each in later.events] == [raw.entry.source, BOB]
    assert list(later.disclosed) == [bench.records[1].source]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (ALICE, [ALICE]),
        (f"{ALICE}/32", [ALICE]),
        ("192.0.2.0/24", [BOB, ALICE]),
        ("192.0.2.8/29", [BOB]),
        ("::/0", []),
        ("198.51.100.0/24", []),
    ],
)
def test_addresses_and_networks_are_asked_about_as_before(
    bench: ServiceBench, source: str, found: list[str]
) -> None:
    """Also of entries that were written before there were commitments, and where a source is no address."""
    bench.gate._subjects.keep(((SOURCE, "unix:"),))
    assert asked(bench, source) == found
    plain = ServiceBench(bench.house, "w0")
    use(plain, ALICE)
    assert sorted(asked(bench, source)) == sorted([*found, *([ALICE] if ALICE in found else [])])


def test_what_is_asked_about_is_on_record_without_the_address(bench: ServiceBench) -> None:
    """Of one address its commitment, if there is one; a network is nobody's; nonsense is not repeated."""
    for source, told in (
        (ALICE, f"source={bench.records[0].source}"),
        ("192.0.2.9", "source=?"),
        ("192.0.2.9/24", "source=192.0.2.0/24"),
    ):
        asked(bench, source)
        assert bench.records[-1].subject == told
    assert bench.refusal(QueryAudit(source="alice's")).startswith("InvalidRequest")
    assert bench.records[-1].subject == "source=?"
    plain = ServiceBench(bench.house, "w0")
    asked(plain, ALICE)
    assert plain.records[-1].subject == f"source={ALICE}"


def test_a_network_of_too_many_addresses_is_refused(
    bench: ServiceBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or, where looking at all that are kept would take too long, the answer says that there may be more."""
    monkeypatch.setattr(query, "MOST_SOURCES", 1)
    assert bench.refusal(QueryAudit(source="192.0.2.0/24")).startswith("InvalidRequest")
    monkeypatch.setattr(query, "MOST_LOOKED_AT", 1)
    found = bench.do(QueryAudit(source="192.0.2.0/24"))
    assert len(found.events) == 1
    assert "only 1 of the addresses" in found.missing


def test_decisions_are_explained_with_values(bench: ServiceBench) -> None:
    """As long as there are any."""
    request = use(bench, ALICE)
    assert bench.do(ExplainDecision(request)).decisions[0].entry.source == ALICE
    redact(bench)
    assert bench.do(ExplainDecision(request)).decisions[0].entry.source.startswith("sha256:")


def test_proofs_hold_before_and_after(bench: ServiceBench) -> None:
    """A proof has the bytes that were written, and what they are committed to beside it, until that is redacted."""
    request = use(bench, ALICE)
    kept = bench.house.audit.signer
    bench.house.audit.later()
    bench.gate.tend()
    before = bench.do(ProveEvent(request))
    ((name, disclosed),) = before.disclosed.items()
    assert disclosed.value == ALICE
    redact(bench)
    bench.house.audit.later()
    bench.gate.tend()
    after = bench.do(ProveEvent(request))
    assert after.disclosed == {}
    one, other = (proof.check(told.proofs[0].encode(), kept.vkey).entry for told in (before, after))
    assert one == other
    assert one is not None
    assert f'"source":"{name}"'.encode() in one
    assert bench.house.audit.verify().records == len(bench.records)


def test_an_account_gets_values_beside_its_entries(bench: ServiceBench) -> None:
    """The entries stand as they were written, because their hashes lead to the account's head."""
    bench.house.audit.later()
    bench.gate.tend()
    bench.house.trees.update()
    (section,) = bench.do(c.ListAccountHeads()).sections
    told = bench.do(c.ListAccountEntries(section.log, 0, section.entries))
    assert {each.value for each in told.disclosed.values()} == {ALICE, BOB}
    assert all(ALICE.encode() not in row.seen for row in told.rows)
    redact(bench)
    later = bench.do(c.ListAccountEntries(section.log, 0, section.entries))
    assert later.rows == told.rows
    assert {each.value for each in later.disclosed.values()} == {BOB}
    assert bench.do(c.ListAccountHeads()).account == ACCOUNT
