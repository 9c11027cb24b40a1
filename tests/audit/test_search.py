"""Finding the entries of one request, in logs that are in use."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from keystead.audit.log import Log
from keystead.audit.search import Search
from keystead.core.ports import Found
from keystead.testing.audit import AuditBench, TurnedClock
from keystead.testing.disk import MemoryDisk

LOGS = ("w0", "w1")


def record(request: str, time: int, stage: str = "", about: str = "") -> bytes:
    """An entry as the tests write it."""
    return f"{request} {time} {stage} {about}".encode()


def of_request(entry: bytes, request: str) -> bool:
    """Whether an entry is of a request."""
    return entry.split(b" ")[0] == request.encode()


def begins(entry: bytes) -> bool:
    """Whether it is the first entry of its request."""
    return entry.split(b" ")[2] != b"outcome"


def moment(entry: bytes) -> float:
    """Its time."""
    return float(entry.split(b" ")[1])


class House:
    """Some logs, and what was written into them."""

    def __init__(self, seed: int = 0, segment_bytes: int = 1 << 15) -> None:
        self.bench = AuditBench(seed, segment_bytes=segment_bytes)
        self.logs: dict[str, Log] = {}
        self.time = 0

    def write(self, *requests: str, name: str = "w0", stage: str = "", about: str = "") -> None:
        """Commit an entry of each request."""
        log = self.logs.get(name) or self.logs.setdefault(name, self.bench.open(name))
        for request in requests:
            self.time += 1
            log.append(record(request, self.time, stage, about))
        log.commit()

    def publish(self, name: str = "w0") -> None:
        """Let a checkpoint cover everything."""
        for _ in range(3):
            self.bench.later()
            self.logs[name].tend()

    def search(self, **options: float) -> Search:
        """Somebody who searches."""
        return Search(
            self.bench.root,
            disk=self.bench.disk,
            clock=self.bench.clock,
            origin="keystead-test",
            of_request=of_request,
            begins=begins,
            moment=moment,
            most_entries=int(options.get("most_entries", 1_000_000)),
            seconds=options.get("seconds", 1.0),
        )

    def find(self, request: str, **options: float) -> Found:
        """What is found of a request."""
        return self.search(**options).find(request)

    def events(self, request: str) -> tuple[tuple[str, bytes], ...]:
        """The same, by reading all logs from their beginnings."""
        return tuple(
            (f"keystead-test/{name}/{number}", entry)
            for name, log in self.logs.items()
            for number, entry in reversed(list(enumerate(log.entries(0, log.size))))
            if of_request(entry, request)
        )


# --- what is found ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("published", [False, True])
def test_an_entry_is_found_under_its_events_name(*, published: bool) -> None:
    """What was committed just now is found in the segments, and later in the tiles."""
    house = House()
    house.write("r1", "r2", "r3")
    if published:
        house.publish()
    assert house.find("r2") == Found((("keystead-test/w0/1", record("r2", 2)),))
    assert house.find("r2").complete


@pytest.mark.parametrize("published", [0, 1, 2])
def test_a_change_has_an_outcome_and_an_intent(published: int) -> None:
    """Both are found, the newer one first, whether a checkpoint covers them or not."""
    house = House()
    for turn, stage in enumerate(("intent", "outcome")):
        house.write("r1", stage=stage)
        house.write(*[f"x{number}" for number in range(300)])
        if turn < published:
            house.publish()
    found = house.find("r1")
    assert [event for event, _ in found.entries] == ["keystead-test/w0/301", "keystead-test/w0/0"]
    assert found == Found(house.events("r1"))


def test_a_request_that_is_only_named_is_not_found() -> None:
    """The id as a part of another one, or in another entry's text, is no hit."""
    house = House()
    house.write("r10", about="r1")
    house.write("xr1")
    house.publish()
    house.write("r2", about="r1")
    assert house.find("r1") == Found(())


def test_nothing_is_found_where_there_is_nothing() -> None:
    """Neither a request without an id, nor in a place without logs, nor in a log that is just being made."""
    house = House()
    assert house.find("r1") == Found(())
    house.bench.disk.mkdir(house.bench.root)
    house.bench.disk.mkdir(house.bench.root / "w9")
    assert house.find("r1") == Found(())
    house.write("", "r1")
    assert house.find("") == Found(())


