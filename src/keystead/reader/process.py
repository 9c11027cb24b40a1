"""The reader as a process: it is told its settings, takes in what is written, and answers until nobody asks any more.

One thread listens, two answer, one takes in, and each sink has its own. When the other end of the socket is closed,
because the control process has ended in whatever way, so does this. A thread that meets what nobody expected ends the
process: the control process starts another, which begins with what is on disk.
"""

import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

import duckdb

from keystead.audit.disk import LocalDisk
from keystead.core.errors import InvalidRequest, KeysteadError
from keystead.core.query import ReaderStatus
from keystead.observe.log import Log
from keystead.reader.archive import Archive
from keystead.reader.source import Logs
from keystead.service import frames

FEED_SECONDS: Final = 0.25
STATUS_SECONDS: Final = 1.0
ANSWERING: Final = 2  # threads
NICE: Final = 10  # who uses keys goes first
EX_OK, EX_SOFTWARE = 0, 70


def main(descriptor: int) -> int:
    """Serve one control process over an inherited socket; returns the exit code."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, who ends everybody in order
    os.nice(NICE)
    with socket.socket(fileno=descriptor) as sock:
        settings = frames.receive(sock, frames.Settings)
        if settings is None:
            return EX_OK
        log = Log(sys.stderr, "json" if settings.json_log else "text", time.time)
        return _Reader(sock, settings, log).run()


class _Reader:
    """See the module."""

    def __init__(self, sock: socket.socket, settings: frames.Settings, log: Log) -> None:
        self._sock = sock
        self._sending = threading.Lock()
        self._log = log
        self._stopping = threading.Event()
        self._archive = Archive(
            settings.archive,
            Logs(settings.audit, LocalDisk()),
            origin=settings.origin,
            memory_mb=settings.memory_mb,
            threads=settings.threads,
            notice=lambda text: log.warning("the archive of the audit was looked after", reason=text),
        )

    def run(self) -> int:
        """Until the other side has gone, or something went wrong here."""
        for work in (self._feed, self._report):
            threading.Thread(target=self._guard, args=(work,), name=work.__name__, daemon=True).start()
        pool = ThreadPoolExecutor(ANSWERING, thread_name_prefix="answer")
        try:
            while (asked := frames.receive(self._sock, frames.Asked)) is not None:
                pool.submit(self._guard, partial(self._answer, asked))
        except (frames.BrokenFrame, OSError) as error:
            self._log.error("the reader was sent what it does not understand", error=str(error))
            return EX_SOFTWARE
        self._stopping.set()
        pool.shutdown(wait=False, cancel_futures=True)
        return EX_OK

    def _guard(self, work: Callable[[], None]) -> None:
        """Do it, and end the process when it meets a bug: another one is started."""
        try:
            work()
        except Exception as fault:  # noqa: BLE001 - whatever it is, a thread must not end unseen
            self._log.fault("the reader met a bug and is started again", fault)
            os._exit(EX_SOFTWARE)

    def _feed(self) -> None:
        while not self._stopping.is_set():
            if not self._archive.feed():
                self._stopping.wait(FEED_SECONDS)

    def _report(self) -> None:
        while not self._stopping.wait(STATUS_SECONDS):
            self._send(frames.Told(status=self._status()))

    def _status(self) -> ReaderStatus:
        return replace(self._archive.status(), running=True)

    def _answer(self, asked: frames.Asked) -> None:
        """Answer one question. The time is counted from here: the other side knows how long it waits in all."""
        try:
            told = frames.Told(asked.id, answered=self._archive.ask(asked.question, asked.seconds))
        except InvalidRequest as error:
            told = frames.Told(asked.id, error=str(error), invalid=True)
        except (KeysteadError, duckdb.Error, OSError) as error:
            self._log.warning("a question about the audit was not answered", reason=str(error))
            told = frames.Told(asked.id, error=_reason(error))
        self._send(told)

    def _send(self, told: frames.Told) -> None:
        with self._sending, suppress(OSError):  # nobody is there: `run` will see it
            frames.send(self._sock, told)


def _reason(error: Exception) -> str:
    """What whoever asked is told: the texts of other people's errors name files and statements, so they stay here."""
    return (
        str(error)
        if isinstance(error, KeysteadError)
        else "The archive cannot be read: its operator must look."
    )
