"""A circuit breaker: whoever has failed several times in a row is left alone for a moment.

Every call to a proxy that is down would cost its caller the whole deadline, and one of the few threads that wait for
proxies. So after `FAILURES` failures in a row the breaker *opens*: calls fail at once. When its time is over, one call
is let through as a *probe*. If that succeeds the breaker closes, if it fails it stays open, for longer each time, up to
a bound. Times are drawn at random around their mean, so that several processes do not ask a proxy that has just come
back all at once.

    closed --FAILURES in a row--> open --its time is over--> half open --success--> closed
                                   ^---------------------------- failure ----'
"""

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from keystead.core.errors import CustodyUnavailable
from keystead.core.ports import Clock, Random

FAILURES: Final = 5  # in a row
FIRST_SECONDS: Final = 1.0  # on average
MOST_SECONDS: Final = 8.0  # on average


class State(StrEnum):
    """What a breaker does with the next call."""

    CLOSED = "closed"  # it goes through
    OPEN = "open"  # it fails
    HALF_OPEN = "half-open"  # it fails, because another one is trying


class Breaker:
    """See the module. Any thread; every `admit` that returns is followed by `succeeded` or `failed`."""

    def __init__(self, clock: Clock, random: Random, told: Callable[[State], None]) -> None:
        self._clock = clock
        self._random = random
        self._told = told  # hears of it when it opens and when it closes
        self._lock = threading.Lock()
        self._state = State.CLOSED
        self._failures = 0
        self._seconds = FIRST_SECONDS
        self._until = 0.0

    @property
    def state(self) -> State:
        """The state; an open breaker whose time is over is still called open."""
        return self._state

    def admit(self) -> None:
        """Return if the call may go through; else raise `CustodyUnavailable`."""
        with self._lock:
            if self._state is State.CLOSED:
                return
            if self._state is State.OPEN and self._clock.monotonic() >= self._until:
                self._state = State.HALF_OPEN
                return
        raise CustodyUnavailable(
            "The external key store proxy has not answered several times: try again later."
        )

    def succeeded(self) -> None:
        """The proxy has answered."""
        with self._lock:
            closes = self._state is not State.CLOSED
            self._state = State.CLOSED
            self._failures = 0
            self._seconds = FIRST_SECONDS
        if closes:
            self._told(State.CLOSED)

    def failed(self) -> None:
        """The proxy has not answered, or nothing that makes sense."""
        with self._lock:
            self._failures += 1
            opens = self._state is State.CLOSED and self._failures >= FAILURES
            if opens or self._state is State.HALF_OPEN:
                self._state = State.OPEN
                self._until = self._clock.monotonic() + self._seconds * (0.5 + self._random(1)[0] / 255)
                self._seconds = min(2 * self._seconds, MOST_SECONDS)
        if opens:
            self._told(State.OPEN)
