"""Proofs of what the audit logs hold, each as the text that verifiers read."""

from collections.abc import Mapping

from keystead.service.results import Result
from keystead.service.subjects import Disclosed


class Proofs(Result):
    """Of one event, or of those of one request, the newest first."""

    proofs: tuple[str, ...]
    pending: tuple[str, ...]  # events that no checkpoint covers yet: a second later one does
    missing: str  # why there may be more events, in words; empty when there are not
    disclosed: Mapping[str, Disclosed]  # by the commitments in the entries


class Consistency(Result):
    """Of one log."""

    proof: str


class Checkpoints(Result):
    """Of all logs."""

    vkey: str  # the instance's verifier key
    keys: tuple[str, ...]  # statements about keys that followed one another
    checkpoints: tuple[str, ...]
