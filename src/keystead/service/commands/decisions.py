"""Questions about decisions that were made."""

from keystead.service.commands import Command


class ExplainDecision(Command, frozen=True, gc=False):
    """Why a request was allowed or denied; ``name`` is its request id, which is the decision's id."""

    name: str
