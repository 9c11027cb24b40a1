"""Segments: the write-ahead form of the log, where one group commit is one write and one sync.

A segment is a file of fixed size whose blocks were all written once before the first record comes, so a
commit changes no metadata: ``fdatasync`` flushes a few pages and touches no journal. (A growing or merely
fallocated file costs 2 to 5 times the throughput.) It is a header of 64 bytes, then batches:

    header  magic "KSTDWAL1" | sequence u64 | identity 16 | blank u8 | zeros 15 | check 16
    batch   mark 8 | first index u64 | count u32 | length u32 | check 16 | records | zeros to 8 bytes
    record  length u16 | entry                       (exactly as in a C2SP entry bundle; all big-endian)

* A batch's *check* is SHA-256 over the segment's identity, the batch header and the records, cut to 128
  bits. A CRC-32 would let one torn batch in four billion pass and costs about the same: at 5 KiB a batch,
  3 us, 0.2 us a record.
* The *identity* is random for each life of a file, and the *mark* is its first half. A recycled segment
  still holds the batches of its former life; they cannot check out in the new one.
* *Blank* says that the file was zeros when this life began, so anything after the last batch is a write
  that was torn.
* Padding to 8 bytes keeps headers aligned for the search after a bad batch. A later commit may rewrite
  the sector that ends an earlier batch, but with the same bytes, so a torn write cannot hurt them.

Files are named after their *sequence*, ``wal/0000000000000007.seg``. They are prepared under the name
``spare.tmp`` and synced before they get it, so a ``.seg`` file always has a whole header, and going on in
the next one costs no directory change.

**Which batch counts** when two have the same index? After a failed ``fdatasync`` nobody knows whether the
batch is on disk, and asking again proves nothing (see `keystead.core.disk`). So that segment is never
written again: the log goes on in the next one, at the index of the batch that failed. The segment with the
higher sequence wins from its first index on; `replay` drops what it supersedes.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from keystead.audit.damage import Damaged
from keystead.core.disk import Disk, File

FOLDER = "wal"
SPARE = "spare.tmp"
HEADER_BYTES = 64
BATCH_HEADER_BYTES = 40
IDENTITY_BYTES = 16
ALIGNMENT = 8

_MAGIC = b"KSTDWAL1"
_CHECK_BYTES = 16
_MARK_BYTES = 8
_CHUNK = 1 << 20
_PIECE = 1 << 16
_HEADER = Struct(">8sQ16sB15x")
_BATCH = Struct(">8sQII")
_SUFFIX = ".seg"


class Segment:
    """A prepared segment, open for writing."""

    __slots__ = ("file", "identity", "path", "sequence", "size")

    def __init__(self, path: Path, file: File, sequence: int, identity: bytes, size: int) -> None:
        """A segment whose header is durable under its own name."""
        self.path = path
        self.file = file
        self.sequence = sequence
        self.identity = identity
        self.size = size


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that were committed together."""

    first: int
    count: int
    records: bytes
    file: str

    @property
    def end(self) -> int:
        """The index after its last record."""
        return self.first + self.count


class Replay(NamedTuple):
    """What the segments of a log hold, superseded batches left out."""

    batches: list[Batch]
    end: int  # the index after the last record, or the size that was asked about when there is none
    torn: int  # bytes of a batch that was being written when the power went, and so never counted
    torn_file: str
    names: list[str]  # every segment file, in order
    unused: dict[str, int]  # of them, those without a trace of a batch, with their sizes
    sequence: int  # the highest sequence so far


def prepare(
    disk: Disk, folder: Path, sequence: int, size: int, identity: bytes, *, recycle: str | None = None
) -> Segment:
    """Make a segment ready for use, durably: a new file of zeros, or a released one with a new header."""
    spare = folder / SPARE
    if recycle is None:
        file = disk.create(spare)
    else:
        # Off with the old name first, and durably: under it, the new header would be taken for damage.
        disk.rename(folder / recycle, spare)
        disk.sync(folder)
        file = disk.open(spare)
    path = folder / file_name(sequence)
    try:
        if recycle is None:
            zeros = bytes(min(size, _CHUNK))
            for offset in range(0, size, len(zeros)):
                file.write(zeros[: size - offset], offset)
        head = _HEADER.pack(_MAGIC, sequence, identity, recycle is None)
        file.write(head + _check(head), 0)
        file.sync()
        disk.rename(spare, path)
        disk.sync(folder)
    except OSError:
        with suppress(OSError):
            file.close()
        for leftover in (spare, path):  # on a full disk the half of it is in the way of everything else
            with suppress(OSError):
                disk.remove(leftover)
        raise
    return Segment(path, file, sequence, identity, size)


