"""Entries hold commitments instead of what tells of people, whoever writes them and whatever goes wrong."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from msgspec.structs import replace
from typing_extensions import override

from keystead.core.errors import AccessDenied, StoreUnavailable
from keystead.core.ports import Transaction
from keystead.core.principal import Session, user_arn
from keystead.core.subject import MEMBERS, PREFIX, SOURCE, SOURCE_IDENTITY, commitment
from keystead.service.caller import ANONYMOUS, Caller
from keystead.service.commands import kms as c
from keystead.service.entry import Entry
from keystead.service.gate import STRANGERS_AT_ONCE, UNKEPT_SECONDS
from keystead.service.identities import identify
from keystead.service.subjects import committed, disclose, listed, show
from keystead.service.workingset import NotLoaded
from keystead.store.memory import Memory
from keystead.testing.installation import ACCOUNT, Installation
from keystead.testing.service import ServiceBench

ALICE = "192.0.2.7"
BOB = "192.0.2.8"
BOTH = frozenset(MEMBERS)
SOURCES = frozenset({SOURCE})


class Failing(Memory):
    """A store that takes no changes while ``full``."""

    full = False

    @override
    @contextmanager
    def transact(self, request: str) -> Iterator[Transaction]:
        if self.full:
            raise StoreUnavailable("full")
        with super().transact(request) as tx:
            yield tx


@pytest.fixture
def bench() -> ServiceBench:
    """A gate that writes commitments."""
    return ServiceBench(Installation(Failing()), redactable=BOTH)


def somebody(bench: ServiceBench, source: str = ALICE, who: str = "", auth: str = "internal") -> Caller:
    """The admin, from an address; or a session of the admin's that has a source identity."""
    caller = replace(bench.caller(), source=source, auth=auth)
    if who:
        with bench.house.store.view() as view:
            principal = view.principal(user_arn(ACCOUNT, "admin"))
            assert principal is not None
            session = Session(
                access_key="ASIA",
                arn=principal.arn,
                principal=principal.arn,
                user_id="u",
                issued=0.0,
                expires=bench.house.clock.now() + 3600,
                source_identity=who,
            )
            caller = replace(caller, identity=identify(view, principal, session))
    return caller


def values(bench: ServiceBench) -> dict[str, str]:
    """All that is kept, by commitment."""
    with bench.house.store.view() as view:
        return {each.commitment: each.value for member in MEMBERS for each in listed(view, member)}


def refused(bench: ServiceBench, source: str, *, patient: bool = True) -> Entry:
    """The record of a request from there that was refused at the door."""
    entry = Entry(source=source)
    for _ in range(3):
        try:
            bench.gate.refuse(entry, AccessDenied("no"), patient=patient)
        except NotLoaded as missing:
            bench.gate.working.admit(bench.gate.working.load(missing.wanted))
        else:
            break
    bench.gate.settle(())
    return bench.records[-1]


def test_without_it_entries_hold_values(bench: ServiceBench) -> None:
    """No member is committed to that the configuration does not name."""
    plain = ServiceBench(bench.house, "w1")
    plain.do(c.GenerateRandom(8), somebody(plain, who="alice"))
    plain.do(c.ListKeys(), somebody(plain))
    refused(plain, ALICE)
    half = ServiceBench(bench.house, "w2", redactable=frozenset({SOURCE_IDENTITY}))
    half.do(c.GenerateRandom(8), somebody(half, who="alice"))
    assert {each.source for bench_ in (plain, half) for each in bench_.records} == {ALICE}
    assert plain.records[0].source_identity == "alice"
    assert values(half)[half.records[0].source_identity] == "alice"


def test_every_way_of_asking_leaves_a_commitment(bench: ServiceBench) -> None:
    """Hot, read, changed and refused: equal values have equal commitments, which the store can tell."""
    key = bench.key()
    bench.do(c.Encrypt(key, b"x"), somebody(bench, who="alice"))
    bench.do(c.ListKeys(), somebody(bench, who="alice"))
    bench.do(c.DisableKey(key), somebody(bench, who="alice"))
    assert refused(bench, ALICE).outcome == "AccessDenied"
    written = [entry for entry in bench.records if entry.source]
    assert [entry.stage for entry in written] == ["", "", "intent", "outcome", ""]
    (source,) = {entry.source for entry in written}
    (who,) = {entry.source_identity for entry in written[:-1]}
    assert values(bench) == {source: ALICE, who: "alice"}
    assert source.startswith(PREFIX)


def test_whoever_only_reads_is_introduced_too(bench: ServiceBench) -> None:
    """To ask for something that takes the store is enough."""
    bench.do(c.ListKeys(), somebody(bench, who="alice"))
    kept = values(bench)
    assert (kept[bench.records[-1].source], kept[bench.records[-1].source_identity]) == (ALICE, "alice")


