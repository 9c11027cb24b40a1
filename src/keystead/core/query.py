"""What can be asked of the audit as a whole, and what is answered.

    Question(key="arn:aws:kms:...", since=..., until=...)            # the entries, the newest first
    Question(key="arn:aws:kms:...", uses=True, by=("principal",))    # counted: who used it, how often, when last

A question has no language: its members are what may be asked, and those that are empty ask nothing. ``concerning`` is
the account that asks, and the bound of what it sees: what its own principals did, and what was done with its keys.
Whoever lets somebody ask sets it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

DIMENSIONS: Final = ("principal", "account", "access_key", "key", "version", "action", "outcome", "hour")
"""What entries can be counted by; the account is the caller's."""

MOST_ROWS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an entry stands among all: by time, then by log, then within it."""

    time: int  # microseconds since 1970
    log: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """See the module. Times are microseconds since 1970."""

    concerning: str = ""  # an account; empty: everything, which nobody but the first account may ask
    since: int = 0
    until: int = 0  # the first moment that is not asked about; 0: no end
    principal: str = ""  # ARN; of a role, its sessions as well
    access_key: str = ""
    account: str = ""  # the caller's
    key: str = ""  # ARN; also the key that a ciphertext came from
    version: int = 0  # of that key's material
    context: str = ""  # SHA-256 of the canonical encryption context, hex
    action: str = ""  # "kms:Decrypt"
    outcome: str = ""  # "Success", or an error code
    decision: str = ""  # "Allow", "Deny"
    source: str = ""  # an address, or a network such as 10.0.0.0/8
    sources: tuple[
        str, ...
    ] = ()  # or it came from one of these, to the letter: commitments to what ``source`` names
    request: str = ""  # our id, or the client's own
    trace: str = ""
    event: str = ""  # names one entry: log and index, "w0/567"
    uses: bool = False  # only successful cryptographic operations
    by: tuple[str, ...] = ()  # count by these of `DIMENSIONS`, instead of showing entries
    oldest_first: bool = False
    limit: int = 100
    after: Place | None = None  # go on after this one


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One entry: where it stands, and its members that say something."""

    log: str
    index: int
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many entries have these values of what was counted by."""

    by: tuple[str, ...]
    count: int
    first: int  # microseconds since 1970
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What was found, in order: entries, or counts with the largest first."""

    origin: str = ""  # what the names of all logs begin with: an event is origin/log/index
    rows: tuple[Row, ...] = ()
    counts: tuple[Count, ...] = ()
    after: Place | None = None  # where the next page begins; None when this is the last
    more: bool = False  # there are more counts than were asked for
    missing: str = ""  # what was not searched, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkStatus:
    """How far one sink is, and how it fares."""

    lag_entries: int = 0
    lag_seconds: float = 0.0
    delivered: int = 0  # that the receiver has taken
    errors: int = 0
    parked: int = 0  # that it has refused for good
    trouble: str = ""  # the last error, while it lasts; and for an hour, that events were refused for good


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStatus:
    """How the process fares that answers questions."""

    running: bool = False
    restarts: int = 0
    rows: int = 0  # entries in the archive
    recent: int = 0  # entries that are held beside it
    lag_entries: int = 0  # signed entries that are in neither
    lag_seconds: float = 0.0  # the age of the oldest of them
    trouble: str = ""  # what keeps it from its work; empty when nothing
    sinks: Mapping[str, SinkStatus] = field(default_factory=dict)
