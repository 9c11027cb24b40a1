"""Events into files, one a line, for whoever collects files.

A file is called after its number and the moment it was begun: ``00000017-20261124T181203Z.jsonl``. While it is written
its name ends in ``.open``; from the moment it has its final name it never changes. It is closed when it has reached a
size or an age. Every delivery is synced before it counts, and a line that a crash has torn is cut off before the next
one is written, so every line is whole. Files are never removed: whoever takes them does that.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from keystead.bridges.sinks.port import Message, Retry
from keystead.config import Sink as Settings
from keystead.core.disk import Disk, File
from keystead.core.errors import ConfigError
from keystead.core.ports import Clock

OPEN: Final = ".open"
_TEMPORARY: Final = "torn.tmp"
_MOMENT: Final = "%Y%m%dT%H%M%SZ"


def connect(settings: Settings, clock: Clock, disk: Disk) -> "FileSink":
    """A sink that writes into the directory of the settings."""
    if settings.path is None:
        raise ConfigError(f"the sink {settings.name!r} has no path")
    return FileSink(
        settings.path,
        suffix=".cef" if settings.format == "cef" else ".jsonl",
        disk=disk,
        clock=clock,
        rotate_bytes=settings.rotate_bytes,
        rotate_seconds=settings.rotate_seconds,
    )


class FileSink:
    """Rotating files in one directory. For one thread, and one process."""

    overlap = 0

    def __init__(
        self,
        directory: Path,
        *,
        suffix: str,
        disk: Disk,
        clock: Clock,
        rotate_bytes: int,
        rotate_seconds: float,
    ) -> None:
        self._directory = directory
        self._suffix = suffix
        self._disk = disk
        self._clock = clock
        self._rotate_bytes = rotate_bytes
        self._rotate_seconds = rotate_seconds
        self._file: File | None = None
        self._name = ""
        self._size = 0
        self._until = 0.0

    def remember(self, messages: Sequence[Message]) -> None:
        """Nothing: what was synced is there."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Write and sync."""
        data = b"".join(message.body + b"\n" for message in messages)
        try:
            if self._file is not None and (
                self._size >= self._rotate_bytes or self._clock.now() >= self._until
            ):
                self._rotate()
            if self._file is None:
                self._begin()
            self._write(data)
        except OSError as error:
            self.close()
            raise Retry(f"its file cannot be written: {error.strerror or error}") from None

    def close(self) -> None:
        """Let go of the file, which the next process goes on with."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def _write(self, data: bytes) -> None:
        file = self._file
        assert file is not None  # noqa: S101 - `deliver` has begun one
        file.write(data, self._size)
        file.sync()
        self._size += len(data)

    def _rotate(self) -> None:
        self.close()
        self._disk.rename(self._directory / (self._name + OPEN), self._directory / self._name)
        self._disk.sync(self._directory)

    def _begin(self) -> None:
        """Go on in the file that is open, its torn end cut off, or begin the next."""
        self._disk.mkdir(self._directory)
        self._disk.sync(self._directory.parent)
        names = [name for name in self._disk.names(self._directory) if _number(name)]
        left = [name for name in names if name.endswith(OPEN)]
        if left:
            self._name = left[-1].removesuffix(OPEN)
            self._size = self._mend(self._directory / left[-1])
            self._file = self._disk.open(self._directory / left[-1])
            self._until = _begun(self._name) + self._rotate_seconds
            if self._size >= self._rotate_bytes or self._clock.now() >= self._until:
                self._rotate()
                self._begin()
            return
        number = max(map(_number, names), default=0) + 1
        moment = datetime.fromtimestamp(self._clock.now(), UTC).strftime(_MOMENT)
        self._name = f"{number:08d}-{moment}{self._suffix}"
        self._size = 0
        self._file = self._disk.create(self._directory / (self._name + OPEN))
        self._disk.sync(self._directory)
        self._until = _begun(self._name) + self._rotate_seconds

    def _mend(self, path: Path) -> int:
        """The size of a file without what was being written when the process or the power went.

        That may have any of its sectors and, where others should be, zeros. No event has a zero byte in it.
        """
        data = self._disk.read(path)
        hole = data.find(b"\0")
        whole = data.rfind(b"\n", 0, hole if hole >= 0 else len(data)) + 1
        if whole < len(data):
            temporary = self._directory / _TEMPORARY
            file = self._disk.create(temporary)
            try:
                file.write(data[:whole], 0)
                file.sync()
            finally:
                with suppress(OSError):
                    file.close()
            self._disk.rename(temporary, path)
            self._disk.sync(self._directory)
        return whole


def _number(name: str) -> int:
    """The number that a file of ours begins with; 0 for what is none."""
    number = name.partition("-")[0]
    return int(number) if number.isdecimal() else 0


def _begun(name: str) -> float:
    """When a file was begun, by its name."""
    moment = name.partition("-")[2].partition(".")[0]
    return datetime.strptime(moment, _MOMENT).replace(tzinfo=UTC).timestamp()