def test_what_is_kept_can_be_checked_and_shown(bench: ServiceBench) -> None:
    """The salt, the member and the value make the commitment; in an entry the value takes its place."""
    bench.do(c.GenerateRandom(8), somebody(bench, who="alice"))
    entry = bench.records[-1]
    with bench.house.store.view() as view:
        disclosed = disclose(view, [*committed(entry), "192.0.2.9", f"{PREFIX}other"])
    assert list(disclosed) == [entry.source, entry.source_identity]
    for name, each in disclosed.items():
        assert commitment(bytes.fromhex(each.salt), each.member, each.value) == name
    show(entry, disclosed)
    assert (entry.source, entry.source_identity) == (ALICE, "alice")
    swapped = Entry(source_identity=next(iter(disclosed)))
    show(swapped, disclosed)
    assert swapped.source_identity.startswith(PREFIX)


def test_a_value_is_durable_before_an_entry_holds_its_commitment(bench: ServiceBench) -> None:
    """The first try makes no entry, the value is in the store then, and the second one makes it."""
    key = bench.key()
    caller = somebody(bench)
    before = len(bench.records)
    with pytest.raises(NotLoaded) as missing:
        bench.gate.handle(caller, c.Encrypt(key, b"x"))
    with pytest.raises(NotLoaded):
        bench.gate.intend(somebody(bench), c.DisableKey(key))
    bench.gate.settle(())
    assert len(bench.records) == before
    loaded = bench.gate.working.load(missing.value.wanted)
    assert list(values(bench).values()) == [ALICE]
    bench.gate.working.admit(loaded)
    bench.do(c.Encrypt(key, b"x"), caller)
    assert values(bench)[bench.records[-1].source] == ALICE


def test_a_crash_before_the_entry_leaves_a_value_that_the_next_process_uses(bench: ServiceBench) -> None:
    """What one process has kept and never used is found by another."""
    with pytest.raises(NotLoaded) as missing:
        bench.gate.introduce(somebody(bench))
    bench.gate.working.load(missing.value.wanted)
    (kept,) = values(bench)
    other = ServiceBench(bench.house, "w1", redactable=BOTH)
    other.do(c.GenerateRandom(8), somebody(other))
    assert other.records[-1].source == kept
    assert list(values(bench)) == [kept]


def test_processes_that_meet_somebody_at_once_agree(bench: ServiceBench) -> None:
    """However many add the same value, it has one commitment, in all their entries."""
    benches = [bench, *(ServiceBench(bench.house, f"w{n}", redactable=BOTH) for n in range(1, 5))]
    wanted = []
    for each in benches:
        with pytest.raises(NotLoaded) as missing:
            each.gate.introduce(somebody(each))
        wanted.append(missing.value.wanted)
    with ThreadPoolExecutor(5) as pool:
        loaded = list(
            pool.map(lambda pair: pair[0].gate.working.load(pair[1]), zip(benches, wanted, strict=True))
        )
    for each, found in zip(benches, loaded, strict=True):
        each.gate.working.admit(found)
        each.do(c.GenerateRandom(8), somebody(each))
    assert {each.records[-1].source for each in benches} == set(values(bench))
    assert len(values(bench)) == 1


def test_whoever_was_not_introduced_leaves_nothing_that_tells_of_it(bench: ServiceBench) -> None:
    """`perform` runs on any thread and asks nobody: it writes commitments that nobody can tell a value by."""
    for redactable in (BOTH, SOURCES, frozenset({SOURCE_IDENTITY})):
        gate = ServiceBench(bench.house, f"w{len(bench.house.logs)}", redactable=redactable).gate
        entry = gate.perform(somebody(bench, who="alice"), c.ListKeys()).entry
        assert (entry.source == ALICE) == (SOURCE not in redactable)
        assert (entry.source_identity == "alice") == (SOURCE_IDENTITY not in redactable)
    nobody = bench.gate.perform(somebody(bench, source=""), c.ListKeys()).entry
    assert (nobody.source, nobody.source_identity) == ("", "")
    assert values(bench) == {}


def test_a_redacted_subject_gets_a_new_commitment(bench: ServiceBench) -> None:
    """In every process, once it has seen the change; another one keeps its own."""
    other = ServiceBench(bench.house, "w1", redactable=BOTH)
    for each in (bench, other):
        each.do(c.GenerateRandom(8), somebody(each))
        each.do(c.GenerateRandom(8), somebody(each, BOB))
    alice, bob = (entry.source for entry in other.records[-2:])
    with bench.house.store.transact("r") as tx:
        tx.erase_subject(alice)
    fresh = set()
    for each in (bench, other):
        each.gate.settle(())
        each.do(c.GenerateRandom(8), somebody(each))
        each.do(c.GenerateRandom(8), somebody(each, BOB))
        fresh.add(each.records[-2].source)
        assert each.records[-1].source == bob
    assert len(fresh) == 1
    assert alice not in fresh


