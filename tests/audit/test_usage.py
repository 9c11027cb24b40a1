"""The usage index: exact whatever happens to it, to its keeper or to the log, and never in the way."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typing_extensions import override

from keystead.audit import segment as segments
from keystead.audit import usage, usagebook
from keystead.audit.damage import Damaged
from keystead.audit.log import Log
from keystead.audit.usage import BookDamaged, BookError, Books, Index, Place, Sum, Sums, Usages
from keystead.audit.usagebook import FILE, SqliteBooks
from keystead.core.errors import AuditUnavailable
from keystead.core.ports import Activity, LastUse, Use, Used
from keystead.testing.audit import AuditBench
from keystead.testing.disk import Killed, MemoryDisk
from keystead.testing.usage import MemoryBooks

KEYS = ("key-a", "key-b", "key-c")
LOGS = ("w0", "w1")


HOME = "eu-central-1"
SIGN = "kms:Sign"
CALLERS = (("user/p", "AKP1"), ("user/p", "AKP2"), ("role/r", ""), ("user/q", "AKQ"))


def record(
    key: str,
    time: int,
    version: int = 1,
    principal: str = "p",
    action: str = SIGN,
    access_key: str | None = "AK",
) -> bytes:
    """An entry as the tests write it, of a key or several (``a+b``); its request is its time."""
    return json.dumps([key, version, principal, access_key, action, time]).encode()


def find(entry: bytes) -> tuple[Used, ...]:
    """What an entry tells of, one row for each key; the log's own notices tell of nothing."""
    if not entry.startswith(b'["'):
        return ()
    keys, version, principal, access_key, action, time = json.loads(entry)
    return tuple(
        ((key, version, principal, None if more else access_key, action), time, f"r{time}", HOME)
        for more, key in enumerate(keys.split("+"))
    )


def use_of(time: int, event: str, action: str = SIGN) -> Use:
    """The use that a record of that time is."""
    return Use(action, time / 1e6, f"r{time}", event, HOME)


def total(uses: int, first: int, time: int, entry: int) -> Sum:
    """What such records amount to."""
    return Sum(uses, first, time, entry, f"r{time}", HOME)


def moment(entry: bytes) -> float:
    """The time of an entry."""
    found = find(entry)
    return found[0][1] / 1e6 if found else 0.0


class House:
    """Some logs with their indexes, and what a naive reader knows of them."""

    def __init__(self, seed: int = 0, books: Books | None = None, segment_bytes: int = 1 << 15) -> None:
        self.bench = AuditBench(seed, segment_bytes=segment_bytes)
        self.books = books if books is not None else MemoryBooks()
        self.logs: dict[str, Log] = {}
        self.indexes: dict[str, Index] = {}
        self.notices: list[str] = []
        self.time = 0
        self.callers = [("p", "AK")]  # take turns

    def start(self, name: str = "w0") -> Log:
        """Open a log and let its index follow."""
        log = self.logs[name] = self.bench.open(name)
        self.follow(name)
        return log

    def follow(self, name: str = "w0", executor: ThreadPoolExecutor | None = None) -> Index:
        """A new index of an open log."""
        index = self.indexes[name] = Index(
            self.bench.root / name,
            disk=self.bench.disk,
            books=self.books,
            find=find,
            clock=self.bench.clock,
            seconds=0.0,
            executor=executor,
            pause=(lambda: None) if executor else None,
            notice=self.notices.append,
        )
        self.logs[name].follow(index)
        return index

    def use(self, *keys: str, name: str = "w0") -> None:
        """Commit a use of each key."""
        for key in keys:
            self.time += 1
            principal, access_key = self.callers[self.time % len(self.callers)]
            action = SIGN if key else "kms:ListKeys"
            entry = record(key, self.time, principal=principal, access_key=access_key, action=action)
            self.logs[name].append(entry)
        self.logs[name].commit()

    def publish(self, name: str = "w0") -> None:
        """Let a checkpoint cover everything."""
        for _ in range(3):
            self.bench.later()
            self.logs[name].tend()

    def usages(self, **options: int) -> Usages:
        """Somebody who asks, with nothing remembered."""
        return Usages(
            self.bench.root,
            disk=self.bench.disk,
            books=self.books,
            find=find,
            moment=moment,
            origin="keystead-test",
            **options,
        )

    def last(self, key: str) -> Use | None:
        """The last use of a key."""
        return self.usages().last(key).use

    def told(self) -> list[tuple[Used, str]]:
        """What all logs tell of, with the events' names, by reading them from their beginnings."""
        return [
            (used, f"keystead-test/{name}/{number}")
            for name, log in self.logs.items()
            for number, entry in enumerate(log.entries(0, log.size))
            for used in find(entry)
        ]

    def check(self) -> None:
        """Everything that is said is true."""
        told, usages = self.told(), self.usages()

        def last(part: int, wanted: str) -> Use | None:
            uses = [(used[1], event, used[0][4]) for used, event in told if used[0][part] == wanted]
            return use_of(*max(uses)) if uses else None

        for key in KEYS:
            assert usages.last(key).use == last(0, key)
        for access_key in {access_key for _, access_key in self.callers if access_key}:
            assert usages.last_of_access_key(access_key).use == last(3, access_key)
        for principal in {principal for principal, _ in self.callers}:
            assert usages.last_of_principal(principal).use == last(2, principal)
            times: dict[str, list[tuple[int, str]]] = {}
            for used, event in told:
                if used[0][2] == principal:
                    times.setdefault(used[0][4], []).append((used[1], event))
            assert usages.uses_of_principal(principal) == [
                Activity(action, len(found), min(found)[0] / 1e6, use_of(*max(found), action))
                for action, found in sorted(times.items())
            ]

    def pages(self, name: str = "w0") -> Sums:
        """What the book of a log holds."""
        assert isinstance(self.books, MemoryBooks)
        page = self.books.pages[self.bench.root / name]
        return Sums(page.keys, page.callers)

    def rows(self, name: str = "w0") -> dict[tuple[str, int, str, str], Sum]:
        """What it holds about keys."""
        return self.pages(name).keys

    def position(self, name: str = "w0") -> int:
        """How far the book of a log has got."""
        assert isinstance(self.books, MemoryBooks)
        page = self.books.pages.get(self.bench.root / name)
        return (
            0 if page is None else page.place.position
        )  # one that was lost is made again when there is an entry


