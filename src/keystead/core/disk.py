"""The disk, as far as the service writes to it itself: a small port, so that tests can cut the power.

What is written is *visible* at once and *durable* only after a ``sync``. A power cut may keep, lose or
tear (keep some sectors of) anything that was not synced: the bytes of a file by `File.sync`, the names in
a directory by `Disk.sync` on the directory. After a ``sync`` that raised, nothing written to that file
since the last good one may be trusted, and a later good ``sync`` of the same file proves nothing about it:
Linux drops the pages it could not write and reports the error once.

Every method raises `OSError` when it fails. ``keystead.testing.disk`` has the one that fails on purpose.
"""

from pathlib import Path
from typing import Protocol


class File(Protocol):
    """An open file."""

    def write(self, data: bytes, offset: int) -> None:
        """Write all of ``data`` at ``offset``, or raise; after an error any part of it may be there."""
        ...

    def read(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes at ``offset``; fewer only at the end of the file."""
        ...

    def sync(self) -> None:
        """Make everything written to this file so far durable."""
        ...

    def close(self) -> None:
        """Let go of it. What was not synced stays so; a lock that it held is free again."""
        ...


class Disk(Protocol):
    """A file system."""

    def create(self, path: Path) -> File:
        """A new, empty file. A file that had the name loses it first, so no old block is written over."""
        ...

    def open(self, path: Path) -> File:
        """An existing file, to read and write; `FileNotFoundError` when there is none."""
        ...

    def lock(self, path: Path) -> File:
        """Own the file, which is made when missing, until it is closed or the process ends.

        Raises `BlockingIOError` at once while somebody else owns it.
        """
        ...

    def read(self, path: Path) -> bytes:
        """All of a file."""
        ...

    def names(self, path: Path) -> list[str]:
        """What a directory holds, sorted; nothing when there is no such directory."""
        ...

    def mkdir(self, path: Path) -> None:
        """Make one directory, unless it is there already."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name in one step; a file that had that name is gone."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file or an empty directory."""
        ...

    def sync(self, path: Path) -> None:
        """Make a directory's names durable: what was created, renamed and removed in it."""
        ...