def test_a_log_without_an_owner_is_searched_as_well() -> None:
    """The process that wrote an entry may be no more."""
    house = House()
    house.write("r1", name="w1")
    house.write("r2")
    house.logs["w1"].close()
    assert [event for event, _ in house.find("r1").entries] == ["keystead-test/w1/0"]


def test_a_read_that_was_asked_again_is_found_in_its_last_form() -> None:
    """Of several entries of one request, none of a change, the last is the one whose answer was given."""
    house = House()
    house.write("r1")
    house.write(*["x"] * 300)
    house.write("r1")
    house.publish()
    assert [event for event, _ in house.find("r1").entries] == ["keystead-test/w0/301"]


entries = st.lists(
    st.tuples(
        st.sampled_from(LOGS),
        st.sampled_from(("write", "change", "half", "many", "publish", "restart")),
    ),
    max_size=20,
)


@given(entries, st.integers(0, 1000))
def test_what_is_found_is_what_the_logs_have(history: list[tuple[str, str]], seed: int) -> None:
    """Whatever was written, published and restarted in between, every request is found whole."""
    house = House(seed)
    requests: list[str] = []
    for name, what in history:
        request = f"r{len(requests)}."
        if what == "publish" and name in house.logs:
            house.publish(name)
        elif what == "restart" and name in house.logs:
            house.logs[name].close()
            house.logs[name] = house.bench.open(name)
        elif what == "many":
            house.write(*["x"] * 300, name=name)
        elif what in ("change", "half"):
            requests.append(request)
            house.write(request, name=name, stage="intent")
            if what == "change":
                house.write(request, name=name, stage="outcome")
        elif what == "write":
            requests.append(request)
            house.write(request, name=name)
    for request in [*requests, "never"]:
        assert house.find(request) == Found(house.events(request))


# --- how far it looks ------------------------------------------------------------------------------------


