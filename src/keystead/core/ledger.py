"""What accounts are shown of the audit as their own, and what may be removed from it, as values."""

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from keystead.core.retention import Hold


class Section(NamedTuple):
    """An account's head in one log, as of the checkpoint that goes with it."""

    log: str
    entries: int  # of the account in this log
    head: bytes  # a signed note
    checkpoint: bytes  # the log's, as it is published
    since: tuple[bytes, ...]  # that the account's tree begins with the one that was asked about
    pruned: bytes = b""  # the signed statement of what was removed from the log, if anything was


class Row(NamedTuple):
    """One leaf of an account's tree."""

    record: int  # the entry's index in the log
    leaf: bytes
    seen: bytes | None  # the entry, as far as the account may see it; None: it was pruned


class Removable(NamedTuple):
    """Entries that need not be kept any more, as ranges of their indexes by log."""

    ranges: Mapping[str, tuple[range, ...]]
    more: bool  # whether there may be more: ask again once these are gone

    @property
    def entries(self) -> int:
        """How many entries that are."""
        return sum(len(each) for ranges in self.ranges.values() for each in ranges)

    def told(self) -> list[str]:
        """The ranges in words, such as ``w0/0-2559``."""
        return [
            f"{log}/{each.start}-{each.stop - 1}" for log, ranges in self.ranges.items() for each in ranges
        ]


class AccountLogs(Protocol):
    """Shows accounts their own part of the audit, with proof. Any thread.

    Both raise `AuditUnavailable` when the logs cannot be read.
    """

    def sections(self, account: str, since: Mapping[str, int]) -> list[Section]:
        """An account's heads in all logs; with proofs since the numbers of entries that are given by log."""
        ...

    def rows(self, log: str, account: str, first: int, limit: int) -> list[Row]:
        """Some of an account's leaves in one log; raises `NotFound` for a log that there is not."""
        ...


class Retention(Protocol):
    """Removes from the audit what is over its time. For one thread.

    Both raise `AuditUnavailable` when the logs cannot be read or written.
    """

    def removable(self, holds: Collection[Hold], now: float) -> Removable:
        """What may be removed: a bounded part of it."""
        ...

    def remove(self, removable: Removable) -> None:
        """Remove it, after a signed statement of what is gone."""
        ...
