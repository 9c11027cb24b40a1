"""Planned work: what is due is done, recorded like anybody's request, and tried again when it fails."""

import io
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from keystead.core.errors import AuditUnavailable, StoreUnavailable
from keystead.core.key import Key, Origin, State
from keystead.core.names import KeyReference
from keystead.core.principal import service_arn
from keystead.jobs.runner import AT_ONCE, Runner
from keystead.observe.log import Log
from keystead.service.actions.keys import DAY
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.due import Due, due
from keystead.service.results.kms import KeyDescription
from keystead.testing.installation import ACCOUNT, REGION, Installation

JOBS = service_arn(ACCOUNT, "jobs")


class Bench:
    """An installation with its runner."""

    def __init__(self) -> None:
        self.house = Installation()
        self.gate = self.house.gate("control")
        self.said = io.StringIO()
        self.runner = self.make(self.look)
        self._numbers = 0

    def make(self, look: Callable[[int], list[Due]]) -> Runner:
        """A runner that looks for work in its own way."""
        return Runner(
            gate=self.gate,
            look=look,
            caller=lambda request, region, account: self.house.caller(
                request, arn=service_arn(account or ACCOUNT, "jobs"), region=region
            ),
            random=self.house.random,
            log=Log(self.said, "json", self.house.clock.now),
        )

    def look(self, limit: int) -> list[Due]:
        """What is due now."""
        return due(self.house.store, self.house.clock.now(), limit)

    def ask(self, command: Command, region: str = REGION) -> object:
        """An administrator's request."""
        self._numbers += 1
        return self.gate.ask(self.house.caller(f"r-{self._numbers}", region=region), command).outcome()

    def key(self, region: str = REGION) -> KeyReference:
        """A new key."""
        made = self.ask(c.CreateKey(), region)
        assert isinstance(made, KeyDescription)
        return KeyReference(made.key.id)

    def stored(self, key: KeyReference) -> Key:
        """What the store has."""
        with self.house.store.view() as view:
            found = view.key(REGION, key.name)
        assert found is not None
        return found

    def warnings(self) -> list[dict[str, str]]:
        """What was told to the operator, without the time."""
        lines = [json.loads(line) for line in self.said.getvalue().splitlines()]
        return [{name: line[name] for name in line.keys() - {"time", "level"}} for line in lines]


def test_nothing_is_done_before_its_date() -> None:
    """A deletion waits for the end of its window, a rotation for its date; to the second."""
    bench = Bench()
    going, turning = bench.key(), bench.key()
    bench.ask(c.ScheduleKeyDeletion(going, 7))
    bench.ask(c.EnableKeyRotation(turning, 90))
    bench.house.audit.later(7 * DAY - 1)
    assert bench.runner.run_once() == 0
    bench.house.audit.later(1)
    assert bench.runner.run_once() == 1
    assert (bench.stored(going).state, bench.stored(turning).current_version) == (State.DESTROYED, 1)
    bench.house.audit.later(83 * DAY - 1)
    assert bench.runner.run_once() == 0
    bench.house.audit.later(1)
    assert bench.runner.run_once() == 1
    assert bench.stored(turning).current_version == 2
    assert bench.runner.run_once() == 0


def test_work_is_done_in_the_region_of_its_key_and_recorded_as_the_jobs() -> None:
    """Each has an intent and an outcome under the jobs' principal, and a request id of its own."""
    bench = Bench()
    keys = [bench.key(), bench.key("us-east-1")]
    for key, region in zip(keys, (REGION, "us-east-1"), strict=True):
        bench.ask(c.ScheduleKeyDeletion(key, 7), region)
    bench.house.audit.later(7 * DAY)
    assert bench.runner.run_once() == 2

    records = [e for e in bench.house.entries("control") if e.principal == JOBS]
    assert [(e.action, e.stage, e.outcome) for e in records] == [
        ("keystead:DestroyKey", "intent", ""),
        ("keystead:DestroyKey", "outcome", "Success"),
    ] * 2
    assert {e.region for e in records} == {REGION, "us-east-1"}
    assert len({e.request for e in records}) == 2
    assert all(e.request.startswith("job-") and e.auth == "internal" for e in records)


def test_a_key_that_keeps_failing_does_not_hold_up_the_others() -> None:
    """It is told to the operator, and tried again at the next look."""
    bench = Bench()
    damaged, good = bench.key(), bench.key()
    for key in (damaged, good):
        bench.ask(c.ScheduleKeyDeletion(key, 7))
    with bench.house.store.transact("damage") as tx:
        version = tx.version(REGION, damaged.name, 1)
        assert version is not None
        tx.put_version(replace(version, handle="nobody's"))
    bench.house.audit.later(7 * DAY)

    assert bench.runner.run_once() == 1
    assert bench.stored(good).state is State.DESTROYED
    assert bench.runner.run_once() == 0
    assert (
        bench.warnings()
        == [
            {
                "message": "a job failed and will be tried again",
                "component": "DestroyKey",
                "code": "DataDamaged",
            }
        ]
        * 2
    )