class WatchedDisk(MemoryDisk):
    """A disk that says which files are read, before and after."""

    def __init__(
        self,
        disk: MemoryDisk,
        before: Callable[[Path], None] = lambda _: None,
        after: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self.__dict__.update(disk.__dict__)
        self._before = before
        self._after = after

    @override
    def read(self, path: Path) -> bytes:
        """Read, and say so."""
        self._before(path)
        data = super().read(path)
        self._after(path)
        return data

    @override
    def names(self, path: Path) -> list[str]:
        """List, and say so."""
        found = super().names(path)
        self._after(path)
        return found


def bundles_read(house: House, request: str, **options: float) -> list[str]:
    """Which bundles a search reads, in their order."""
    read: list[str] = []

    def note(path: Path) -> None:
        if "entries" in path.parts:
            parts = path.relative_to(house.bench.root).parts
            read.append(f"{parts[0]}/{parts[3].removesuffix('.p')}")

    search = house.search(**options)
    search._disk = WatchedDisk(house.bench.disk, before=note)
    search.find(request)
    return read


def test_a_request_of_just_now_is_found_without_looking_back() -> None:
    """Once the first entry of a request is found nothing older is read."""
    house = House(segment_bytes=1 << 17)
    house.write(*[f"x{number}" for number in range(1000)])
    house.publish()
    house.write("new")
    assert bundles_read(house, "new") == []
    assert bundles_read(house, "x999") == ["w0/003"]
    assert bundles_read(house, "x300") == ["w0/003", "w0/002", "w0/001"]


def test_the_log_that_was_read_back_the_least_goes_on() -> None:
    """A log that has been silent for long does not keep a search from what is newer in another one."""
    house = House(segment_bytes=1 << 17)
    house.write(*["x"] * 512, name="w0")
    house.write(*["x"] * 512, name="w1")
    house.write(*["x"] * 256, name="w0")
    for name in LOGS:
        house.publish(name)
    assert bundles_read(house, "never") == ["w0/002", "w1/001", "w0/001", "w1/000", "w0/000"]


def test_a_search_ends_after_a_number_of_entries_and_says_so() -> None:
    """What was found until then is told, and how much was left out."""
    house = House(segment_bytes=1 << 17)
    house.write("r1", stage="intent")
    house.write(*["x"] * 799)
    house.publish()
    house.write("r1", stage="outcome")
    found = house.find("r1", most_entries=500)
    assert [event for event, _ in found.entries] == ["keystead-test/w0/800"]
    assert found.missing == "the oldest 256 entries were not searched"
    assert not found.complete
    assert house.find("r1", most_entries=800) == Found(house.events("r1"))


def test_a_search_ends_after_a_time_and_says_so() -> None:
    """The ends of all logs are always searched; then the clock is asked before every further piece."""

    class Passing(TurnedClock):
        """A clock on which a second passes whenever somebody looks."""

        @override
        def monotonic(self) -> float:
            self.time += 1.0
            return self.time

    house = House(segment_bytes=1 << 17)
    for name in LOGS:
        house.write(*["x"] * 512, name=name)
        house.publish(name)
    house.write("r1", name="w1")
    search = house.search(seconds=2.5)
    search._clock = Passing()
    assert search.find("never") == Found((), "the oldest 512 entries were not searched")
    search = house.search(seconds=0.0)
    assert [event for event, _ in search.find("r1").entries] == ["keystead-test/w1/512"]


# --- what goes on meanwhile ------------------------------------------------------------------------------


def test_a_log_that_cannot_be_read_is_told_and_the_others_are_searched() -> None:
    """Damage costs the log it is in, and the answer says that it may not be whole."""
    house = House()
    for name in LOGS:
        house.write(f"in-{name}", name=name)
        house.logs[name].close()
    path = next(path for path in house.bench.disk.files() if "entries" in path.parts and "w0" in path.parts)
    house.bench.disk.damage(path, b"")
    found = house.find("in-w0")
    assert found.entries == ()
    assert found.missing.startswith("the audit log w0 cannot be read: tile/entries/000.p/1: ")
    assert house.find("in-w1") == Found(house.events("in-w1"))
    house.bench.disk.remove(house.bench.root / "w1" / "checkpoint")
    assert house.find("never").missing.count("cannot be read") == 2


@pytest.mark.parametrize("at", ["checkpoint", "wal"])
def test_a_checkpoint_that_overtakes_a_look_makes_it_look_again(at: str) -> None:
    """Segments that go while somebody reads them are read from the tiles instead."""
    house = House()
    house.write("r1", "r2")
    log = house.logs["w0"]
    search = house.search()

    def close(path: Path) -> None:
        if path.name == at:
            log.close()

    search._disk = WatchedDisk(house.bench.disk, after=close)
    assert search.find("r1") == Found((("keystead-test/w0/0", record("r1", 1)),))
    assert house.bench.disk.names(house.bench.directory / "wal") == [] or log.signed == 2


def test_a_segment_that_goes_before_it_is_opened_makes_it_look_again() -> None:
    """A name that was there a moment ago is no damage when a newer checkpoint explains it."""
    house = House(segment_bytes=1 << 14)
    house.write(*["x"] * 200)
    house.write("r1")
    search = house.search()
    log = house.logs["w0"]

    class Gone(WatchedDisk):
        """A disk that still lists a segment that has just gone."""

        @override
        def names(self, path: Path) -> list[str]:
            if path.name == "wal" and log.signed != log.size:
                log.close()
                return ["0000000000000099.seg"]
            return super().names(path)

    search._disk = Gone(house.bench.disk)
    assert [event for event, _ in search.find("r1").entries] == ["keystead-test/w0/200"]


def test_a_segment_that_is_missing_for_good_is_told() -> None:
    """Without a newer checkpoint nothing explains it."""
    house = House()
    house.write("r1")
    search = house.search()

    class Without(WatchedDisk):
        """A disk that lists a segment that is not there."""

        @override
        def names(self, path: Path) -> list[str]:
            return ["0000000000000099.seg"] if path.name == "wal" else super().names(path)

    search._disk = Without(house.bench.disk)
    assert search.find("r1").missing.startswith("the audit log w0 cannot be read: ")


def test_a_log_that_is_always_ahead_is_given_up() -> None:
    """Whoever cannot get a consistent look at a log's end says so."""
    house = House()
    house.write("x")
    search = house.search()

    def go_on(path: Path) -> None:
        if path.name == "wal":
            house.write("x")
            house.publish()

    search._disk = WatchedDisk(house.bench.disk, after=go_on)
    assert search.find("r1").missing == "the audit log w0 cannot be read: wal: it goes on too fast (record 5)"


def test_a_search_writes_nothing() -> None:
    """Every file is as it was, and the log's owner goes on."""
    house = House()
    house.write(*["x"] * 300)
    house.publish()
    house.write("r1")
    before = {path: house.bench.disk.read(path) for path in house.bench.disk.files()}
    house.find("r1")
    house.find("never")
    assert {path: house.bench.disk.read(path) for path in house.bench.disk.files()} == before
    house.write("r2")
    assert house.find("r2").entries == house.events("r2")
