"""Bringing a store's schema up to this version, inside a transaction that the caller opened.

Alembic alone takes a fifth of a server's start to import, so it is imported only for a store that needs it:
an empty one gets today's tables at once, one that is up to date gets nothing. A test holds the tables that
the migrations lead to against today's.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from keystead.core.errors import ConfigError, DataDamaged
from keystead.store.schema.tables import REVISION, metadata

EMPTY = ""
"""The revision of a store without tables."""


def revision(connection: Connection) -> str:
    """The revision that the store is at; raises `DataDamaged` when it is not a store at all."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return EMPTY
    if "alembic_version" in tables:
        rows = connection.execute(text("SELECT version_num FROM alembic_version")).all()
        if len(rows) == 1:
            return str(rows[0][0])
    raise DataDamaged(
        "this database was not made by Keystead, or lost the row that says its schema's revision: "
        "check the store's URL, or restore the store from a backup"
    )


def create(connection: Connection) -> None:
    """Lay today's tables in an empty store."""
    metadata.create_all(connection, checkfirst=False)
    # In Alembic's own words, so that it finds its table the day it is needed.
    connection.execute(
        text(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
            "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": REVISION})


def upgrade(connection: Connection, current: str, target: str = REVISION) -> None:
    """Walk the migrations from an older revision; raises `ConfigError` when ``current`` is not one."""
    # Imported late on purpose: see the module's first lines.
    from alembic.operations import Operations  # noqa: PLC0415 - only a store that is behind pays for it
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - the same
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - the same

    steps = ScriptDirectory(str(Path(__file__).parent))
    if current not in {EMPTY, *(step.revision for step in steps.walk_revisions())}:
        raise ConfigError(
            f"the store's schema is at revision {current}, and this Keystead knows up to {REVISION}: "
            "run the version that wrote it, or restore a backup from before the upgrade"
        )
    # Without Alembic's environment file: the transaction is the caller's, and nothing else needs setting up.
    context = MigrationContext.configure(connection)
    for step in reversed(list(steps.iterate_revisions(target, current or "base"))):
        with Operations.context(context):
            step.module.upgrade()
        context.stamp(steps, step.revision)
