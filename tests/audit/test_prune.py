"""Removing what is over its time: what may go, what is left, and that it is all accounted for."""

from pathlib import Path

import pytest
from typing_extensions import override

from keystead.audit import prune
from keystead.audit.accounts import AccountTrees, check
from keystead.audit.damage import Damaged
from keystead.audit.follow import Follower
from keystead.audit.log import Log
from keystead.audit.proof import NoSuchEvent, prove
from keystead.audit.prune import NOTHING, Pruned
from keystead.audit.reading import entries
from keystead.audit.retention import Pruner
from keystead.audit.search import Search
from keystead.audit.usage import BookError, Index, Usages
from keystead.audit.verify import verify
from keystead.core.disk import Disk
from keystead.core.errors import AuditDamaged, AuditUnavailable, DataDamaged
from keystead.core.ledger import Removable
from keystead.core.ports import Found, Used
from keystead.core.retention import DAY, Durations, Hold, Kept
from keystead.testing.audit import AuditBench
from keystead.testing.usage import MemoryBooks

A, B = "111111111111", "222222222222"
USES = Durations({Kept.USES: 30, Kept.CHANGES: 365})


def aged(entry: bytes) -> tuple[int, Kept, tuple[str, ...]]:
    """Of a test's entry ``seconds account kept text``."""
    time, account, kept, *_ = entry.decode().split(" ")
    return int(float(time) * 1e6), Kept(kept), (account, f"key-of-{account}")


def seen(entry: bytes) -> list[tuple[str, bytes]]:
    """An entry concerns its account, which sees all of it."""
    return [(entry.decode().split(" ")[1], entry)]


def find(entry: bytes) -> list[Used]:
    """What an entry tells of: a use of its account's key."""
    if not entry:
        return []
    time, account, *_ = entry.decode().split(" ")
    return [((f"key-of-{account}", 1, account, "", "use"), int(float(time) * 1e6), "r", "")]


def moment(entry: bytes) -> float:
    """When it was made."""
    return float(entry.split(b" ")[0])


class Bench(AuditBench):
    """A log whose entries have times, accounts and classes."""

    def __init__(self, durations: Durations = USES) -> None:
        super().__init__(segment_bytes=1 << 18)
        self.books = MemoryBooks()
        self.trees = AccountTrees(
            self.root,
            disk=self.disk,
            origin=self.signer.name,
            sign=self.note,
            verifier=lambda: self.signer.verifier,
            seen=seen,
            accounts=lambda: [A, B],
        )
        self.durations = durations
        self.pruner = self.fresh()
        self.log = self.open()

    def note(self, name: str, text: str) -> bytes:
        """A note of the instance's."""
        return self.signer.named(name).sign(text)

    def fresh(self, most_read: int = 256) -> Pruner:
        """A pruner that remembers nothing."""
        return Pruner(
            self.root,
            disk=self.disk,
            origin=self.signer.name,
            sign=self.note,
            verifier=lambda: self.signer.verifier,
            aged=aged,
            settled=self.settled,
            durations=self.durations,
            most_read=most_read,
        )

    def settled(self, log: Path) -> int:
        """How far the book has got."""
        book = self.books.open(log)
        return 0 if book is None else book.place().position

    @override
    def open(self, slot: str = "w0") -> Log:
        """A log with its index."""
        log = super().open(slot)
        log.follow(Index(self.root / slot, disk=self.disk, books=self.books, find=find, clock=self.clock))
        return log

    def write(self, count: int, account: str = A, kept: Kept = Kept.USES) -> None:
        """Entries of now, under a checkpoint, taken in everywhere."""
        for _ in range(count):
            self.log.append(f"{self.clock.now()} {account} {kept} #{self.log.size}".encode())
            self.log.commit()
        self.settle()

    def settle(self) -> None:
        """Have everything taken in that there is."""
        self.later()
        self.log.tend()
        self.later()
        self.log.tend()
        self.trees.update()

    def days(self, days: float) -> None:
        """Let days pass, after which segments have been changed."""
        self.clock.time += days * DAY
        for _ in range(3):
            self.settle()

    def removable(self, *holds: Hold) -> Removable:
        """What may go."""
        return self.pruner.removable(holds, self.clock.now())

    def prune(self, *holds: Hold) -> list[str]:
        """Remove all of it; what went."""
        gone = []
        while (removable := self.removable(*holds)).ranges:
            self.pruner.remove(removable)
            gone += removable.told()
        return gone

    def bundles(self) -> list[str]:
        """The names of full bundles that are there."""
        return [name for name in self.disk.names(self.directory / "tile/entries") if name.isdigit()]

    def usage(self) -> Usages:
        """What the indexes and logs say."""
        return Usages(
            self.root,
            disk=self.disk,
            books=self.books,
            find=find,
            moment=moment,
            origin="keystead-test",
        )


