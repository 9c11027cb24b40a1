"""The job that keeps accounts' trees, and has the audit pruned once a day."""

import io
from collections.abc import Callable

import pytest

from keystead.core.errors import StoreUnavailable
from keystead.core.principal import service_arn
from keystead.core.retention import DAY, Durations, Kept
from keystead.jobs import ledger
from keystead.jobs.ledger import Bookkeeper
from keystead.observe.log import Log
from keystead.service.commands import kms
from keystead.service.results import Result
from keystead.testing.installation import ACCOUNT, Installation


class Bench:
    """An installation with its job."""

    def __init__(self, *, removes: bool = True) -> None:
        self.house = Installation(durations=Durations(dict.fromkeys(Kept, 30)))
        self.gate = self.house.gate("control")
        self.said = io.StringIO()
        self.update: Callable[[], int] = self.house.trees.update
        self.job = Bookkeeper(
            gate=self.gate,
            update=self._take_in,
            renew=self.house.pruner.renew,
            removes=removes,
            caller=lambda request, region, account: self.house.caller(
                request, arn=service_arn(account or ACCOUNT, "jobs"), region=region
            ),
            clock=self.house.clock,
            random=self.house.random,
            log=Log(self.said, "json", self.house.clock.now),
        )

    def _take_in(self) -> int:
        return self.update()

    def run(self) -> int:
        """One look of the job."""

        def at(work: Callable[[], Result]) -> Result:
            return work()

        for _ in range(3):
            self.house.audit.later()
            self.gate.tend()
        return self.job.run_once(at)

    def fill(self) -> None:
        """Six hundred entries."""
        for number in range(600):
            self.gate.ask(self.house.caller(f"r-{number}"), kms.ListKeys()).outcome()


@pytest.fixture
def bench() -> Bench:
    """A job with nothing done yet."""
    return Bench()


def test_trees_are_kept_at_every_look(bench: Bench) -> None:
    """What a checkpoint covers is taken in."""
    bench.fill()
    bench.run()
    assert bench.house.trees.update() == 0
    assert bench.said.getvalue() == ""


def test_pruning_is_asked_for_once_a_day(bench: Bench) -> None:
    """What is over its time goes at one look, as many parts as it takes; the next is a day later."""
    bench.fill()
    assert bench.run() == 0
    bench.house.clock.time += 40 * DAY
    bench.house.pruner._most_read = 1
    assert bench.run() == 512
    assert bench.house.audit.verify().logs[0].pruned == 512
    bench.fill()
    assert bench.run() == 0
    outcomes = [
        entry.subject
        for entry in bench.house.entries("control")
        if (entry.action, entry.stage) == ("keystead:PruneAudit", "outcome")
    ]
    assert [each for each in outcomes if each] == ["control/0-255", "control/256-511"]
    bench.house.clock.time += 40 * DAY
    assert bench.run() == 512


def test_a_day_has_an_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is, one look asks for a bounded number of parts; the rest is for the next day."""
    monkeypatch.setattr(ledger, "MOST_PARTS", 1)
    bench.fill()
    bench.run()
    bench.house.clock.time += 40 * DAY
    bench.house.pruner._most_read = 1
    assert (bench.run(), bench.run()) == (256, 0)
    bench.house.clock.time += DAY
    assert bench.run() == 256


def test_without_durations_nothing_is_asked(bench: Bench) -> None:
    """Where everything is kept for ever, the gate hears nothing of it."""
    bench = Bench(removes=False)
    bench.fill()
    bench.house.clock.time += 40 * DAY
    bench.run()
    assert not [e for e in bench.house.entries("control") if e.action == "keystead:PruneAudit"]


@pytest.mark.parametrize(
    ("error", "code"), [(StoreUnavailable("busy"), "StoreUnavailable"), (OSError("full"), "OSError")]
)
def test_a_failure_is_said_and_tried_again(bench: Bench, error: Exception, code: str) -> None:
    """Nothing stops for it; the next look begins anew."""

    def fails() -> int:
        raise error

    bench.fill()
    bench.update = fails
    assert bench.run() == 0
    assert f'"code":"{code}"' in bench.said.getvalue().replace(" ", "")
    bench.update = bench.house.trees.update
    bench.run()
    assert bench.house.trees.update() == 0
