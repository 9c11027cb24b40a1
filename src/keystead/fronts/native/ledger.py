"""An account's own part of the audit, and how long the audit is kept."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from keystead.core.retention import Hold
from keystead.fronts.native.row import Name, Row
from keystead.service.commands import ledger as c
from keystead.service.results import ledger as r

_Key = Annotated[str, msgspec.Meta(max_length=256)]
_Reason = Annotated[str, msgspec.Meta(max_length=1024)]
_Counts = Annotated[dict[Name, Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(max_length=1000)]


class _Since(msgspec.Struct, forbid_unknown_fields=True):
    since: _Counts = msgspec.field(default_factory=dict)


class _Rows(msgspec.Struct, forbid_unknown_fields=True):
    log: Name
    first: int = 0
    limit: int = 100


class _New(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    reason: _Reason
    key_arn: _Key = ""


class _Lifted(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    reason: _Reason


class _Subject(msgspec.Struct, forbid_unknown_fields=True):
    member: Name
    value: _Key
    reason: _Reason
    despite_holds: bool = False


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


def _heads(told: r.AccountHeads) -> Mapping[str, object]:
    return {
        "account": told.account,
        "keys": told.keys,
        "logs": [
            {
                "log": each.log,
                "entries": each.entries,
                "head": each.head.decode(),
                "checkpoint": each.checkpoint.decode(),
                "since": [b64encode(node).decode() for node in each.since],
                "pruned": each.pruned.decode(),
            }
            for each in told.sections
        ],
    }


def _entries(told: r.AccountEntries) -> Mapping[str, object]:
    return {
        "entries": [
            {
                "index": row.record,
                "leaf": b64encode(row.leaf).decode(),
                "entry": None if row.seen is None else row.seen.decode(),
            }
            for row in told.rows
        ],
        "disclosed": msgspec.to_builtins(told.disclosed),
    }


def _hold(hold: Hold) -> Mapping[str, object]:
    told: dict[str, object] = msgspec.to_builtins(hold)
    return told


def _pruning(told: r.Pruning) -> Mapping[str, object]:
    return {"ranges": told.ranges, "entries": told.entries, "more": told.more}


ROWS: Final[Mapping[str, Row]] = {
    "ListAccountHeads": Row(_Since, lambda t: c.ListAccountHeads(tuple(t.since.items())), _heads),
    "ListAccountEntries": Row(_Rows, lambda t: c.ListAccountEntries(t.log, t.first, t.limit), _entries),
    "PutLegalHold": Row(
        _New, lambda t: c.PutLegalHold(t.name, t.reason, t.key_arn), lambda told: _hold(told.hold)
    ),
    "LiftLegalHold": Row(_Lifted, lambda t: c.LiftLegalHold(t.name, t.reason), lambda told: _hold(told.hold)),
    "ListLegalHolds": Row(
        _Nothing, lambda _: c.ListLegalHolds(), lambda told: {"holds": [_hold(each) for each in told.holds]}
    ),
    "RedactSubject": Row(
        _Subject,
        lambda t: c.RedactSubject(t.member, t.value, t.reason, t.despite_holds),
        lambda told: {"commitment": told.commitment},
    ),
    "PlanPruning": Row(_Nothing, lambda _: c.PlanPruning(), _pruning),
    "PruneAudit": Row(_Nothing, lambda _: c.PruneAudit(), _pruning),
}
