"""The count that a receiver of events in the form ``keystead`` makes to prove that it has them all.

    census = Census()
    for line in lines:              # in any order, some of them twice
        census.add(line)
    census.missing()                # {"keystead-.../w0": [(567, 600)]}
    census.check()                  # raises `Incomplete` unless every checkpoint's root is that of the entries here

It needs nothing but the events: the leaves of a log's tree are hashes of the entries in them, and a checkpoint event
says which root the first so many have. Whether the checkpoint's signature is the log's, `keystead verify` tells.
"""

import base64
from typing import Final, NamedTuple

import msgspec

from keystead.crypto.merkle import Frontier, leaf_hash


class Incomplete(Exception):
    """An entry is missing, or is not what the log has."""


class _Entry(msgspec.Struct):
    action: str = ""
    subject: str = ""


class _Line(msgspec.Struct):
    event: str
    log: str
    index: int
    entry: msgspec.Raw


class Told(NamedTuple):
    """A checkpoint event."""

    size: int
    root: bytes


_NOT_ENTRIES: Final = frozenset({"restarted", "pruned"})
_read = msgspec.json.Decoder(_Line).decode
_read_entry = msgspec.json.Decoder(_Entry).decode


class Census:
    """Counts events by log."""

    def __init__(self) -> None:
        self.events = 0
        self.duplicates = 0
        self.parked: set[str] = set()  # the names of events that were refused; another event told so
        self._leaves: dict[str, dict[int, bytes]] = {}
        self._told: dict[str, set[Told]] = {}

    def add(self, line: bytes) -> None:
        """Count one event; raises `msgspec.DecodeError` for what is none, and `Incomplete` for two under one name."""
        read = _read(line)
        log, _, what = read.log.rpartition("/")
        if what == "checkpoint":
            size, root, _ = _read_entry(read.entry).subject.split(" ")
            self._told.setdefault(log, set()).add(Told(int(size), base64.b64decode(root)))
        elif what == "parked":
            self.parked.add(f"{log}/{read.index}")
        elif what not in _NOT_ENTRIES:
            self.events += 1
            leaves = self._leaves.setdefault(read.log, {})
            leaf = leaf_hash(bytes(read.entry))
            if leaves.setdefault(read.index, leaf) != leaf:
                raise Incomplete(f"{read.event}: there are two entries of this name")
            self.duplicates = self.events - sum(map(len, self._leaves.values()))

    def count(self, log: str) -> int:
        """How many different entries of a log are here."""
        return len(self._leaves.get(log, {}))

    def checkpoints(self, log: str) -> list[Told]:
        """The checkpoints that were told of, smallest first."""
        return sorted(self._told.get(log, set()))

    def missing(self) -> dict[str, list[tuple[int, int]]]:
        """For each log with gaps, where they begin and where they have ended."""
        gaps: dict[str, list[tuple[int, int]]] = {}
        for log in {*self._leaves, *self._told}:
            known = sorted(self._leaves.get(log, {}))
            ends = [told.size for told in self._told.get(log, ())]
            reached = 0
            for index in [*known, max(ends, default=0)]:
                if index > reached:
                    gaps.setdefault(log, []).append((reached, index))
                reached = max(reached, index + 1)
        return gaps

    def check(self) -> None:
        """Raise `Incomplete` unless nothing is missing and every checkpoint is of these entries."""
        for log, gaps in self.missing().items():
            raise Incomplete(f"{log}: the entries from {gaps[0][0]} up to {gaps[0][1]} are missing")
        for log, told in self._told.items():
            tree = Frontier()
            leaves = self._leaves.get(log, {})
            for size, root in sorted(told):
                while tree.size < size:
                    tree.append(leaves[tree.size])
                if tree.root() != root:
                    raise Incomplete(f"{log}: the first {size} entries are not those of the checkpoint")
