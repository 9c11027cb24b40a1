"""A disk in memory that fails on purpose: power cuts, failed syncs, torn writes, no space left.

It models what a page cache and a journal leave to hope for. What was written is visible at once; a power
cut keeps or loses each 512-byte sector that was not synced, on its own, and of the names that were
created, renamed or removed in a directory since it was synced, the first few. After a failed ``sync`` some
sectors are on the disk, none of the rest ever will be, and the next ``sync`` succeeds nevertheless.

    disk = MemoryDisk(seed=7)
    disk.at(40, Fault.POWER)     # the 40th operation from now on is the last one
    with pytest.raises(PowerCut):
        work(disk)
    disk = disk.restarted()      # what is left after the lights come back

Every choice comes from the seed, so a failing case can be run again.
"""

import errno
import random
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

SECTOR = 512


class PowerCut(BaseException):
    """The machine stops here. Not an `Exception`: no program catches it."""


class Killed(BaseException):
    """The process stops here; the machine, and its page cache, go on."""


class Fault(Enum):
    """What goes wrong at an operation."""

    ERROR = auto()  # it raises EIO, having done a part of it
    BROKEN = auto()  # it and all after it do, until `mend`
    POWER = auto()  # the power goes, with a part of it done
    KILL = auto()  # the process is killed, with a part of it done


