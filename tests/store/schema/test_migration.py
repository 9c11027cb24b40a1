"""The migrations lead to today's tables."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text

from keystead.core.errors import ConfigError
from keystead.store.schema import migration
from keystead.store.schema.tables import REVISION, metadata


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Connection]:
    """An empty database."""
    engine = create_engine(f"sqlite:///{tmp_path}/migrated.db")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def layout(connection: Connection) -> list[tuple[str, str]]:
    """The name and definition of everything in a database, without differences of white space and quoting."""
    found = connection.execute(text("SELECT name, sql FROM sqlite_master ORDER BY name")).all()
    return [(name, "".join((sql or "").split()).replace('"', "")) for name, sql in found]


def test_migrating_and_creating_come_to_the_same(database: Connection, tmp_path: Path) -> None:
    """A store that walked every migration is laid out to the letter like one that was made today."""
    migration.upgrade(database, migration.EMPTY)

    engine = create_engine(f"sqlite:///{tmp_path}/created.db")
    with engine.connect() as created:
        migration.create(created)
        assert layout(created) == layout(database)
    engine.dispose()
    assert migration.revision(database) == REVISION


def test_the_tables_hold_nothing_that_no_migration_makes(database: Connection) -> None:
    """Alembic, asked for a migration from the migrated schema to the tables, finds nothing to do."""
    migration.upgrade(database, migration.EMPTY)

    context = MigrationContext.configure(database, opts={"compare_type": True})
    assert compare_metadata(context, metadata) == []


def test_an_upgrade_keeps_the_rows(database: Connection) -> None:
    """Rows that were written at the first revision are there after walking to the newest."""
    migration.upgrade(database, migration.EMPTY, "0001")
    database.execute(text("INSERT INTO settings VALUES ('colour', 'red')"))
    database.execute(text("INSERT INTO account_keys VALUES ('111111111111', 'wrapped')"))

    migration.upgrade(database, "0001")

    assert migration.revision(database) == REVISION
    assert database.execute(text("SELECT * FROM settings")).all() == [("colour", "red")]
    assert database.execute(text("SELECT * FROM account_keys")).all() == [("111111111111", "wrapped")]


def test_accounts_have_names_after_an_upgrade(database: Connection) -> None:
    """Whoever had a key is an account: the installation's first one is called main, the service's own is none."""
    migration.upgrade(database, migration.EMPTY, "0002")
    database.execute(text("INSERT INTO settings VALUES ('account', '222222222222')"))
    for account in ("000000000000", "111111111111", "222222222222"):
        database.execute(text("INSERT INTO account_keys VALUES (:account, 'wrapped')"), {"account": account})

    migration.upgrade(database, "0002", "0003")

    assert database.execute(text("SELECT * FROM accounts ORDER BY id")).all() == [
        ("111111111111", "111111111111", 0.0),
        ("222222222222", "main", 0.0),
    ]


def test_accounts_of_a_store_without_a_first_one(database: Connection) -> None:
    """Where the setting is missing, every account is called by its id."""
    migration.upgrade(database, migration.EMPTY, "0002")
    database.execute(text("INSERT INTO account_keys VALUES ('111111111111', 'wrapped')"))

    migration.upgrade(database, "0002", "0003")

    assert database.execute(text("SELECT * FROM accounts")).all() == [("111111111111", "111111111111", 0.0)]


def test_an_unknown_revision_is_refused(database: Connection) -> None:
    """Nothing is done to a schema from the future."""
    migration.create(database)
    before = layout(database)

    with pytest.raises(ConfigError, match="9999"):
        migration.upgrade(database, "9999")

    assert layout(database) == before


def test_an_empty_database_has_no_revision(database: Connection) -> None:
    """That is how a new file is told from an old one."""
    assert migration.revision(database) == migration.EMPTY
