"""Reading a log's records back, without its key and while it is in use."""

from pathlib import Path

import pytest

from keystead.audit.damage import Damaged
from keystead.audit.reading import entries
from keystead.testing.audit import AuditBench


def record(number: int) -> bytes:
    """A record that names its own place."""
    return b"record %d" % number


@pytest.mark.parametrize(
    ("signed", "beyond"), [(0, 0), (0, 3), (3, 0), (255, 1), (256, 0), (256, 5), (700, 300)]
)
def test_all_records_are_read_in_order(signed: int, beyond: int) -> None:
    """Those under the checkpoint come from tiles and those beyond it from segments, without a seam."""
    bench = AuditBench(segment_bytes=1 << 16)
    log = bench.open()
    for number in range(signed):
        log.append(record(number))
    log.commit()
    bench.later()
    log.tend()
    log.tend()
    assert log.signed == signed
    for number in range(signed, signed + beyond):
        log.append(record(number))
        log.commit()
    expected = [record(number) for number in range(signed + beyond)]
    assert list(entries(bench.disk, bench.directory)) == expected
    for last in (1, 2, 256, 10_000):
        assert list(entries(bench.disk, bench.directory, last)) == expected[-last:]


def test_a_log_that_was_closed_is_read() -> None:
    """After a close there is nothing beyond the checkpoint, and nothing is missing."""
    bench = AuditBench()
    log = bench.open()
    log.append(record(0))
    log.close()
    assert list(entries(bench.disk, bench.directory)) == [record(0)]


@pytest.mark.parametrize("note", [None, b"", b"keystead\n", b"keystead\nmany\n"])
def test_what_is_no_log_is_said_to_be_none(note: bytes | None) -> None:
    """A directory without a checkpoint, or with something else of that name, is damage at record 0."""
    bench = AuditBench()
    bench.open().close()
    path = bench.directory / "checkpoint"
    bench.disk.remove(path)
    if note is not None:
        file = bench.disk.create(path)
        file.write(note, 0)
    with pytest.raises(Damaged) as caught:
        list(entries(bench.disk, bench.directory))
    assert (caught.value.index, caught.value.file) == (0, "checkpoint")


def test_damaged_segments_are_damage_when_the_checkpoint_stays() -> None:
    """A log that is not being written has no newer checkpoint to wait for: the damage is told at once."""
    bench = AuditBench()
    log = bench.open()
    for number in range(3):
        log.append(record(number))
        log.commit()
    (name,) = [name for name in bench.disk.names(bench.directory / "wal") if name.endswith(".seg")][:1]
    path = bench.directory / "wal" / name
    data = bytearray(bench.disk.read(path))
    data[data.index(record(1))] ^= 1
    bench.disk.open(path).write(bytes(data), 0)
    with pytest.raises(Damaged, match="damaged"):
        list(entries(bench.disk, bench.directory))


@pytest.mark.parametrize("broken", [False, True])
def test_a_reader_that_a_checkpoint_overtakes_looks_again(*, broken: bool) -> None:
    """When segments go or change because a newer checkpoint covers them, the newer one is read."""
    bench = AuditBench()
    log = bench.open()
    for number in range(5):
        log.append(record(number))
        log.commit()
    disk = bench.disk
    path = bench.directory / "checkpoint"
    old = disk.read(path)

    class Overtaken:
        """The disk as one sees it whose first look was at an old checkpoint."""

        looks = 0

        def read(self, wanted: Path) -> bytes:
            if wanted == path:
                self.looks += 1
                if self.looks == 1:
                    log.close()  # the segments go, the checkpoint covers their records
                    return old
            return disk.read(wanted)

        def names(self, wanted: Path) -> list[str]:
            if broken and self.looks == 1:
                return ["0000000000000099.seg"]  # one that was there a moment ago
            return disk.names(wanted)

        def __getattr__(self, name: str) -> object:
            return getattr(disk, name)

    read = list(entries(Overtaken(), bench.directory))  # type: ignore[arg-type]  # the rest is the disk's own
    assert read == [record(number) for number in range(5)]
