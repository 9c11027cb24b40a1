"""One result, in three forms."""

import json
from dataclasses import replace

from keystead.testing.bench.campaign import CLOSED, OPEN, Measure, Row
from keystead.testing.bench.processes import Machine
from keystead.testing.bench.report import GOALS, Report

GOOD = Measure(
    rate=40_000.0,
    p50_ms=1.5,
    p99_ms=3.0,
    cpu_us=30.0,
    generator_us=8.0,
    others=0.02,
    errors=0,
    unanswered=0,
    wrong=0,
    checked=64,
)
PEER = replace(GOOD, rate=8_000.0, p50_ms=1.5, p99_ms=45.0, cpu_us=180.0)


def row(target: str, measure: Measure, connections: int = 64, share: float = 0.0) -> Row:
    """One row of Encrypt."""
    return Row(
        target=target,
        operation="Encrypt",
        mode=OPEN if share else CLOSED,
        connections=connections,
        offered=share * 1000,
        share=share,
        rounds=[measure],
    )


def report(*rows: Row, peer: bool = True) -> Report:
    """A report of these rows."""
    return Report(
        date="2026-01-02",
        machine=Machine(
            cores=2, processor="Z80", memory_gib=24, kernel="6.1.0", python="3.11.7", filesystem="ext4"
        ),
        settings={"workers": 2, "rounds": 3, "seconds": 2.0},
        versions={"Keystead": "1.0", **({"OpenBao": "2.7.2"} if peer else {})},
        rows=rows,
        start_seconds=[0.5, 0.4, 0.6],
    )


FULL = report(
    row("Keystead", GOOD),
    row("OpenBao", PEER),
    row("Keystead", GOOD, 1),
    row("OpenBao", PEER, 1),
    row("Keystead", GOOD, share=0.8),
)


def test_the_json_holds_everything() -> None:
    """Every round, its medians, the machine, the settings, and the ratios with their goals."""
    value = json.loads(FULL.as_json())
    assert value["version"] == 1
    assert value["date"] == "2026-01-02"
    assert value["machine"]["processor"] == "Z80"
    assert value["targets"] == {"Keystead": "1.0", "OpenBao": "2.7.2"}
    assert value["start_seconds"] == [0.5, 0.4, 0.6]
    first = value["results"][0]
    assert (first["target"], first["operation"], first["mode"], first["connections"]) == (
        "Keystead",
        "Encrypt",
        "closed",
        64,
    )
    assert first["rounds"] == [first["median"]]
    assert first["median"]["cpu_us"] == 30.0
    assert value["ratios"][1] == {
        "operation": "Encrypt",
        "connections": 64,
        "figure": "cpu_us",
        "ratio": 30 / 180,
        "goal": "≤ 1/7",
        "met": False,
    }


def test_ratios_are_held_against_the_goals() -> None:
    """More is better for throughput, less for everything else."""
    assert [(r.goal.figure, r.goal.connections, r.value, r.met) for r in FULL.ratios] == [
        ("rate", 64, 5.0, True),
        ("cpu_us", 64, 1 / 6, False),
        ("p99_ms", 64, 1 / 15, True),
        ("p50_ms", 1, 1.0, True),
    ]


def test_without_a_peer_there_are_no_ratios() -> None:
    """Alone, there is nothing to compare with, and the table is left out."""
    alone = report(row("Keystead", GOOD), peer=False)
    assert alone.ratios == []
    assert "Keystead beside" not in alone.as_text()


def test_a_figure_that_was_not_measured_has_no_ratio() -> None:
    """Goals at other numbers of connections than were asked for are passed over."""
    assert [r.goal.connections for r in report(row("Keystead", GOOD), row("OpenBao", PEER)).ratios] == [
        64
    ] * 3
    assert len({(g.connections, g.figure) for g in GOALS}) == len(GOALS)


def test_a_peer_that_did_nothing_is_no_measure() -> None:
    """A figure of zero on the other side does not divide."""
    ratios = report(row("Keystead", GOOD), row("OpenBao", replace(PEER, rate=0.0))).ratios
    assert (ratios[0].value, ratios[0].met) == (0.0, False)


def test_the_text_lines_up() -> None:
    """Columns begin at the same place in every line, and each table says what it is."""
    text = FULL.as_text()
    closed, opened, starts, ratios = text.split("\n\n")
    lines = closed.splitlines()[1:]
    assert len({line.index("Encrypt") for line in lines[1:]}) == 1
    assert lines[0].index("operation") == lines[1].index("Encrypt")
    assert "800 (80%)" in opened
    assert "0.500 s" in starts
    assert "1/15" in ratios
    assert "no" in ratios


def test_what_went_wrong_is_added_up() -> None:
    """Errors, missing and wrong answers of all rows, for each target."""
    bad = replace(GOOD, errors=1, unanswered=2, wrong=4)
    assert report(row("Keystead", GOOD), row("OpenBao", bad), row("OpenBao", bad, 1)).faults == {
        "OpenBao": 14
    }


def test_when_sinks_had_everything_is_a_table() -> None:
    """What they could not do beside the load comes after it."""
    told = replace(
        report(row("Keystead", replace(GOOD, rest_seconds=3.44)), peer=False), delivered={"syslog": 12_345}
    )
    assert "With the audit delivered to sinks: syslog" in told.as_text()
    assert "| Keystead | Encrypt | 64 | 3.4 s after the load |" in told.as_markdown()
    assert json.loads(told.as_json())["delivered"] == {"syslog": 12_345}
