"""What is said of an account's own part of the audit, and of how long the audit is kept."""

from collections.abc import Mapping, Sequence

from keystead.core.ledger import Row, Section
from keystead.core.retention import Hold
from keystead.service.results import Result
from keystead.service.subjects import Disclosed


class AccountHeads(Result):
    """An account's heads, one for each log."""

    account: str
    keys: Sequence[str]  # the statements about the keys that sign
    sections: Sequence[Section]


class AccountEntries(Result):
    """Some of an account's entries in one log, in order."""

    rows: Sequence[Row]
    disclosed: Mapping[str, Disclosed]  # by the commitments in the entries


class Redacted(Result):
    """What stood for the value that is gone."""

    commitment: str


class LegalHold(Result):
    """One hold."""

    hold: Hold


class LegalHolds(Result):
    """An account's holds, in the order of their names."""

    holds: Sequence[Hold]


class Pruning(Result):
    """What may be removed from the audit, or was: ranges of entries, such as ``w0/0-2559``."""

    ranges: Sequence[str]
    entries: int
    more: bool  # whether there may be more