def hold(what: str = "") -> Hold:
    """A hold on account A, or on a key."""
    return Hold("case", A, what, "a dispute", 0.0, "arn:aws:iam::111111111111:user/lawyer")


@pytest.fixture
def bench() -> Bench:
    """A log of three and a half bundles of uses, two months old, and half a bundle of today."""
    bench = Bench()
    bench.write(900)
    bench.days(60)
    bench.write(100)
    return bench


def test_what_is_over_its_time_goes_by_whole_bundles(bench: Bench) -> None:
    """Three full bundles of old entries go; the fourth, which has new ones, stays, and all proofs still hold."""
    root = verify(bench.root, bench.signer.vkey, disk=bench.disk).logs[0].root
    assert bench.prune() == ["w0/0-767"]
    assert bench.bundles() == []
    report = bench.verify().logs[0]
    assert (report.size, report.root, report.pruned, report.minimum) == (1000, root, 768, 768)
    assert prune.stated(bench.disk, bench.directory) == Pruned(768, 1_000_000_000_000, (range(3),))
    assert bench.prune() == []


def test_nothing_goes_where_nobody_has_set_a_duration() -> None:
    """The default is to keep everything for ever."""
    bench = Bench(Durations())
    bench.write(600)
    bench.days(10_000)
    assert bench.removable() == Removable({}, more=False)


def test_a_class_that_is_kept_longer_keeps_its_bundle() -> None:
    """One change among 256 uses keeps the bundle until its own time is over; those around it go."""
    bench = Bench()
    bench.write(300)
    bench.write(1, kept=Kept.CHANGES)
    bench.write(600)
    bench.days(60)
    bench.write(300)
    assert bench.prune() == ["w0/0-255", "w0/512-767"]
    assert bench.verify().logs[0].minimum == 768
    bench.days(330)
    assert bench.prune() == ["w0/256-511", "w0/768-1023"]
    assert bench.verify().logs[0].pruned == 1024


def test_what_is_kept_for_ever_stays() -> None:
    """A class without a duration keeps its bundles whatever the others say."""
    bench = Bench(Durations({Kept.USES: 1}))
    bench.write(1, kept=Kept.READS)
    bench.write(600)
    bench.days(1000)
    assert bench.prune() == ["w0/256-511"]


@pytest.mark.parametrize("what", ["", f"key-of-{A}"], ids=["account", "key"])
def test_a_hold_keeps_what_it_names(bench: Bench, what: str) -> None:
    """A bundle with an entry under hold stays, and goes once the hold is lifted."""
    assert bench.prune(hold(what)) == []
    assert bench.prune(hold("key-of-somebody-else")) == ["w0/0-767"]


def test_a_hold_keeps_only_bundles_that_have_what_it_names() -> None:
    """Of two accounts' bundles, those without the held account's entries go."""
    bench = Bench()
    bench.write(300, B)
    bench.write(1, A)
    bench.write(300, B)
    bench.days(60)
    bench.write(300, B)
    assert bench.prune(hold()) == ["w0/0-255"]
    assert bench.prune() == ["w0/256-511"]


def test_a_look_reads_a_bounded_number_of_bundles(bench: Bench) -> None:
    """What is not read this time is read the next, and what was read is remembered."""
    bench.pruner = bench.fresh(most_read=2)
    first = bench.removable()
    assert (first.told(), first.more, first.entries) == (["w0/0-511"], True, 512)
    bench.pruner.remove(first)
    last = bench.removable()
    assert (last.told(), last.more) == (["w0/512-767"], False)


def test_what_is_held_is_not_read_again_and_again(bench: Bench) -> None:
    """However much is held at the beginning of a log, a look gets to what is behind it."""
    bench.pruner = bench.fresh(most_read=2)
    assert bench.removable(hold()) == Removable({}, more=True)
    assert bench.removable(hold()) == Removable({}, more=False)
    assert bench.removable().told() == ["w0/0-767"]


