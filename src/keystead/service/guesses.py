"""Guesses: wrong one-time passwords, counted for each principal, so that nobody can try them all.

A code has six digits, and three of them count at a time. So after five wrong ones within five minutes no code of that
principal's is looked at, right or wrong, until the oldest of the five is five minutes old. It is counted in each
process for itself and forgotten when that ends: with two workers somebody has ten guesses, of 333,333 that it takes.
"""

import threading
from collections import OrderedDict, deque
from typing import Final

MOST: Final = 5
SECONDS: Final = 300.0
PRINCIPALS: Final = 10_000
"""Whose guesses are remembered; of more, those who guessed wrong first are forgotten."""


class Guesses:
    """See the module. Any thread."""

    __slots__ = ("_lock", "_wrong")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def too_many(self, principal: str, now: float) -> bool:
        """Whether this principal's codes are not looked at now."""
        with self._lock:
            times = self._wrong.get(principal)
            return times is not None and len(times) == MOST and now - times[0] < SECONDS

    def wrong(self, principal: str, now: float) -> None:
        """Count a wrong one."""
        with self._lock:
            times = self._wrong.setdefault(principal, deque(maxlen=MOST))
            times.append(now)
            self._wrong.move_to_end(principal)
            if len(self._wrong) > PRINCIPALS:
                self._wrong.popitem(last=False)

    def right(self, principal: str) -> None:
        """Forget the wrong ones of somebody who has shown a right one."""
        with self._lock:
            self._wrong.pop(principal, None)
