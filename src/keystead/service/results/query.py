"""What is said of the audit as a whole."""

from collections.abc import Mapping

from keystead.core.query import Count
from keystead.service.entry import Entry
from keystead.service.results import Result
from keystead.service.subjects import Disclosed


class Event(Result):
    """One entry and its name."""

    event: str  # origin/log/index
    entry: Entry


class Events(Result):
    """What was found."""

    by: tuple[str, ...]  # what was counted by
    events: list[Event]
    counts: list[Count]
    marker: str  # of the next page; empty on the last
    more: bool  # there are more counts than were asked for
    missing: str  # what was not searched, in words
    disclosed: Mapping[str, Disclosed]  # by the commitments in the entries


class Openable(Result):
    """A key that a principal could open something of, as policies and grants are now."""

    key: str  # ARN
    action: str
    by: str  # what allows it: a kind of policy, or "grant"
    condition: str  # what a request must meet besides; empty when nothing


class Reach(Result):
    """What a principal did open, by key, version and action, and what it could."""

    did: list[Count]
    could: list[Openable]
    more: bool  # there are more of what it did than were asked for
    keys: int  # that were looked at
    missing: str  # what was not searched, in words
