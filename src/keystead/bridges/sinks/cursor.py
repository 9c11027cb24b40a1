"""How far a sink has got in each log, kept so that a crash at any point costs duplicates and never an event.

``docs/formats/sink-cursor.md`` describes the files. A cursor is replaced in one step and moved only after the receiver
has acknowledged, so an old one is always true: the receiver has at least what it says.
"""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from keystead.core.disk import Disk

SUFFIX: Final = ".cursor"
FOLDER: Final = "sinks"
_TEMPORARY: Final = "cursor.tmp"


class Cursor(msgspec.Struct, frozen=True):
    """Where a sink is in one log."""

    sink: str
    log: str
    position: int = 0  # the index of the first entry that the receiver may not have
    mark: str = ""  # the first 32 hex digits of the SHA-256 of the entry before it; "" at the beginning
    passed: int = 0  # entries before the position that were not delivered because they only announce
    told: int = 0  # the size in the last checkpoint event
    v: int = 1


class CursorDamaged(Exception):
    """A cursor's file is not one."""


def mark_of(entry: bytes) -> str:
    """What tells an entry from every other: all have a request id or a time."""
    return sha256(entry).hexdigest()[:32]


class Cursors:
    """The cursors of one sink, in a directory that is made when the first is saved."""

    def __init__(self, directory: Path, *, sink: str, disk: Disk) -> None:
        self._directory = directory
        self._sink = sink
        self._disk = disk
        self._made = False

    def load(self, log: str) -> Cursor:
        """Where the sink is; at the beginning of a log that is new to it. Raises `CursorDamaged` and `OSError`."""
        try:
            data = self._disk.read(self._directory / (log + SUFFIX))
        except FileNotFoundError:
            return Cursor(self._sink, log)
        body, _, check = data.partition(b"\n")
        if check != sha256(body).hexdigest().encode() + b"\n":
            raise CursorDamaged("its checksum is wrong")
        try:
            cursor = msgspec.json.decode(body, type=Cursor)
        except msgspec.DecodeError as error:
            raise CursorDamaged(str(error)) from None
        if (cursor.v, cursor.sink, cursor.log) != (1, self._sink, log) or cursor.position < 0:
            raise CursorDamaged("it is not this sink's, or of another version")
        return cursor

    def save(self, cursor: Cursor) -> None:
        """Replace the cursor of its log, durably; raises `OSError`."""
        if not self._made:
            for folder in (self._directory.parent, self._directory):
                self._disk.mkdir(folder)
                self._disk.sync(folder.parent)
            self._made = True
        body = msgspec.json.encode(cursor)
        temporary = self._directory / _TEMPORARY
        file = self._disk.create(temporary)
        try:
            file.write(body + b"\n" + sha256(body).hexdigest().encode() + b"\n", 0)
            file.sync()
        finally:
            with suppress(OSError):
                file.close()
        self._disk.rename(temporary, self._directory / (cursor.log + SUFFIX))
        self._disk.sync(self._directory)