# --- what is said ----------------------------------------------------------------------------------------


def test_a_use_is_known_before_any_index_has_it() -> None:
    """What is committed is told at once, from the segments, with the entry's own words."""
    house = House()
    house.start()
    assert house.last("key-a") is None
    house.use("key-a", "key-b")
    assert house.usages().last("key-a").use == use_of(1, "keystead-test/w0/0")
    assert house.last("key-b") == use_of(2, "keystead-test/w0/1")
    assert house.last("key-c") is None


def test_a_place_without_logs_knows_of_nothing() -> None:
    """An instance that has never written anything has no last use and no beginning."""
    house = House()
    assert house.usages().last("key-a") == LastUse(0.0, None)
    house.bench.disk.mkdir(house.bench.root)
    house.bench.disk.mkdir(house.bench.root / "w0")  # a log that is just being made
    assert house.usages().last("key-a") == LastUse(0.0, None)


def test_a_log_that_has_lost_its_checkpoint_is_not_passed_over() -> None:
    """Entries under no checkpoint cannot be read, and a use may be among them: the question is refused."""
    house = House()
    house.start()
    house.use("key-a")
    house.publish()
    house.bench.disk.remove(house.bench.directory / "checkpoint")
    with pytest.raises(AuditUnavailable, match="checkpoint"):
        house.last("key-a")


def test_tracking_began_with_the_oldest_entry_under_a_checkpoint() -> None:
    """The first entry of all logs says since when uses are on record; it is looked up once."""
    house = House()
    asked = house.usages()
    house.start("w0")
    house.start("w1")
    house.use("key-a", name="w1")
    assert asked.last("key-a").since == 0.0
    house.publish("w1")
    house.use("key-a")
    house.publish("w0")
    assert [asked.last("key-a").since for _ in range(2)] == [1e-6, 1e-6]


def test_the_newest_of_several_logs_counts_also_of_one_without_an_owner() -> None:
    """A key's last use may be in the log of a process that is no more."""
    house = House()
    for name in LOGS:
        house.start(name)
    house.use("key-a", name="w0")
    house.use("key-a", "key-b", name="w1")
    house.logs["w1"].close()
    house.use("key-b", name="w0")
    assert house.last("key-a") == use_of(2, "keystead-test/w1/0")
    assert house.last("key-b") == use_of(4, "keystead-test/w0/1")
    house.check()


def test_uses_are_counted_by_version_principal_and_action() -> None:
    """The book has one row for each, with how often, when first and when last."""
    house = House()
    log = house.start()
    for time, row in enumerate(
        [("key-a", 1, "p", "kms:Sign"), ("key-a", 2, "p", "kms:Sign"), ("key-a", 1, "q", "kms:Sign")] * 2, 1
    ):
        log.append(record(row[0], time, *row[1:]))
        log.commit()
        house.publish()
    house.publish()
    assert house.rows() == {
        ("key-a", 1, "p", "kms:Sign"): total(2, 1, 4, 3),
        ("key-a", 2, "p", "kms:Sign"): total(2, 2, 5, 4),
        ("key-a", 1, "q", "kms:Sign"): total(2, 3, 6, 5),
    }
    assert house.last("key-a") == use_of(6, "keystead-test/w0/5")


def test_every_request_is_one_of_its_principal_and_its_access_key() -> None:
    """Looks count for who looks, of no key; a second key of one request counts for the key alone."""
    house = House()
    log = house.start()
    log.append(record("key-a", 1))
    log.append(record("", 2, 0, "p", "kms:ListKeys", ""))
    log.append(record("key-a", 3))
    log.append(record("key-b+key-c", 4, action="kms:ReEncrypt"))
    log.commit()
    log.tend()
    assert house.pages() == Sums(
        {
            ("key-a", 1, "p", SIGN): total(2, 1, 3, 2),
            ("key-b", 1, "p", "kms:ReEncrypt"): total(1, 4, 4, 3),
            ("key-c", 1, "p", "kms:ReEncrypt"): total(1, 4, 4, 3),
        },
        {
            ("p", "AK", SIGN): total(2, 1, 3, 2),
            ("p", "", "kms:ListKeys"): total(1, 2, 2, 1),
            ("p", "AK", "kms:ReEncrypt"): total(1, 4, 4, 3),
        },
    )


