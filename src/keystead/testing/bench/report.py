"""The result of a benchmark: as a table for people, as JSON, and as a block in the documentation."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from keystead.testing.bench.campaign import CLOSED, Row
from keystead.testing.bench.processes import BenchmarkError, Machine

VERSION: Final = 1  # of the JSON's form
BEGIN: Final = "<!-- benchmark: begin -->"
END: Final = "<!-- benchmark: end -->"
START_GOAL_SECONDS: Final = 0.7
QUIET: Final = 0.1  # of the machine's processor time; above, others were at work and the figures suffer


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure of ours is to be, as a multiple of the peer's."""

    connections: int
    figure: str  # of `Measure`
    title: str
    bound: float
    least: bool = False  # the bound is a least, not a most

    def met(self, ratio: float) -> bool:
        """Whether a ratio is good enough."""
        return ratio >= self.bound if self.least else ratio <= self.bound

    @property
    def text(self) -> str:
        """The bound in words."""
        return f"≥ {_times(self.bound)}" if self.least else f"≤ {_times(self.bound)}"


GOALS: Final = (
    Goal(64, "rate", "operations a second", 5.0, least=True),
    Goal(64, "cpu_us", "CPU per operation", 1 / 7),
    Goal(64, "p99_ms", "p99", 1 / 8),
    Goal(1, "p50_ms", "p50", 1.0),
)


