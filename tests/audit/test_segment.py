"""What the segments of a log may look like after a bad day, and what may not."""

from hashlib import sha256
from pathlib import Path

import pytest

from keystead.audit.checkpoint import Checkpoint, read_checkpoint
from keystead.audit.damage import Damaged
from keystead.audit.recovery import recover
from keystead.audit.segment import (
    BATCH_HEADER_BYTES,
    HEADER_BYTES,
    Replay,
    Segment,
    batches_from,
    encode,
    frames_of,
    identity_of,
    prepare,
    replay,
)
from keystead.audit.tiles import tile_path
from keystead.crypto.note import InvalidNote
from keystead.testing.audit import AuditBench
from keystead.testing.disk import Fault, MemoryDisk

LOG = Path("/log")
WAL = LOG / "wal"
SIZE = 4096


class Writer:
    """Writes segments batch by batch."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.disk.mkdir(LOG)
        self.disk.mkdir(WAL)
        self.sequence = 0
        self.offset = HEADER_BYTES
        self.segment = self.next()

    def next(self, recycle: str | None = None) -> Segment:
        """Begin another segment."""
        self.sequence += 1
        identity = bytes([self.sequence]) * 16
        self.segment = prepare(self.disk, WAL, self.sequence, SIZE, identity, recycle=recycle)
        self.offset = HEADER_BYTES
        return self.segment

    def batch(self, first: int, count: int = 1) -> bytes:
        """Write records ``first`` and so on, as one batch."""
        frames = [b"\0\4" + (first + more).to_bytes(4, "big") for more in range(count)]
        batch = encode(self.segment, first, frames)
        self.segment.file.write(batch, self.offset)
        self.offset += len(batch)
        return batch

    def replay(self, size: int = 0) -> Replay:
        """Read it all back."""
        return replay(self.disk, LOG, size)

    def damaged(self, size: int = 0) -> tuple[int, str, str]:
        """Read it back and see it fail."""
        with pytest.raises(Damaged) as caught:
            self.replay(size)
        return caught.value.index, caught.value.file, caught.value.problem


@pytest.fixture
def writer() -> Writer:
    """One empty segment."""
    return Writer()


def records(found: Replay) -> list[int]:
    """The numbers in the records that count."""
    return [
        int.from_bytes(frame[2:], "big") for batch in found.batches for frame in frames_of(batch.records)[0]
    ]


def test_batches_come_back_in_order_over_segments(writer: Writer) -> None:
    """Rotation in the middle, and an empty spare at the end."""
    writer.batch(0, 3)
    writer.batch(3)
    writer.next()
    writer.batch(4, 2)
    writer.next()

    found = writer.replay()

    assert records(found) == [0, 1, 2, 3, 4, 5]
    assert (found.end, found.torn, found.sequence) == (6, 0, 3)
    assert found.unused == {"0000000000000003.seg": SIZE}


def test_the_bytes_on_disk_are_those_of_version_1(writer: Writer) -> None:
    """Golden: a header and a batch as docs/formats/audit-log.md describes them."""
    writer.batch(7, 2)
    header = b"KSTDWAL1" + (1).to_bytes(8, "big") + b"\1" * 16 + b"\1" + bytes(15)
    records = b"\0\4\0\0\0\7" + b"\0\4\0\0\0\x08"
    batch = b"\1" * 8 + (7).to_bytes(8, "big") + (2).to_bytes(4, "big") + (12).to_bytes(4, "big")

    golden = (
        header
        + sha256(header).digest()[:16]
        + batch
        + sha256(b"\1" * 16 + batch + records).digest()[:16]
        + records
        + bytes(4)
    )

    assert writer.disk.read(writer.segment.path) == golden.ljust(SIZE, b"\0")


def test_the_later_segment_wins(writer: Writer) -> None:
    """After a failed sync the log went on elsewhere at the same index: what was refused does not count."""
    writer.batch(0, 3)
    writer.batch(3, 2)
    writer.batch(5)
    writer.next()
    writer.batch(3)

    found = writer.replay()

    assert records(found) == [0, 1, 2, 3]
    assert found.torn == 0


def test_a_batch_of_a_former_life_is_never_taken_for_a_new_one(writer: Writer) -> None:
    """A recycled segment still has its old bytes, even where they would go on from the new ones."""
    writer.batch(0)
    writer.batch(1)
    writer.segment.file.close()
    writer.next(recycle="0000000000000001.seg")
    writer.batch(0)

    found = writer.replay()

    assert records(found) == [0]
    assert found.torn == 0


def test_a_torn_batch_at_the_end_is_dropped_and_counted(writer: Writer) -> None:
    """Its bytes are told, in a fresh segment as well as in a recycled one."""
    writer.batch(0)
    batch = writer.batch(1, 9)
    place = writer.offset - len(batch)
    writer.segment.file.write(bytes(20), place + 50)
    assert (records(writer.replay()), writer.replay().torn) == ([0], len(batch))

    writer.segment.file.write(bytes(50), place)
    assert (records(writer.replay()), writer.replay().torn) == ([0], len(batch.rstrip(b"\0")))


def test_a_torn_first_batch_in_a_new_segment_is_dropped_and_counted(writer: Writer) -> None:
    """The batch that began a segment was torn; the ones in the segment before stand."""
    writer.batch(0)
    writer.next()
    batch = writer.batch(1, 9)
    writer.segment.file.write(bytes(20), HEADER_BYTES + 50)

    found = writer.replay()

    assert (records(found), found.torn, found.torn_file) == ([0], len(batch), "wal/0000000000000002.seg")
    assert found.unused == {}


@pytest.mark.parametrize("empty_before", [True, False])
def test_a_bad_batch_before_a_good_one_is_damage(writer: Writer, *, empty_before: bool) -> None:
    """What has something after it was acknowledged, so it must be whole."""
    if not empty_before:
        writer.batch(0)
    start = writer.offset
    writer.batch(1 - empty_before)
    writer.segment.file.write(b"?", start + 42)
    decoy = writer.segment.identity[:8]
    writer.segment.file.write(decoy, writer.offset)
    writer.offset += 8
    writer.batch(2)

    assert writer.damaged() == (
        1 - empty_before,
        "wal/0000000000000001.seg",
        f"the batch at byte {start} is damaged, and good ones follow it",
    )


def test_a_gap_is_damage(writer: Writer) -> None:
    """Between segments, within one, and after the checkpoint; below the checkpoint the tiles have it."""
    writer.batch(0)
    writer.next()
    writer.batch(2)
    assert writer.damaged()[::2] == (1, "it begins at record 2: those before are missing")
    assert records(writer.replay(2)) == [0, 2]

    writer.batch(4)
    assert writer.damaged(2)[::2] == (3, "a batch of record 4 stands where 3 should")

    alone = Writer()
    alone.batch(7)
    assert alone.damaged(5)[::2] == (5, "it begins at record 7: those before are missing")


def test_an_end_before_the_checkpoint_is_damage(writer: Writer) -> None:
    """The segments reach at least as far as the checkpoint, or are empty."""
    assert writer.replay(9).end == 9
    writer.batch(0, 3)

    assert writer.damaged(9)[::2] == (3, "the segments end here, but the checkpoint covers 9 records")


def test_a_segment_that_begins_inside_a_batch_is_damage(writer: Writer) -> None:
    """A batch is refused as a whole or not at all."""
    writer.batch(0, 3)
    writer.next()
    writer.batch(2)

    assert writer.damaged()[::2] == (2, "it begins in the middle of a batch of the segment before")


def test_a_damaged_header_is_damage(writer: Writer) -> None:
    """A segment's header was whole before the file got its name."""
    path = writer.segment.path
    data = writer.disk.read(path)
    writer.disk.damage(path, b"?" + data[1:])
    assert writer.damaged()[::2] == (0, "its header is damaged")

    writer.disk.damage(path, data)
    writer.disk.rename(path, WAL / "0000000000000005.seg")
    assert writer.damaged()[::2] == (0, "it is not the segment of its name (its header says 1)")