class _Node:
    """A file: what programs see, and what is on the platter."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.durable = bytearray()
        self.dirty: set[int] = set()
        self.owner: MemoryFile | None = None

    def write(self, data: bytes, offset: int) -> None:
        if len(self.seen) < offset + len(data):
            self.seen.extend(bytes(offset + len(data) - len(self.seen)))
        self.seen[offset : offset + len(data)] = data
        self.dirty.update(range(offset // SECTOR, -(-(offset + len(data)) // SECTOR)))

    def flush(self, sectors: set[int]) -> None:
        """Bring sectors to the platter."""
        for sector in sectors:
            piece = self.seen[sector * SECTOR : (sector + 1) * SECTOR]
            if len(self.durable) < sector * SECTOR + len(piece):
                self.durable.extend(bytes(sector * SECTOR + len(piece) - len(self.durable)))
            self.durable[sector * SECTOR : sector * SECTOR + len(piece)] = piece


class _Folder:
    """A directory: its names now, at the last sync, and the changes between."""

    def __init__(self) -> None:
        self.seen: dict[str, _Node | _Folder] = {}
        self.durable: dict[str, _Node | _Folder] = {}
        self.changes: list[dict[str, _Node | _Folder]] = []

    def changed(self) -> None:
        self.changes.append(dict(self.seen))


class MemoryFile:
    """An open file of a `MemoryDisk`."""

    def __init__(self, disk: "MemoryDisk", node: _Node) -> None:
        self._disk = disk
        self._node = node

    def write(self, data: bytes, offset: int) -> None:
        """Write; a fault leaves the beginning of it."""
        node = self._node
        grown = max(0, offset + len(data) - len(node.seen))
        part = data[: self._disk.choose(len(data) + 1)]
        self._disk.operate("write", lambda: node.write(part, offset), grown)
        node.write(data, offset)

    def read(self, size: int, offset: int) -> bytes:
        """Read; reading never fails here."""
        return bytes(self._node.seen[offset : offset + size])

    def sync(self) -> None:
        """Sync; a fault brings some sectors down and forgets the others."""
        self._disk.operate("sync", self._lose)
        self._node.flush(self._node.dirty)
        self._node.dirty.clear()

    def close(self) -> None:
        """Close, and free a lock, even when it raises, as Linux does."""
        if self._node.owner is self:
            self._node.owner = None
        self._disk.operate("close", lambda: None)

    def own(self) -> None:
        """Take the lock, or raise `BlockingIOError`."""
        if self._node.owner is not None:
            raise BlockingIOError(errno.EAGAIN, "somebody else has it")
        self._node.owner = self

    def _lose(self) -> None:
        node = self._node
        node.flush({sector for sector in sorted(node.dirty) if self._disk.choose(2)})
        node.dirty.clear()


class Onlooker:
    """A disk as another process sees it that only reads: nothing that it does is an operation that may fail."""

    def __init__(self, disk: "MemoryDisk") -> None:
        self._disk = disk

    def open(self, path: Path) -> "Look":
        """Open a file to look at."""
        return Look(self._disk.open(path))

    def read(self, path: Path) -> bytes:
        """Read a file."""
        return self._disk.read(path)

    def names(self, path: Path) -> list[str]:
        """List a directory."""
        return self._disk.names(path)


class Look:
    """An open file of an `Onlooker`."""

    def __init__(self, file: MemoryFile) -> None:
        self._file = file

    def read(self, size: int, offset: int) -> bytes:
        """Read."""
        return self._file.read(size, offset)

    def close(self) -> None:
        """Close what the disk has not counted as open."""


class MemoryDisk:
    """A `Disk` without a machine. ``capacity`` limits the bytes of all files together."""

    def __init__(self, seed: int = 0, capacity: int | None = None) -> None:
        self.operations = 0
        self.log: list[str] = []
        self.capacity = capacity
        self._root = _Folder()
        self._random = random.Random(seed)  # noqa: S311 - choices of a test, which must repeat
        self._faults: dict[int, Fault] = {}
        self._broken = False
        self._dead: type[BaseException] | None = None

    # --- what a test does ----------------------------------------------------------------------------------

    def at(self, operation: int, fault: Fault) -> None:
        """Let the operation of that number, counted from now on and from 0, go wrong."""
        self._faults[self.operations + operation] = fault

    def mend(self) -> None:
        """No more faults, and all the space there is."""
        self._faults.clear()
        self._broken = False
        self.capacity = None

    def restarted(self) -> "MemoryDisk":
        """The disk after a power cut: what is durable, and what was on its way as chance wants it."""
        fresh = MemoryDisk(self._random.randrange(1 << 30))
        fresh._root = self._survivor(self._root)
        return fresh

    def revived(self) -> "MemoryDisk":
        """The disk after its process was killed: all that was written is there, durable or not."""
        self._dead = None
        self._faults.clear()
        for folder in self._folders(self._root):
            for node in folder.seen.values():
                if isinstance(node, _Node):
                    node.owner = None
        return self

    def damage(self, path: Path, data: bytes) -> None:
        """Replace a file's bytes behind everybody's back."""
        node = self._node(path)
        node.seen[:] = data
        node.durable[:] = data
        node.dirty.clear()

    def files(self) -> list[Path]:
        """Every file there is."""
        found: list[Path] = []

        def walk(folder: _Folder, path: Path) -> None:
            for name, child in sorted(folder.seen.items()):
                if isinstance(child, _Folder):
                    walk(child, path / name)
                else:
                    found.append(path / name)

        walk(self._root, Path("/"))
        return found

    # --- what a program does -------------------------------------------------------------------------------

    def create(self, path: Path) -> MemoryFile:
        """Create a file, without the one that had the name."""
        folder = self._folder(path.parent)
        node = _Node()

        def link() -> None:
            folder.seen[path.name] = node
            folder.changed()

        self.operate("create", link)
        link()
        return MemoryFile(self, node)

    def open(self, path: Path) -> MemoryFile:
        """Open a file."""
        return MemoryFile(self, self._node(path))

    def lock(self, path: Path) -> MemoryFile:
        """Own a file."""
        folder = self._folder(path.parent)
        if path.name not in folder.seen:
            self.create(path)
        file = self.open(path)
        file.own()
        return file

    def read(self, path: Path) -> bytes:
        """Read a file."""
        return bytes(self._node(path).seen)

    def names(self, path: Path) -> list[str]:
        """List a directory."""
        try:
            return sorted(self._folder(path).seen)
        except FileNotFoundError:
            return []

    def mkdir(self, path: Path) -> None:
        """Make a directory."""
        folder = self._folder(path.parent)
        if path.name in folder.seen:
            return

        def link() -> None:
            folder.seen[path.name] = _Folder()
            folder.changed()

        self.operate("mkdir", lambda: None)
        link()

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file within its directory."""
        folder = self._folder(source.parent)
        self._node(source)

        def move() -> None:
            if source.name in folder.seen:
                folder.seen[target.name] = folder.seen.pop(source.name)
                folder.changed()

        self.operate("rename", move)
        move()

    def remove(self, path: Path) -> None:
        """Remove a file or an empty directory."""
        folder = self._folder(path.parent)
        child = folder.seen.get(path.name)
        if child is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        if isinstance(child, _Folder) and child.seen:
            raise OSError(errno.ENOTEMPTY, "directory not empty", str(path))

        def unlink() -> None:
            if folder.seen.pop(path.name, None) is not None:
                folder.changed()

        self.operate("remove", unlink)
        unlink()

    def sync(self, path: Path) -> None:
        """Make a directory's names durable."""
        folder = self._folder(path)
        self.operate("sync directory", lambda: None)
        folder.durable = dict(folder.seen)
        folder.changes.clear()

    # --- how it fails --------------------------------------------------------------------------------------

    def choose(self, ways: int) -> int:
        """One of so many ways."""
        return self._random.randrange(ways)

    def operate(self, what: str, partly: Callable[[], None], grown: int = 0) -> None:
        """Count an operation and let it fail if its turn has come, perhaps with a part of it done."""
        if self._dead is not None:
            raise self._dead
        fault = self._faults.pop(self.operations, None)
        self.operations += 1
        self.log.append(what)
        if fault is Fault.BROKEN:
            self._broken = True
        if fault is not None or self._broken:
            if self.choose(2):
                partly()
            if fault is Fault.POWER:
                self._dead = PowerCut
            if fault is Fault.KILL:
                self._dead = Killed
            if self._dead is not None:
                raise self._dead
            raise OSError(errno.EIO, "the disk fails on purpose")
        if self.capacity is not None and grown and self._used() + grown > self.capacity:
            raise OSError(errno.ENOSPC, "no space left on device")

    def _used(self) -> int:
        return sum(
            len(node.seen)
            for folder in self._folders(self._root)
            for node in folder.seen.values()
            if isinstance(node, _Node)
        )

    def _folders(self, folder: _Folder) -> list[_Folder]:
        return [folder] + [
            below
            for child in folder.seen.values()
            if isinstance(child, _Folder)
            for below in self._folders(child)
        ]

    def _folder(self, path: Path) -> _Folder:
        folder = self._root
        for part in path.parts[1:]:
            child = folder.seen.get(part)
            if not isinstance(child, _Folder):
                raise FileNotFoundError(errno.ENOENT, "no such directory", str(path))
            folder = child
        return folder

    def _node(self, path: Path) -> _Node:
        node = self._folder(path.parent).seen.get(path.name)
        if not isinstance(node, _Node):
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return node

    def _survivor(self, folder: _Folder) -> _Folder:
        """What is left of a directory: its durable names, and the first few of the changes since."""
        states = [folder.durable, *folder.changes]
        names = states[self.choose(len(states))]
        left = _Folder()
        for name, child in names.items():
            if isinstance(child, _Folder):
                left.seen[name] = self._survivor(child)
            else:
                child.flush({sector for sector in sorted(child.dirty) if self.choose(2)})
                node = _Node()
                node.seen = bytearray(child.durable)
                node.durable = bytearray(child.durable)
                left.seen[name] = node
        left.durable = dict(left.seen)
        return left
