"""Starts the processes of the service, starts them again when they end, and stops them in order.

The supervisor does nothing of the service itself: it opens no data, serves no connection and has no threads,
so there is little in it that could fail or hang. It forks its children and then waits for signals.

* A child that ends is started again, after 0.1 s at first and up to 5 s when it keeps ending. A child that
  has lived for 30 s starts with a clean sheet.
* A child that ends with `EX_CONFIG` (78) says that starting again cannot help: a setting or the data is
  wrong. The whole service stops with that code, so that the operator reads the reason instead of a loop.
* A child whose loop gives no sign of life for 10 s (a disk that hangs, an endless loop) is killed and started
  again: a service that hangs in silence is worse than one that fails.
* SIGTERM and SIGINT stop the service: the children get SIGTERM, have `drain_seconds` to finish what they
  began, and are killed after that. A second signal kills at once. SIGHUP is passed on.

Listening sockets are bound before the first fork and stay open here, so connections that arrive while a
worker is being restarted wait for the next one. On stopping they are closed here first: the worker's copy is
then the last, and closing it after the drain is what ends the listening.
"""

import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from keystead.observe.log import Log
from keystead.server.processes import EX_CONFIG, EX_OK, bind, fork

__all__ = ["ChildSpec", "Supervisor", "Timing", "bind"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_STOPS: Final = frozenset((signal.SIGTERM, signal.SIGINT))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A child process: its name, its work, and what it needs kept for it."""

    name: str
    run: Callable[[], int]  # returns the exit code; called in the child
    sockets: Sequence[socket.socket] = ()  # the child's own; it closes the other children's
    pulse: Callable[[], int] | None = None  # a number that changes while the child is alive and well
    on_end: Callable[[], None] | None = None  # called in the supervisor when it ended without being asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How patient the supervisor is, in seconds."""

    drain_seconds: float = 15.0
    backoff_seconds: float = 0.1  # before the first restart; doubles
    backoff_limit_seconds: float = 5.0
    settled_seconds: float = 30.0  # of life after which the backoff begins anew
    hang_seconds: float = 10.0  # without a sign of life
    start_seconds: float = 30.0  # until the first one
    tick_seconds: float = 0.25  # between looks at the signs of life


class _Child:
    """A place for a child, and the state of whoever is in it."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.pid = 0  # 0 while nobody is
        self.started = 0.0
        self.due = 0.0  # when to start the next one
        self.failures = 0  # in a row
        self.pulse = 0
        self.pulsed = 0.0  # when the pulse last changed
        self.awake = False  # whether it has since the start

    def signal(self, number: signal.Signals) -> None:
        # Safe from reused process ids: a child that ended keeps its id until the supervisor reaps it.
        if self.pid:
            os.kill(self.pid, number)


class Supervisor:
    """Keeps a set of child processes running until it is told to stop."""

    def __init__(
        self,
        children: Sequence[ChildSpec],
        log: Log,
        timing: Timing | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._children = [_Child(spec) for spec in children]
        self._log = log
        self._timing = timing or Timing()
        self._now = monotonic
        self._mask: set[signal.Signals] = set()

    def run(self) -> int:
        """Run the service; returns the exit code: 0 after a stop that was asked for, or `EX_CONFIG`.

        The signals are blocked and fetched one by one with sigtimedwait, so none is lost between two
        statements, and none interrupts any.
        """
        self._mask = {signal.Signals(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)}
        # Objects made so far are shared with the children; the collector writing to them would copy them.
        gc.collect()
        gc.freeze()
        try:
            for child in self._children:
                self._start(child)
            code = self._watch()
            self._stop()
        finally:
            # Only if something went wrong here: children must not be left behind.
            for child in self._children:
                child.signal(signal.SIGKILL)
            gc.unfreeze()
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        return code

    def _start(self, child: _Child) -> None:
        strange = [sock for other in self._children if other is not child for sock in other.spec.sockets]
        child.pid = fork(child.spec.name, child.spec.run, self._log, self._mask, strange)
        child.started = child.pulsed = self._now()
        child.awake = False
        child.pulse = child.spec.pulse() if child.spec.pulse is not None else 0
        self._log.info("process started", process=child.spec.name, pid=child.pid)

    def _watch(self) -> int:
        """Keep the children alive until the service is to stop; returns the exit code it stops with."""
        while True:
            # (1) Wait for a signal, or until something is due.
            now = self._now()
            due = [child.due - now for child in self._children if not child.pid]
            info = signal.sigtimedwait(_SIGNALS, max(0.0, min([self._timing.tick_seconds, *due])))
            if info is not None and info.si_signo in _STOPS:
                self._log.info("stopping", signal=signal.Signals(info.si_signo).name)
                return EX_OK
            if info is not None and info.si_signo == signal.SIGHUP:
                for child in self._children:
                    child.signal(signal.SIGHUP)
            # (2) Who has ended? One SIGCHLD may stand for several, so everybody is looked at.
            for child in self._children:
                status = self._reap(child)
                if status == EX_CONFIG:
                    self._log.error(
                        "a process cannot start: see its message; the service stops",
                        process=child.spec.name,
                        status=status,
                    )
                    return EX_CONFIG
            # (3) Who hangs, and who is to be started again?
            now = self._now()
            for child in self._children:
                if child.pid:
                    self._feel_pulse(child, now)
                elif now >= child.due:
                    self._start(child)

    def _reap(self, child: _Child) -> int | None:
        """Notice that a child has ended and plan its successor; returns its exit code, if it has."""
        if not child.pid:
            return None
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if not pid:
            return None
        child.pid = 0
        if child.spec.on_end is not None:
            child.spec.on_end()  # now, and not at the next start: the wait for that may be seconds
        code = os.waitstatus_to_exitcode(status)  # negative: killed by that signal
        now = self._now()
        if now - child.started >= self._timing.settled_seconds:
            child.failures = 0
        delay = min(
            self._timing.backoff_seconds * 2.0 ** min(child.failures, 16),
            self._timing.backoff_limit_seconds,
        )
        child.failures += 1
        child.due = now + delay
        if code != EX_CONFIG:
            self._log.warning(
                "process ended, starting it again", process=child.spec.name, status=code, delay=delay
            )
        return code

    def _feel_pulse(self, child: _Child, now: float) -> None:
        if child.spec.pulse is None:
            return
        pulse = child.spec.pulse()
        if pulse != child.pulse:
            child.pulse, child.pulsed, child.awake = pulse, now, True
        elif now - child.pulsed >= (self._timing.hang_seconds if child.awake else self._timing.start_seconds):
            self._log.error(
                "process gives no sign of life, killing it", process=child.spec.name, pid=child.pid
            )
            child.signal(signal.SIGKILL)
            child.pulsed = now  # it is reaped like any other; do not kill it twice meanwhile

    def _stop(self) -> None:
        for child in self._children:
            for sock in child.spec.sockets:
                sock.close()
            child.signal(signal.SIGTERM)
        deadline = self._now() + self._timing.drain_seconds
        while self._alive():
            left = deadline - self._now()
            # A child may end between the look and the wait: its SIGCHLD is pending then, and wakes us.
            info = signal.sigtimedwait(_SIGNALS, max(0.0, left))
            if left <= 0 or (info is not None and info.si_signo in _STOPS):
                break
        for child in self._alive():
            self._log.warning("process did not finish in time, killing it", process=child.spec.name)
            child.signal(signal.SIGKILL)
            os.waitpid(child.pid, 0)
            child.pid = 0
        self._log.info("stopped")

    def _alive(self) -> list[_Child]:
        for child in self._children:
            if child.pid and os.waitpid(child.pid, os.WNOHANG)[0]:
                child.pid = 0
        return [child for child in self._children if child.pid]
