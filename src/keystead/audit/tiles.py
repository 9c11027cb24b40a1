"""Tiles on disk, as C2SP tlog-tiles wants them: a directory that any static web server can publish.

    checkpoint
    tile/0/x001/x234/067         256 hashes of entries
    tile/0/x001/x234/068.p/17    the first 17 of a tile that is not full yet
    tile/1/...                   each hash is the root of a full tile of level 0
    tile/entries/x001/x234/067   the entries themselves, each after its length

Nothing that a checkpoint covers is ever written again; partial tiles are removed only when the full one
is there and a checkpoint covers it.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from keystead.audit import checkpoint
from keystead.audit.damage import Damaged
from keystead.audit.segment import frames_of
from keystead.core.disk import Disk
from keystead.crypto.merkle import HASH_BYTES, TILE_WIDTH, TileReader

FOLDER = "tile"
ENTRIES = "entries"
_TEMPORARY = "tmp"


def tile_path(level: int | str, index: int, width: int = TILE_WIDTH) -> str:
    """Where a tile is, relative to the log: its index in groups of three digits, all but the last with x."""
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03d}")
    suffix = "" if width == TILE_WIDTH else f".p/{width}"
    return f"{FOLDER}/{level}/{'/'.join(groups)}{suffix}"


class Shelf:
    """Where one log's tiles are put, in the order that keeps the checkpoint true after a power cut.

    Used by one thread at a time. After an error, `publish` the same again, or more: what was written and
    synced before is not touched, because a checkpoint may cover it by now.
    """

    def __init__(self, disk: Disk, directory: Path, present: Iterable[str]) -> None:
        """Tiles of the log in ``directory``; ``present`` are the partial ones of its checkpoint."""
        self._disk = disk
        self._directory = directory
        self._written = set(present)
        self._folders = {name.rpartition("/")[0] for name in self._written}  # of partial tiles
        self._known = {directory}
        self._unsynced: set[Path] = set()
        self._untidy: list[str] = []

    def publish(
        self, tiles: Sequence[tuple[str, bytes]], partial: Sequence[tuple[str, bytes]], note: bytes
    ) -> str:
        """Put full and partial tiles, then the checkpoint that covers them; returns what could not be tidied.

        (1) every tile into its file, synced; (2) the directories; (3) the checkpoint into a file beside,
        synced, and renamed; (4) its directory. A reader sees at any moment an old checkpoint or a new one
        with all its tiles.

        Partial tiles go beside and are renamed too: one that a crash has torn would stay in its place
        when the log has grown past it. A full tile that is torn lies beyond every checkpoint and is made
        anew before one covers it, so it needs no detour, and there are hundreds of them a second.
        """
        for name, data in tiles:
            if name not in self._written:
                self._write(self._directory / name, data)
                self._written.add(name)
        for name, data in partial:
            if name not in self._written:
                self._put(self._directory / name, data)
                self._written.add(name)
                self._folders.add(name.rpartition("/")[0])
        # A directory, unlike a file, may be synced again after an error: its changes sit in the file
        # system's journal, which either commits them or stops the file system for good.
        for folder in sorted(self._unsynced):
            self._disk.sync(folder)
        self._unsynced.clear()
        self._put(self._directory / checkpoint.FILE, note)
        self._disk.sync(self._directory)
        self._unsynced.clear()
        self._written = {name for name, _ in partial}
        return self._tidy([name for name, _ in tiles])

    def _make(self, folder: Path) -> None:
        """Make a directory with those above it; `publish` makes them durable, also those that were there."""
        if folder not in self._known:
            self._make(folder.parent)
            self._disk.mkdir(folder)
            self._unsynced.add(folder.parent)
            self._known.add(folder)

    def _put(self, path: Path, data: bytes) -> None:
        temporary = path.parent / _TEMPORARY
        self._write(temporary, data)
        self._disk.rename(temporary, path)

    def _write(self, path: Path, data: bytes) -> None:
        self._make(path.parent)
        file = self._disk.create(path)
        try:
            file.write(data, 0)
            file.sync()
        finally:
            file.close()
        self._unsynced.add(path.parent)

    def _tidy(self, full: list[str]) -> str:
        """Remove the partial tiles that full ones have replaced. They cost only space: errors can wait."""
        self._untidy += [name for name in full if f"{name}.p" in self._folders]
        try:
            while self._untidy:
                folder = self._directory / f"{self._untidy[-1]}.p"
                names = self._disk.names(folder)
                for width in names:
                    self._disk.remove(folder / width)
                if names:
                    self._known.discard(folder)
                    self._disk.remove(folder)
                self._folders.discard(f"{self._untidy.pop()}.p")
        except OSError as error:
            return f"partial tiles are left over: {error}"
        return ""


def tile_reader(disk: Disk, directory: Path) -> TileReader:
    """A reader of hash tiles; it raises `Damaged` for one that is missing or has another size."""

    def read(level: int, index: int, width: int) -> bytes:
        name, data = read_file(disk, directory, level, index, width)
        due = HASH_BYTES * (width if name.endswith(f".p/{width}") else TILE_WIDTH)
        if len(data) != due:
            # Above level 0 nobody can say where it went wrong: of no record under it anything is proven.
            place = 0 if level else min(len(data), due - HASH_BYTES) // HASH_BYTES
            first = (index * TILE_WIDTH + place) * TILE_WIDTH**level
            raise Damaged(first, name, f"it has {len(data)} bytes instead of {due}")
        return data[: width * HASH_BYTES]

    return read


def read_bundle(disk: Disk, directory: Path, index: int, width: int) -> tuple[str, list[bytes]]:
    """A bundle's file and its first ``width`` entries, each with its length before it."""
    name, data = read_file(disk, directory, ENTRIES, index, width)
    due = width if name.endswith(f".p/{width}") else TILE_WIDTH
    frames, whole = frames_of(data)
    if len(frames) != due or whole != len(data):
        first = index * TILE_WIDTH + min(len(frames), due - 1)
        raise Damaged(
            first, name, f"it holds {len(frames)} whole entries in {len(data)} bytes instead of {due}"
        )
    return name, frames[:width]


def read_file(disk: Disk, directory: Path, level: int | str, index: int, width: int) -> tuple[str, bytes]:
    """A tile's file, or, where the partial one has been replaced already, the full one."""
    name = tile_path(level, index, width)
    for candidate in dict.fromkeys((name, tile_path(level, index))):
        with suppress(FileNotFoundError):
            return candidate, disk.read(directory / candidate)
    span = TILE_WIDTH ** (level + 1) if isinstance(level, int) else TILE_WIDTH
    raise Damaged(index * span, name, "it is missing")
