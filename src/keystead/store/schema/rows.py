"""Records to rows and back.

A row is not trusted: it is read as strictly as a request's body is, so that a store which was edited by
hand or went bad says so here and not three rooms further up.
"""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import msgspec

from keystead.core.declaration import Declaration
from keystead.core.errors import DataDamaged
from keystead.core.grant import Grant
from keystead.core.importing import ImportOffer
from keystead.core.key import Alias, Key, Version
from keystead.core.keystore import KeyStore
from keystead.core.ports import Change
from keystead.core.principal import AccessKey, Account, Principal, Provider
from keystead.core.seal import SealSlot
from keystead.core.subject import Subject
from keystead.store.schema import tables

Record = TypeVar(
    "Record",
    Key,
    Version,
    Alias,
    Grant,
    ImportOffer,
    KeyStore,
    Principal,
    AccessKey,
    Account,
    Declaration,
    Provider,
    SealSlot,
    Change,
    Subject,
)

_TABLES = {
    Key: tables.keys,
    Version: tables.versions,
    Alias: tables.aliases,
    Grant: tables.grants,
    ImportOffer: tables.import_offers,
    KeyStore: tables.key_stores,
    Principal: tables.principals,
    AccessKey: tables.access_keys,
    Account: tables.accounts,
    Declaration: tables.declarations,
    Provider: tables.providers,
    SealSlot: tables.seal_slots,
    Change: tables.changes,
    Subject: tables.subjects,
}
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in _TABLES}
_NAMES = {kind: tuple(column.name for column in table.primary_key) for kind, table in _TABLES.items()}

# The fields that hold more than one value are JSON texts in their columns.
_JSON: dict[type, tuple[str, ...]] = {
    Key: ("members",),
    Grant: ("operations", "context_equals", "context_subset"),
    Principal: ("attached", "groups", "tags"),
    Provider: ("audiences",),
    SealSlot: ("parameters",),
}


def record(kind: type[Record], row: Sequence[Any]) -> Record:
    """The record in a row of all its columns; raises `DataDamaged` naming the row when it is not one."""
    values: dict[str, Any] = dict(zip(_FIELDS[kind], row, strict=True))
    name = "/".join(str(values[part]) for part in _NAMES[kind])
    try:
        for field in _JSON.get(kind, ()):
            values[field] = json.loads(values[field])
        return msgspec.convert(values, kind)
    except (ValueError, TypeError):
        # Only the row's name is told: the library's words may quote what stands in the row.
        raise DataDamaged(
            f"the store's {kind.__name__} {name!r} does not read as one: restore the store from a backup"
        ) from None


def row(record: Record) -> dict[str, Any]:
    """The row of a record, by column."""
    values: dict[str, Any] = msgspec.to_builtins(record)
    for field in _JSON.get(type(record), ()):
        # As it is, not escaped: what is no Unicode text is refused here as in every other column.
        values[field] = json.dumps(values[field], sort_keys=True, ensure_ascii=False)
    return values


def links(principal: Principal) -> list[dict[str, Any]]:
    """The rows that lead to a principal: from its groups, and from the policies attached to it or bounding it."""
    policies = {*principal.attached, principal.boundary} - {""}
    return [
        {"kind": kind, "ref": ref, "principal": principal.arn}
        for kind, refs in ((tables.GROUP_LINK, set(principal.groups)), (tables.POLICY_LINK, policies))
        for ref in sorted(refs)
    ]
