"""Every metric of the service, and the shared memory that holds their values.

Before it forks, the supervisor makes one `Slots`: anonymous shared memory with a row of 64-bit counters for
each process. A process counts by adding one to a cell of its own row, which costs some 60 ns and needs no
lock, because each cell has one writer. The control process reads all rows and renders them. A row belongs
to the place, not to the process in it: a restarted worker goes on where the one before it stopped, so
counters never go back while the service runs.

    slots = Slots(["w0", "w1", "control"], ["Encrypt", "Decrypt"])     # before the fork
    cells, encrypt = slots.cells(0), slots.request_cell("Encrypt")     # once, in worker 0
    cells[encrypt + Outcome.OK] += 1                                    # for each request
    text = render(slots, version="0.1.0")                               # in the control process

Names follow Prometheus: a unit as suffix, `_total` for counters. Every operation and outcome is present from
the start, at 0, so that a rate over the first failure is not lost.
"""

import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from keystead.core.errors import Kind
from keystead.core.query import ReaderStatus
from keystead.core.witness import WitnessStatus


class Outcome(IntEnum):
    """How a request ended; the first ones are the error kinds of `keystead.core.errors`."""

    OK = 0
    INVALID = 1
    DENIED = 2
    NOT_FOUND = 3
    CONFLICT = 4
    LIMIT = 5
    UNAVAILABLE = 6
    INTERNAL = 7  # a bug: an exception that is not a `KeysteadError`

    @property
    def label(self) -> str:
        """The value of the `outcome` label."""
        return self.name.lower().replace("_", "-")


OUTCOME_OF: Final[dict[Kind, Outcome]] = {kind: Outcome[kind.name] for kind in Kind}
"""The outcome that counts an error of each kind."""


class Cell(IntEnum):
    """The cells of a row that are not about one operation."""

    HEARTBEAT = 0
    HEALTH = 1
    RESTARTS = 2  # written by the supervisor
    CONNECTIONS = 3
    CONNECTIONS_OPEN = 4
    REFUSED = 5
    FAULTS = 6
    AUDIT_ENTRIES = 7
    AUDIT_COMMITS = 8
    AUDIT_FAILURES = 9
    STORE_REFUSALS = 10


class State(IntEnum):
    """Whether a process can do its work."""

    UNKNOWN = 0  # it has not said yet
    GREEN = 1
    RED = 2
    YELLOW = 3  # it can, and something is wrong


class Reason(IntEnum):
    """Why a process is red or yellow."""

    NONE = 0
    AUDIT_UNAVAILABLE = 1
    STORE_UNAVAILABLE = 2
    CUSTODY_UNAVAILABLE = 3
    DRAINING = 4
    NOT_RUNNING = 5
    NOT_ANSWERING = 6
    AUDIT_DEGRADED = 7
    STORE_REFUSES_CHANGES = 8

    @property
    def label(self) -> str:
        """The value of the `reason` label."""
        return self.name.lower().replace("_", "-")


class Type(StrEnum):
    """What a value does over time."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name, type and meaning; `cell` is where each process keeps its value."""

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ("process",)
    cell: Cell | None = None


BUILD: Final = Metric(
    "keystead_build_info", Type.GAUGE, "Always 1; the label tells the version.", ("version",)
)
REQUESTS: Final = Metric(
    "keystead_requests_total",
    Type.COUNTER,
    "Requests by operation and by how they ended, over all processes.",
    ("operation", "outcome"),
)
HEALTH: Final = Metric(
    "keystead_process_health",
    Type.GAUGE,
    "0 when a process has not said yet, 1 when it can work, 2 when it cannot, 3 when it can and something is wrong; "
    "the label tells why.",
    ("process", "reason"),
)
PER_PROCESS: Final = (
    Metric(
        "keystead_process_heartbeats_total",
        Type.COUNTER,
        "Signs of life of a process's loop, about ten a second.",
        cell=Cell.HEARTBEAT,
    ),
    Metric(
        "keystead_process_restarts_total",
        Type.COUNTER,
        "How often a process ended and was started again.",
        cell=Cell.RESTARTS,
    ),
    Metric("keystead_connections_total", Type.COUNTER, "Connections accepted.", cell=Cell.CONNECTIONS),
    Metric("keystead_connections_open", Type.GAUGE, "Connections open now.", cell=Cell.CONNECTIONS_OPEN),
    Metric(
        "keystead_refused_requests_total",
        Type.COUNTER,
        "Refused before any operation: malformed, oversized, slow, cut short, or over the limit of clients.",
        cell=Cell.REFUSED,
    ),
    Metric(
        "keystead_faults_total",
        Type.COUNTER,
        "Exceptions that nothing expected: each is a bug.",
        cell=Cell.FAULTS,
    ),
    Metric(
        "keystead_audit_entries_total", Type.COUNTER, "Audit entries made durable.", cell=Cell.AUDIT_ENTRIES
    ),
    Metric(
        "keystead_audit_commits_total",
        Type.COUNTER,
        "Groups of audit entries made durable.",
        cell=Cell.AUDIT_COMMITS,
    ),
    Metric(
        "keystead_audit_failures_total",
        Type.COUNTER,
        "Groups of audit entries that could not be made durable; nothing of them was answered.",
        cell=Cell.AUDIT_FAILURES,
    ),
    Metric(
        "keystead_store_refusals_total",
        Type.COUNTER,
        "Changes that were not made because the store could not take them.",
        cell=Cell.STORE_REFUSALS,
    ),
)

