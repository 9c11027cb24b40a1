"""Follow the logs of an installation as they grow: every settled entry once, in order, by whoever is allowed to read.

    follower = Follower(Path("/var/lib/keystead/audit"), disk=LocalDisk())
    for log in follower.logs():
        for index, entry in follower.read(log, position, 500):
            ...
            position = index + 1

A reader owns nothing and locks nothing: it looks at the files that the owners write, and asks again when there was
nothing new. That costs a few system calls for each log. For a position far behind, entries come from the tiles; near
the end from the segments, where the place of the next batch is remembered. One `Follower` is for one thread.

**What is settled?** A batch can be seen in a segment before its ``fdatasync`` has returned, and if that fails the batch
never was: another one takes its indexes (`keystead.audit.segment`). What was handed on cannot be taken back, so an
entry counts here once something shows that its sync succeeded: another batch after it, since an owner writes none
after a failure; the next segment, if that begins where this one ends; or a checkpoint, which comes about a second later
even to a log that has gone quiet. ``unsettled=True`` also gives the entries of the batch at the end, for whoever asks
"what has just happened"; never move a position past those.

Segments go when a checkpoint covers them, and are used again under another name. So each look is at names that were
just listed, a segment must have the sequence of its name in its header, and a gap is only then damage when no newer
checkpoint explains it.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from keystead.audit import checkpoint, prune, segment
from keystead.audit.damage import Damaged
from keystead.audit.reading import covered
from keystead.audit.segment import Batch
from keystead.audit.usage import is_log
from keystead.core.disk import Disk
from keystead.core.errors import AuditUnavailable, DataDamaged
from keystead.crypto.merkle import TILE_WIDTH, partial_width

_ATTEMPTS: Final = 5
_LINES: Final = 3  # of a checkpoint's text


class Signed(NamedTuple):
    """A log's newest checkpoint, as it stands in its file: nothing here has checked the signature."""

    origin: str
    size: int
    root: str  # base64
    note: str  # the whole of it, with the signatures


class Follower:
    """Reads the logs in a directory, those without an owner included. For one thread."""

    def __init__(self, root: Path, *, disk: Disk) -> None:
        """``root`` has one directory for each log."""
        self._root = root
        self._disk = disk
        self._tails: dict[str, _Tail] = {}

    def logs(self) -> list[str]:
        """The names of the logs that there are by now."""
        return [name for name in self._disk.names(self._root) if is_log(self._disk, self._root / name)]

    def read(
        self, log: str, position: int, limit: int, *, unsettled: bool = False
    ) -> list[tuple[int, bytes]]:
        """Up to ``limit`` entries from a position on, each with its index, without a gap; none when there is no more.

        The first has a higher index than was asked for only when those before it were pruned (`keystead.audit.prune`).
        Fewer than ``limit`` do not mean that there are no more. Raises `DataDamaged` when the log's files are not what
        they should be, and `AuditUnavailable` when they cannot be read now.
        """
        tail = self._tails.get(log)
        if tail is None:
            tail = self._tails[log] = _Tail(self._disk, self._root / log)
        try:
            return tail.read(position, limit, unsettled=unsettled)
        except Damaged as damage:
            raise DataDamaged(f"{self._root / log / damage.file}: {damage.problem}") from None
        except OSError as error:
            raise AuditUnavailable(f"the audit log {log} cannot be read: {error}") from None

    def signed(self, log: str) -> Signed:
        """The newest checkpoint of a log; raises as `read` does."""
        path = self._root / log / checkpoint.FILE
        try:
            note = self._disk.read(path).decode()
            origin, size, root = note.split("\n")[:_LINES]
            return Signed(origin, int(size), root, note)
        except OSError as error:
            raise AuditUnavailable(f"the audit log {log} cannot be read: {error}") from None
        except ValueError:
            raise DataDamaged(f"{path}: it is not a checkpoint") from None


class _Place(NamedTuple):
    """Where a batch begins, or will, whose first record is not beyond what was read."""

    sequence: int
    identity: bytes
    offset: int
    first: int


