"""The reader as a process: it is told its settings, takes in what is written, and answers until nobody asks any more.

One thread listens, two answer, one takes in, and each sink has its own. Those that take in and deliver work in idle
time: whoever uses keys goes first, then whoever asks. When the other end of the socket is closed, because the control
process has ended in whatever way, so does this. A thread that meets what nobody expected ends the process: the control
process starts another, which begins with what is on disk.
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
from keystead.audit.follow import Follower
from keystead.bridges.sinks.station import Station
from keystead.config import Sink
from keystead.core.errors import ConfigError, InvalidRequest, KeysteadError
from keystead.core.query import ReaderStatus, SinkStatus
from keystead.observe.log import Log
from keystead.reader.archive import Archive
from keystead.reader.source import Logs
from keystead.service import frames

FEED_SECONDS: Final = 0.25
RETRY_SECONDS: Final = 5.0  # after the archive could not be written
STATUS_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 3.0  # for a sink that is in the middle of a delivery
ANSWERING: Final = 2  # threads
NICE: Final = 10  # who uses keys goes first
LOWEST: Final = 19  # where a thread cannot be had that works in idle time only
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


def stand_back() -> None:
    """Let the calling thread work only while a processor has nothing else to do; Linux's `SCHED_IDLE`.

    Taking an entry in and delivering it to four sinks costs as much as the use of a key that it tells of, and can wait.
    A niceness alone is not enough: the scheduler weighs it against what is awake, and workers sleep at every sync of
    the disk.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:  # a sandbox that forbids it
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)


class _Reader:
    """See the module."""

    def __init__(self, sock: socket.socket, settings: frames.Settings, log: Log) -> None:
        self._sock = sock
        self._sending = threading.Lock()
        self._log = log
        self._stopping = threading.Event()
        self._trouble = ""
        self._disk = LocalDisk()
        self._sinks: dict[str, SinkStatus | Station] = {
            sink.name: self._station(settings, sink) for sink in settings.sinks
        }
        self._archive = Archive(
            settings.archive,
            Logs(settings.audit, self._disk),
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
        finally:
            self._stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for sink in self._sinks.values():
                if isinstance(sink, Station):
                    sink.close(CLOSE_SECONDS)
        return EX_OK

    def _station(self, settings: frames.Settings, sink: Sink) -> SinkStatus | Station:
        """What carries the logs to one sink, at work; or what is wrong with it, which keeps nothing else from work."""
        try:
            station = Station(
                [sink],
                settings.archive.parent,
                follower=lambda: Follower(settings.audit, disk=self._disk),
                disk=self._disk,
                clock=_Clock(),
                random=os.urandom,
                began=stand_back,
                notice=self._refused,
            )
        except ConfigError as error:
            self._log.error("a sink cannot be opened", component=sink.name, reason=str(error))
            return SinkStatus(trouble=str(error))
        station.start()
        return station

    def _refused(self, name: str, reason: str) -> None:
        """Say once that events are refused: how many they are is in the status, and which in the dead letters."""
        self._log.warning(
            "a sink refuses events, which go into its dead letters", component=name, reason=reason
        )

    def _guard(self, work: Callable[[], None]) -> None:
        """Do it, and end the process when it meets a bug: another one is started."""
        try:
            work()
        except Exception as fault:  # noqa: BLE001 - whatever it is, a thread must not end unseen
            self._log.fault("the reader met a bug and is started again", fault)
            os._exit(EX_SOFTWARE)

    def _feed(self) -> None:
        stand_back()
        while not self._stopping.is_set():
            pause = FEED_SECONDS
            try:
                pause = 0.0 if self._archive.feed() else FEED_SECONDS
                self._trouble = ""
            except (OSError, duckdb.Error) as error:  # a full disk: what is there can still be asked about
                if not self._trouble:
                    self._log.error("the archive of the audit cannot be written", reason=str(error))
                self._trouble = "the archive cannot be written"
                pause = RETRY_SECONDS
            self._stopping.wait(pause)

    def _report(self) -> None:
        while not self._stopping.wait(STATUS_SECONDS):
            self._send(frames.Told(status=self._status()))

    def _status(self) -> ReaderStatus:
        sinks = {
            name: sink if isinstance(sink, SinkStatus) else _told(sink) for name, sink in self._sinks.items()
        }
        status = self._archive.status()
        trouble = "; ".join(filter(None, [status.trouble, self._trouble]))
        return replace(status, running=True, trouble=trouble, sinks=sinks)

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


class _Clock:
    """The machine's clock."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


def _told(station: Station) -> SinkStatus:
    """How the one sink of a station fares."""
    (status,) = station.status()
    return SinkStatus(
        lag_entries=status.lag_entries,
        lag_seconds=status.lag_seconds,
        delivered=status.delivered,
        errors=status.errors,
        parked=status.parked,
        trouble="; ".join(filter(None, [status.last_error, status.parking])),
    )


def _reason(error: Exception) -> str:
    """What whoever asked is told: the texts of other people's errors name files and statements, so they stay here."""
    return (
        str(error)
        if isinstance(error, KeysteadError)
        else "The archive cannot be read: its operator must look."
    )
