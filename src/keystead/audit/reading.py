"""Reading a log's records back, without its key and without owning it.

Nothing is checked here beyond the form: whoever needs proof runs `keystead.audit.verify` first.
"""

from collections.abc import Iterator
from pathlib import Path

from keystead.audit import checkpoint, prune, segment
from keystead.audit.damage import Damaged
from keystead.core.disk import Disk
from keystead.crypto.merkle import TILE_WIDTH

_ATTEMPTS = 5


def entries(disk: Disk, directory: Path, last: int | None = None) -> Iterator[bytes]:
    """The records of a log in order, those that no checkpoint covers yet included; or only the ``last`` ones.

    A log may be in use meanwhile; what was pruned from it is passed over. Raises `Damaged` when its files are not in
    their form.
    """
    size, tail = _begin(disk, directory)
    start = 0 if last is None else max(0, size + len(tail) - last)
    while start < size:
        index, place = divmod(start, TILE_WIDTH)
        width = min(TILE_WIDTH, size - index * TILE_WIDTH)
        frames = prune.kept(disk, directory, index, width)
        for frame in (frames or ())[place:]:
            yield frame[2:]
        start = (index + 1) * TILE_WIDTH
    yield from tail[max(0, len(tail) - last) :] if last is not None else tail


def covered(disk: Disk, directory: Path) -> int:
    """How many records the checkpoint covers."""
    try:
        note = disk.read(directory / checkpoint.FILE)
        return int(note.split(b"\n", 2)[1])
    except (FileNotFoundError, IndexError, ValueError):
        raise Damaged(0, checkpoint.FILE, "there is no log here, or its checkpoint is damaged") from None


def _begin(disk: Disk, directory: Path, attempts: int = _ATTEMPTS) -> tuple[int, list[bytes]]:
    """How many records the checkpoint covers, and the committed records beyond them.

    Segments of a log in use go when a checkpoint covers them, so they are whole only against the newest one:
    when there is a newer one after the look, the look counts for nothing.
    """
    size = covered(disk, directory)
    try:
        tail = _tail(disk, directory, size)
    except (Damaged, FileNotFoundError):
        if attempts and covered(disk, directory) != size:
            return _begin(disk, directory, attempts - 1)
        raise
    if attempts and covered(disk, directory) != size:
        return _begin(disk, directory, attempts - 1)
    return size, tail


def _tail(disk: Disk, directory: Path, size: int) -> list[bytes]:
    tail: list[bytes] = []
    for batch in segment.replay(disk, directory, size).batches:
        if batch.end > size:
            frames = segment.frames_of(batch.records)[0][max(0, size - batch.first) :]
            tail += [frame[2:] for frame in frames]
    return tail