def test_a_look_ends_where_entries_are_young() -> None:
    """What comes after a bundle of young entries is younger still, and is not read."""
    bench = Bench()
    bench.write(600)
    bench.days(2)
    bench.pruner = bench.fresh(most_read=1)
    assert bench.removable() == Removable({}, more=True)
    assert list(bench.pruner._known) == [("w0", 0)]
    bench.days(40)
    assert bench.removable().told() == ["w0/0-511"]


def test_what_somebody_still_needs_stays() -> None:
    """Nothing goes that the usage index, the accounts' trees, a segment or the checkpoint has not let go of."""
    bench = Bench()
    for _ in range(600):
        bench.log.append(f"{bench.clock.now()} {A} uses x".encode())
    bench.log.commit()
    now = bench.clock.now() + 60 * DAY
    bench.trees.update()
    assert bench.fresh().removable([], now).ranges == {}  # no checkpoint
    bench.later()
    bench.log.tend()
    assert bench.fresh().removable([], now).ranges == {}  # no trees
    bench.trees.update()
    assert bench.settled(bench.directory) == 600
    assert bench.fresh().removable([], now).ranges == {}  # a segment
    bench.days(1)
    books, bench.books = bench.books, MemoryBooks()
    assert bench.fresh().removable([], now).ranges == {}  # no index
    bench.books = books
    assert bench.fresh().removable([], now).told() == ["w0/0-511"]


def test_a_segment_is_in_use_for_a_day_at_most() -> None:
    """What is in a segment cannot be pruned, so a quiet log goes on to the next one."""
    bench = Bench()
    bench.write(600)
    bench.clock.time += 0.9 * DAY
    names = bench.disk.names(bench.directory / "wal")
    bench.settle()
    assert bench.disk.names(bench.directory / "wal") == names
    bench.days(0.2)
    assert names[0] not in bench.disk.names(bench.directory / "wal")
    bench.write(1)
    assert bench.verify().records == 601


def test_a_log_goes_on_after_it_was_pruned(bench: Bench) -> None:
    """The owner starts, looks back and goes on; readers pass over what is gone."""
    bench.prune()
    bench.log.close()
    bench.log = bench.open()
    assert len(list(bench.log.entries(0, bench.log.size))) == 232
    assert len(list(bench.log.entries(0, bench.log.size, b"uses"))) == 232
    bench.write(100)
    assert len(list(entries(bench.disk, bench.directory))) == 332
    assert [n for n, _ in Follower(bench.root, disk=bench.disk).read("w0", 0, 10)] == list(range(768, 778))
    assert bench.verify().records == 1100


def test_a_search_passes_over_what_is_gone(bench: Bench) -> None:
    """What is looked for in vain is looked for in all that is left."""
    bench.prune()
    search = Search(
        bench.root,
        disk=bench.disk,
        clock=bench.clock,
        origin="keystead-test",
        of_request=lambda _, __: False,
        begins=lambda _: True,
        moment=moment,
    )
    assert search.find("nothing") == Found(())


def test_a_proof_of_what_is_gone_says_so(bench: Bench) -> None:
    """There is no entry any more to prove; those that are left are proved as ever."""
    bench.prune()
    with pytest.raises(NoSuchEvent, match="removed when its time was over"):
        prove(bench.disk, bench.root, "keystead-test/w0/5")
    assert prove(bench.disk, bench.root, "keystead-test/w0/800").index == 800


def test_last_uses_survive(bench: Bench) -> None:
    """The index keeps the sums of what was pruned, and knows since when there are entries."""
    before = bench.usage().last(f"key-of-{A}"), bench.usage().uses_of_principal(A)
    bench.prune()
    assert (bench.usage().last(f"key-of-{A}"), bench.usage().uses_of_principal(A)) == before
    assert before[0].since == 1_000_000.0
    assert before[1][0].count == 1000


def test_an_index_that_is_lost_afterwards_is_made_of_what_is_left(bench: Bench) -> None:
    """Then the sums are of the entries that are there, and the index goes on."""
    bench.prune()
    bench.log.close()
    bench.books.discard(bench.directory)
    assert bench.usage().uses_of_principal(A)[0].count == 232
    bench.log = bench.open()
    bench.write(100)
    bench.settle()
    assert bench.usage().uses_of_principal(A)[0].count == 332
    assert bench.settled(bench.directory) == bench.log.size


