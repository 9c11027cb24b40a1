"""The tables fit the records, and more than one database."""

from dataclasses import fields
from typing import Any

import pytest
from sqlalchemy import Table, make_url
from sqlalchemy.schema import CreateIndex, CreateTable

from keystead.core.declaration import Declaration
from keystead.core.grant import Grant
from keystead.core.importing import ImportOffer
from keystead.core.key import Alias, Key, Version
from keystead.core.keystore import KeyStore
from keystead.core.principal import AccessKey, Account, Principal, Provider
from keystead.core.seal import SealSlot
from keystead.store.schema import tables


@pytest.mark.parametrize(
    ("table", "record"),
    [
        (tables.keys, Key),
        (tables.versions, Version),
        (tables.aliases, Alias),
        (tables.grants, Grant),
        (tables.import_offers, ImportOffer),
        (tables.key_stores, KeyStore),
        (tables.principals, Principal),
        (tables.access_keys, AccessKey),
        (tables.accounts, Account),
        (tables.declarations, Declaration),
        (tables.providers, Provider),
        (tables.seal_slots, SealSlot),
    ],
)
def test_columns_are_called_what_fields_are(table: Table, record: Any) -> None:
    """A field that is added to a record needs its column, in the same place: rows are read by position."""
    assert [column.name for column in table.c] == [field.name for field in fields(record)]


def test_postgresql_can_lay_the_same_tables() -> None:
    """Names are compared byte by byte there too, epochs have 64 bits, partial indexes stay partial."""
    dialect = make_url("postgresql://").get_dialect()()
    ddl = [str(CreateTable(table).compile(dialect=dialect)) for table in tables.metadata.sorted_tables]
    indexes = [
        str(CreateIndex(index).compile(dialect=dialect))
        for table in tables.metadata.sorted_tables
        for index in table.indexes
    ]

    names = {column for table in tables.metadata.sorted_tables for column in table.primary_key}
    assert sum(text.count('COLLATE "C"') for text in ddl) >= len(names) - 2  # a number is no name
    assert any("seq BIGSERIAL NOT NULL" in text for text in ddl)
    assert sum(" WHERE " in text for text in indexes) == 9
