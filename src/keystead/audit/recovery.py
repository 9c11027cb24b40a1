"""Reading a log back: what the checkpoint covers, and what the segments hold beyond it.

At start only the tree's right edge is read (a few tiles), checked against the signed root, and the
segments after it; nothing here grows with the log. When the edge does not lead to the root, and in
`verify`, every record is read: `check_tree` finds the first that is not what was signed.
"""

from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from keystead.audit import checkpoint as checkpoints
from keystead.audit import prune, segment
from keystead.audit.checkpoint import Checkpoint, read_checkpoint
from keystead.audit.damage import Damaged
from keystead.audit.prune import NOTHING, Pruned
from keystead.audit.tiles import ENTRIES, FOLDER, read_bundle, read_file, tile_path, tile_reader
from keystead.core.disk import Disk
from keystead.crypto.merkle import HASH_BYTES, TILE_WIDTH, Frontier, leaf_hash, partial_width, root_of
from keystead.crypto.note import InvalidNote, Verifier

Progress = Callable[[str, int, int], None]
"""``(origin, records checked, records in all)``, called every 256 records."""


class Recovered(NamedTuple):
    """A log as it was found."""

    checkpoint: Checkpoint | None  # None for a log that was never begun
    tree: Frontier  # up to the checkpoint
    bundle: list[bytes]  # the records under the checkpoint that do not fill a bundle yet
    replay: segment.Replay

    @property
    def tail(self) -> list[bytes]:
        """The records beyond the checkpoint, each with its length before it."""
        frames: list[bytes] = []
        size = self.tree.size
        for batch in self.replay.batches:
            if batch.end > size:
                frames += segment.frames_of(batch.records)[0][max(0, size - batch.first) :]
        return frames


def recover(disk: Disk, directory: Path, verifier: Verifier) -> Recovered:
    """Read the log in ``directory``; raises `Damaged` when it is not all there."""
    signed = signed_checkpoint(disk, directory, verifier)
    if signed is None:
        replay = segment.replay(disk, directory, 0)
        # The first checkpoint, of an empty log, is on disk before the first record may come.
        if replay.batches or disk.names(directory / FOLDER):
            raise Damaged(0, checkpoints.FILE, "it is missing, but there are records")
        return Recovered(None, Frontier(), [], replay)
    tree, bundle = _right_edge(disk, directory, signed)
    replay = segment.replay(disk, directory, signed.size)
    check_end(disk, directory, replay.end)
    return Recovered(signed, tree, bundle, replay)


def signed_checkpoint(disk: Disk, directory: Path, verifier: Verifier) -> Checkpoint | None:
    """The log's checkpoint, if it has one; its origin must be the verifier's name."""
    try:
        note = disk.read(directory / checkpoints.FILE)
    except FileNotFoundError:
        return None
    try:
        signed = read_checkpoint(note, verifier)
    except InvalidNote as error:
        raise Damaged(0, checkpoints.FILE, str(error)) from None
    if signed.origin != verifier.name:
        raise Damaged(0, checkpoints.FILE, f"it is of the log {signed.origin!r}, not of {verifier.name!r}")
    return signed