def test_what_was_loaded_before_it_was_redacted_is_not_taken_in(bench: ServiceBench) -> None:
    """Between loading and using it is asked for again, so no entry begins with what is gone already."""
    with pytest.raises(NotLoaded) as missing:
        bench.gate.introduce(somebody(bench))
    loaded = bench.gate.working.load(missing.value.wanted)
    (old,) = values(bench)
    with bench.house.store.transact("r") as tx:
        tx.erase_subject(old)
    bench.gate.settle(())
    bench.gate.working.admit(loaded)
    bench.do(c.GenerateRandom(8), somebody(bench))
    assert [bench.records[-1].source] == list(values(bench)) != [old]


def test_a_store_that_takes_nothing_costs_the_value_and_not_the_request(bench: ServiceBench) -> None:
    """Entries are told apart for a while, then it is tried again."""
    store = bench.house.store
    assert isinstance(store, Failing)
    bench.do(c.GenerateRandom(8), somebody(bench, BOB))
    store.full = True
    for _ in range(2):
        bench.do(c.GenerateRandom(8), somebody(bench))
    (lost,) = {entry.source for entry in bench.records[-2:]}
    assert lost.startswith(PREFIX)
    assert list(values(bench).values()) == [BOB]
    store.full = False
    bench.gate.tend()
    bench.do(c.GenerateRandom(8), somebody(bench))
    assert bench.records[-1].source == lost
    bench.house.clock.time += UNKEPT_SECONDS
    bench.gate.tend()
    bench.do(c.GenerateRandom(8), somebody(bench))
    assert values(bench)[bench.records[-1].source] == ALICE


def test_there_is_room_for_so_many_and_half_of_it_for_strangers() -> None:
    """Beyond it, values are lost and requests are not; strangers leave half of it to those who prove who they are."""
    bench = ServiceBench(redactable=SOURCES, most_subjects=4)
    for number in range(6):
        assert refused(bench, f"198.51.100.{number}").source.startswith(PREFIX)
    assert len(values(bench)) == 2
    for number in range(6):
        bench.do(c.GenerateRandom(8), somebody(bench, f"192.0.2.{number}"))
    assert len(values(bench)) == 4
    assert len({entry.source for entry in bench.records}) == 12


def test_strangers_make_the_store_keep_only_so_many(bench: ServiceBench) -> None:
    """A flood of made-up addresses is on record without them; then one a second is kept again."""
    for number in range(STRANGERS_AT_ONCE + 20):
        refused(bench, f"2001:db8::{number:x}")
    assert len(values(bench)) == STRANGERS_AT_ONCE
    known = refused(bench, "2001:db8::1").source
    assert values(bench)[known] == "2001:db8::1"
    assert refused(bench, "2001:db8::beef").source not in values(bench)
    anonymous = somebody(bench, "2001:db8::cafe", auth=ANONYMOUS)
    bench.do(c.ListKeys(), anonymous)
    assert len(values(bench)) == STRANGERS_AT_ONCE
    bench.house.clock.time += 1
    kept = refused(bench, "2001:db8::beef").source
    assert values(bench)[kept] == "2001:db8::beef"
    bench.do(c.GenerateRandom(8), somebody(bench))
    assert ALICE in values(bench).values()


def test_whoever_cannot_wait_writes_what_it_knows(bench: ServiceBench) -> None:
    """A refusal that cannot be put off has a known commitment or one that nobody can tell a value by."""
    assert refused(bench, ALICE, patient=False).source.startswith(PREFIX)
    assert values(bench) == {}
    assert refused(bench, "", patient=True).source == ""
    kept = refused(bench, ALICE).source
    assert refused(bench, ALICE, patient=False).source == kept


def test_the_working_set_forgets_what_it_has_no_room_for() -> None:
    """It holds a bounded number of commitments, and finds those again that it needs."""
    bench = ServiceBench(redactable=SOURCES)
    bench.gate.working._commitments.limit = 3
    for _ in range(2):
        for number in range(8):
            bench.do(c.GenerateRandom(8), somebody(bench, f"192.0.2.{number}"))
    assert len(values(bench)) == 8
    assert len(bench.gate.working._commitment_of) <= 6
    assert [values(bench)[entry.source] for entry in bench.records] == 2 * [f"192.0.2.{n}" for n in range(8)]


def test_whoever_is_redacted_while_being_introduced_is_as_if_not(
    bench: ServiceBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry holds a commitment that nobody can tell the value by, and the request is answered."""
    monkeypatch.setattr(bench.gate.working, "commitment", lambda _: None)
    answer = bench.gate.ask(somebody(bench), c.ListKeys())
    assert answer.error is None
    assert answer.entry.source.startswith(PREFIX)
    with bench.house.store.view() as view:
        assert view.subject_of(answer.entry.source) is None
