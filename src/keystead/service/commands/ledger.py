"""Asked about an account's own part of the audit, and about how long the audit is kept."""

from keystead.service.commands import Command


class ListAccountHeads(Command, frozen=True, gc=False):
    """The caller's account's signed heads in all logs; ``since`` are numbers of entries by log, to be led on from."""

    since: tuple[tuple[str, int], ...] = ()


class ListAccountEntries(Command, frozen=True, gc=False):
    """The caller's account's entries in one log, some at a time."""

    log: str
    first: int = 0
    limit: int = 100


class PutLegalHold(Command, frozen=True, gc=False):
    """Keep what the audit has of the caller's account, or of one of its keys, until the hold is lifted."""

    name: str
    reason: str
    key_arn: str = ""


class LiftLegalHold(Command, frozen=True, gc=False):
    """End a hold."""

    name: str
    reason: str


class ListLegalHolds(Command, frozen=True, gc=False):
    """The caller's account's holds."""


class PlanPruning(Command, frozen=True, gc=False):
    """What could be removed from the audit now."""


class RedactSubject(Command, frozen=True, gc=False):
    """Take a value out of all audit entries that have it in a member which holds commitments."""

    member: str
    value: str
    reason: str
    despite_holds: bool = False


class PruneAudit(Command, frozen=True, gc=False):
    """Remove from the audit what is over its time."""
