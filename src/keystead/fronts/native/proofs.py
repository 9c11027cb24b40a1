"""Proofs of what the audit logs hold."""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from keystead.fronts.native.row import Id, Row
from keystead.service.commands import proofs as c
from keystead.service.results import proofs as r

_Note = Annotated[str, msgspec.Meta(max_length=16_384)]


class _Event(msgspec.Struct, forbid_unknown_fields=True):
    event: Id


class _Old(msgspec.Struct, forbid_unknown_fields=True):
    checkpoint: _Note


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


def _proofs(told: r.Proofs) -> Mapping[str, object]:
    return {
        "proofs": [msgspec.json.decode(proof) for proof in told.proofs],
        "pending": told.pending,
        "missing": told.missing,
        "disclosed": msgspec.to_builtins(told.disclosed),
    }


ROWS: Final[Mapping[str, Row]] = {
    "ProveEvent": Row(_Event, lambda t: c.ProveEvent(t.event), _proofs),
    "ProveConsistency": Row(
        _Old,
        lambda t: c.ProveConsistency(t.checkpoint),
        lambda told: {"proof": msgspec.json.decode(told.proof)},
    ),
    "ListCheckpoints": Row(
        _Nothing,
        lambda _: c.ListCheckpoints(),
        lambda told: {"vkey": told.vkey, "keys": told.keys, "checkpoints": told.checkpoints},
    ),
}