DISK_FREE: Final = Metric(
    "keystead_disk_free_bytes",
    Type.GAUGE,
    "Room on the file system under the data, as last seen; absent when it cannot be looked at.",
    ("path",),
)

READER_RUNNING: Final = Metric(
    "keystead_reader_running",
    Type.GAUGE,
    "1 while the process that answers questions about the audit is there.",
    (),
)
READER_RESTARTS: Final = Metric(
    "keystead_reader_restarts_total", Type.COUNTER, "How often it ended and was started again.", ()
)
READER_ROWS: Final = Metric(
    "keystead_reader_entries",
    Type.GAUGE,
    "Audit entries that can be asked about: in the archive, or recent and beside it.",
    ("where",),
)
READER_LAG: Final = Metric(
    "keystead_reader_lag_entries", Type.GAUGE, "Signed audit entries that cannot be asked about yet.", ()
)
READER_LAG_SECONDS: Final = Metric(
    "keystead_reader_lag_seconds", Type.GAUGE, "The age of the oldest of them.", ()
)
SINK_LAG: Final = Metric(
    "keystead_sink_lag_entries", Type.GAUGE, "Audit entries that a sink has not taken yet.", ("sink",)
)
SINK_LAG_SECONDS: Final = Metric(
    "keystead_sink_lag_seconds", Type.GAUGE, "The age of the oldest of them.", ("sink",)
)
SINK_DELIVERED: Final = Metric(
    "keystead_sink_delivered_total", Type.COUNTER, "Audit events that a sink has taken.", ("sink",)
)
SINK_ERRORS: Final = Metric(
    "keystead_sink_errors_total", Type.COUNTER, "Deliveries to a sink that failed.", ("sink",)
)
SINK_PARKED: Final = Metric(
    "keystead_sink_parked_total", Type.COUNTER, "Audit events that a sink has refused for good.", ("sink",)
)
OF_READER: Final = (
    READER_RUNNING,
    READER_RESTARTS,
    READER_ROWS,
    READER_LAG,
    READER_LAG_SECONDS,
    SINK_LAG,
    SINK_LAG_SECONDS,
    SINK_DELIVERED,
    SINK_ERRORS,
    SINK_PARKED,
)
WITNESS_LAG: Final = Metric(
    "keystead_witness_lag_entries",
    Type.GAUGE,
    "Signed audit entries of a log that a witness has not seen yet.",
    ("witness", "log"),
)
WITNESS_COSIGNED: Final = Metric(
    "keystead_witness_cosigned_total", Type.COUNTER, "Checkpoints that a witness has cosigned.", ("witness",)
)
WITNESS_FAILURES: Final = Metric(
    "keystead_witness_failures_total",
    Type.COUNTER,
    "Looks at which a witness has not cosigned, or has seen another log.",
    ("witness",),
)
OF_WITNESSES: Final = (WITNESS_LAG, WITNESS_COSIGNED, WITNESS_FAILURES)
METRICS: Final = (BUILD, REQUESTS, HEALTH, *PER_PROCESS, DISK_FREE, *OF_READER, *OF_WITNESSES)
"""Every metric that there is."""


class Slots:
    """Rows of counters in memory shared by a process and those that it forks.

    `processes` names the rows; `operations` names what requests may ask for.
    """

    def __init__(self, processes: Sequence[str], operations: Sequence[str]) -> None:
        self.processes = tuple(processes)
        self.operations = tuple(operations)
        self._first = {
            operation: len(Cell) + place * len(Outcome) for place, operation in enumerate(self.operations)
        }
        self._width = len(Cell) + len(self.operations) * len(Outcome)
        memory = mmap.mmap(-1, max(1, len(self.processes)) * self._width * 8)
        # Aligned 64-bit cells are written and read whole, so a reader never sees half an addition.
        self._cells = memoryview(memory).cast("Q")

    def cells(self, slot: int) -> "memoryview[int]":
        """The row of a process: add to the cells that `Cell` and `request_cell` name."""
        return self._cells[slot * self._width : (slot + 1) * self._width]

    def request_cell(self, operation: str) -> int:
        """Where an operation's outcomes begin in a row; add the `Outcome` to it."""
        return self._first[operation]

    def read(self, slot: int, cell: int) -> int:
        """One value of one process."""
        return self._cells[slot * self._width + cell]

    def write(self, slot: int, cell: int, value: int) -> None:
        """Set one value of one process."""
        self._cells[slot * self._width + cell] = value

    def beat(self, slot: int) -> None:
        """Give a sign of life."""
        self._cells[slot * self._width + Cell.HEARTBEAT] += 1

    def pulse(self, slot: int) -> int:
        """A number that changes as long as the process gives signs of life."""
        return self.read(slot, Cell.HEARTBEAT)

    def declare(self, slot: int, state: State, reason: Reason = Reason.NONE) -> None:
        """Say whether a process can work, and if not, why. Both are one cell, so they change together."""
        self.write(slot, Cell.HEALTH, state | reason << 8)

    def health(self, slot: int) -> tuple[State, Reason]:
        """What a process last said of itself."""
        value = self.read(slot, Cell.HEALTH)
        return State(value & 0xFF), Reason(value >> 8)


