"""What a process says of its health."""

import pytest

from keystead.core.errors import AuditUnavailable, InvalidRequest, StoreUnavailable
from keystead.observe.metrics import Cell, Reason, Slots, State
from keystead.server.health import REFUSED_SECONDS, SILENT_SECONDS, Health, Signs
from keystead.testing.installation import Installation


class Bench:
    """One process's health, on a log whose disk can fail."""

    def __init__(self) -> None:
        self.house = Installation()
        self.gate = self.house.gate("w0")
        self.slots = Slots(["w0", "w1"], ["Encrypt"])
        self.time = 100.0
        self.said: list[tuple[State, Reason, str]] = []
        self.health = Health(
            self.slots, 0, self.gate, now=lambda: self.time, tell=lambda *said: self.said.append(said)
        )

    def declared(self) -> tuple[State, Reason]:
        """What everybody can read, once it has been said."""
        self.health.declare()
        return self.slots.health(0)


def test_the_worst_is_said() -> None:
    """A log that takes nothing comes before a store that cannot be asked, and both before warnings."""
    bench = Bench()
    assert bench.declared() == (State.GREEN, Reason.NONE)
    bench.health.changed(StoreUnavailable("full"))
    assert bench.declared() == (State.YELLOW, Reason.STORE_REFUSES_CHANGES)
    bench.health.blind = True
    assert bench.declared() == (State.RED, Reason.STORE_UNAVAILABLE)
    bench.house.audit.stop_disk()
    bench.house.logs["w0"].append(b"x")
    with pytest.raises(AuditUnavailable, match="cannot be written"):
        bench.house.logs["w0"].commit()
    assert bench.declared() == (State.RED, Reason.AUDIT_UNAVAILABLE)


def test_every_change_of_health_is_told_once() -> None:
    """Saying the same again is no news, nor is that all is well at the start."""
    bench = Bench()
    for blind in (False, False, True, True, False):
        bench.health.blind = blind
        bench.health.declare()
    assert bench.said == [
        (State.RED, Reason.STORE_UNAVAILABLE, ""),
        (State.GREEN, Reason.NONE, ""),
    ]


def test_a_refused_change_is_a_warning_for_a_minute() -> None:
    """Without another one it ends by itself, since nobody may ask for a change for long."""
    bench = Bench()
    bench.health.changed(InvalidRequest("no"))
    assert bench.declared() == (State.GREEN, Reason.NONE)
    bench.health.changed(StoreUnavailable("full"))
    bench.time += REFUSED_SECONDS - 1
    assert bench.declared() == (State.YELLOW, Reason.STORE_REFUSES_CHANGES)
    bench.time += 2
    assert bench.declared() == (State.GREEN, Reason.NONE)
    assert bench.slots.read(0, Cell.STORE_REFUSALS) == 1


def test_it_may_have_nobody_to_tell() -> None:
    """What everybody can read is said all the same."""
    bench = Bench()
    Health(bench.slots, 1, bench.gate, now=lambda: 0.0).declare()
    assert bench.slots.health(1) == (State.GREEN, Reason.NONE)


def test_silence_counts_from_the_last_sign_that_was_seen() -> None:
    """One that says it is red, or has not said anything yet, keeps its own word."""
    bench = Bench()
    signs = Signs(bench.slots, now=lambda: bench.time)
    bench.slots.declare(0, State.YELLOW, Reason.AUDIT_DEGRADED)
    for _ in range(3):
        bench.slots.beat(0)
        bench.time += SILENT_SECONDS - 0.5
        assert signs.health(0) == (State.YELLOW, Reason.AUDIT_DEGRADED)
    bench.time += SILENT_SECONDS + 0.5
    assert signs.health(0) == (State.RED, Reason.NOT_ANSWERING)
    assert signs.health(1) == (State.UNKNOWN, Reason.NONE)
    bench.slots.declare(1, State.RED, Reason.NOT_RUNNING)
    assert signs.health(1) == (State.RED, Reason.NOT_RUNNING)
