"""Finds what of the logs is over its time, and removes it by whole bundles.

A bundle of 256 entries may go when each of them is over its class's duration and under no legal hold, and when nothing
else still needs it:

* the log's owner: a full bundle under the checkpoint, of which no segment holds an entry any more (a segment is in use
  for a day at most);
* the trees of accounts (`accounts`), which then have its entries' hashes;
* the usage index, which then has its uses in its sums, durably.

First comes the signed statement of what is gone (`prune`), then the files. What a crash leaves in between is removed
the next time.
"""

from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from keystead.audit import prune, segment
from keystead.audit.accounts import Sign, taken_in
from keystead.audit.damage import Damaged
from keystead.audit.prune import NOTHING, Pruned
from keystead.audit.reading import covered
from keystead.audit.usage import BookError, is_log
from keystead.core.disk import Disk
from keystead.core.errors import AuditUnavailable
from keystead.core.ledger import Removable
from keystead.core.retention import DAY, Durations, Hold, Kept
from keystead.crypto.merkle import TILE_WIDTH
from keystead.crypto.note import Verifier

MOST_READ: Final = 256  # bundles that one look reads: a tenth of a second's work

Aged = Callable[[bytes], tuple[int, Kept, Collection[str]]]
"""When an entry was made, in microseconds, what it is kept as, and what a hold on it can name."""


class _Bundle(NamedTuple):
    """What counts of a bundle."""

    until: float  # when it is over its time
    newest: float  # when its newest entry was made
    names: frozenset[str]  # what holds on it can name


class Pruner:
    """`keystead.core.ledger.Retention` over the logs in a directory.

    ``settled`` tells how many entries of a log the usage index has taken in for good; ``verifier`` returns what checks
    the signatures, under the name that the logs' origins begin with, which is ``origin``.
    """

    def __init__(
        self,
        root: Path,
        *,
        disk: Disk,
        origin: str,
        sign: Sign,
        verifier: Callable[[], Verifier],
        aged: Aged,
        settled: Callable[[Path], int],
        durations: Durations,
        most_read: int = MOST_READ,
    ) -> None:
        self._root = root
        self._disk = disk
        self._origin = origin
        self._sign = sign
        self._verifier = verifier
        self._aged = aged
        self._settled = settled
        self._durations = durations
        self._most_read = most_read
        self._known: dict[tuple[str, int], _Bundle] = {}  # those that were read and stay
        self._began: dict[str, int] = {}  # by log: when its first entry was made

    def removable(self, holds: Collection[Hold], now: float) -> Removable:
        """What may be removed: of so many bundles as are read at once."""
        if not self._durations.shortest:
            return Removable({}, more=False)
        held = frozenset(hold.holds for hold in holds)
        found: dict[str, tuple[range, ...]] = {}
        left = self._most_read
        try:
            for log in self._logs():
                bundles, left = self._look(log, held, now, left)
                if bundles:
                    runs = prune.runs_of(bundles)
                    found[log] = tuple(range(run.start * TILE_WIDTH, run.stop * TILE_WIDTH) for run in runs)
        except (Damaged, OSError, BookError) as error:
            raise AuditUnavailable(f"the audit logs cannot be read: {error}") from None
        return Removable(found, more=left <= 0)

    def remove(self, removable: Removable) -> None:
        """Remove it, after a signed statement of what is gone."""
        try:
            for log, ranges in removable.ranges.items():
                directory = self._root / log
                bundles = [start // TILE_WIDTH for each in ranges for start in each[::TILE_WIDTH]]
                before = self._signed(log)
                after = before.plus(bundles, self._began.get(log, 0))
                if after != before:
                    self._state(log, after)
                prune.remove(self._disk, directory, bundles)
                for number in bundles:
                    self._known.pop((log, number), None)
        except (Damaged, OSError) as error:
            raise AuditUnavailable(f"the audit logs cannot be pruned: {error}") from None

    def renew(self) -> None:
        """Sign each statement with the present key, so that whoever knows only that one can check it."""
        try:
            for log in self._logs():
                pruned = self._signed(log)
                if pruned != NOTHING and self._note(log, pruned) != self._disk.read(
                    self._root / log / prune.FILE
                ):
                    self._state(log, pruned)
        except (Damaged, OSError) as error:
            raise AuditUnavailable(f"the statements of what was pruned cannot be renewed: {error}") from None

    def _look(self, log: str, held: frozenset[str], now: float, left: int) -> tuple[list[int], int]:
        """The bundles of one log that may go, and how many more may be read."""
        directory = self._root / log
        pruned = self._signed(log)
        found = []
        for number in range(self._ceiling(directory) // TILE_WIDTH):
            if number in pruned:
                if prune.is_there(self._disk, directory, number):  # a crash came in between
                    found.append(number)
                continue
            bundle = self._known.get((log, number))
            if bundle is None:
                if left <= 0:
                    break
                left -= 1
                bundle = self._known[log, number] = self._read(log, directory, number)
            if bundle.until <= now:
                if not held & bundle.names:
                    found.append(number)
            elif bundle.newest + self._durations.shortest * DAY > now:
                break  # those after it are newer still
        return found, left

    def _ceiling(self, directory: Path) -> int:
        """Below which index nobody needs entries for anything but to look at them."""
        ceiling = min(covered(self._disk, directory), taken_in(self._disk, directory))
        for sequence in segment.sequences(self._disk, directory):
            name = segment.file_name(sequence)
            with closing(self._disk.open(directory / segment.FOLDER / name)) as file:
                batches = segment.batches_from(file, segment.identity_of(file), segment.HEADER_BYTES, name)
                first = next(batches, None)
                if first is not None:
                    ceiling = min(ceiling, first.first)
        # The last entry that an index has taken in tells whose it is.
        return ceiling and min(ceiling, self._settled(directory) - 1)

    def _read(self, log: str, directory: Path, number: int) -> _Bundle:
        frames = prune.kept(self._disk, directory, number, TILE_WIDTH)
        until = newest = 0.0
        names: set[str] = set()
        for frame in frames or ():
            time, kept, concerned = self._aged(frame[2:])
            if number == 0 and log not in self._began:
                self._began[log] = time
            until = max(until, self._durations.until(kept, time))
            newest = max(newest, time / 1e6)
            names.update(concerned)
        return _Bundle(until, newest, frozenset(names))

    def _logs(self) -> list[str]:
        return [log for log in self._disk.names(self._root) if is_log(self._disk, self._root / log)]

    def _signed(self, log: str) -> Pruned:
        return prune.signed(self._disk, self._root / log, self._verifier().named(f"{self._origin}/{log}"))

    def _note(self, log: str, pruned: Pruned) -> bytes:
        origin = f"{self._origin}/{log}"
        return self._sign(prune.name(origin), pruned.text(origin))

    def _state(self, log: str, pruned: Pruned) -> None:
        prune.state(self._disk, self._root / log, self._note(log, pruned))
