"""How long entries of the audit are kept: classes with durations, and legal holds that overrule them.

An entry may be removed when its class's duration is over and no hold names its account or one of its keys. Nothing is
removed unless somebody has set a duration.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
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

    def over(self, kept: Kept, time: int, now: float) -> bool:
        """Whether an entry of that class, made at ``time`` in microseconds, need not be kept any more."""
        days = self.days.get(kept, 0)
        return days > 0 and time / 1e6 + days * DAY <= now

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