@dataclass(frozen=True, slots=True)
class Ratio:
    """One of our figures beside the peer's."""

    goal: Goal
    operation: str
    ours: float
    peers: float

    @property
    def value(self) -> float:
        """Ours over the peer's; 0 if the peer has none."""
        return self.ours / self.peers if self.peers else 0.0

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.goal.met(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured."""

    date: str
    machine: Machine
    settings: Mapping[str, Any]
    versions: Mapping[str, str]  # of each target, by name, ours first
    rows: Sequence[Row]
    start_seconds: Sequence[float] = ()  # of ours, to the first answer
    delivered: Mapping[str, int] = field(default_factory=dict)  # events of the audit, to each sink

    @property
    def faults(self) -> dict[str, int]:
        """Everything that went wrong, by target: errors, wrong answers, and requests that got none."""
        found: Counter[str] = Counter()
        for row in self.rows:
            m = row.median
            found[row.target] += m.errors + m.wrong + m.unanswered
        return dict(+found)

    @property
    def others(self) -> float:
        """The share of the machine's processor time that others took, in the row that suffered most.

        Not the median of all: a machine that becomes busy half way spoils the rows of that half.
        """
        return max(row.median.others for row in self.rows)

    @property
    def quiet(self) -> bool:
        """Whether the machine was left to the benchmark."""
        return self.others <= QUIET

    @property
    def ratios(self) -> list[Ratio]:
        """Our figures over the first peer's, where there are goals for them; none without a peer."""
        ours, *peers = self.versions
        if not peers:
            return []
        closed = {(r.target, r.operation, r.connections): r.median for r in self.rows if r.mode == CLOSED}
        return [
            Ratio(goal, operation, getattr(closed[at], goal.figure), getattr(closed[other], goal.figure))
            for goal in GOALS
            for operation in dict.fromkeys(row.operation for row in self.rows)
            if (at := (ours, operation, goal.connections)) in closed
            and (other := (peers[0], operation, goal.connections)) in closed
        ]

    def as_json(self) -> str:
        """All of it, with every round."""
        value = {
            "version": VERSION,
            "date": self.date,
            "machine": asdict(self.machine),
            "settings": dict(self.settings),
            "targets": dict(self.versions),
            "others": self.others,
            "start_seconds": list(self.start_seconds),
            "delivered": dict(self.delivered),
            "results": [{**asdict(row), "median": asdict(row.median)} for row in self.rows],
            "ratios": [
                {
                    "operation": ratio.operation,
                    "connections": ratio.goal.connections,
                    "figure": ratio.goal.figure,
                    "ratio": ratio.value,
                    "goal": ratio.goal.text,
                    "met": ratio.met,
                }
                for ratio in self.ratios
            ],
        }
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

    def as_text(self) -> str:
        """For a terminal."""
        return "\n\n".join(f"{title}\n{_aligned(table)}" for title, table in self._tables())

    def as_markdown(self) -> str:
        """For the documentation."""
        machine, settings = self.machine, self.settings
        about = (
            f"Measured on {self.date}: {machine.cores} cores of {machine.processor}, "
            f"{machine.memory_gib} GiB, Linux {machine.kernel}, Python {machine.python}, "
            f"data on {machine.filesystem}; {settings['workers']} workers; "
            f"medians of {settings['rounds']} interleaved rounds of {settings['seconds']:g} s; "
            f"other processes took {self.others:.0%} of the machine at most. Versions: "
            + ", ".join(f"{name} {version}" for name, version in self.versions.items())
            + "."
        )
        parts = [about]
        for title, table in self._tables():
            parts += [f"**{title}**", _markdown(table)]
        return "\n\n".join(parts)

    def _tables(self) -> list[tuple[str, list[list[str]]]]:
        head = [
            "target",
            "operation",
            "conn.",
            "ops/s",
            "p50 ms",
            "p99 ms",
            "CPU µs/op",
            "generator µs",
            "others",
        ]
        closed = [head]
        opened = [[*head[:3], "offered/s", *head[3:]]]
        for row in self.rows:
            m = row.median
            figures = [
                f"{m.rate:,.0f}",
                *(f"{figure:.2f}" for figure in (m.p50_ms, m.p99_ms)),
                *(f"{figure:.1f}" for figure in (m.cpu_us, m.generator_us)),
                f"{m.others:.0%}",
            ]
            cells = [row.target, row.operation, str(row.connections)]
            if row.mode == CLOSED:
                closed.append([*cells, *figures])
            else:
                opened.append([*cells, f"{row.offered:,.0f} ({row.share:.0%})", *figures])
        tables = [("Closed loop: every connection asks again as soon as it is answered", closed)]
        if len(opened) > 1:
            tables.append(("Open loop: a fixed rate, latency from the moment a request was due", opened))
        if self.start_seconds:
            shown = [
                ["start to first answer", "median", "best", "worst"],
                [
                    f"of {len(self.start_seconds)} starts, goal ≤ {START_GOAL_SECONDS:g} s",
                    *(
                        f"{figure:.3f} s"
                        for figure in (
                            median(self.start_seconds),
                            min(self.start_seconds),
                            max(self.start_seconds),
                        )
                    ),
                ],
            ]
            tables.append(("From fork and exec to the first answer of a signed request", shown))
        if self.delivered:
            title = f"With the audit delivered to sinks: {', '.join(self.delivered)}"
            head = ["target", "operation", "conn.", "all delivered"]
            told = [
                [r.target, r.operation, str(r.connections), f"{r.median.rest_seconds:.1f} s after the load"]
                for r in self.rows
            ]
            tables.append((title, [head, *told]))
        if ratios := self.ratios:
            ours, peer, *_ = self.versions
            table = [["figure", "conn.", "operation", f"{ours} / {peer}", "goal", "reached"]]
            table += [
                [
                    ratio.goal.title,
                    str(ratio.goal.connections),
                    ratio.operation,
                    _times(ratio.value),
                    ratio.goal.text,
                    "yes" if ratio.met else "no",
                ]
                for ratio in ratios
            ]
            tables.append((f"{ours} beside {peer}", table))
        return tables


def write_docs(page: Path, block: str) -> None:
    """Put a block between the markers of a page."""
    try:
        before, _, rest = page.read_text().partition(BEGIN)
    except OSError as error:
        raise BenchmarkError(f"{page} cannot be read ({error.strerror}): name the page") from None
    _, end, after = rest.partition(END)
    if not end:
        raise BenchmarkError(f"{page} has no lines {BEGIN} and {END}: add them where the figures belong")
    page.write_text(f"{before}{BEGIN}\n\n{block}\n\n{END}{after}")


def _times(ratio: float) -> str:
    """A ratio as people say it: 6.2x, or 1/8.9 of it."""
    return f"{ratio:.2g}x" if ratio >= 1 or not ratio else f"1/{1 / ratio:.2g}"


def _aligned(table: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )


def _markdown(table: Sequence[Sequence[str]]) -> str:
    head, *lines = table
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))
