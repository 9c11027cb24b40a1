"""Answers questions about the audit by looking at every entry, each time: plain, slow, and what others must agree with.

records = MemoryRecords(lambda: [("w0", 0, entry), ...])
records.ask(Question(principal=...), seconds=1.0)
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec
from typing_extensions import override

from keystead.core.errors import InvalidRequest
from keystead.core.ports import Records
from keystead.core.query import Answered, Count, Place, Question, Row
from keystead.service.entry import CRYPTOGRAPHIC, OK, Entry, decode, encode

Located = tuple[str, int, bytes]
"""An entry's log, its index and its bytes."""

_EQUAL: Final = ("access_key", "account", "action", "context", "decision", "outcome", "trace")
_HOUR: Final = 3600 * 1_000_000


class MemoryRecords(Records):
    """`Records` over whatever ``entries`` returns when it is asked."""

    def __init__(self, entries: Callable[[], Iterable[Located]], origin: str = "keystead-example") -> None:
        self._entries = entries
        self._origin = origin

    @override
    def ask(self, question: Question, seconds: float) -> Answered:
        found = [(log, index, entry) for log, index, entry in self._read() if matches(entry, question)]
        if question.by:
            return self._count(question, [entry for _, _, entry in found])
        rows = sorted(
            ((entry.time, log, index, entry) for log, index, entry in found),
            key=lambda row: row[:3],
            reverse=not question.oldest_first,
        )
        if (after := question.after) is not None:
            edge = (after.time, after.log, after.index)
            rows = [row for row in rows if (row[:3] > edge if question.oldest_first else row[:3] < edge)]
        shown = rows[: question.limit]
        return Answered(
            origin=self._origin,
            rows=tuple(
                Row(log=log, index=index, entry={"time": 0, **msgspec.json.decode(encode(entry))})
                for _, log, index, entry in shown
            ),
            after=(
                Place(time=shown[-1][0], log=shown[-1][1], index=shown[-1][2])
                if len(rows) > len(shown)
                else None
            ),
        )

    def _read(self) -> Iterator[tuple[str, int, Entry]]:
        for log, index, data in self._entries():
            with suppress(msgspec.DecodeError):
                yield log, index, decode(data)

    def _count(self, question: Question, entries: list[Entry]) -> Answered:
        sums: dict[tuple[str, ...], Count] = {}
        of_keys = bool({"key", "version"} & set(question.by))
        for entry in entries:
            for key, version in _keys(entry) if of_keys else [(entry.key, entry.version)]:
                if of_keys and question.key and key != question.key:
                    continue
                if of_keys and question.version and version != question.version:
                    continue
                by = tuple(_value(name, entry, key, version) for name in question.by)
                old = sums.get(by, Count(by=by, count=0, first=entry.time, last=entry.time))
                sums[by] = Count(
                    by=by,
                    count=old.count + 1,
                    first=min(old.first, entry.time),
                    last=max(old.last, entry.time),
                )
        counts = sorted(sums.values(), key=lambda count: (-count.count, count.by))
        return Answered(
            origin=self._origin, counts=tuple(counts[: question.limit]), more=len(counts) > question.limit
        )


def matches(entry: Entry, question: Question) -> bool:
    """Whether an entry is one that is asked about."""
    return (
        _concerns(entry, question.concerning)
        and entry.time >= question.since
        and (not question.until or entry.time < question.until)
        and all(getattr(question, name) in ("", getattr(entry, name)) for name in _EQUAL)
        and (not question.request or question.request in (entry.request, entry.client_request))
        and (not question.principal or _is(entry.principal, question.principal))
        and (not question.key or _about(entry, question.key, question.version))
        and (not question.source or entry.source in question.sources or _from(entry.source, question.source))
        and (not question.uses or (entry.outcome == OK and entry.action in CRYPTOGRAPHIC))
    )


def _concerns(entry: Entry, account: str) -> bool:
    owners = [arn.split(":")[4] for arn in (entry.key, entry.from_key) if arn.count(":") > 3]
    return not account or account in (entry.account, *owners)


def _is(principal: str, wanted: str) -> bool:
    head, role, name = wanted.partition(":role/")
    if not role:
        return principal == wanted
    sessions = f"arn:aws:sts::{head.rpartition(':')[2]}:assumed-role/{name.rpartition('/')[2]}/"
    return principal == wanted or principal.startswith(sessions)


def _about(entry: Entry, key: str, version: int) -> bool:
    uses = [(entry.key, entry.version), (entry.from_key, entry.from_version)]
    return any(arn == key and version in (0, number) for arn, number in uses)


def _from(source: str, wanted: str) -> bool:
    if "/" not in wanted:
        return source == wanted
    try:
        network = ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        raise InvalidRequest("The source is an address, or a network such as 10.0.0.0/8.") from None
    try:
        return ipaddress.ip_address(source) in network
    except ValueError:
        return False


def _keys(entry: Entry) -> list[tuple[str, int]]:
    """The keys that an entry is about, with their versions."""
    keys = [(entry.key, entry.version)]
    if entry.from_key and (entry.from_key, entry.from_version) != keys[0]:
        keys.append((entry.from_key, entry.from_version))
    return keys


def _value(name: str, entry: Entry, key: str, version: int) -> str:
    match name:
        case "key":
            return key
        case "version":
            return str(version) if version else ""
        case "hour":
            hour = datetime.fromtimestamp(entry.time // _HOUR * 3600, UTC)
            return f"{hour:%Y-%m-%dT%H}:00:00Z"
        case _:
            return str(getattr(entry, name))
