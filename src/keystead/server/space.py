"""How much room there is on the disks under the data, looked at now and then by the control process.

    space = Space([config.data, config.data / "audit"])
    space.look()      # on a thread that may wait: a network file system can hang
    space.rooms()     # {"/var/lib/keystead": Room(free_bytes=…, trouble=""), …}

A disk that fills up is told before it is full: below `LOW_BYTES` there is a warning, as there is for a file
system that has become read-only, which file systems do by themselves when they meet an error.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

LOW_BYTES: Final = 256 << 20
"""Below this there is a warning: sixteen of the audit's segments, or the store's write-ahead log and some tiles."""


class Room(NamedTuple):
    """What was last seen of one file system."""

    free_bytes: int | None  # for a process that is not root; None when it cannot be looked at
    trouble: str  # empty when there is room


class Space:
    """See the module. `look` is for one thread, `rooms` for any."""

    def __init__(
        self, paths: Sequence[Path], statvfs: Callable[[Path], os.statvfs_result] = os.statvfs
    ) -> None:
        self._paths = tuple(paths)
        self._statvfs = statvfs
        self._rooms: dict[str, Room] = {}

    def look(self) -> None:
        """Look at every disk."""
        self._rooms = {str(path): self._room(path) for path in self._paths}

    def rooms(self) -> dict[str, Room]:
        """What was last seen, by path; nothing before the first look."""
        return self._rooms

    def _room(self, path: Path) -> Room:
        try:
            found = self._statvfs(path)
        except OSError as error:
            return Room(None, f"it cannot be looked at: {error.strerror}")
        free = found.f_bavail * found.f_frsize
        if found.f_flag & os.ST_RDONLY:
            return Room(free, "the file system is read-only")
        return Room(free, f"less than {LOW_BYTES >> 20} MiB are free" if free < LOW_BYTES else "")
