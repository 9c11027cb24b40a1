"""Rounds: all targets take turns, several times, and each figure is the median of its rounds.

Machines drift: other work, warm caches, a processor's clock. So a round of one target is followed at once by
the same round of the next, and what is compared was measured within seconds of each other.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from keystead.testing.bench.load import Load, Request, closed, open_loop
from keystead.testing.bench.processes import busy_seconds
from keystead.testing.bench.target import PLAINTEXT_BYTES, Target, wrong

Say = Callable[[str], None]

CLOSED: Final = "closed"
OPEN: Final = "open"
POOL: Final = 256  # different requests that a round's connections take in turn
WARM_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure."""

    operations: Sequence[str]
    connections: Sequence[int] = (1, 16, 64)
    seconds: float = 2.0  # of a round
    rounds: int = 3
    shares: Sequence[float] = (0.5, 0.8)  # of a target's own throughput, for the open loop


@dataclass(frozen=True, slots=True)
class Measure:
    """What one round came to."""

    rate: float  # good answers a second
    p50_ms: float
    p99_ms: float
    cpu_us: float  # of the server's processes, until they were at rest again, for one good answer
    generator_us: float  # of the generator, the same
    others: float  # the share of the machine's processor time that neither server nor generator used
    errors: int  # answers other than 200, and connections that broke
    unanswered: int  # in an open loop: due, and not answered in time
    wrong: int  # of the sampled answers: not what they should be
    checked: int  # how many were sampled
    rest_seconds: float = 0.0  # from the end of the load until the server was at rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation of one target in one way, over all rounds."""

    target: str
    operation: str
    mode: str  # CLOSED or OPEN
    connections: int
    offered: float  # requests a second; 0 in a closed loop, where answers decide it
    share: float  # of the closed loop's throughput that is offered; 0 in a closed loop
    rounds: Sequence[Measure]

    @property
    def median(self) -> Measure:
        """The median of each figure, and the sum of what went wrong."""
        r = self.rounds
        return Measure(
            rate=median(m.rate for m in r),
            p50_ms=median(m.p50_ms for m in r),
            p99_ms=median(m.p99_ms for m in r),
            cpu_us=median(m.cpu_us for m in r),
            generator_us=median(m.generator_us for m in r),
            others=median(m.others for m in r),
            errors=sum(m.errors for m in r),
            unanswered=sum(m.unanswered for m in r),
            wrong=sum(m.wrong for m in r),
            checked=sum(m.checked for m in r),
            rest_seconds=median(m.rest_seconds for m in r),
        )


def run(targets: Sequence[Target], plan: Plan, say: Say) -> list[Row]:
    """Measure everything: the closed loops first, then the open ones at shares of what those reached."""
    rows: list[Row] = []
    for operation in plan.operations:
        say(f"{operation}: closed loop")
        for target in targets:
            _measure(target, operation, _closed(target, max(plan.connections), WARM_SECONDS))
        for connections in plan.connections:
            loads = [_closed(target, connections, plan.seconds) for target in targets]
            rounds = _interleaved(targets, operation, loads, plan.rounds)
            rows += [
                Row(
                    target=target.name,
                    operation=operation,
                    mode=CLOSED,
                    connections=connections,
                    offered=0.0,
                    share=0.0,
                    rounds=measures,
                )
                for target, measures in zip(targets, rounds, strict=True)
            ]
        # What was reached with most connections is what the open loop offers a share of.
        reached = rows[-len(targets) :]
        for share in plan.shares:
            say(f"{operation}: open loop at {share:.0%}")
            rates = [max(1.0, row.median.rate * share) for row in reached]
            most = max(plan.connections)
            loads = [
                _open(target, rate, most, plan.seconds) for target, rate in zip(targets, rates, strict=True)
            ]
            rounds = _interleaved(targets, operation, loads, plan.rounds)
            rows += [
                Row(
                    target=target.name,
                    operation=operation,
                    mode=OPEN,
                    connections=most,
                    offered=rate,
                    share=share,
                    rounds=measures,
                )
                for target, rate, measures in zip(targets, rates, rounds, strict=True)
            ]
    return rows


Send = Callable[[Sequence[Request]], Load]


def _closed(target: Target, connections: int, seconds: float) -> Send:
    return lambda requests: closed(target.address, requests, connections=connections, seconds=seconds)


def _open(target: Target, rate: float, connections: int, seconds: float) -> Send:
    return lambda requests: open_loop(
        target.address, requests, rate=rate, connections=connections, seconds=seconds
    )


def _interleaved(
    targets: Sequence[Target], operation: str, loads: Sequence[Send], rounds: int
) -> list[list[Measure]]:
    measures: list[list[Measure]] = [[] for _ in targets]
    for _ in range(rounds):
        for target, send, found in zip(targets, loads, measures, strict=True):
            found.append(_measure(target, operation, send))
    return measures


def _measure(target: Target, operation: str, send: Send) -> Measure:
    """One round, with requests made for it: signatures age.

    What a server leaves for later is waited for, so that it is not done in somebody else's round, and counted.
    """
    requests = target.requests(operation, [os.urandom(PLAINTEXT_BYTES) for _ in range(POOL)])
    start, busy, before = time.perf_counter(), busy_seconds(), target.server.cpu_seconds()
    load = send(requests)
    others = busy_seconds() - busy - (target.server.cpu_seconds() - before) - load.cpu_seconds
    available = (time.perf_counter() - start) * (os.cpu_count() or 1)
    target.server.require_alive()
    ended = time.perf_counter()
    spent = target.server.settled() - before
    rest_seconds = time.perf_counter() - ended
    done = max(1, load.done)
    return Measure(
        rate=load.rate,
        p50_ms=load.percentile(50) * 1e3,
        p99_ms=load.percentile(99) * 1e3,
        cpu_us=spent / done * 1e6,
        generator_us=load.cpu_seconds / done * 1e6,
        others=min(1.0, max(0.0, others / available)),
        errors=load.errors.total(),
        unanswered=load.unanswered,
        wrong=wrong(target, operation, load.samples),
        checked=len(load.samples),
        rest_seconds=rest_seconds,
    )