def check_tree(
    disk: Disk,
    directory: Path,
    signed: Checkpoint,
    progress: Progress | None = None,
    *,
    start: int = 0,
    pruned: Pruned = NOTHING,
) -> None:
    """Check every record under the checkpoint against every hash over it, up to the signed root.

    Raises `Damaged` for the first record that does not fit: (1) entry against its hash in the level-0
    tile; (2) each full tile's root against the tile above; (3) the tiles that are not full; (4) the root;
    and on the way older partial tiles, which clients of older checkpoints may still fetch. Bundles before
    ``start`` were checked against an older checkpoint; that they still lead to this one, the root tells. Of
    what was ``pruned`` the hashes are left, which are checked like all others.
    """
    read = tile_reader(disk, directory)
    size = signed.size

    def beginning(level: int, index: int, width: int) -> bytes:
        return read(level, index, partial_width(size, level, index))[: width * HASH_BYTES]

    tree = Frontier.at(start * TILE_WIDTH, beginning)
    for index in range(start, -(-size // TILE_WIDTH)):
        try:
            hashes = read(0, index, partial_width(size, 0, index))
        except Damaged as damage:
            raise _first_wrong(disk, directory, signed, index, damage) from None
        if index not in pruned or prune.is_there(disk, directory, index):
            _check_bundle(disk, directory, signed, index, hashes)
        full: list[tuple[int, int, bytes]] = []
        for leaf in _cut(hashes):
            full = tree.append(leaf)
        for level, number, data in full:
            _check_older(disk, directory, level, number, TILE_WIDTH, data, None)
            above, place = divmod(number, TILE_WIDTH)
            known = read(level + 1, above, partial_width(size, level + 1, above))
            if root_of(_cut(data)) != known[place * HASH_BYTES : (place + 1) * HASH_BYTES]:
                at = number * TILE_WIDTH ** (level + 1)
                stored = tile_path(level + 1, above, partial_width(size, level + 1, above))
                raise Damaged(at, stored, f"hash {place} is not the root of {tile_path(level, number)}")
        if progress is not None:
            progress(signed.origin, tree.size, size)
    for level, number, data in tree.partial():
        _check_older(disk, directory, level, number, len(data) // HASH_BYTES, data, None)
    if tree.root() != signed.root:
        raise Damaged(0, checkpoints.FILE, f"the root it signs is not that of the {size} records here")


def _check_bundle(disk: Disk, directory: Path, signed: Checkpoint, index: int, hashes: bytes) -> None:
    """Check a bundle's entries against their hashes."""
    width = partial_width(signed.size, 0, index)
    ill_formed = None
    try:
        name, frames = read_bundle(disk, directory, index, width)
    except Damaged as damage:
        # A wrong length upsets all records after it: the hashes tell which is the first.
        ill_formed = damage
        name, data = read_file(disk, directory, ENTRIES, index, width)
        frames = segment.frames_of(data)[0][:width]
    for place, frame in enumerate(frames):
        if leaf_hash(frame[2:]) != hashes[place * HASH_BYTES : (place + 1) * HASH_BYTES]:
            raise _mismatch(disk, directory, signed, index, place, name)
    if ill_formed is not None:
        raise ill_formed
    _check_older(disk, directory, ENTRIES, index, width, b"".join(frames), frames)


def _first_wrong(disk: Disk, directory: Path, signed: Checkpoint, index: int, damage: Damaged) -> Damaged:
    """Which hash of a tile of another length is the first that is not its entry's, as far as the entries are there."""
    width = partial_width(signed.size, 0, index)
    with suppress(Damaged):
        hashes = read_file(disk, directory, 0, index, width)[1]
        frames = segment.frames_of(read_file(disk, directory, ENTRIES, index, width)[1])[0][:width]
        for place, frame in enumerate(frames):
            if leaf_hash(frame[2:]) != hashes[place * HASH_BYTES : (place + 1) * HASH_BYTES]:
                return Damaged(index * TILE_WIDTH + place, damage.file, damage.problem)
    return damage


def check_end(disk: Disk, directory: Path, end: int) -> None:
    """Tiles are made of committed records only: one beyond the end of the log tells that it was cut."""
    index, width = divmod(end, TILE_WIDTH)
    full = tile_path(ENTRIES, index)
    beyond = [int(name) for name in disk.names(directory / f"{full}.p") if name.isdigit()]
    if max(beyond, default=0) > width:
        raise Damaged(end, f"{full}.p/{max(beyond)}", "it holds records after the last one: the log was cut")
    if Path(full).name in disk.names((directory / full).parent):
        raise Damaged(end, full, "it holds records after the last one: the log was cut")


def _right_edge(disk: Disk, directory: Path, signed: Checkpoint) -> tuple[Frontier, list[bytes]]:
    """The tree and the begun bundle at the checkpoint."""
    tree = Frontier.at(signed.size, tile_reader(disk, directory))
    index, width = divmod(signed.size, TILE_WIDTH)
    bundle = read_bundle(disk, directory, index, width)[1] if width else []
    if tree.root() != signed.root or [leaf_hash(frame[2:]) for frame in bundle] != tree.levels[0]:
        check_tree(disk, directory, signed, pruned=prune.stated(disk, directory))
    return tree, bundle


def _mismatch(
    disk: Disk, directory: Path, signed: Checkpoint, index: int, place: int, bundle: str
) -> Damaged:
    """Whether an entry or its hash is damaged: the hash is good when its tile leads to what is above it."""
    read = tile_reader(disk, directory)
    width = partial_width(signed.size, 0, index)
    tile = tile_path(0, index, width)
    record = index * TILE_WIDTH + place
    if width == TILE_WIDTH:
        above, child = divmod(index, TILE_WIDTH)
        known = read(1, above, partial_width(signed.size, 1, above))
        good = root_of(_cut(read(0, index, width))) == known[child * HASH_BYTES : (child + 1) * HASH_BYTES]
    else:
        good = Frontier.at(signed.size, read).root() == signed.root
    if good:
        return Damaged(record, bundle, f"the record does not match its hash in {tile}")
    return Damaged(record, tile, f"the hash does not match its record in {bundle}")


def _check_older(
    disk: Disk,
    directory: Path,
    level: int | str,
    index: int,
    width: int,
    data: bytes,
    frames: list[bytes] | None,
) -> None:
    """Partial tiles of older checkpoints must be the beginning of this one."""
    folder = f"{tile_path(level, index)}.p"
    for name in disk.names(directory / folder):
        older = int(name) if name.isdigit() else 0
        if not 0 < older <= width:
            continue  # beyond this checkpoint nothing was signed, and "tmp" was never a tile
        part = data[: older * HASH_BYTES] if frames is None else b"".join(frames[:older])
        stored = disk.read(directory / folder / name)
        if stored != part:
            same = next(
                (i for i, (a, b) in enumerate(zip(stored, part, strict=False)) if a != b),
                min(len(stored), len(part)),
            )
            place = _place(same, frames)
            first = index * TILE_WIDTH + min(place, older - 1)
            span = TILE_WIDTH**level if isinstance(level, int) else 1
            raise Damaged(
                first * span, f"{folder}/{name}", "it is not the beginning of the tile that followed"
            )


def _place(offset: int, frames: list[bytes] | None) -> int:
    """Which record or hash a byte of a tile belongs to."""
    if frames is None:
        return offset // HASH_BYTES
    return bisect_right(list(accumulate(map(len, frames))), offset)


def _cut(data: bytes) -> list[bytes]:
    return [data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)]
