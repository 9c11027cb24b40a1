"""The control process's side of the reader: starting it, asking it, and going on without it.

    reader = ReaderProcess(settings, log=log)     # `keystead.core.ports.Records`
    reader.ask(question, seconds=8.0)

It is a program of its own (`keystead.reader`), started by ``exec`` with an environment of a few harmless names: of
the memory and the secrets of this process it has nothing. When it ends it is started again, a little later each time.
Nothing but questions waits for it.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from dataclasses import replace
from typing import Final

from keystead.core.errors import InvalidRequest, QueryUnavailable
from keystead.core.query import Answered, Question, ReaderStatus
from keystead.observe.log import Log
from keystead.service import frames

HARMLESS: Final = ("LANG", "LC_ALL", "LC_CTYPE", "PATH", "PYTHONPATH", "PYTHONHASHSEED", "TZ")
"""What of the environment the reader is given."""

FIRST_SECONDS: Final = 0.5
LAST_SECONDS: Final = 30.0  # between two starts
GRACE_SECONDS: Final = 2.0  # beyond a question's time, until it counts as lost
CLOSE_SECONDS: Final = 5.0
MOST_WAITING: Final = 64
SILENT_SECONDS: Final = 15.0  # without a word of how it fares, which it says every second, until that is told


def program(settings: frames.Settings, descriptor: int) -> list[str]:
    """The command line. -P and -s: nothing is imported from the working directory or a home directory."""
    return [sys.executable, "-P", "-s", "-m", "keystead.reader", str(settings.audit.parent), str(descriptor)]


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What of an environment the reader is given."""
    return {name: given[name] for name in HARMLESS if name in given}


class ReaderProcess:
    """See the module. `ask` and `status` are for any thread."""

    def __init__(self, settings: frames.Settings, *, log: Log, first_seconds: float = FIRST_SECONDS) -> None:
        self._settings = settings
        self._log = log
        self._first_seconds = first_seconds
        self._lock = threading.Lock()  # of all that follows
        self._sending = threading.Lock()
        self._sock: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: dict[int, Future[frames.Told]] = {}
        self._number = 0
        self._status = ReaderStatus()
        self._heard_at = time.monotonic()
        self._restarts = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="reader", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Of the process there is now; 0 when there is none."""
        with self._lock:
            return self._process.pid if self._process is not None else 0

    def status(self) -> ReaderStatus:
        """How it fares, as of its last word; not running when there is none.

        What waited then has waited longer by now, so a reader that comes to nothing is seen by its lag.
        """
        with self._lock:
            status = replace(self._status, restarts=self._restarts)
            silent = time.monotonic() - self._heard_at
        if not status.running or silent < SILENT_SECONDS:
            return status
        told = f"it has said nothing for {silent:.0f} s: it hangs, or other processes leave it no time"
        return replace(
            status,
            trouble="; ".join(filter(None, [told, status.trouble])),
            lag_seconds=status.lag_seconds + silent,
            sinks={
                name: replace(sink, lag_seconds=sink.lag_seconds + silent)
                for name, sink in status.sinks.items()
            },
        )

    def ask(self, question: Question, seconds: float) -> Answered:
        """The answer; raises `QueryUnavailable`, or `InvalidRequest` where the question makes no sense."""
        answer: Future[frames.Told] = Future()
        with self._lock:
            sock = self._sock
            if sock is None:
                raise QueryUnavailable("The reader is being started: try again in a moment.")
            if len(self._waiting) >= MOST_WAITING:
                raise QueryUnavailable("Too many questions wait for the reader: try again later.")
            self._number += 1
            number = self._number
            self._waiting[number] = answer
        try:
            with self._sending:
                frames.send(sock, frames.Asked(number, question, seconds))
            told = answer.result(timeout=seconds + GRACE_SECONDS)
        except (OSError, Late):
            raise QueryUnavailable(
                "The reader did not answer in time: try again, or ask about less."
            ) from None
        finally:
            with self._lock:
                self._waiting.pop(number, None)
        if told.answered is None:
            raise InvalidRequest(told.error) if told.invalid else QueryUnavailable(told.error)
        return told.answered

    def close(self) -> None:
        """Let it end, and see that it has."""
        self._stopping.set()
        with self._lock:
            sock, process = self._sock, self._process
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(CLOSE_SECONDS)
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()

    # --- on the thread of its own --------------------------------------------------------------------------

    def _keep(self) -> None:
        """Have a reader at all times."""
        delay = self._first_seconds
        while not self._stopping.is_set():
            lived = self._live()
            if self._stopping.is_set():
                return
            delay = self._first_seconds if lived else min(2 * delay, LAST_SECONDS)
            with self._lock:
                self._restarts += 1
                self._status = ReaderStatus(trouble="the reader ended and is started again")
            self._log.warning("the reader ended and is started again", delay=delay)
            self._stopping.wait(delay)

    def _live(self) -> bool:
        """One reader from its start to its end; whether it was ever well."""
        ours, its = socket.socketpair()
        with ours:
            with its:
                process = self._start(its.fileno())
            if process is None:
                return False
            lived = False
            try:
                frames.send(ours, self._settings)
                with self._lock:
                    self._sock, self._process = ours, process
                while (told := frames.receive(ours, frames.Told)) is not None:
                    lived = True
                    self._heard(told)
            except (frames.BrokenFrame, OSError) as error:
                self._log.warning("the reader does not keep to what was agreed", error=str(error))
            finally:
                with self._lock:
                    self._sock = None
                    lost, self._waiting = self._waiting, {}
                for answer in lost.values():
                    answer.set_result(frames.Told(error="The reader ended meanwhile: try again."))
        self._reap(process)
        return lived

    def _start(self, descriptor: int) -> "subprocess.Popen[bytes] | None":
        try:
            return subprocess.Popen(  # noqa: S603 - our own program, and no argument is anybody else's
                program(self._settings, descriptor),
                env=environment(os.environ),
                pass_fds=(descriptor,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Not a session: Linux shares processors out among sessions, and only within one is a niceness obeyed.
                process_group=0,
            )
        except OSError as error:
            self._log.error("the reader cannot be started", error=str(error))
            return None

    def _reap(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait for the end of one that nobody listens to any more."""
        try:
            process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with self._lock:
            self._process = None

    def _heard(self, told: frames.Told) -> None:
        if told.status is not None:
            with self._lock:
                self._status = told.status
                self._heard_at = time.monotonic()
            return
        with self._lock:
            answer = self._waiting.pop(told.id, None)
        if answer is not None:
            answer.set_result(told)
