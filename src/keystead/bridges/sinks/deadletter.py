"""Where events go that a receiver has refused for good: a file beside the sink's cursors.

One JSON object a line: ``{"event":..., "sink":..., "time":..., "reason":..., "body":...}``. The entry itself is in the
audit log in any case. Two files are kept, of 16 MiB each at most.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from keystead.core.disk import Disk

NAME: Final = "dead-letter.jsonl"
OLDER: Final = "dead-letter.1.jsonl"
_MOST_BYTES: Final = 16 << 20


class Letter(msgspec.Struct):
    """An event that was refused."""

    event: str
    sink: str
    time: float
    reason: str
    body: str


class DeadLetters:
    """The dead letters of one sink."""

    def __init__(self, directory: Path, *, disk: Disk, most_bytes: int = _MOST_BYTES) -> None:
        self._directory = directory
        self._disk = disk
        self._most_bytes = most_bytes
        self._size = -1  # of the file; not known

    def add(self, letter: Letter) -> None:
        """Keep one, durably; raises `OSError`. A line that a crash has torn is ended first, so the next is whole."""
        path = self._directory / NAME
        line = msgspec.json.encode(letter) + b"\n"
        if self._size < 0:
            line = self._begin(path) + line
        size, self._size = self._size, -1
        if size >= self._most_bytes:
            self._disk.rename(path, self._directory / OLDER)
            size = 0
        file = self._disk.open(path) if size else self._disk.create(path)
        try:
            file.write(line, size)
            file.sync()
        finally:
            with suppress(OSError):
                file.close()
        self._disk.sync(self._directory)
        self._size = size + len(line)

    def _begin(self, path: Path) -> bytes:
        """Look at what there is; returns what must be written before the next line."""
        for folder in (self._directory.parent, self._directory):
            self._disk.mkdir(folder)
            self._disk.sync(folder.parent)
        try:
            data = self._disk.read(path)
        except FileNotFoundError:
            data = b""
        self._size = len(data)
        return b"\n" if data and not data.endswith(b"\n") else b""