def test_a_request_with_two_keys_is_one_request() -> None:
    """What the book has and what is in the log only is counted by the same rule."""
    house = House()
    log = house.start()
    usages = house.usages()
    for time in (1, 2):
        log.append(record("key-b+key-c", time))
        log.commit()
        use = use_of(time, f"keystead-test/w0/{time - 1}")
        assert usages.uses_of_principal("p") == [Activity(SIGN, time, 1e-6, use)]
        assert usages.last("key-b").use == usages.last("key-c").use == use
        assert usages.last_of_access_key("AK").use == usages.last_of_principal("p").use == use
        log.tend()
        log.tend()
        assert usages.uses_of_principal("p") == [Activity(SIGN, time, 1e-6, use)]


def test_who_has_done_nothing_is_not_known() -> None:
    """Neither an access key nor a principal that no entry tells of has a last use; tracking goes on all the same."""
    house = House()
    house.start()
    house.use("key-a")
    house.publish()
    usages = house.usages()
    assert usages.last_of_access_key("AK0") == usages.last_of_principal("q") == LastUse(1e-6, None)
    assert usages.uses_of_principal("q") == []


def test_what_a_principal_does_is_added_up_over_all_logs() -> None:
    """Counts are sums; the first and the last are those of all logs, wherever they are."""
    house = House()
    house.callers = [("role/r", "")]
    for name in LOGS:
        house.start(name)
    house.use("key-a", "", "key-a", name="w0")
    house.publish("w0")
    house.use("key-b", name="w1")
    house.use("", name="w0")
    assert house.usages().uses_of_principal("role/r") == [
        Activity("kms:ListKeys", 2, 2e-6, use_of(5, "keystead-test/w0/3", "kms:ListKeys")),
        Activity(SIGN, 3, 1e-6, use_of(4, "keystead-test/w1/0")),
    ]
    assert house.usages().last_of_principal("role/r") == LastUse(
        1e-6, use_of(5, "keystead-test/w0/3", "kms:ListKeys")
    )


def test_a_session_in_the_log_is_found_by_its_roles_arn() -> None:
    """An entry names the session and tells of the role: who asks about the role gets it before any index has it."""
    house = House()
    log = house.logs["w0"] = house.bench.open()
    log.append(b"by arn:aws:sts::111122223333:assumed-role/deploy/ci-7")
    log.commit()
    role = "arn:aws:iam::111122223333:role/deploy"
    usages = house.usages()
    usages._find = lambda _: ((("", 0, role, "", SIGN), 5, "r5", HOME),)
    assert usages.last_of_principal(role).use == use_of(5, "keystead-test/w0/0")
    assert usages.last_of_principal("arn:aws:iam::111122223333:role/deploy2").use is None


def test_a_key_that_is_only_named_was_not_used() -> None:
    """An entry that holds the ARN, or of which it is a part, is no use of that key."""
    house = House()
    house.start()
    house.use("key-a", "key-ab")
    assert house.last("key-a") == use_of(1, "keystead-test/w0/0")


def test_an_entry_that_was_refused_is_never_counted() -> None:
    """A batch that the disk refused is not in the index, and the notice of it does no harm."""
    house = House()
    log = house.start()
    house.use("key-a")
    house.publish()
    house.bench.stop_disk()
    log.append(record("key-b", 99))
    with pytest.raises(AuditUnavailable):
        log.commit()
    house.bench.mend_disk()
    house.publish()
    house.use("key-c")
    house.publish()
    assert house.last("key-b") is None
    assert house.position() == log.size == 3
    house.check()


# --- histories -------------------------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("use"),
            st.sampled_from(LOGS),
            st.lists(st.sampled_from((*KEYS, "")), min_size=1, max_size=4),
        ),
        st.tuples(st.just("many"), st.sampled_from(LOGS), st.sampled_from(KEYS)),
        st.tuples(
            st.sampled_from(("tend", "publish", "restart", "kill", "lose", "rewind")), st.sampled_from(LOGS)
        ),
        st.tuples(st.just("fail"), st.sampled_from(("make", "place", "add", "added", "clear", "of"))),
    ),
    max_size=25,
)


@given(steps, st.integers(0, 1000))
@example(history=[("many", "w0", "key-a"), ("tend", "w0"), ("lose", "w0")], seed=0)
def test_what_is_said_is_what_the_logs_say(history: list[tuple[object, ...]], seed: int) -> None:
    """Whatever was used, restarted, killed, lost or failed in between, the answer is that of a naive reader."""
    house = House(seed)
    house.callers = [*CALLERS]
    books = house.books
    assert isinstance(books, MemoryBooks)
    for name in LOGS:
        house.start(name)

    def failing(at: object) -> Callable[[str], None]:
        def step(now: str) -> None:
            if now == at:
                books.step = lambda _: None
                raise (BookDamaged if seed % 2 else BookError)(f"at {now}")

        return step

    def restart(name: str) -> None:
        house.logs[name].close()
        house.start(name)

    def kill(name: str) -> None:
        house.logs[name]._lock.close()  # its owner is no more
        house.start(name)

    def rewind(name: str) -> None:
        page = books.pages.get(house.bench.root / name)
        if page is not None and page.place.position:
            page.place = page.place._replace(mark=b"of another history", identity=b"")

    deeds: dict[str, Callable[..., object]] = {
        "fail": lambda at: setattr(books, "step", failing(at)),
        "use": lambda name, keys: house.use(*keys, name=name),
        "many": lambda name, key: house.use(*[key] * 300, name=name),
        "tend": lambda name: house.logs[name].tend(),
        "publish": house.publish,
        "restart": restart,
        "kill": kill,
        "lose": lambda name: books.pages.pop(house.bench.root / name, None),
        "rewind": rewind,
    }
    for what, *rest in history:
        deeds[str(what)](*rest)
        house.check()
    for name in LOGS:
        house.use(KEYS[0], name=name)  # an index that was lost is missed when there is something to add to it
        for _ in range(3):
            house.publish(name)
        assert house.position(name) == house.logs[name].size
    house.check()


