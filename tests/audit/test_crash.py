"""Whatever fails at whatever operation of the disk: what was committed is there, what was refused is not."""

import random
from itertools import count

import pytest

from keystead.audit.log import Log
from keystead.core.errors import AuditUnavailable
from keystead.testing.audit import AuditBench
from keystead.testing.disk import Fault, Killed, PowerCut


class Caller:
    """Uses a log as a worker does, and remembers what it was told."""

    def __init__(self, bench: AuditBench) -> None:
        self.bench = bench
        self.committed: list[bytes] = []
        self.refused: list[bytes] = []
        self.waiting: list[bytes] = []
        self._names = count()

    def work(self, log: Log, commits: int = 24) -> None:
        """Fill several segments and some bundles, with housekeeping between."""
        for turn in range(commits):
            # Big records rotate segments, many small ones complete tiles.
            self.commit(log, 60 if turn % 6 == 5 else 2, 20 if turn % 6 == 5 else 1500)
            if turn % 4 == 3:
                self.bench.later()
                log.tend()

    def commit(self, log: Log, records: int, size: int) -> bool:
        """Commit some records; whether the log took them."""
        self.waiting = [b"%d " % next(self._names) + bytes(size) for _ in range(records)]
        try:
            for entry in self.waiting:
                log.append(entry)
            log.commit()
        except AuditUnavailable:
            self.refused += self.waiting
            self.waiting = []
            return False
        self.committed += self.waiting
        self.waiting = []
        return True

    def check(self, log: Log) -> None:
        """The log holds what was committed, in order, and perhaps the batch nobody was told about."""
        found = self.bench.entries(log)
        assert found in (self.committed, self.committed + self.waiting)
        self.committed, self.waiting = found, []

    def go_on(self) -> None:
        """Check, work on and close; everything still verifies, before and after."""
        if self.committed:
            self.bench.verify()
        log = self.bench.open()
        self.check(log)
        self.bench.verify()
        assert self.commit(log, 3, 100)
        self.bench.later()
        log.tend()
        log.close()
        self.bench.verify()
        log = self.bench.open()
        self.check(log)
        log.close()


def _operations() -> int:
    bench = AuditBench()
    log = bench.open()
    Caller(bench).work(log)
    log.close()
    return bench.disk.operations


OPERATIONS = _operations()


def test_the_work_covers_every_kind_of_operation() -> None:
    """The scenario below writes, syncs, creates, renames and removes, and fills more than a tile."""
    bench = AuditBench()
    log = bench.open()
    caller = Caller(bench)
    caller.work(log)
    log.close()

    assert {"write", "sync", "create", "rename", "remove", "sync directory", "mkdir"} <= set(bench.disk.log)
    assert log.size > 256
    assert not caller.refused
    caller.go_on()


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("fault", [Fault.POWER, Fault.KILL])
def test_a_crash_at_any_operation_loses_nothing(fault: Fault, part: int) -> None:
    """Power cut or kill: every commit that returned is there, and the log goes on."""
    for operation in range(part, OPERATIONS, 4):
        bench = AuditBench(seed=operation)
        caller = Caller(bench)
        bench.disk.at(operation, fault)
        try:
            log = bench.open()
            caller.work(log)
            log.close()
        except PowerCut:
            bench.disk = bench.disk.restarted()
        except Killed:
            bench.disk = bench.disk.revived()
        caller.go_on()


@pytest.mark.parametrize("part", range(2))
def test_a_power_cut_after_a_kill_loses_nothing(part: int) -> None:
    """What a new process read from the page cache of a killed one is durable before it is relied on."""
    for operation in range(part, OPERATIONS, 2):
        bench = AuditBench(seed=operation)
        caller = Caller(bench)
        bench.disk.at(operation, Fault.KILL)
        try:
            log = bench.open()
            caller.work(log)
            log.close()
        except Killed:
            bench.disk = bench.disk.revived()
        log = bench.open()
        caller.check(log)
        caller.commit(log, 1, 10)
        bench.disk = bench.disk.restarted()
        caller.go_on()


@pytest.mark.parametrize("part", range(4))
def test_one_error_at_any_operation_refuses_or_is_not_noticed(part: int) -> None:
    """An I/O error costs at most one commit; what it refused never comes back, even by a power cut later."""
    for operation in range(part, OPERATIONS, 4):
        bench = AuditBench(seed=operation)
        caller = Caller(bench)
        bench.disk.at(operation, Fault.ERROR)
        try:
            log = bench.open()
        except AuditUnavailable:
            caller.go_on()
            continue
        caller.work(log, 12)
        bench.later()
        log.tend()
        assert log.healthy
        caller.work(log, 12)
        caller.check(log)
        bench.disk = bench.disk.restarted()
        caller.go_on()


@pytest.mark.parametrize("part", range(4))
def test_a_disk_that_breaks_at_any_operation_and_heals(part: int) -> None:
    """While it is broken all is refused; then the log goes on, and keeps nothing of what it refused."""
    for operation in range(part, OPERATIONS, 4):
        bench = AuditBench(seed=operation)
        caller = Caller(bench)
        bench.disk.at(operation, Fault.BROKEN)
        try:
            log = bench.open()
        except AuditUnavailable:
            bench.mend_disk()
            caller.go_on()
            continue
        caller.work(log)
        bench.mend_disk()
        for _ in range(3):
            bench.later()
            log.tend()
        assert log.healthy
        assert caller.commit(log, 3, 100)
        bench.later()
        log.tend()
        assert not log.trouble
        caller.check(log)
        bench.disk = bench.disk.restarted()
        caller.go_on()


def _campaign(seeds: range) -> None:
    """Several faults in one life, a power cut, and again; three lives to each log."""
    for seed in seeds:
        chance = random.Random(seed)  # noqa: S311 - faults of a test, which must repeat
        bench = AuditBench(seed=seed)
        caller = Caller(bench)
        for _ in range(3):
            for _ in range(chance.randrange(4)):
                fault = chance.choice([Fault.ERROR, Fault.ERROR, Fault.POWER, Fault.KILL])
                bench.disk.at(chance.randrange(200), fault)
            try:
                log = bench.open()
                caller.work(log, 12)
                bench.mend_disk()
                bench.later()
                log.tend()  # a refusal is settled once something could be written again
                assert log.healthy
                caller.check(log)
                bench.disk = bench.disk.restarted()
            except (AuditUnavailable, PowerCut):
                bench.disk = bench.disk.restarted()
            except Killed:
                bench.disk = bench.disk.revived()
            bench.mend_disk()
            if caller.committed or caller.waiting:
                log = bench.open()
                _settle(caller, log)
                log.close()
        caller.go_on()


def _settle(caller: Caller, log: Log) -> None:
    """As `Caller.check`, but a batch that was refused just before the cut may have been on the disk."""
    found = caller.bench.entries(log)
    assert found[: len(caller.committed)] == caller.committed
    rest = found[len(caller.committed) :]
    assert rest in ([], caller.waiting) or rest == caller.refused[-len(rest) :]
    caller.committed, caller.waiting = found, []


def test_several_faults_in_one_life() -> None:
    """Faults on top of faults, in a few lives of a log."""
    _campaign(range(60))


@pytest.mark.long
def test_a_campaign_of_faults() -> None:
    """The same, many more times."""
    _campaign(range(1000, 6000))