def render(slots: Slots, version: str, health: Callable[[int], tuple[State, Reason]] | None = None) -> str:
    """All metrics in the Prometheus text format; ``health`` tells of a row who may not be able to any more."""
    return "\n".join(_lines(slots, version, health or slots.health)) + "\n"


def render_disks(free_bytes: Mapping[str, int]) -> str:
    """How much room there is, by path."""
    samples = (f"{DISK_FREE.name}{_labels(path=path)} {free}" for path, free in free_bytes.items())
    return "\n".join([*_heading(DISK_FREE), *samples]) + "\n"


def render_witnesses(statuses: Mapping[str, WitnessStatus]) -> str:
    """The metrics of the witnesses of this installation's audit logs."""
    return "\n".join(_witness_lines(statuses)) + "\n"


def _witness_lines(statuses: Mapping[str, WitnessStatus]) -> Iterator[str]:
    yield from _heading(WITNESS_LAG)
    for name, status in statuses.items():
        for log, lag in status.lag.items():
            yield f"{WITNESS_LAG.name}{_labels(witness=name, log=log)} {lag}"
    for metric, member in ((WITNESS_COSIGNED, "cosigned"), (WITNESS_FAILURES, "failures")):
        yield from _heading(metric)
        for name, status in statuses.items():
            yield f"{metric.name}{_labels(witness=name)} {getattr(status, member)}"


def render_reader(status: ReaderStatus) -> str:
    """The metrics of the reader and of its sinks."""
    return "\n".join(_reader_lines(status)) + "\n"


def _reader_lines(status: ReaderStatus) -> Iterator[str]:
    for metric, value in (
        (READER_RUNNING, int(status.running)),
        (READER_RESTARTS, status.restarts),
        (READER_LAG, status.lag_entries),
        (READER_LAG_SECONDS, status.lag_seconds),
    ):
        yield from _heading(metric)
        yield f"{metric.name} {value}"
    yield from _heading(READER_ROWS)
    yield f"{READER_ROWS.name}{_labels(where='archive')} {status.rows}"
    yield f"{READER_ROWS.name}{_labels(where='recent')} {status.recent}"
    for metric, member in (
        (SINK_LAG, "lag_entries"),
        (SINK_LAG_SECONDS, "lag_seconds"),
        (SINK_DELIVERED, "delivered"),
        (SINK_ERRORS, "errors"),
        (SINK_PARKED, "parked"),
    ):
        yield from _heading(metric)
        for name, sink in status.sinks.items():
            yield f"{metric.name}{_labels(sink=name)} {getattr(sink, member)}"


def _lines(slots: Slots, version: str, health: Callable[[int], tuple[State, Reason]]) -> Iterator[str]:
    yield from _heading(BUILD)
    yield f"{BUILD.name}{_labels(version=version)} 1"
    yield from _heading(REQUESTS)
    everybody = range(len(slots.processes))
    for operation in slots.operations:
        first = slots.request_cell(operation)
        for outcome in Outcome:
            total = sum(slots.read(slot, first + outcome) for slot in everybody)
            yield f"{REQUESTS.name}{_labels(operation=operation, outcome=outcome.label)} {total}"
    yield from _heading(HEALTH)
    for slot, process in enumerate(slots.processes):
        state, reason = health(slot)
        yield f"{HEALTH.name}{_labels(process=process, reason=reason.label)} {state.value}"
    for metric in PER_PROCESS:
        yield from _heading(metric)
        for slot, process in enumerate(slots.processes):
            value = 0 if metric.cell is None else slots.read(slot, metric.cell)
            yield f"{metric.name}{_labels(process=process)} {value}"


def _heading(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}"
    yield f"# TYPE {metric.name} {metric.type}"


def _labels(**labels: str) -> str:
    quoted = (
        '{}="{}"'.format(name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        for name, value in labels.items()
    )
    return "{" + ",".join(quoted) + "}"