def history(log: Log, part: int) -> dict[str | int | None, int]:
    """How often each key was used, or each principal has asked, by the log."""
    counted: dict[str | int | None, int] = {}
    for entry in log.entries(0, log.size):
        for row, *_ in find(entry):
            counted[row[part]] = counted.get(row[part], 0) + 1
    return counted


@pytest.mark.parametrize("at", ["make", "place", "add", "added"])
@pytest.mark.parametrize("turn", range(6))
def test_a_kill_at_any_step_counts_nothing_twice(at: str, turn: int) -> None:
    """Position and counts are one: whoever goes on after a kill neither misses nor repeats an entry."""
    house = House()
    books = house.books
    assert isinstance(books, MemoryBooks)
    left = turn

    def step(now: str) -> None:
        nonlocal left
        if now == at:
            left -= 1
            if left < 0:
                raise Killed

    house.start()
    books.step = step
    try:
        for _ in range(4):
            house.use("key-a", "key-b", "key-a")
            house.publish()
    except Killed:
        assert left < 0
    books.step = lambda _: None
    house.logs["w0"]._lock.close()
    log = house.start()
    house.use("key-c")
    house.publish()
    house.publish()
    assert {row[0]: total.uses for row, total in house.rows().items()} == history(log, 0)
    assert {row[0]: total.uses for row, total in house.pages().callers.items()} == history(log, 2)
    house.check()


def test_a_book_of_a_future_that_was_undone_begins_again() -> None:
    """A log restored from a backup goes on differently; nothing of the lost history is told or counted."""
    house = House()
    house.start()
    house.use("key-a")
    house.publish()
    house.logs["w0"].close()
    old = {path: house.bench.disk.read(path) for path in house.bench.disk.files()}
    house.start()
    house.use("key-b", "key-b")
    house.logs["w0"].close()
    assert house.last("key-b") is not None

    disk = house.bench.disk = MemoryDisk(1)
    for path, data in old.items():
        for folder in [*reversed(path.parents)][1:]:
            disk.mkdir(folder)
        disk.create(path).write(data, 0)
    assert house.last("key-b") is None
    house.start()
    house.use("key-c")
    assert house.last("key-b") is None
    house.use("key-a")
    house.publish()
    house.publish()
    assert sorted(row[0] for row in house.rows()) == ["key-a", "key-c"]
    house.check()


# --- keeping up ------------------------------------------------------------------------------------------


def test_an_index_that_is_new_reads_up_in_bounded_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of many entries gets its index piece by piece, each with its position."""
    house = House(segment_bytes=1 << 17)
    house.logs["w0"] = log = house.bench.open()
    for _ in range(9):
        house.use(*["key-a", "key-b"] * 128)
    log.close()
    monkeypatch.setattr(usage, "_TRANSACTION", 600)
    positions = []
    books = house.books
    assert isinstance(books, MemoryBooks)
    books.step = lambda now: positions.append(house.position()) if now == "added" else None
    house.start()
    house.publish()
    assert positions == [768, 1536, 2304]
    assert house.rows()["key-b", 1, "p", "kms:Sign"].uses == 1152
    house.check()


def test_what_no_checkpoint_covers_is_read_up_from_the_segments() -> None:
    """A failure loses what was heard; the next time it is read from the disk, wherever it is by then."""
    house = House()
    log = house.start()
    house.use("key-a")
    log.tend()
    assert isinstance(house.books, MemoryBooks)

    def step(now: str) -> None:
        if now == "add":
            raise BookError("the disk is full")

    house.books.step = step
    house.use("key-b")
    log.tend()
    log.tend()
    assert house.notices == [
        f"the usage index of {house.bench.directory} cannot be kept: BookError: the disk is full"
    ]
    assert house.indexes["w0"].trouble == house.notices[0]
    log.tend()
    assert len(house.notices) == 1
    house.books.step = lambda _: None
    log.tend()
    log.tend()
    assert house.position() == log.size == 2 > log.signed
    assert house.indexes["w0"].trouble == ""
    house.check()


def test_a_helper_that_is_slow_is_not_sent_more_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of rows they are let go, and read from the disk when their turn comes."""
    monkeypatch.setattr(usage, "MOST_ROWS", 2)
    house = House()
    log = house.start()
    for _ in range(4):
        house.use("key-a", "key-b", "key-c")
    assert house.indexes["w0"]._tally.start == 9
    log.tend()
    log.tend()
    assert house.position() == log.size == 12
    assert {row.uses for row in house.rows().values()} == {4}
    house.check()


