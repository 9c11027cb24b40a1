"""Asked for proofs of what the audit logs hold."""

from keystead.service.commands import Command


class ProveEvent(Command, frozen=True, gc=False):
    """That an event is in its log; ``name`` is the event's, or the id of the request whose events are meant."""

    name: str


class ProveConsistency(Command, frozen=True, gc=False):
    """That a log still begins with what a checkpoint has signed, which the caller has kept."""

    checkpoint: str


class ListCheckpoints(Command, frozen=True, gc=False):
    """The newest checkpoints of all logs, and the statements about the keys that sign them."""