@pytest.mark.parametrize("operation", range(5))
def test_a_segment_that_cannot_be_prepared_leaves_nothing(writer: Writer, operation: int) -> None:
    """The half of a segment would only keep a full disk full."""
    writer.disk.at(operation, Fault.ERROR)
    with pytest.raises(OSError, match="fails on purpose"):
        writer.next()

    assert [name for name in writer.disk.names(WAL) if name != "0000000000000001.seg"] in ([], ["spare.tmp"])
    assert writer.next().path.name == "0000000000000003.seg"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (tile_path(0, 0), "tile/0/000"),
        (tile_path(2, 999), "tile/2/999"),
        (tile_path("entries", 1_234_067, 17), "tile/entries/x001/x234/067.p/17"),
        (tile_path(63, 1000, 256), "tile/63/x001/000"),
    ],
)
def test_tiles_have_the_specification_s_paths(path: str, expected: str) -> None:
    """Indexes in groups of three digits, all but the last with an x, and the width of a partial tile."""
    assert path == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("o\n0\n", "three lines"),
        ("o\n0\nroot\nextension\n", "three lines"),
        ("o\n0\n????\n", "malformed"),
        ("o\n0\n\u00e9\n", "malformed"),
        ("o\n0\nAAAA\n", "malformed"),
        ("o\n01\n" + "A" * 43 + "=\n", "malformed"),
        ("o\n-1\n" + "A" * 43 + "=\n", "malformed"),
        ("o\n\u0661\n" + "A" * 43 + "=\n", "malformed"),
        ("\n1\n" + "A" * 43 + "=\n", "malformed"),
    ],
)
def test_only_whole_checkpoints_are_read(text: str, problem: str) -> None:
    """A signature does not make a checkpoint out of any text."""
    signer = AuditBench().signer
    with pytest.raises(InvalidNote, match=problem):
        read_checkpoint(signer.sign(text), signer.verifier)