def test_a_book_is_written_once_a_second_and_seldom_when_there_is_much_to_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is not written yet is known all the same."""
    monkeypatch.setattr(usage, "_MANY_ROWS", 2)
    house = House()
    log = house.start()
    house.indexes["w0"]._seconds = 1.0
    house.use("key-a")
    log.tend()
    assert house.position() == 1
    for keys, seconds in ((("key-a", "key-b"), 1), (("key-a", "key-b", "key-c"), 1), (("key-a",), 4)):
        house.use(*keys)
        house.bench.later(seconds - 0.125)
        log.tend()
        assert house.position() < log.size
        house.check()
        house.bench.later(0.125)
        log.tend()
        assert house.position() == log.size


def test_what_the_caller_says_of_an_entry_is_taken_for_what_it_tells() -> None:
    """Whoever appends an entry may spare the index the reading of it."""
    house = House()
    log = house.start()
    for uses in ([(("key-a", 1, "p", "AK", SIGN), 7, "r7", HOME)], (), None):
        log.append(record("key-b", 1), uses)
    log.commit()
    log.tend()
    assert house.rows() == {ROW: total(1, 7, 7, 0), ("key-b", *ROW[1:]): total(1, 1, 1, 2)}


def test_a_helper_works_on_its_own_thread_and_is_waited_for_at_the_end() -> None:
    """The log's thread never takes entries in itself while it works; a close leaves nothing out."""
    house = House()
    with ThreadPoolExecutor(1) as executor:
        log = house.logs["w0"] = house.bench.open()
        house.follow("w0", executor)
        for _ in range(50):
            house.use(*["key-a"] * 20)
            log.tend()
        log.close()
    assert house.position() == log.size == 1000
    assert house.rows() == {("key-a", 1, "p", "kms:Sign"): total(1000, 1, 1000, 999)}


def test_a_helper_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A close does not wait for ever, and does not touch the book that somebody else is using."""
    monkeypatch.setattr(usage, "_CLOSE_SECONDS", 0.01)
    house = House()
    log = house.logs["w0"] = house.bench.open()

    class Stuck(ThreadPoolExecutor):
        """Takes work and never does it."""

        @override
        def submit(self, *_: object, **__: object) -> Future[Any]:
            return Future()

    with Stuck(1) as executor:
        house.follow("w0", executor)
        house.use("key-a")
        log.tend()
        log.close()
    assert house.last("key-a") == use_of(1, "keystead-test/w0/0")


def test_an_index_is_told_to_stop_in_the_middle_and_goes_on_later() -> None:
    """What was taken in stays, with its position; others get their turn between the pieces."""
    house = House()
    house.logs["w0"] = log = house.bench.open()
    house.use(*["key-a"] * 600)
    log.close()
    pauses: list[int] = []

    def index() -> Index:
        return Index(
            house.bench.directory,
            disk=house.bench.disk,
            books=house.books,
            find=find,
            clock=house.bench.clock,
            pause=lambda: pauses.append(1),
        )

    stopped = index()
    stopped.stop()
    stopped.catch_up()
    assert house.position() == 256
    index().catch_up()
    assert house.position() == 600
    assert house.rows()["key-a", 1, "p", "kms:Sign"].uses == 600
    assert len(pauses) == 2


def test_a_failure_after_the_deed_counts_nothing_twice() -> None:
    """A transaction that was committed while its keeper heard of an error is found committed."""
    house = House()
    log = house.start()
    log.tend()
    assert isinstance(house.books, MemoryBooks)

    def step(now: str) -> None:
        if now == "added":
            raise BookError("no answer")

    house.use("key-a")
    house.books.step = step
    log.tend()
    house.books.step = lambda _: None
    for _ in range(3):
        log.tend()
    assert house.rows() == {ROW: total(1, 1, 1, 0)}
    assert house.indexes["w0"].trouble == ""


def test_what_is_no_log_gets_no_index() -> None:
    """Without a checkpoint there is nothing to take in: that is noticed, and no more."""
    house = House()
    notices: list[str] = []
    index = Index(
        house.bench.directory,
        disk=house.bench.disk,
        books=house.books,
        find=find,
        clock=house.bench.clock,
        notice=notices.append,
    )
    index.catch_up()
    assert len(notices) == 1
    silent = Index(
        house.bench.directory, disk=house.bench.disk, books=house.books, find=find, clock=house.bench.clock
    )
    silent.catch_up()
    assert silent.trouble == notices[0]


# --- asking, while much goes on --------------------------------------------------------------------------


def test_an_index_far_behind_is_not_waited_for() -> None:
    """A question that would take too long is refused, and answered when the index has caught up."""
    house = House()
    house.logs["w0"] = log = house.bench.open()
    house.use(*["key-a"] * 600)
    log.close()
    few = house.usages(most_behind=500)
    with pytest.raises(
        AuditUnavailable, match=r"still being read from the audit log w0 \(0 of 600 entries\)"
    ):
        few.last("key-a")
    house.start()
    house.publish()
    assert few.last("key-a").use == use_of(600, "keystead-test/w0/599")


class Overtaken(MemoryDisk):
    """A disk on which something happens at a certain moment of somebody's look."""

    def __init__(self, disk: MemoryDisk, moments: Iterator[tuple[str, Callable[[], None]]]) -> None:
        self.__dict__.update(disk.__dict__)
        self._moments = moments
        self._next = next(moments, None)

    def _at(self, path: Path) -> None:
        if self._next is not None and path.name.endswith(self._next[0]):
            happen, self._next = self._next[1], next(self._moments, None)
            happen()

    @override
    def read(self, path: Path) -> bytes:
        """Read, after what happens then."""
        data = super().read(path)
        self._at(path)
        return data

    @override
    def names(self, path: Path) -> list[str]:
        """List, before what happens then."""
        found = super().names(path)
        self._at(path)
        return found


