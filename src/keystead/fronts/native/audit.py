"""Asking the audit."""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from keystead.core.query import DIMENSIONS, MOST_ROWS, Count
from keystead.fronts.aws.names import key_reference
from keystead.fronts.native.row import Id, Row
from keystead.service.commands import query as c
from keystead.service.results import query as r

Text = Annotated[str, msgspec.Meta(max_length=2048)]
Time = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]  # microseconds since 1970
Limit = Annotated[int, msgspec.Meta(ge=1, le=MOST_ROWS)]


class _Query(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    key: Text = ""
    principal: Text = ""
    version: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)] = 0
    context: Id = ""
    action: Id = ""
    outcome: Id = ""
    decision: Id = ""
    source: Id = ""
    account: Id = ""
    access_key: Id = ""
    request: Id = ""
    trace: Id = ""
    since: Time = 0
    until: Time = 0
    uses: bool = False
    everything: bool = False
    by: Annotated[tuple[Id, ...], msgspec.Meta(max_length=len(DIMENSIONS))] = ()
    oldest_first: bool = False
    limit: Limit = 100
    marker: Text = ""
    as_written: bool = False


class _Reach(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    principal: Text
    since: Time = 0
    until: Time = 0
    limit: Limit = 100


def _query(taken: _Query) -> c.QueryAudit:
    members = {name: getattr(taken, name) for name in taken.__struct_fields__ if name != "key"}
    return c.QueryAudit(key=key_reference(taken.key) if taken.key else None, **members)


def _count(count: Count, names: tuple[str, ...]) -> dict[str, object]:
    by: Mapping[str, object] = dict(zip(names, count.by, strict=True))
    return {**by, "count": count.count, "first": count.first, "last": count.last}


def _event(each: r.Event) -> dict[str, object]:
    told: dict[str, object] = msgspec.to_builtins(each.entry)
    return {"event": each.event, **told}


def _events(result: r.Events) -> dict[str, object]:
    return {
        "events": [_event(each) for each in result.events],
        "counts": [_count(each, result.by) for each in result.counts],
        "marker": result.marker,
        "more": result.more,
        "missing": result.missing,
        "disclosed": msgspec.to_builtins(result.disclosed),
    }


def _reached(result: r.Reach) -> dict[str, object]:
    return {
        "did": [_count(each, ("key", "version", "action")) for each in result.did],
        "could": [msgspec.to_builtins(each) for each in result.could],
        "more": result.more,
        "keys": result.keys,
        "missing": result.missing,
    }


ROWS: Final[Mapping[str, Row]] = {
    "QueryAudit": Row(_Query, _query, _events),
    "AuditReach": Row(
        _Reach,
        lambda t: c.AuditReach(principal=t.principal, since=t.since, until=t.until, limit=t.limit),
        _reached,
    ),
}
