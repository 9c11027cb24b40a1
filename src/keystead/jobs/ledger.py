"""Brings the accounts' trees of the audit up to date, and once a day removes what is over its time.

It has a thread of its own, since it reads logs and waits for the disk. Removing is asked at the gate, on the gate's
thread (`At`), like anyone: a bounded part at a time, until nothing is left. What fails is tried again at the next look.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from keystead.core.errors import KeysteadError
from keystead.core.ports import Clock, Random
from keystead.core.retention import DAY
from keystead.observe.log import Log
from keystead.service.caller import Caller
from keystead.service.commands.ledger import PruneAudit
from keystead.service.gate import Gate
from keystead.service.results import Result
from keystead.service.results.ledger import Pruning

T = TypeVar("T")

At = Callable[[Callable[[], T]], T]
"""Does something on the gate's thread and returns what came of it."""

MOST_PARTS: Final = 10_000  # of one day's removal


class Bookkeeper:
    """See the module. ``update`` brings the trees up to date and ``renew`` the statements of what was removed.

    ``caller`` makes the jobs' caller for one request; without ``removes``, nothing is ever over its time.
    """

    def __init__(
        self,
        *,
        gate: Gate,
        update: Callable[[], int],
        renew: Callable[[], None],
        removes: bool,
        caller: Callable[[str, str, str], Caller],
        clock: Clock,
        random: Random,
        log: Log,
    ) -> None:
        self._gate = gate
        self._update = update
        self._renew = renew
        self._removes = removes
        self._caller = caller
        self._clock = clock
        self._random = random
        self._log = log
        self._prune_at = 0.0

    def run_once(self, at: At[Result]) -> int:
        """Take in what is new; returns how many entries were removed."""
        removed = 0
        try:
            self._update()
            self._renew()
            if self._removes and self._clock.now() >= self._prune_at:
                for _ in range(MOST_PARTS):
                    told = self._prune(at)
                    removed += told.entries
                    if not told.more:
                        break
                self._prune_at = self._clock.now() + DAY
        except (KeysteadError, OSError) as error:
            code = error.code if isinstance(error, KeysteadError) else type(error).__name__
            self._log.warning("the audit's account trees or its pruning wait", code=code, reason=str(error))
        return removed

    def _prune(self, at: At[Result]) -> Pruning:
        caller = self._caller(f"job-{self._random(12).hex()}", "", "")
        told = at(lambda: self._gate.ask(caller, PruneAudit()).outcome())
        assert isinstance(told, Pruning)  # noqa: S101 - as the action returns it
        return told