def ask(house: House, *moments: tuple[str, Callable[[], None]]) -> Use | None:
    """Ask for key-a with things happening meanwhile, in this order, after certain files were looked at."""
    usages = house.usages()
    usages._disk = Overtaken(house.bench.disk, iter(moments))
    return usages.last("key-a").use


def test_a_checkpoint_that_overtakes_a_look_makes_it_look_again() -> None:
    """Segments that go while somebody reads them are read from the tiles instead."""
    for known in (True, False):
        for moment_name in ("checkpoint", "wal"):
            house = House()
            house.start()
            house.use("key-b")
            if known:
                house.logs["w0"].tend()
            house.use("key-a")
            found = ask(house, (moment_name, house.logs["w0"].close))
            assert found == use_of(2, "keystead-test/w0/1")


def test_a_log_that_is_always_ahead_is_given_up() -> None:
    """Whoever cannot get a consistent look says so rather than something that may be wrong."""
    house = House()
    house.logs["w0"] = house.bench.open()
    house.use("key-b")

    def go_on() -> None:
        house.use("key-b")
        house.publish()

    with pytest.raises(AuditUnavailable, match="goes on too fast"):
        ask(house, *[("checkpoint", go_on)] * 20)


def test_a_log_without_its_segments_or_tiles_is_refused() -> None:
    """Damage is told, not passed over: a use may be in what is missing."""
    house = House()
    house.start()
    house.use("key-a")
    house.logs["w0"].close()
    path = next(path for path in house.bench.disk.files() if "entries" in path.parts)
    house.books.discard(house.bench.directory)
    house.bench.disk.damage(path, b"")
    with pytest.raises(AuditUnavailable, match="cannot be read"):
        house.usages().last("key-a")


def test_records_missing_between_segments_are_damage() -> None:
    """A segment that begins beyond what was reached tells that one has gone."""
    house = House(segment_bytes=1 << 14)
    house.start()
    disk = house.bench.disk
    while len(disk.names(house.bench.directory / "wal")) < 3 or house.logs["w0"].size < 400:
        house.use("key-a", "key-b", "key-a", "key-b")
    first = disk.names(house.bench.directory / "wal")[0]
    disk.remove(house.bench.directory / "wal" / first)
    with pytest.raises(Damaged, match="missing"):
        usage.beyond(disk, house.bench.directory, Place(), b"key-a")


def test_segments_that_end_too_early_are_not_taken_for_all() -> None:
    """Entries that are committed and stand nowhere have just gone into tiles, or are lost: try again."""
    house = House()
    house.start()
    house.use("key-a")
    with pytest.raises(Damaged, match="taken the segments away"):
        list(usage._entries(house.bench.disk, house.bench.directory, 0, 2))


def test_a_segment_that_is_missing_for_good_is_told_in_the_end() -> None:
    """A book that ends in a segment is read on from there, or not at all."""
    house = House(segment_bytes=1 << 14)
    house.start()
    house.use("key-a")
    house.logs["w0"].tend()
    disk = house.bench.disk
    usages = house.usages()

    class Without(Overtaken):
        """A disk on which a segment goes as soon as it was looked at."""

        @override
        def names(self, path: Path) -> list[str]:
            """List what follows only."""
            found = super().names(path)
            return ["0000000000000099.seg"] if path.name == "wal" else found

    usages._disk = Without(disk, iter(()))
    with pytest.raises(AuditUnavailable, match="cannot be read"):
        usages.last("key-a")


def test_of_two_segments_with_the_same_index_the_later_is_right() -> None:
    """A batch that was refused and survived in its segment is superseded by what came after it."""
    house = House()
    log = house.start()
    house.use("key-a")
    segment = log._current
    offset = log._offset
    house.bench.stop_disk()
    log.append(record("key-b", 9))
    with pytest.raises(AuditUnavailable):
        log.commit()
    house.bench.mend_disk()
    # As if the sync had failed and the bytes had arrived nevertheless.
    refused = record("key-b", 9)
    segment.file.write(segments.encode(segment, 1, [len(refused).to_bytes(2, "big") + refused]), offset)
    house.bench.later()
    log.tend()
    house.use("key-c")
    assert [number for number, _ in usage.beyond(house.bench.disk, house.bench.directory, Place(), b"")] == [
        0,
        1,
        2,
    ]
    assert house.last("key-b") is None
    house.check()


# --- the books -------------------------------------------------------------------------------------------

ROW = ("key-a", 1, "p", SIGN)
CALLER = ("p", "AK", SIGN)
THERE = Place(5, b"mark", 7, b"identity", 64)


def sums(row: tuple[str, int, str, str], new: Sum) -> Sums:
    """The use of one key, by whoever asked for it with one access key."""
    return Sums({row: new}, {CALLER: new})