def test_accounts_keep_the_hashes_of_what_is_gone(bench: Bench) -> None:
    """The account's tree still has all its leaves, and an auditor takes those of pruned bundles as they are."""
    (before,) = bench.trees.sections(A, {})
    bench.prune()
    (after,) = bench.trees.sections(A, {"w0": before.entries})
    assert (before.entries, before.head) == (after.entries, after.head)
    rows = bench.trees.rows("w0", A, 0, 1000)
    assert [row.record for row in rows if row.seen is None] == list(range(768))
    assert (
        verify(bench.root, bench.signer.vkey, disk=bench.disk, seen_by=seen, heads=[after.head])
        .logs[0]
        .accounts
        == 3
    )


def test_a_crash_after_the_statement_is_made_good(bench: Bench) -> None:
    """Bundles that are named as gone and are there yet go the next time."""
    removable = bench.removable()
    file = bench.directory / "tile/entries/001"
    data = bench.disk.read(file)
    bench.pruner.remove(removable)
    _put(bench.disk, file, data)
    assert bench.verify().logs[0].pruned == 768  # what is there is checked all the same
    bench.pruner = bench.fresh()
    assert bench.prune() == ["w0/256-511"]
    assert bench.bundles() == []


def test_a_bundle_that_is_missing_and_not_named_is_damage(bench: Bench) -> None:
    """Only a signed statement accounts for what is not there."""
    bench.disk.remove(bench.directory / "tile/entries/001")
    with pytest.raises(AuditDamaged, match="record 256: tile/entries/001: it is missing"):
        bench.verify()
    with pytest.raises(DataDamaged, match="it is missing"):
        list(bench.log.entries(0, 1000))
    with pytest.raises(DataDamaged, match="it is missing"):
        list(bench.log.entries(0, 1000, b"uses"))


def test_a_hash_below_what_was_pruned_is_still_checked(bench: Bench) -> None:
    """Of a pruned bundle the hashes stay, and a changed one is named."""
    bench.prune()
    path = bench.directory / "tile/0/001"
    data = bench.disk.read(path)
    _put(bench.disk, path, bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(
        AuditDamaged, match=r"record 256: tile/1/000\.p/3: hash 1 is not the root of tile/0/001"
    ):
        bench.verify()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"\n0-2\n", b"\n0-3\n", "does not fit the text"),
        (b"w0/pruned\n", b"w1/pruned\n", "does not fit the text"),
        (b"\n\n", b"\n", "no signatures"),
    ],
)
def test_a_statement_that_was_changed_is_damage(bench: Bench, old: bytes, new: bytes, problem: str) -> None:
    """Nobody without the key can add to what is named as gone."""
    bench.prune()
    path = bench.directory / "pruned"
    _put(bench.disk, path, bench.disk.read(path).replace(old, new, 1))
    with pytest.raises(AuditDamaged, match=f"record 0: pruned: .*{problem}"):
        bench.verify()
    with pytest.raises(AuditUnavailable, match="cannot be read"):
        bench.removable()
    with pytest.raises(AuditUnavailable, match="cannot be renewed"):
        bench.pruner.renew()


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "0\n",
        "01\n0\n",
        "256\n-1\n",
        "256\n0\n0-1-2\n",
        "256\n0\n0-1\n",
        "512\n0\n1\n0\n",
        "512\n0\n0\n1\n",
        "x\n0\n",
    ],
)
def test_a_statement_of_another_form_is_refused(lines: str) -> None:
    """Numbers have one spelling, bundles stand in order, apart and below the minimum index."""
    bench = AuditBench()
    _make(bench.disk, bench.directory)
    _put(
        bench.disk,
        bench.directory / "pruned",
        bench.signer.named("t/w0/pruned").sign(f"t/w0/pruned\n{lines}"),
    )
    with pytest.raises(Damaged):
        prune.signed(bench.disk, bench.directory, bench.signer.verifier.named("t/w0"))


