"""The receiver's proof: what is missing, twice or changed is found from the events alone."""

import msgspec
import pytest

from bridges.sinks.samples import SinkBench
from keystead.bridges.sinks.census import Census, Incomplete

LOG = "keystead-test/w0"


@pytest.fixture
def lines() -> list[bytes]:
    """Twenty entries and two checkpoints, as a receiver has them."""
    bench = SinkBench()
    for _ in range(2):
        bench.write(10)
        bench.settle()
        bench.drain()
    return [message.body for message in bench.collector.got]


def count(lines: list[bytes]) -> Census:
    """The census of some events."""
    census = Census()
    for line in lines:
        census.add(line)
    return census


def test_a_whole_log_is_proven(lines: list[bytes]) -> None:
    """In any order, and with duplicates, which are counted."""
    census = count([*reversed(lines), *lines[3:6]])
    census.check()
    assert (census.events, census.duplicates, census.count(LOG)) == (23, 3, 20)
    assert [told.size for told in census.checkpoints(LOG)] == [10, 20]
    assert census.missing() == {}


@pytest.mark.parametrize(("gone", "gap"), [(0, (0, 1)), (4, (4, 5)), (20, (19, 20))])
def test_a_missing_event_is_found(lines: list[bytes], gone: int, gap: tuple[int, int]) -> None:
    """At the beginning, in the middle, and at the end, where only the checkpoint knows of it."""
    census = count(lines[:gone] + lines[gone + 1 :])
    assert census.missing() == {LOG: [gap]}
    with pytest.raises(Incomplete, match=f"the entries from {gap[0]} up to {gap[1]} are missing"):
        census.check()


def test_a_changed_event_is_found(lines: list[bytes]) -> None:
    """The checkpoint's root is not that of what is here; two entries under one name are found at once."""
    changed = lines[4].replace(b"kms:Encrypt", b"kms:Decrypt")
    with pytest.raises(Incomplete, match="the first 10 entries are not those of the checkpoint"):
        count([*lines[:4], changed, *lines[5:]]).check()
    with pytest.raises(Incomplete, match="there are two entries of this name"):
        count([lines[4], changed])


def test_what_was_parked_is_told_apart() -> None:
    """A refused event is a gap with a reason; an event about a restart is no entry."""
    bench = SinkBench()
    bench.collector.refuses = lambda message: "no" if message.about.name == f"{LOG}/1" else ""
    bench.write(3)
    bench.settle()
    bench.drain()
    bench.audit.disk.damage(bench.audit.disk.files()[-1].parent / "w0.cursor", b"torn")
    bench.begin()
    bench.drain()
    census = count([message.body for message in bench.collector.got])
    assert census.parked == {f"{LOG}/1"}
    assert census.missing() == {LOG: [(1, 2)]}


def test_what_is_no_event_is_refused() -> None:
    """Something else in the receiver's files is not counted silently."""
    with pytest.raises(msgspec.DecodeError):
        count([b"{}"])