class BooksContract:
    """What every kind of book promises."""

    def test_there_is_none_until_one_is_made(self, books: Books, tmp_path: Path) -> None:
        """Whoever only asks makes no book."""
        assert books.open(tmp_path) is None
        book = books.make(tmp_path)
        assert book.of_key("key-a") == book.of_principal("p") == book.of_access_key("AK") == (Place(), {})
        assert book.place() == Place()
        book.close()
        assert books.open(tmp_path) is not None

    def test_uses_and_place_go_together(self, books: Books, tmp_path: Path) -> None:
        """What is added is added up, and read back by whoever opens the book next."""
        book = books.make(tmp_path)
        book.add(Place(), THERE, sums(ROW, total(2, 10, 20, 4)))
        further = THERE._replace(position=9)
        more = Sums(
            {ROW: total(3, 30, 50, 8), ("key-b", *ROW[1:]): total(1, 40, 40, 7)},
            {CALLER: total(4, 30, 50, 8), ("p", "", "kms:ListKeys"): total(1, 45, 45, 6)},
        )
        book.add(THERE, further, more)
        book.close()
        again = books.make(tmp_path)
        assert again.of_key("key-a") == (further, {SIGN: total(5, 10, 50, 8)})
        assert again.of_key("key-b") == (further, {SIGN: total(1, 40, 40, 7)})
        assert again.of_access_key("AK") == (further, {SIGN: total(6, 10, 50, 8)})
        assert again.of_principal("p") == (
            further,
            {SIGN: total(6, 10, 50, 8), "kms:ListKeys": total(1, 45, 45, 6)},
        )
        assert again.of_key("key") == again.of_principal("AK") == again.of_access_key("p") == (further, {})
        assert again.place() == further
        again.close()

    def test_the_newest_of_a_keys_rows_counts(self, books: Books, tmp_path: Path) -> None:
        """Versions, principals and actions have rows of their own; the log's order says which is newest."""
        book = books.make(tmp_path)
        rows = {
            ("key-a", version, principal, action): total(1, 0, 100 - entry, entry)
            for entry, (version, principal, action) in enumerate(
                [(1, "p", "x"), (2, "q", "y"), (1, "q", "x")]
            )
        }
        book.add(Place(), THERE, Sums(rows, {}))
        assert book.of_key("key-a")[1] == {"x": total(1, 0, 98, 2)}
        book.close()

    def test_what_a_principal_does_with_several_access_keys_is_its_own(
        self, books: Books, tmp_path: Path
    ) -> None:
        """An access key's rows are told apart, and added up for whom it belongs to."""
        book = books.make(tmp_path)
        callers = {
            ("p", "AK1", SIGN): total(2, 10, 30, 3),
            ("p", "AK2", SIGN): total(3, 5, 20, 2),
            ("p", "AK2", "kms:ListKeys"): total(1, 40, 40, 4),
            ("q", "AK3", SIGN): total(7, 50, 90, 1),
        }
        book.add(Place(), THERE, Sums({}, callers))
        assert book.of_principal("p")[1] == {
            SIGN: total(5, 5, 30, 3),
            "kms:ListKeys": total(1, 40, 40, 4),
        }
        assert book.of_access_key("AK2")[1] == {
            SIGN: total(3, 5, 20, 2),
            "kms:ListKeys": total(1, 40, 40, 4),
        }
        assert book.of_principal("q")[1] == book.of_access_key("AK3")[1] == {SIGN: total(7, 50, 90, 1)}
        book.close()

    def test_two_keepers_do_not_count_twice(self, books: Books, tmp_path: Path) -> None:
        """Only who knows where the book is may go on from there."""
        one, other = books.make(tmp_path), books.make(tmp_path)
        one.add(Place(), THERE, sums(ROW, total(2, 10, 20, 4)))
        with pytest.raises(BookError) as caught:
            other.add(Place(), THERE, sums(ROW, total(2, 10, 20, 4)))
        assert not isinstance(caught.value, BookDamaged)
        assert other.of_key("key-a") == (THERE, {SIGN: total(2, 10, 20, 4)})
        further = THERE._replace(position=9)
        other.add(THERE, further, sums(("key-b", *ROW[1:]), total(1, 30, 30, 8)))
        with pytest.raises(BookError):
            one.add(THERE, further, sums(("key-c", *ROW[1:]), total(1, 30, 30, 8)))
        one.add(further, THERE._replace(position=12), sums(("key-c", *ROW[1:]), total(1, 50, 50, 11)))
        assert [other.of_key(key)[1] for key in KEYS] == [
            {SIGN: total(2, 10, 20, 4)},
            {SIGN: total(1, 30, 30, 8)},
            {SIGN: total(1, 50, 50, 11)},
        ]
        assert other.of_principal("p")[1] == {SIGN: total(4, 10, 50, 11)}
        one.clear()
        assert other.of_key("key-a") == other.of_principal("p") == other.of_access_key("AK") == (Place(), {})
        one.close()
        other.close()

    def test_a_book_can_be_thrown_away(self, books: Books, tmp_path: Path) -> None:
        """Then there is none, and throwing it away once more does no harm; who has it open is told."""
        book = books.make(tmp_path)
        books.discard(tmp_path)
        books.discard(tmp_path)
        assert books.open(tmp_path) is None
        with pytest.raises(BookDamaged):
            book.add(Place(), THERE, Sums({}, {}))
        book.close()


class TestMemoryBooks(BooksContract):
    """Books in memory."""

    @pytest.fixture
    def books(self) -> Books:
        """A place for them."""
        return MemoryBooks()


FIRST_FORM = """
CREATE TABLE place (
    position INTEGER NOT NULL, mark BLOB NOT NULL, sequence INTEGER NOT NULL, identity BLOB NOT NULL,
    byte INTEGER NOT NULL
) STRICT;
INSERT INTO place VALUES (2, x'00', 0, x'', 0);
CREATE TABLE names (name TEXT PRIMARY KEY, id INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO names VALUES ('key-a', 1), ('p', 2);
CREATE TABLE uses (
    key INTEGER NOT NULL, version INTEGER NOT NULL, principal INTEGER NOT NULL, action TEXT NOT NULL,
    count INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, entry INTEGER NOT NULL,
    request TEXT NOT NULL, PRIMARY KEY (key, version, principal, action)
) STRICT, WITHOUT ROWID;
INSERT INTO uses VALUES (1, 1, 2, 'kms:Sign', 7, 1, 9, 1, 'r9');
PRAGMA user_version = 1;
"""
"""A book as it was when it knew of keys only, with something in it that no log says."""