def encode(segment: Segment, first: int, frames: Sequence[bytes]) -> bytes:
    """A batch of records, each with its length before it, ready to be written into ``segment``."""
    records = b"".join(frames)
    identity = segment.identity
    head = _BATCH.pack(identity[:_MARK_BYTES], first, len(frames), len(records))
    check = sha256(identity + head + records).digest()[:_CHECK_BYTES]
    return b"".join((head, check, records, bytes(-len(records) % ALIGNMENT)))


def replay(disk: Disk, directory: Path, size: int) -> Replay:
    """Read every segment of a log whose checkpoint covers ``size`` records.

    Raises `Damaged` for a bad batch with a good one after it, a gap, or an end before the checkpoint. A bad
    batch with nothing after it was being written when the process or the power went: it never counted.
    """
    folder = directory / FOLDER
    batches: list[Batch] = []
    torn, torn_file, sequence = 0, "", 0
    names = [name for name in disk.names(folder) if name.endswith(_SUFFIX)]
    unused: dict[str, int] = {}
    for name in names:
        file = f"{FOLDER}/{name}"
        reached = batches[-1].end if batches else size
        identity, blank, data = _open(disk, directory, name, reached)
        sequence = int(name.removesuffix(_SUFFIX))
        found, stopped = _batches(identity, data, file)
        if _search(identity, data, stopped):
            broken = found[-1].end if found else reached
            raise Damaged(broken, file, f"the batch at byte {stopped} is damaged, and good ones follow it")
        remains = _remains(identity, data, stopped, blank=blank)
        if not found:
            if remains:
                torn, torn_file = torn + remains, file
            else:
                unused[name] = len(data)
            continue
        # A batch here tells that whatever was unfinished before it was dealt with then.
        torn, torn_file = remains, file
        first = found[0].first
        while batches and batches[-1].first >= first:
            batches.pop()
        reached = batches[-1].end if batches else size
        if first > max(reached, size):
            # Below the checkpoint the tiles have the records, and segments come and go.
            raise Damaged(max(reached, size), file, f"it begins at record {first}: those before are missing")
        if batches and first < reached:
            raise Damaged(first, file, "it begins in the middle of a batch of the segment before")
        batches += found
    end = batches[-1].end if batches else size
    if end < size:
        raise Damaged(
            end, batches[-1].file, f"the segments end here, but the checkpoint covers {size} records"
        )
    return Replay(batches, end, torn, torn_file if torn else "", names, unused, sequence)


def life_of(file: File) -> tuple[int, bytes]:
    """The sequence and the identity of an open segment in its present life; of what is no segment, 0 and nothing."""
    head = file.read(HEADER_BYTES, 0)
    body = head[: _HEADER.size]
    if len(head) < HEADER_BYTES or _check(body) != head[_HEADER.size :]:
        return 0, b""
    _, sequence, identity, _ = _HEADER.unpack(body)
    return sequence, identity


def identity_of(file: File) -> bytes:
    """The identity of an open segment in its present life; empty for what is no segment."""
    return life_of(file)[1]


def batches_from(file: File, identity: bytes, offset: int, name: str) -> Iterator[Batch]:
    """The whole batches of an open segment from a place on, read piece by piece; see `replay` for a judgement."""
    data, place = b"", 0
    while True:
        head = data[place : place + _BATCH.size]
        whole = BATCH_HEADER_BYTES
        if len(head) == _BATCH.size:
            if head[:_MARK_BYTES] != identity[:_MARK_BYTES]:
                return
            whole += _BATCH.unpack(head)[3]
        if place + whole > len(data):
            offset, place = offset + place, 0
            data = file.read(max(whole, _PIECE), offset)
            if len(data) < whole:
                return
            continue
        batch = _batch(identity, data, place, name)
        if batch is None:
            return
        yield batch
        place += span(len(batch.records))


