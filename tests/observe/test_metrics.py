"""The counters that processes share, and their Prometheus form."""

import os
import re

import pytest

from keystead.core.errors import Kind
from keystead.core.query import ReaderStatus, SinkStatus
from keystead.core.witness import WitnessStatus
from keystead.observe.metrics import (
    METRICS,
    OUTCOME_OF,
    PER_PROCESS,
    Cell,
    Outcome,
    Reason,
    Slots,
    State,
    render,
    render_disks,
    render_reader,
    render_witnesses,
)

SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z]+="[^"\n]*",?)+)\} (\d+)')


@pytest.fixture
def slots() -> Slots:
    """Two workers and a control process, two operations."""
    return Slots(["w0", "w1", "control"], ["Encrypt", "Decrypt"])


def samples(text: str) -> dict[str, int]:
    """The values of an exposition by name and labels."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, line
            found[f"{match[1]}{{{match[2]}}}"] = int(match[3])
    return found


def test_everything_is_there_from_the_start_at_zero(slots: Slots) -> None:
    """Every operation and outcome, and every process in every other metric, so that rates have a beginning."""
    values = samples(render(slots, "1.2.3"))
    assert values.pop('keystead_build_info{version="1.2.3"}') == 1
    assert set(values.values()) == {0}
    requests = [name for name in values if name.startswith("keystead_requests_total")]
    assert len(requests) == 2 * len(Outcome)
    assert len(values) == len(requests) + 3 * (1 + len(PER_PROCESS))


def test_requests_are_counted_by_operation_and_outcome_over_all_processes(slots: Slots) -> None:
    """Each worker adds to its own row; the sum is shown."""
    for slot, times in ((0, 3), (1, 4)):
        cells, decrypt = slots.cells(slot), slots.request_cell("Decrypt")
        for _ in range(times):
            cells[decrypt + Outcome.NOT_FOUND] += 1
    values = samples(render(slots, "1"))
    assert values['keystead_requests_total{operation="Decrypt",outcome="not-found"}'] == 7
    assert sum(values.values()) == 7 + 1


def test_each_cell_has_its_metric(slots: Slots) -> None:
    """What is written into a cell is shown under that cell's name and process, and nowhere else."""
    for cell in set(Cell) - {Cell.HEALTH}:
        slots.write(1, cell, 100 + cell)
    values = samples(render(slots, "1"))
    for metric in PER_PROCESS:
        assert metric.cell is not None
        assert values[f'{metric.name}{{process="w1"}}'] == 100 + metric.cell
        assert values[f'{metric.name}{{process="w0"}}'] == 0
    assert {metric.cell for metric in PER_PROCESS} == set(Cell) - {Cell.HEALTH}


def test_what_a_child_counts_its_parent_reads(slots: Slots) -> None:
    """The memory is shared across a fork."""
    pid = os.fork()
    if pid == 0:
        slots.beat(0)
        slots.cells(0)[Cell.CONNECTIONS] = 2**64 - 1
        os._exit(0)
    os.waitpid(pid, 0)
    assert slots.pulse(0) == 1
    assert slots.pulse(1) == 0
    assert slots.read(0, Cell.CONNECTIONS) == 2**64 - 1


def test_health_is_a_state_with_its_reason(slots: Slots) -> None:
    """A process is unknown until it says something; red tells why."""
    assert slots.health(0) == (State.UNKNOWN, Reason.NONE)
    slots.declare(0, State.GREEN)
    slots.declare(1, State.RED, Reason.AUDIT_UNAVAILABLE)
    assert slots.health(0) == (State.GREEN, Reason.NONE)
    assert slots.health(1) == (State.RED, Reason.AUDIT_UNAVAILABLE)
    values = samples(render(slots, "1"))
    assert values['keystead_process_health{process="w0",reason="none"}'] == 1
    assert values['keystead_process_health{process="w1",reason="audit-unavailable"}'] == 2


def test_every_metric_is_explained_once(slots: Slots) -> None:
    """HELP and TYPE stand once before a metric's samples, as the text format wants it."""
    status = ReaderStatus(sinks={"siem": SinkStatus()})
    witnesses = {"other": WitnessStatus({"w0": 7}, cosigned=3, failures=1)}
    page = (
        render(slots, "1") + render_disks({"/data": 5}) + render_reader(status) + render_witnesses(witnesses)
    )
    lines = page.splitlines()
    assert 'keystead_disk_free_bytes{path="/data"} 5' in lines
    assert 'keystead_witness_lag_entries{witness="other",log="w0"} 7' in lines
    for metric in METRICS:
        assert lines.count(f"# HELP {metric.name} {metric.help}") == 1
        at = lines.index(f"# TYPE {metric.name} {metric.type}")
        assert lines[at + 1].startswith(metric.name + ("{" if metric.labels else " "))
        assert metric.name.endswith("_total") == (metric.type == "counter")


def test_every_kind_of_error_has_its_outcome() -> None:
    """A new kind of error cannot be forgotten here."""
    assert set(OUTCOME_OF) == set(Kind)
    assert set(OUTCOME_OF.values()) == set(Outcome) - {Outcome.OK, Outcome.INTERNAL}
    assert all(OUTCOME_OF[kind].label == kind for kind in Kind)


def test_a_label_is_escaped() -> None:
    """A name with a quote or a newline cannot break the exposition."""
    slots = Slots(['w"0\n\\'], ["Encrypt"])
    assert '{process="w\\"0\\n\\\\"}' in render(slots, "1")


def test_no_process_and_no_operation_is_no_problem() -> None:
    """The exposition of nothing is still one."""
    assert samples(render(Slots([], []), "1")) == {'keystead_build_info{version="1"}': 1}
