r"""The operational log: one line per event on standard error, for people or for programs.

It says what the processes do (start, drain, restart, lose their disk), never what a request said. To keep
secrets out, a field is written only if its name is on the list below; of any other field the line tells the
name alone, under `withheld`. Messages are constant sentences in the source. Nothing on the path of a request
logs: requests are counted by `metrics` and recorded by the audit log.

    log = Log(sys.stderr, "json", time.time)
    log.warning("a process ended and is started again", process="w1", status=9, delay=0.1)

    {"time":"2026-01-31T12:00:00.000Z","level":"warning","message":"a process ended …","process":"w1",…}
"""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TextIO


class Level(StrEnum):
    """How much an event matters to whoever is on call."""

    INFO = "info"  # as it should be
    WARNING = "warning"  # the service helped itself; look when there is time
    ERROR = "error"  # somebody must act


FIELDS: Final = frozenset(
    (
        "address",
        "attempt",
        "code",
        "component",
        "connections",
        "count",
        "delay",
        "error",
        "file",
        "line",
        "path",
        "pid",
        "port",
        "process",
        "reason",
        "refused",
        "request",
        "requests",
        "seconds",
        "signal",
        "slot",
        "state",
        "status",
        "version",
        "workers",
    )
)
"""The fields that may be written. None is ever filled from a request; ``request`` is the id that it was given."""

Value = str | int | float | bool | None

_LONGEST: Final = 300  # characters of a value; an exception's text can be any length


class Log:
    """Writes the operational log to a stream.

    `form` is "json" for programs or "text" for people; `now` tells the time as seconds since 1970.
    """

    def __init__(self, stream: TextIO, form: str, now: Callable[[], float]) -> None:
        self._stream = stream
        self._json = form == "json"
        self._now = now

    def info(self, message: str, **fields: Value) -> None:
        """Say that something happened as it should."""
        self._write(Level.INFO, message, fields)

    def warning(self, message: str, **fields: Value) -> None:
        """Say that something went wrong and the service helped itself."""
        self._write(Level.WARNING, message, fields)

    def error(self, message: str, **fields: Value) -> None:
        """Say that something went wrong and somebody must act."""
        self._write(Level.ERROR, message, fields)

    def fault(self, message: str, fault: BaseException, *, request: str = "") -> None:
        """Report a bug: what kind of exception and where, never its text, which may hold a secret.

        ``request`` is the id of the request that met it, under which the audit has the rest.
        """
        place = fault.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        fields: dict[str, Value] = {
            "error": type(fault).__qualname__,
            "file": None if place is None else place.tb_frame.f_code.co_filename,
            "line": None if place is None else place.tb_lineno,
        }
        self._write(Level.ERROR, message, {**fields, "request": request} if request else fields)

    def _write(self, level: Level, message: str, fields: dict[str, Value]) -> None:
        time = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        shown: dict[str, Value] = {}
        for name, value in fields.items():
            if name in FIELDS:
                shown[name] = value[:_LONGEST] if isinstance(value, str) else value
        if withheld := sorted(fields.keys() - FIELDS):
            shown["withheld"] = " ".join(withheld)
        time = time.replace("+00:00", "Z")
        if self._json:
            line = json.dumps({"time": time, "level": level, "message": message, **shown})
        else:
            # json.dumps also keeps control characters of a value from acting on the reader's terminal.
            told = "".join(f" {name}={json.dumps(value)}" for name, value in shown.items())
            line = f"{time} {level:7} {message}{told}"
        # A log that cannot be written must not stop what it reports on.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()
