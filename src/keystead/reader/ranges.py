"""Sets of whole numbers as runs, for what of a log is already there."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator


class Ranges:
    """Runs of numbers in order, none touching the next."""

    __slots__ = ("runs",)

    def __init__(self, runs: Iterable[range] = ()) -> None:
        self.runs: list[range] = []
        for run in runs:
            self.add(run)

    def add(self, new: range) -> None:
        """Have these numbers in it as well."""
        if not new:
            return
        runs = self.runs
        low = bisect_left(runs, new.start, key=lambda run: run.stop)
        high = low
        while high < len(runs) and runs[high].start <= new.stop:
            new = range(min(new.start, runs[high].start), max(new.stop, runs[high].stop))
            high += 1
        runs[low:high] = [new]

    def gaps(self, start: int, stop: int) -> Iterator[range]:
        """The runs of numbers from ``start`` to before ``stop`` that are not in it."""
        for run in self.runs:
            if run.start >= stop:
                break
            if start < run.start:
                yield range(start, run.start)
            start = max(start, run.stop)
        if start < stop:
            yield range(start, stop)

    def common(self, other: range) -> Iterator[range]:
        """What is in it and in a run as well."""
        for run in self.runs:
            both = range(max(run.start, other.start), min(run.stop, other.stop))
            if both:
                yield both

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    @property
    def end(self) -> int:
        """The number after the last."""
        return self.runs[-1].stop if self.runs else 0
