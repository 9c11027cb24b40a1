"""The real disk: `keystead.core.disk` on the operating system's calls.

>>> disk = LocalDisk()
>>> file = disk.create(Path("/var/lib/keystead/example"))
>>> file.write(b"record", 0)
>>> file.sync()  # only now it survives a power cut, once its directory is synced as well
"""

import fcntl
import os
import stat
from pathlib import Path

_MODE = 0o600  # the log names principals and keys: nobody else's business


class LocalFile:
    """A file descriptor."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        """Take over an open descriptor."""
        self._fd = fd

    def write(self, data: bytes, offset: int) -> None:
        """Write all of it, going on after a short write, which a full disk or a signal may cause."""
        written = os.pwrite(self._fd, data, offset)
        while written < len(data):
            more = os.pwrite(self._fd, data[written:], offset + written)
            if not more:
                message = "the disk takes no more bytes"
                raise OSError(message)
            written += more

    def read(self, size: int, offset: int) -> bytes:
        """Read until the size or the end of the file is reached."""
        data = os.pread(self._fd, size, offset)
        while len(data) < size:
            more = os.pread(self._fd, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def sync(self) -> None:
        """``fdatasync``: the bytes and, when it grew, the size."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)


class LocalDisk:
    """The machine's own file systems."""

    def create(self, path: Path) -> LocalFile:
        """Create a file that did not exist: the old one, if any, is unlinked first."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return LocalFile(os.open(path, flags, _MODE))
        except FileExistsError:
            path.unlink()
            return LocalFile(os.open(path, flags, _MODE))

    def open(self, path: Path) -> LocalFile:
        """Open for reading and writing."""
        return LocalFile(os.open(path, os.O_RDWR | os.O_CLOEXEC))

    def lock(self, path: Path) -> LocalFile:
        """``flock``: it goes with the last copy of the descriptor, so a killed owner leaves no stale lock."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        return LocalFile(fd)

    def read(self, path: Path) -> bytes:
        """Read a whole file."""
        return path.read_bytes()

    def names(self, path: Path) -> list[str]:
        """List a directory."""
        try:
            return sorted(entry.name for entry in path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def mkdir(self, path: Path) -> None:
        """Make a directory that only its owner may enter."""
        path.mkdir(mode=0o700, exist_ok=True)

    def rename(self, source: Path, target: Path) -> None:
        """``rename(2)``, atomic."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Unlink a file, or remove an empty directory."""
        if stat.S_ISDIR(path.lstat().st_mode):
            path.rmdir()
        else:
            path.unlink()

    def sync(self, path: Path) -> None:
        """``fsync`` on the directory."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
