"""How long entries of the audit are kept: classes with durations, and legal holds that overrule them.

An entry may be removed when its class's duration is over and no hold names its account or one of its keys. Nothing is
removed unless somebody has set a duration.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Final

DAY: Final = 86_400


class Kept(StrEnum):
    """What an entry is kept as."""

    USES = "uses"  # cryptography with keys
    READS = "reads"  # what only looks
    SESSIONS = "sessions"  # who became somebody for a while
    CHANGES = "changes"  # everything else: of keys, policies and principals, and what the log says of itself


@dataclass(frozen=True, slots=True)
class Durations:
    """For how many days entries are kept; 0 is for ever."""

    days: Mapping[Kept, int] = field(default_factory=dict)

    def until(self, kept: Kept, time: int) -> float:
        """Until when an entry of that class is kept, made at ``time`` in microseconds; in Unix seconds."""
        days = self.days.get(kept, 0)
        return time / 1e6 + days * DAY if days else inf

    @property
    def shortest(self) -> int:
        """The fewest days for which anything is kept; 0 when everything is kept for ever."""
        return min((days for days in self.days.values() if days), default=0)


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold: the entries of an account, or those about one of its keys, stay whatever their age is."""

    name: str
    account: str  # who has set it
    key: str  # ARN; empty: all of the account
    reason: str
    created: float
    by: str  # ARN

    @property
    def holds(self) -> str:
        """What an entry must name to be held."""
        return self.key or self.account
