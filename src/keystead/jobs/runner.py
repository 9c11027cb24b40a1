"""Runs what is due: deletions whose window has ended, imported material and rotations whose date has come.

The runner looks about once a minute. What fails is tried again at the next look; one key that keeps failing
does not hold up the others.
"""

from collections.abc import Callable
from typing import Final

from keystead.core.errors import AuditUnavailable, KeysteadError
from keystead.core.ports import Random
from keystead.observe.log import Log
from keystead.service.caller import Caller
from keystead.service.due import Due
from keystead.service.gate import Gate

AT_ONCE: Final = 100  # of each kind; more wait for the next look


class Runner:
    """See the module. ``look`` returns what is due.

    ``caller`` makes the jobs' caller for one request: its id, the Region, the account.
    """

    def __init__(
        self,
        *,
        gate: Gate,
        look: Callable[[int], list[Due]],
        caller: Callable[[str, str, str], Caller],
        random: Random,
        log: Log,
    ) -> None:
        self._gate = gate
        self._look = look
        self._caller = caller
        self._random = random
        self._log = log

    def run_once(self) -> int:
        """Do what is due now; returns how many things were done."""
        done = 0
        try:
            for due in self._look(AT_ONCE):
                done += self._ask(due)
        except AuditUnavailable as error:
            self._log.warning("jobs wait: nothing can be recorded", code=error.code)
        except KeysteadError as error:
            self._log.warning("jobs cannot see what is due and will look again", code=error.code)
        return done

    def _ask(self, due: Due) -> bool:
        request = f"job-{self._random(12).hex()}"
        error = self._gate.ask(self._caller(request, due.region, due.account), due.command).error
        if error is not None:
            name = type(due.command).__name__
            self._log.warning("a job failed and will be tried again", component=name, code=error.code)
        return error is None
