"""What a process says of its health: green, yellow with a warning, or red with what it cannot do.

    health = Health(slots, slot, gate, now=loop.time)
    health.changed(answer.error)     # how each change ended
    health.blind = True              # the store could not be asked what has changed
    health.declare()                 # a few times a second, and when something has just failed

Red is for what stops requests: a log that takes no records, a store that cannot be asked. Yellow is for what
will stop them, or stops a part: the log works but lives on what it had reserved, because the disk refuses its
tiles or its next segment; the store takes no change. A store is not probed, since only a change can tell: the
warning lasts until one is made again, or until none has been refused for a minute.
"""

from collections.abc import Callable
from typing import Final

from keystead.core.errors import KeysteadError, StoreUnavailable
from keystead.observe.metrics import Cell, Reason, Slots, State
from keystead.service.gate import Gate

REFUSED_SECONDS: Final = 60.0  # for which a refused change is a warning

Tell = Callable[[State, Reason, str], None]
"""Hears of every change of a process's health, with what the disk said, if that is the matter."""


class Health:
    """See the module; for the thread that owns the gate."""

    def __init__(
        self, slots: Slots, slot: int, gate: Gate, *, now: Callable[[], float], tell: Tell | None = None
    ) -> None:
        self.blind = False  # the store could not be asked what has changed
        self._slots = slots
        self._slot = slot
        self._gate = gate
        self._now = now
        self._tell = tell
        self._refused_at: float | None = None
        self._said = (State.UNKNOWN, Reason.NONE)

    def changed(self, error: KeysteadError | None) -> None:
        """A change has been made, or ended in an error."""
        if isinstance(error, StoreUnavailable):
            self._refused_at = self._now()
            cell = Cell.STORE_REFUSALS
            self._slots.write(self._slot, cell, self._slots.read(self._slot, cell) + 1)
            self.declare()
        elif error is None and self._refused_at is not None:
            self._refused_at = None
            self.declare()

    def declare(self) -> None:
        """Say how it stands, where everybody can read it."""
        said = self._stand()
        self._slots.declare(self._slot, *said)
        before, self._said = self._said, said
        # That all is well at the start is no news.
        is_news = said != before and (before[0], said[0]) != (State.UNKNOWN, State.GREEN)
        if is_news and self._tell is not None:
            self._tell(*said, self._gate.trouble)

    def _stand(self) -> tuple[State, Reason]:
        if not self._gate.healthy:
            return State.RED, Reason.AUDIT_UNAVAILABLE
        if self.blind:
            return State.RED, Reason.STORE_UNAVAILABLE
        if self._gate.trouble:
            return State.YELLOW, Reason.AUDIT_DEGRADED
        if self._refused_at is not None and self._now() - self._refused_at < REFUSED_SECONDS:
            return State.YELLOW, Reason.STORE_REFUSES_CHANGES
        return State.GREEN, Reason.NONE


SILENT_SECONDS: Final = 3.0  # without a sign of life


class Signs:
    """When each process last gave a sign of life, as seen by the one that tells of all of them."""

    def __init__(self, slots: Slots, *, now: Callable[[], float]) -> None:
        self._slots = slots
        self._now = now
        self._seen = [(slots.pulse(slot), now()) for slot in range(len(slots.processes))]

    def look(self) -> None:
        """Take notice of who has given one; called often."""
        for slot, (pulse, _) in enumerate(self._seen):
            if self._slots.pulse(slot) != pulse:
                self._seen[slot] = (self._slots.pulse(slot), self._now())

    def health(self, slot: int) -> tuple[State, Reason]:
        """What a process said of itself, unless it has gone silent since: a disk that hangs, hangs its loop."""
        self.look()
        state, reason = self._slots.health(slot)
        if state in (State.GREEN, State.YELLOW) and self._now() - self._seen[slot][1] > SILENT_SECONDS:
            return State.RED, Reason.NOT_ANSWERING
        return state, reason
