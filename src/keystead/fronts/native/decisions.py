"""Decisions that were made."""

from collections.abc import Mapping
from typing import Final

import msgspec

from keystead.fronts.native.row import Id, Row
from keystead.service.commands import decisions as c
from keystead.service.results import decisions as r


class _Decision(msgspec.Struct, forbid_unknown_fields=True):
    decision: Id


def _explained(each: r.Explained) -> dict[str, object]:
    told: dict[str, object] = msgspec.to_builtins(each.entry)
    return {**told, "event": each.event, "changed": each.changed}


ROWS: Final[Mapping[str, Row]] = {
    "ExplainDecision": Row(
        _Decision,
        lambda t: c.ExplainDecision(t.decision),
        lambda result: {
            "decisions": [_explained(each) for each in result.decisions],
            "missing": result.missing,
        },
    )
}
