"""A question as SQL: fixed texts, in which whatever somebody has said stands as a parameter.

The relation has one row for each entry: the members of `keystead.service.entry.Entry` as columns, the log and the
index, and the accounts of the keys it was about.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import msgspec

from keystead.core.errors import InvalidRequest
from keystead.core.query import DIMENSIONS, Question
from keystead.service.entry import CRYPTOGRAPHIC, OK, Entry

_TYPES: Final = {str: "VARCHAR", int: "BIGINT", bool: "BOOLEAN", tuple[str, ...]: "VARCHAR[]"}

MEMBERS: Final[Mapping[str, str]] = {
    field.name: _TYPES[field.type] for field in msgspec.structs.fields(Entry)
}
"""The members of an entry, with their types."""

READ: Final[Mapping[str, str]] = {"log": "VARCHAR", "index": "BIGINT", **MEMBERS}
"""The columns that are read from an entry and where it stands."""

_HASHES: Final = ("ciphertext", "context")

MAKE: Final = ", ".join(
    [
        *(f'"{name}"' for name in READ if name not in (*_HASHES, "time")),
        'coalesce("time", 0) AS "time"',
        *(f'unhex("{name}") AS "{name}"' for name in _HASHES),
        "split_part(\"key\", ':', 5) AS key_account",
        "split_part(from_key, ':', 5) AS from_account",
    ]
)
"""What a row is made of: digests as bytes, since they are most of it."""

SHOW: Final = ", ".join(
    'lower(hex("%s")) AS "%s"' % (name, name) if name in _HASHES else f'"{name}"'  # noqa: UP031 - an f-string needs other quotes
    for name in READ
)
"""The columns of `READ` again."""

ORDER: Final = '"time", "log", "index"'
BACKWARDS: Final = '"time" DESC, "log" DESC, "index" DESC'

_EQUAL: Final[Mapping[str, str]] = {
    **{name: f'"{name}" = ?' for name in ("access_key", "account", "action", "outcome", "decision", "trace")},
    "request": "(request = ? OR client_request = ?)",
}

_DIMENSION: Final[Mapping[str, str]] = {
    **{name: f'"{name}"' for name in DIMENSIONS},
    "hour": """strftime(make_timestamp("time" // 3600000000 * 3600000000), '%Y-%m-%dT%H:00:00Z')""",
}

# A ReEncrypt uses two keys, so where keys are counted it stands for two uses.
_TWICE: Final = """(
    SELECT * FROM {relation} {first}
    UNION ALL
    SELECT * REPLACE (from_key AS "key", from_version AS "version") FROM {relation} {second}
)"""
_ANOTHER: Final = '(from_key IS NOT NULL AND (from_key, from_version) IS DISTINCT FROM ("key", "version"))'


_USES: Final = f"outcome = '{OK}' AND action IN ({', '.join(map(repr, sorted(CRYPTOGRAPHIC)))})"


class Condition(NamedTuple):
    """A condition and its parameters."""

    text: str
    given: list[Any]

    def and_(self, text: str, *given: object) -> "Condition":
        """This and another one."""
        return Condition(f"{self.text} AND {text}" if self.text else text, [*self.given, *given])

    @property
    def where(self) -> str:
        """The clause of it."""
        return f"WHERE {self.text}" if self.text else ""


def condition(question: Question, sources: list[str] | None = None) -> Condition:
    """What an entry must be to be asked about; ``sources`` are the addresses in its network, if it names one."""
    found = Condition("", [])
    if question.concerning:
        account = question.concerning
        found = found.and_("(account = ? OR key_account = ? OR from_account = ?)", account, account, account)
    if question.since:
        found = found.and_('"time" >= ?', question.since)
    if question.until:
        found = found.and_('"time" < ?', question.until)
    for name, test in _EQUAL.items():
        value = getattr(question, name)
        if value:
            found = found.and_(test, *[value] * test.count("?"))
    if question.principal:
        found = _by_principal(found, question.principal)
    if question.key:
        found = _by_key(found, question)
    if question.context:
        found = found.and_("context = unhex(?)", question.context)
    if question.event:
        log, _, index = question.event.partition("/")
        found = found.and_('"log" = ? AND "index" = ?', log, int(index))
    if question.uses:
        found = found.and_(_USES)
    if sources is not None or question.sources:
        named = [question.source] if sources is None else sources
        found = found.and_("source IN (SELECT unnest(?::VARCHAR[]))", [*named, *question.sources])
    elif question.source:
        found = found.and_("source = ?", question.source)
    if question.after is not None and not question.by:
        sign = ">" if question.oldest_first else "<"
        after = question.after
        # The first half is implied by the second, and lets whole row groups be passed over.
        found = found.and_(f'"time" {sign}= ?', after.time)
        found = found.and_(f'("time", "log", "index") {sign} (?, ?, ?)', after.time, after.log, after.index)
    return found


def _by_principal(found: Condition, principal: str) -> Condition:
    """Of a role, its sessions as well."""
    head, role, name = principal.partition(":role/")
    if not role:
        return found.and_("principal = ?", principal)
    account = head.rpartition(":")[2]
    sessions = f"arn:aws:sts::{account}:assumed-role/{name.rpartition('/')[2]}/"
    return found.and_("(principal = ? OR starts_with(principal, ?))", principal, sessions)


def _by_key(found: Condition, question: Question) -> Condition:
    one, other = '"key" = ?', "from_key = ?"
    given: list[object] = [question.key]
    if question.version:
        one, other = f'({one} AND "version" = ?)', f"({other} AND from_version = ?)"
        given.append(question.version)
    return found.and_(f"({one} OR {other})", *given, *given)


def counted(question: Question, relation: str, sources: list[str] | None) -> Condition:
    """The whole statement that counts, with its parameters; the largest count first, one more than are wanted."""
    unknown = sorted(set(question.by) - set(DIMENSIONS))
    if unknown:
        raise InvalidRequest(f"Entries can be counted by {', '.join(DIMENSIONS)}, and not by {unknown[0]}.")
    where = condition(question, sources)
    if {"key", "version"} & set(question.by):
        common = condition(replace(question, key="", version=0), sources)
        first, second = common, common.and_(_ANOTHER)
        if question.key:
            first, second = first.and_('"key" = ?', question.key), second.and_("from_key = ?", question.key)
        if question.version:
            first = first.and_('"version" = ?', question.version)
            second = second.and_("from_version = ?", question.version)
        relation = _TWICE.format(relation=relation, first=first.where, second=second.where)
        where = Condition("", [*first.given, *second.given])
    by = ", ".join(f"coalesce(({_DIMENSION[name]})::VARCHAR, '') AS by_{name}" for name in question.by)
    groups = ", ".join(f"by_{name}" for name in question.by)
    text = (
        f'SELECT {by}, count(*) AS count, min("time") AS first, max("time") AS last '
        f"FROM {relation} {where.where} GROUP BY {groups} ORDER BY count DESC, {groups} LIMIT ?"
    )
    return Condition(text, [*where.given, question.limit + 1])


def network(source: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network that a source is, if it is more than one address."""
    if "/" not in source:
        return None
    try:
        return ipaddress.ip_network(source, strict=False)
    except ValueError:
        raise InvalidRequest("The source is an address, or a network such as 10.0.0.0/8.") from None


def within(source: str, wanted: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether an address is in a network; a text that is no address is in none."""
    try:
        return ipaddress.ip_address(source) in wanted
    except ValueError:
        return False