def test_what_is_no_longer_due_is_refused_by_the_gate() -> None:
    """The runner decides nothing: what was cancelled between looking and asking stays."""
    bench = Bench()
    key = bench.key()
    bench.ask(c.ScheduleKeyDeletion(key, 7))
    bench.house.audit.later(7 * DAY)

    def look(limit: int) -> list[Due]:
        found = bench.look(limit)
        bench.ask(c.CancelKeyDeletion(key))
        return found

    assert bench.make(look).run_once() == 0
    assert bench.stored(key).state is State.DISABLED


def test_jobs_wait_while_nothing_can_be_recorded() -> None:
    """Nothing is destroyed without a record, and it is done when the log is back."""
    bench = Bench()
    keys = [bench.key(), bench.key()]
    for key in keys:
        bench.ask(c.ScheduleKeyDeletion(key, 7))
    bench.house.audit.later(7 * DAY)
    bench.house.audit.stop_disk()

    assert bench.runner.run_once() == 0
    assert [bench.stored(key).state for key in keys] == [State.PENDING_DELETION] * 2
    assert bench.warnings() == [
        {"message": "jobs wait: nothing can be recorded", "code": AuditUnavailable.code}
    ]
    bench.house.audit.mend_disk()
    bench.house.audit.later()
    bench.gate.tend()
    assert bench.runner.run_once() == 2


def test_a_store_out_of_reach_is_told_and_looked_at_again() -> None:
    """The runner does not end with it."""
    bench = Bench()

    def away(_: int) -> list[Due]:
        raise StoreUnavailable("out of reach")

    assert bench.make(away).run_once() == 0
    (warning,) = bench.warnings()
    assert warning["code"] == StoreUnavailable.code


def test_each_look_takes_so_many_of_each_kind() -> None:
    """The longest overdue come first, and deletions do not crowd out rotations."""
    bench = Bench()
    seen: list[int] = []

    def look(limit: int) -> list[Due]:
        seen.append(limit)
        return []

    bench.make(look).run_once()
    assert seen == [AT_ONCE]
    first, second, turning = bench.key(), bench.key(), bench.key()
    bench.ask(c.EnableKeyRotation(turning, 90))
    bench.ask(c.ScheduleKeyDeletion(second, 8))
    bench.ask(c.ScheduleKeyDeletion(first, 7))
    bench.house.audit.later(90 * DAY)

    assert [each.key_id for each in bench.look(100)] == [first.name, second.name, turning.name]
    assert [each.key_id for each in bench.look(1)] == [first.name, turning.name]


@pytest.mark.parametrize("policy", ["", None], ids=["without a policy", "without a principal"])
def test_the_jobs_are_bound_by_policy_like_anyone(policy: str | None) -> None:
    """A jobs' principal that may nothing, or that is gone, destroys nothing."""
    bench = Bench()
    key = bench.key()
    bench.ask(c.ScheduleKeyDeletion(key, 7))
    bench.house.audit.later(7 * DAY)
    caller = bench.house.caller("job", arn=JOBS)
    with bench.house.store.transact("x") as tx:
        principal = tx.principal(JOBS)
        assert principal is not None
        if policy is None:
            tx.delete_principal(JOBS)
        else:
            tx.put_principal(replace(principal, policy=policy))
    runner = Runner(
        gate=bench.gate,
        look=bench.look,
        caller=lambda _request, _region, _account: caller,
        random=bench.house.random,
        log=Log(bench.said, "json", bench.house.clock.now),
    )

    assert runner.run_once() == 0
    assert bench.stored(key).state is State.PENDING_DELETION


def test_expired_material_is_taken_in_the_region_of_its_key() -> None:
    """To the second, once, and recorded like everything that the jobs do."""
    bench = Bench()
    key = bench.key("us-east-1")
    with bench.house.store.transact("imported") as tx:
        kept, version = tx.key("us-east-1", key.name), tx.version("us-east-1", key.name, 1)
        assert kept is not None
        assert version is not None
        end = bench.house.clock.now() + DAY
        tx.put_key(replace(kept, origin=Origin.EXTERNAL, expires=end))
        tx.put_version(replace(version, valid_to=end))
    bench.house.audit.later(DAY - 1)
    assert bench.runner.run_once() == 0
    bench.house.audit.later(1)
    assert bench.runner.run_once() == 1
    assert bench.runner.run_once() == 0
    with bench.house.store.view() as view:
        lost, version = view.key("us-east-1", key.name), view.version("us-east-1", key.name, 1)
    assert lost is not None
    assert version is not None
    assert (lost.state, lost.expires, version.handle) == (State.PENDING_IMPORT, None, "")
    records = [e for e in bench.house.entries("control") if e.principal == JOBS]
    assert [(e.action, e.stage, e.outcome, e.version) for e in records] == [
        ("keystead:ExpireKeyMaterial", "intent", "", 0),
        ("keystead:ExpireKeyMaterial", "outcome", "Success", 1),
    ]
