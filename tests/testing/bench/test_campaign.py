"""Rounds take turns, medians are taken, and what goes wrong is added up."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from keystead.testing.bench.campaign import CLOSED, OPEN, Measure, Plan, Row, run
from keystead.testing.bench.processes import BenchmarkError

Mirrors = Callable[..., Any]

PLAN = Plan(
    operations=("Encrypt", "Decrypt", "GenerateDataKey"),
    connections=(1, 2),
    seconds=0.05,
    rounds=2,
    shares=(0.5,),
)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here needs warming up."""
    monkeypatch.setattr("keystead.testing.bench.campaign.WARM_SECONDS", 0.01)
    monkeypatch.setattr("keystead.testing.bench.processes._WINDOW_SECONDS", 0.01)


def measure(number: float, errors: int = 0) -> Measure:
    """Figures that differ from each other."""
    return Measure(
        rate=number,
        p50_ms=number + 1,
        p99_ms=number + 2,
        cpu_us=number + 3,
        generator_us=number + 4,
        others=number / 1000,
        errors=errors,
        unanswered=errors + 1,
        wrong=errors + 2,
        checked=errors + 3,
    )


def test_every_figure_is_measured_for_every_target(mirrors: Mirrors) -> None:
    """All operations, at all numbers of connections, closed and open; every sampled answer was right."""
    heard: list[str] = []
    rows = run([mirrors("Ours"), mirrors("Theirs")], PLAN, heard.append)
    assert [(r.target, r.operation, r.mode, r.connections) for r in rows] == [
        (target, operation, mode, connections)
        for operation in PLAN.operations
        for mode, connections in ((CLOSED, 1), (CLOSED, 2), (OPEN, 2))
        for target in ("Ours", "Theirs")
    ]
    assert all(len(row.rounds) == PLAN.rounds for row in rows)
    medians = [row.median for row in rows]
    assert sum(m.errors + m.wrong + m.unanswered for m in medians) == 0
    assert all(0 <= m.others <= 1 for m in medians)
    assert all(m.rate > 0 and m.checked > 0 and m.p99_ms >= m.p50_ms > 0 for m in medians)
    assert heard == [
        f"{operation}: {what}"
        for operation in PLAN.operations
        for what in ("closed loop", "open loop at 50%")
    ]


def test_an_open_loop_offers_its_share_of_what_the_target_reached(mirrors: Mirrors) -> None:
    """Each target is asked at a share of its own throughput at most connections."""
    rows = run([mirrors("Ours")], PLAN, lambda _: None)
    _, reached, opened = rows[:3]
    assert (reached.connections, reached.offered, reached.share) == (2, 0.0, 0.0)
    assert opened.share == 0.5
    assert opened.offered == pytest.approx(reached.median.rate / 2)


def test_wrong_answers_are_found_under_load(mirrors: Mirrors) -> None:
    """A server that answers quickly and wrongly is not measured in silence."""
    answer = b" ".join(map(b64encode, (b"not what was asked", b"")))
    bad = mirrors(
        "Bad", lambda *_: [b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer)]
    )
    rows = run(
        [bad], Plan(operations=("Encrypt",), connections=(2,), seconds=0.05, rounds=1, shares=()), print
    )
    assert [(row.median.wrong, row.median.checked) for row in rows] == [(2, 2)]


def test_a_server_that_ended_ends_the_campaign(mirrors: Mirrors) -> None:
    """Figures of a server that is gone are none."""
    target = mirrors("Gone")
    target.stop()
    with pytest.raises(BenchmarkError, match="the server ended"):
        run([target], PLAN, lambda _: None)


def test_figures_are_medians_and_faults_are_sums() -> None:
    """One slow round does not count, one wrong answer does."""
    row = Row(
        target="Ours",
        operation="Encrypt",
        mode=CLOSED,
        connections=1,
        offered=0.0,
        share=0.0,
        rounds=[measure(5), measure(1000, errors=1), measure(6)],
    )
    assert row.median == Measure(
        rate=6,
        p50_ms=7,
        p99_ms=8,
        cpu_us=9,
        generator_us=10,
        others=0.006,
        errors=1,
        unanswered=4,
        wrong=7,
        checked=10,
    )