def test_a_checkpoint_reads_as_it_was_written() -> None:
    """Origin, size and root come back."""
    signer = AuditBench().signer
    checkpoint = Checkpoint("keystead-test/w0", 20852163, bytes(range(32)))

    assert read_checkpoint(signer.sign(checkpoint.text()), signer.verifier) == checkpoint


def test_recovery_reads_the_tail_from_the_middle_of_a_batch() -> None:
    """A batch may reach over a checkpoint that an earlier recovery signed."""
    bench = AuditBench()
    log = bench.open()
    for entry in (b"a", b"b"):
        log.append(entry)
    log.commit()
    bench.later()
    log.tend()
    log.append(b"c")
    log.append(b"d")
    log.commit()

    found = recover(bench.disk, bench.directory, bench.signer.named("keystead-test/w0").verifier)

    assert [frame[2:] for frame in found.tail] == [b"c", b"d"]
    assert found.tree.size == 2
    assert found.bundle == [b"\0\1a", b"\0\1b"]


def test_batches_are_read_from_any_place_on_as_far_as_they_are_whole() -> None:
    """A reader that knows a place needs no more than what follows it, and stops before what is torn."""
    writer = Writer()
    writer.batch(0, 2)
    place = writer.offset
    writer.batch(2)
    writer.batch(3, 4)
    end = writer.offset
    file, identity, name = writer.segment.file, identity_of(writer.segment.file), writer.segment.path.name

    def firsts(offset: int) -> list[int]:
        return [batch.first for batch in batches_from(file, identity, offset, name)]

    assert identity == writer.segment.identity
    assert firsts(HEADER_BYTES) == [0, 2, 3]
    assert firsts(place) == [2, 3]
    assert firsts(end) == []
    assert firsts(SIZE) == []
    writer.batch(7)
    file.write(b"x", end + BATCH_HEADER_BYTES)
    assert firsts(place) == [2, 3]
    assert [batch.first for batch in batches_from(file, bytes(16), place, name)] == []


def test_a_batch_that_a_file_ends_in_is_not_whole() -> None:
    """What its header promises and the file does not hold was never committed."""
    writer = Writer()
    writer.batch(0, 3)
    path = writer.segment.path
    writer.disk.damage(path, writer.disk.read(path)[: HEADER_BYTES + BATCH_HEADER_BYTES + 4])
    assert list(batches_from(writer.disk.open(path), writer.segment.identity, HEADER_BYTES, path.name)) == []


@pytest.mark.parametrize("byte", [None, 0, 20, 50])
def test_a_file_with_a_damaged_header_has_no_identity(byte: int | None) -> None:
    """Nothing in it can be taken for a batch then."""
    writer = Writer()
    path = writer.segment.path
    data = bytearray(writer.disk.read(path))
    if byte is None:
        del data[HEADER_BYTES - 1 :]
    else:
        data[byte] ^= 1
    writer.disk.damage(path, bytes(data))
    assert identity_of(writer.disk.open(path)) == b""