def file_name(sequence: int) -> str:
    """The name of a segment."""
    return f"{sequence:016d}{_SUFFIX}"


def sequences(disk: Disk, directory: Path) -> list[int]:
    """The sequences of a log's segments, in order."""
    return [
        int(name.removesuffix(_SUFFIX)) for name in disk.names(directory / FOLDER) if name.endswith(_SUFFIX)
    ]


def frames_of(records: bytes) -> tuple[list[bytes], int]:
    """Cut a run of records into single ones, each with its length; also says how many bytes were whole."""
    frames = []
    offset, total = 0, len(records)
    while offset + 2 <= total:
        stop = offset + 2 + int.from_bytes(records[offset : offset + 2], "big")
        if stop > total:
            break
        frames.append(records[offset:stop])
        offset = stop
    return frames, offset


def remove(disk: Disk, folder: Path, names: Iterable[str]) -> None:
    """Remove segments one by one, each durably, so that what is left is always the newest of them."""
    for name in names:
        with suppress(FileNotFoundError):  # an earlier attempt got this far
            disk.remove(folder / name)
        disk.sync(folder)


def _check(data: bytes) -> bytes:
    return sha256(data).digest()[:_CHECK_BYTES]


def _open(disk: Disk, directory: Path, name: str, reached: int) -> tuple[bytes, bool, bytes]:
    """A segment's identity, whether it was blank, and all its bytes."""
    file = f"{FOLDER}/{name}"
    data = disk.read(directory / file)
    head = data[: _HEADER.size]
    if len(data) < HEADER_BYTES or _check(head) != data[_HEADER.size : HEADER_BYTES]:
        raise Damaged(reached, file, "its header is damaged")
    magic, sequence, identity, blank = _HEADER.unpack(head)
    if magic != _MAGIC or name != f"{sequence:016d}{_SUFFIX}":
        raise Damaged(reached, file, f"it is not the segment of its name (its header says {sequence})")
    return identity, bool(blank), data


def _batch(identity: bytes, data: bytes, offset: int, file: str) -> Batch | None:
    """The batch at a place, if there is a whole one."""
    head = data[offset : offset + _BATCH.size]
    if head[:_MARK_BYTES] != identity[:_MARK_BYTES] or len(head) < _BATCH.size:
        return None
    _, first, count, length = _BATCH.unpack(head)
    start = offset + BATCH_HEADER_BYTES
    records = data[start : start + length]
    if sha256(identity + head + records).digest()[:_CHECK_BYTES] != data[offset + _BATCH.size : start]:
        return None
    return Batch(first, count, records, file)


def _batches(identity: bytes, data: bytes, file: str) -> tuple[list[Batch], int]:
    """The batches from the start, as far as they are whole, and the place after them."""
    found: list[Batch] = []
    offset = HEADER_BYTES
    while (batch := _batch(identity, data, offset, file)) is not None:
        if found and batch.first != found[-1].end:
            problem = f"a batch of record {batch.first} stands where {found[-1].end} should"
            raise Damaged(found[-1].end, file, problem)
        found.append(batch)
        offset += span(len(batch.records))
    return found, offset


def _search(identity: bytes, data: bytes, offset: int) -> bool:
    """Whether a whole batch follows somewhere after the place where they stopped."""
    mark = identity[:_MARK_BYTES]
    place = data.find(mark, offset + 1)
    while place != -1:
        if _batch(identity, data, place, "") is not None:
            return True
        place = data.find(mark, place + 1)
    return False


def _remains(identity: bytes, data: bytes, offset: int, *, blank: bool) -> int:
    """How many bytes of an unfinished batch are there to be seen."""
    head = data[offset : offset + _BATCH.size]
    if head[:_MARK_BYTES] == identity[:_MARK_BYTES] and len(head) == _BATCH.size:
        return min(span(_BATCH.unpack(head)[3]), len(data) - offset)
    return len(data[offset:].rstrip(b"\0")) if blank else 0


def span(length: int) -> int:
    """How many bytes a batch with so many bytes of records takes."""
    return BATCH_HEADER_BYTES + length + -length % ALIGNMENT
