"""The archive with as many entries as a busy month has: what is counted is exact, and the time it takes is printed.

The entries are those of ``tools/audit_query.py``, which prints the table of docs/benchmarks.md. While they are
generated the answers are worked out here by plain counting.
"""

import importlib.util
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from keystead.core.query import Question
from keystead.reader.archive import Archive
from keystead.service.entry import CRYPTOGRAPHIC, Entry

RECORDS = 10_000_000
WATCHED = 40  # the number of a key whose uses are counted
SECONDS = 60.0
TRIES = 60


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The generator."""
    path = Path(__file__).parents[2] / "tools" / "audit_query.py"
    spec = importlib.util.spec_from_file_location("audit_query", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def counted(tool: ModuleType, records: int) -> Any:
    """A source that counts what it generates; each chunk once, though one may be generated again."""
    watched = tool.KEY[WATCHED]

    class Counted(tool.Generated):  # type: ignore[misc, name-defined]  # mypy does not know what a file holds
        def __init__(self) -> None:
            super().__init__(records, 1)
            self.every: Counter[tuple[str, str]] = Counter()
            self.denied: Counter[str] = Counter()
            self.uses: Counter[tuple[str, str, str]] = Counter()
            self.last: dict[str, int] = {}
            self._seen: set[tuple[str, int]] = set()

        def _chunk(self, log: str, number: int) -> list[bytes]:
            self._new = (log, number) not in self._seen
            self._seen.add((log, number))
            return list(super()._chunk(log, number))

        def _entry(self, random: Any, index: int) -> Entry:
            entry: Entry = super()._entry(random, index)
            if self._new:
                self.take(entry)
            return entry

        def take(self, entry: Entry) -> None:
            self.every[entry.action, entry.outcome] += 1
            if entry.outcome != "Success":
                self.denied[entry.principal] += 1
            elif entry.action in CRYPTOGRAPHIC:
                key = entry.key
                self.last[key] = max(self.last.get(key, 0), entry.time)
                if key == watched:
                    self.uses[entry.principal, entry.action, str(entry.version)] += 1
                if entry.from_key:
                    self.last[entry.from_key] = max(self.last.get(entry.from_key, 0), entry.time)
                if entry.from_key == watched:
                    self.uses[entry.principal, entry.action, str(entry.from_version)] += 1

    return Counted()


def check(tool: ModuleType, folder: Path, records: int) -> None:
    """Take in, ask, compare, print."""
    source = counted(tool, records)
    began = time.perf_counter()
    archive = Archive(folder, source, origin="keystead-generated", notice=print)
    while archive.feed():
        pass
    print(f"\n{records:,} entries taken in within {time.perf_counter() - began:.0f} s")  # noqa: T201 - for people

    # What is not enough for a segment is taken in for whoever asks, for a second each time.
    for _ in range(TRIES):
        if not archive.ask(Question(limit=1), SECONDS).missing:
            break

    def counts(**asked: Any) -> dict[tuple[str, ...], int]:
        answered = archive.ask(Question(limit=1000, **asked), SECONDS)
        assert not answered.missing
        assert not answered.more
        return {count.by: count.count for count in answered.counts}

    assert counts(by=("action", "outcome")) == source.every
    assert source.every.total() == records
    assert counts(key=tool.KEY[WATCHED], uses=True, by=("principal", "action", "version")) == source.uses
    denied = archive.ask(Question(outcome="AccessDenied", by=("principal",), limit=10), SECONDS)
    assert [count.count for count in denied.counts] == [n for _, n in source.denied.most_common(10)]
    for key in (tool.KEY[WATCHED], tool.KEY[-7], tool.KEY[1234]):
        (row,) = archive.ask(Question(key=key, uses=True, limit=1), SECONDS).rows
        assert row.entry["time"] == source.last[key]
    for name, question in tool.questions(source, records).items():
        at = time.perf_counter()
        answered = archive.ask(question, SECONDS)
        assert not answered.missing
        if "one request" in name:
            assert len(answered.rows) == ("never" not in name)
        print(f"{name}: {(time.perf_counter() - at) * 1000:,.0f} ms")  # noqa: T201 - for people


def test_what_is_counted_is_exact(tool: ModuleType, tmp_path: Path) -> None:
    """In an archive of some files."""
    check(tool, tmp_path, 200_000)


@pytest.mark.long
def test_ten_million_entries(tool: ModuleType, tmp_path: Path) -> None:
    """And in one of a busy month."""
    check(tool, tmp_path, RECORDS)