_START: Final = _Place(0, b"", segment.HEADER_BYTES, 0)


class _Tail:
    """One log, and how far into it one has looked."""

    __slots__ = ("_directory", "_disk", "_place", "_signed")

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk = disk
        self._directory = directory
        self._signed = 0  # records that some checkpoint covered; the newest one may cover more
        self._place = _START

    def read(self, position: int, limit: int, *, unsettled: bool) -> list[tuple[int, bytes]]:
        """As `Follower.read`; raises `Damaged` or `OSError`."""
        problem: Exception | None = None
        for _ in range(_ATTEMPTS):
            if position >= self._signed:
                try:
                    found, problem = self._beyond(position, limit, unsettled=unsettled), None
                except (
                    Damaged,
                    FileNotFoundError,
                ) as error:  # perhaps because it is being released at this moment
                    found, problem = [], error
                if found:
                    return found
                self._signed = covered(self._disk, self._directory)
            if position < self._signed:
                return self._under(position, limit)
            if problem is None:
                return []
        assert problem is not None  # noqa: S101 - the loop went round
        raise problem

    def _under(self, position: int, limit: int) -> list[tuple[int, bytes]]:
        """Entries under a checkpoint, from the tiles."""
        found: list[tuple[int, bytes]] = []
        while position < self._signed and len(found) < limit:
            index, place = divmod(position, TILE_WIDTH)
            width = partial_width(self._signed, 0, index)
            frames = prune.kept(self._disk, self._directory, index, width)
            if frames is None:
                if found:
                    break
                position = (index + 1) * TILE_WIDTH
                continue
            for frame in frames[place : place + limit - len(found)]:
                found.append((position, frame[2:]))
                position += 1
        return found

    def _beyond(self, position: int, limit: int, *, unsettled: bool) -> list[tuple[int, bytes]]:
        """Settled entries from the segments, going on from where the last look ended."""
        found: list[tuple[int, bytes]] = []
        last: Batch | None = None  # nothing has settled it yet
        if self._place.first > position:
            self._place = _START
        for place, batch in self._batches():
            if last is not None and batch.first >= last.end:
                _take(found, last, position, limit)
            if batch.first > (last.end if last is not None else position):
                if found:  # a later look will see what it is
                    return found
                raise Damaged(
                    position,
                    f"{segment.FOLDER}/{batch.file}",
                    f"the records before {batch.first} are missing",
                )
            if len(found) >= limit:
                return found
            last, self._place = batch, place
        if last is not None and unsettled:
            _take(found, last, position, limit)
        return found

    def _batches(self) -> Iterator[tuple[_Place, Batch]]:
        """Every batch from the place on, with where it stands. Superseded ones are among them."""
        start = self._place
        for sequence in segment.sequences(self._disk, self._directory):
            if sequence < start.sequence:
                continue
            name = segment.file_name(sequence)
            with closing(self._disk.open(self._directory / segment.FOLDER / name)) as file:
                life, identity = segment.life_of(file)
                if life != sequence:
                    # It is being made into another one at this moment, so a checkpoint covers it. Passing over it would
                    # make what it has superseded look settled.
                    raise Damaged(start.first, f"{segment.FOLDER}/{name}", "its header is damaged")
                offset = start.offset if identity == start.identity else segment.HEADER_BYTES
                for batch in segment.batches_from(file, identity, offset, name):
                    yield _Place(sequence, identity, offset, batch.first), batch
                    offset += segment.span(len(batch.records))


def _take(found: list[tuple[int, bytes]], batch: Batch, position: int, limit: int) -> None:
    """Add a batch's entries from a position on, those that are there already and those beyond the limit left out."""
    start = found[-1][0] + 1 if found else position
    if batch.end <= start:
        return
    frames = segment.frames_of(batch.records)[0]
    indexes = range(max(start, batch.first), min(batch.end, position + limit))
    found.extend((index, frames[index - batch.first][2:]) for index in indexes)
