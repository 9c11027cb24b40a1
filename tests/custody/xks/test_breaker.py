"""The circuit breaker under a turned clock."""

import threading

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from keystead.core.errors import CustodyUnavailable
from keystead.custody.xks.breaker import FAILURES, FIRST_SECONDS, MOST_SECONDS, Breaker, State
from keystead.testing.audit import TurnedClock


def breaker(clock: TurnedClock, jitter: int = 128, told: list[State] | None = None) -> Breaker:
    """A breaker whose times are drawn with the byte ``jitter``."""
    heard = told if told is not None else []
    return Breaker(clock, lambda count: bytes([jitter]) * count, heard.append)


def fail(breaker: Breaker, times: int) -> None:
    """So many calls that fail."""
    for _ in range(times):
        breaker.admit()
        breaker.failed()


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    """A success between them starts the count again; then it opens, and says so once."""
    told: list[State] = []
    ours = breaker(TurnedClock(), told=told)
    fail(ours, FAILURES - 1)
    ours.admit()
    ours.succeeded()
    fail(ours, FAILURES - 1)
    assert (ours.state, told) == (State.CLOSED, [])
    fail(ours, 1)
    assert (ours.state, told) == (State.OPEN, [State.OPEN])
    with pytest.raises(CustodyUnavailable, match="has not answered several times"):
        ours.admit()


def test_one_probe_goes_through_when_its_time_is_over() -> None:
    """The others fail as long as the probe is under way; its success closes the breaker for all."""
    clock, told = TurnedClock(), list[State]()
    ours = breaker(clock, told=told)
    fail(ours, FAILURES)
    clock.time += 2 * FIRST_SECONDS
    ours.admit()
    with pytest.raises(CustodyUnavailable):
        ours.admit()
    ours.succeeded()
    assert ours.state is State.CLOSED
    ours.admit()
    assert told == [State.OPEN, State.CLOSED]


def test_each_failed_probe_makes_it_wait_longer_up_to_a_bound() -> None:
    """The mean doubles; what it was before a success does not count any more."""
    clock = TurnedClock()
    ours = breaker(clock, jitter=0)  # half of the mean
    fail(ours, FAILURES)
    for seconds in (FIRST_SECONDS, 2.0, 4.0, MOST_SECONDS, MOST_SECONDS):
        clock.time += seconds / 2 - 0.01
        with pytest.raises(CustodyUnavailable):
            ours.admit()
        clock.time += 0.02
        fail(ours, 1)
    clock.time += MOST_SECONDS
    ours.admit()
    ours.succeeded()
    fail(ours, FAILURES)
    clock.time += FIRST_SECONDS
    ours.admit()


@pytest.mark.parametrize(("jitter", "seconds"), [(0, 0.5), (255, 1.5)])
def test_times_are_drawn_round_their_mean(jitter: int, seconds: float) -> None:
    """So several processes do not come back at the same moment."""
    clock = TurnedClock()
    ours = breaker(clock, jitter)
    fail(ours, FAILURES)
    clock.time += seconds - 0.001
    with pytest.raises(CustodyUnavailable):
        ours.admit()
    clock.time += 0.002
    ours.admit()


def test_of_many_threads_one_is_the_probe() -> None:
    """However many come at the moment when the time is over."""
    clock = TurnedClock()
    ours = breaker(clock)
    fail(ours, FAILURES)
    clock.time += 10
    admitted: list[int] = []
    barrier = threading.Barrier(8)

    def come(number: int) -> None:
        barrier.wait()
        try:
            ours.admit()
        except CustodyUnavailable:
            return
        admitted.append(number)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 1


class Machine(RuleBasedStateMachine):
    """Whatever happens: calls go through when closed, one at a time when half open, none before the time is over."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = TurnedClock()
        self.ours = breaker(self.clock)
        self.under_way = 0
        self.row = 0
        self.opened = 0.0

    @rule()
    def ask(self) -> None:
        """Somebody comes."""
        before = self.ours.state
        try:
            self.ours.admit()
        except CustodyUnavailable:
            assert before is not State.CLOSED
            return
        assert before is not State.HALF_OPEN
        if before is State.OPEN:
            assert self.clock.monotonic() >= self.opened + FIRST_SECONDS / 2
        self.under_way += 1

    @precondition(lambda self: self.under_way)
    @rule()
    def fail(self) -> None:
        """A call fails."""
        before = self.ours.state
        self.under_way -= 1
        self.row += 1
        self.ours.failed()
        if before is State.HALF_OPEN or (before is State.CLOSED and self.row >= FAILURES):
            assert self.ours.state is State.OPEN
            self.opened = self.clock.monotonic()

    @precondition(lambda self: self.under_way)
    @rule()
    def succeed(self) -> None:
        """A call succeeds: whatever was before, the proxy answers."""
        self.under_way -= 1
        self.row = 0
        self.ours.succeeded()
        assert self.ours.state is State.CLOSED

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.clock.time += seconds

    @invariant()
    def it_never_opens_early(self) -> None:
        """Fewer failures in a row than it takes leave it closed."""
        assert self.row >= FAILURES or self.ours.state is State.CLOSED or self.opened


TestMachine = Machine.TestCase
