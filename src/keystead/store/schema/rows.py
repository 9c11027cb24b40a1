"""Records to rows and back.

A row is not trusted: it is read as strictly as a request's body is, so that a store which was edited by
hand or went bad says so here and not three rooms further up.
"""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import msgspec

from keystead.core.errors import DataDamaged
from keystead.core.key import Alias, Key, Version
from keystead.core.ports import Change
from keystead.core.principal import AccessKey, Principal
from keystead.core.seal import SealSlot

Record = TypeVar("Record", Key, Version, Alias, Principal, AccessKey, SealSlot, Change)


_FIELDS = {
    kind: tuple(field.name for field in fields(kind))
    for kind in (Key, Version, Alias, Principal, AccessKey, SealSlot, Change)
}


def record(kind: type[Record], row: Sequence[Any]) -> Record:
    """The record in a row of all its columns; raises `DataDamaged` naming the row when it is not one."""
    values: dict[str, Any] = dict(zip(_FIELDS[kind], row, strict=True))
    try:
        if kind is SealSlot:
            values["parameters"] = json.loads(values["parameters"])
        return msgspec.convert(values, kind)
    except (ValueError, TypeError):
        # Only the row's name is told: the library's words may quote what stands in the row.
        raise DataDamaged(
            f"the store's {kind.__name__} {row[0]!r} does not read as one: restore the store from a backup"
        ) from None


def row(record: Record) -> dict[str, Any]:
    """The row of a record, by column."""
    values: dict[str, Any] = msgspec.to_builtins(record)
    if isinstance(record, SealSlot):
        values["parameters"] = json.dumps(record.parameters, sort_keys=True)
    return values