def test_bytes_that_are_no_statement_are_said_to_be_none() -> None:
    """What is not UTF-8 is no statement, for readers that do not check signatures either."""
    bench = AuditBench()
    _make(bench.disk, bench.directory)
    assert prune.stated(bench.disk, bench.directory) == NOTHING
    _put(bench.disk, bench.directory / "pruned", b"\xff\n\n")
    with pytest.raises(Damaged, match="pruned"):
        prune.stated(bench.disk, bench.directory)


def test_a_statement_reads_as_it_was_written() -> None:
    """Runs of bundles and single ones come back, with the minimum index above them."""
    bench = AuditBench()
    _make(bench.disk, bench.directory)
    pruned = NOTHING.plus([4, 0, 1], 7).plus([2, 9], 8)
    assert pruned == Pruned(2560, 7, (range(3), range(4, 5), range(9, 10)))
    assert pruned.text("t/w0") == "t/w0/pruned\n2560\n7\n0-2\n4\n9\n"
    prune.state(bench.disk, bench.directory, bench.signer.named("t/w0/pruned").sign(pruned.text("t/w0")))
    assert prune.signed(bench.disk, bench.directory, bench.signer.verifier.named("t/w0")) == pruned
    assert prune.stated(bench.disk, bench.directory) == pruned


def test_statements_are_signed_with_the_present_key(bench: Bench) -> None:
    """After a key was replaced the statement gets the new one's signature, once."""
    bench.prune()
    path = bench.directory / "pruned"
    before = bench.disk.read(path)
    bench.pruner.renew()
    assert bench.disk.read(path) == before
    bench.pruner._sign = lambda name, text: bench.note(name, text) + b"\xe2\x80\x94 other AAAAAAAA\n"
    bench.pruner.renew()
    assert bench.disk.read(path).endswith(b"other AAAAAAAA\n")
    assert bench.verify().logs[0].pruned == 768


def test_a_disk_that_fails_is_told_of(bench: Bench) -> None:
    """Nothing is removed without a durable statement."""
    removable = bench.removable()
    bench.stop_disk()
    with pytest.raises(AuditUnavailable, match="cannot be pruned"):
        bench.pruner.remove(removable)
    bench.mend_disk()
    assert len(bench.bundles()) == 3
    assert bench.verify().logs[0].pruned == 0


def test_an_index_that_cannot_be_asked_is_told_of(bench: Bench) -> None:
    """Where nobody knows what the usage index has, nothing is said to be removable."""

    def settled(_: Path) -> int:
        raise BookError("busy")

    bench.pruner._settled = settled
    with pytest.raises(AuditUnavailable, match="busy"):
        bench.removable()


def test_more_that_goes_while_a_log_is_checked_is_no_damage(bench: Bench) -> None:
    """Whoever verifies a log in use takes a newer statement into account."""
    pruned = False

    def progress(_: str, done: int, __: int) -> None:
        nonlocal pruned
        if done == 256 and not pruned:
            pruned = True
            bench.prune()

    assert verify(bench.root, bench.signer.vkey, disk=bench.disk, progress=progress).logs[0].pruned == 768


def test_more_that_goes_while_trees_are_compared_is_no_damage(bench: Bench) -> None:
    """An auditor of a log in use begins again when a newer statement explains what is missing."""
    compared: list[bytes] = []

    def then_pruned(entry: bytes) -> list[tuple[str, bytes]]:
        if not compared:
            bench.prune()
        compared.append(entry)
        return seen(entry)

    verifier = bench.signer.verifier.named("keystead-test/w0")
    assert check(bench.disk, bench.directory, verifier, then_pruned) == 2
    assert len(compared) > 256


def test_auditors_compare_what_is_left(bench: Bench) -> None:
    """With a part of the log gone, an entry that a tree leaves out is still found in the rest."""
    bench.prune()
    verifier = bench.signer.verifier.named("keystead-test/w0")
    assert check(bench.disk, bench.directory, verifier, seen) == 2
    with pytest.raises(Damaged, match="another entry in this place") as found:
        check(bench.disk, bench.directory, verifier, lambda entry: [(A, entry + b"!")])
    assert found.value.index == 768


def _make(disk: Disk, directory: Path) -> None:
    disk.mkdir(directory.parent)
    disk.mkdir(directory)


def _put(disk: Disk, path: Path, data: bytes) -> None:
    file = disk.create(path)
    file.write(data, 0)
    file.close()