class TestSqliteBooks(BooksContract):
    """Books in SQLite."""

    @pytest.fixture
    def books(self) -> Books:
        """A place for them."""
        return SqliteBooks()

    @pytest.mark.parametrize(
        "damage", ["garbage", "cut", "empty", "other", "first", "no uses", "no callers", "no row"]
    )
    def test_a_damaged_book_is_made_anew(self, tmp_path: Path, damage: str) -> None:
        """Whatever has happened to the file, the index is right again after a while, and asking is right at once."""
        house = House(books=SqliteBooks())
        house.bench.root = tmp_path
        house.bench.directory = tmp_path / "w0"
        house.bench.disk.mkdir(Path("/"))
        for folder in [*reversed(tmp_path.parents)][1:]:
            house.bench.disk.mkdir(folder)
        (tmp_path / "w0").mkdir()
        house.start()
        house.use("key-a", "key-b")
        house.publish()
        house.logs["w0"].close()
        path = tmp_path / "w0" / FILE
        data = path.read_bytes()
        if damage == "garbage":
            path.write_bytes(b"x" * len(data))
        elif damage == "cut":
            path.write_bytes(data[: len(data) // 2])
        elif damage == "empty":
            path.write_bytes(b"")
        elif damage == "first":
            path.unlink()
            connection = sqlite3.connect(path)
            connection.executescript(FIRST_FORM)
            connection.close()
        else:
            statement = {
                "other": "PRAGMA user_version = 9",
                "no uses": "DROP TABLE uses",
                "no callers": "DROP TABLE callers",
                "no row": "DELETE FROM place",
            }[damage]
            connection = sqlite3.connect(path)
            connection.execute(statement)
            connection.commit()
            connection.close()
        house.check()
        house.start()
        house.use("key-c")
        for _ in range(3):
            house.publish()
        house.check()
        book = SqliteBooks().open(tmp_path / "w0")
        assert book is not None
        place, last = book.of_key("key-a")
        assert (place.position, last) == (3, {SIGN: total(1, 1, 1, 0)})
        assert book.of_principal("p")[1] == book.of_access_key("AK")[1] == {SIGN: total(3, 1, 3, 2)}
        book.close()
        house.logs["w0"].close()

    def test_many_rows_and_names_fit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """More rows than one statement takes, and more names than are remembered, are as good as a few."""
        monkeypatch.setattr(usagebook, "_NAMES_KEPT", 10)
        book = SqliteBooks().make(tmp_path)
        many = Sums(
            {(f"key-{number}", 1, "p", SIGN): total(1, 0, 0, number) for number in range(200)},
            {(f"p-{number}", f"AK{number}", SIGN): total(1, 0, 0, number) for number in range(200)},
        )
        book.add(Place(), THERE, many)
        book.add(THERE, THERE._replace(position=9), many)
        for number in (0, 63, 64, 199):
            expected = {SIGN: total(2, 0, 0, number)}
            assert book.of_key(f"key-{number}")[1] == expected
            assert book.of_principal(f"p-{number}")[1] == book.of_access_key(f"AK{number}")[1] == expected
        for table in ("uses", "callers"):
            counts = book._connection.execute(f"SELECT count(*), sum(count) FROM {table}").fetchone()  # noqa: S608 - ours
            assert counts == (200, 400)
        book.close()

    def test_only_what_no_power_cut_undoes_is_settled(self, tmp_path: Path) -> None:
        """What somebody still reads from cannot be moved into the file, so nothing is said of it."""
        books = SqliteBooks()
        assert books.settled(tmp_path) == 0
        book = books.make(tmp_path)
        book.add(Place(), THERE, Sums({("key-a", 1, "p", SIGN): total(1, 0, 0, 1)}, {}))
        reader = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM uses").fetchone()
        book.add(THERE, THERE._replace(position=9), Sums({("key-a", 1, "p", SIGN): total(1, 0, 0, 2)}, {}))
        assert books.settled(tmp_path) == 0
        reader.execute("COMMIT")
        assert books.settled(tmp_path) == 9
        reader.close()
        book.close()

    def test_a_book_that_cannot_be_made_says_so(self, tmp_path: Path) -> None:
        """What a directory's owner has to mend is no damage of the book's."""
        with pytest.raises(BookError) as caught:
            SqliteBooks().make(tmp_path / "missing")
        assert not isinstance(caught.value, BookDamaged)

    def test_a_book_that_cannot_be_removed_says_so(self, tmp_path: Path) -> None:
        """A directory of that name is nothing that a book may remove."""
        (tmp_path / FILE).mkdir()
        with pytest.raises(BookError, match="cannot be removed"):
            SqliteBooks().discard(tmp_path)

    def test_the_schema_is_of_the_version_that_is_expected(self, tmp_path: Path) -> None:
        """A new book can be opened by whoever only asks."""
        SqliteBooks().make(tmp_path).close()
        with sqlite3.connect(tmp_path / FILE) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (usagebook.VERSION,)
        connection.close()
