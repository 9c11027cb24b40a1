"""Proofs of what the audit logs hold, each as the text that verifiers read."""

from keystead.service.results import Result


class Proofs(Result):
    """Of one event, or of those of one request, the newest first."""

    proofs: tuple[str, ...]
    pending: tuple[str, ...]  # events that no checkpoint covers yet: a second later one does
    missing: str  # why there may be more events, in words; empty when there are not


class Consistency(Result):
    """Of one log."""

    proof: str


class Checkpoints(Result):
    """Of all logs."""

    vkey: str  # the instance's verifier key
    keys: tuple[str, ...]  # statements about keys that followed one another
    checkpoints: tuple[str, ...]
