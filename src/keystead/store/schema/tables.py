"""The tables, as they are now, for SQLite and PostgreSQL alike.

A column is called what the record's field is called, so `rows` needs no dictionary between the two. Names
that lists are ordered by are compared byte by byte in every database. Indexes hold what a query walks and
no more: a million keys, of which a handful await their deletion, give that index a handful of rows.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)

REVISION = "0001"
"""The newest revision in ``versions/``: what a store must be at to be used by this version."""

# PostgreSQL orders text by the language of the database unless told otherwise; SQLite never does.
NAME = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite counts by itself only in a column declared INTEGER, which holds 64 bits there.
NUMBER = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

keys = Table(
    "keys",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("account", NAME, nullable=False),
    Column("region", NAME, nullable=False),
    Column("spec", Text, nullable=False),
    Column("usage", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("description", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("current_version", Integer, nullable=False),
    Column("deletion_date", Double),
    Column("rotation_period_days", Integer),
    Column("next_rotation", Double),
    Column("rotations_on_demand", Integer, nullable=False),
)

# The conditions are written out, not bound: a database uses such an index only for a query that has the
# same words. `statements` in the adapters take them from here.
NOT_DESTROYED = text("state <> 'Destroyed'")
PENDING_DELETION = text("state = 'PendingDeletion'")
ROTATED_BY_ITSELF = text("state = 'Enabled' AND next_rotation IS NOT NULL")

Index(
    "keys_listed",
    keys.c.account,
    keys.c.region,
    keys.c.id,
    sqlite_where=NOT_DESTROYED,
    postgresql_where=NOT_DESTROYED,
)
Index(
    "keys_to_destroy",
    keys.c.deletion_date,
    keys.c.id,
    sqlite_where=PENDING_DELETION,
    postgresql_where=PENDING_DELETION,
)
Index(
    "keys_to_rotate",
    keys.c.next_rotation,
    keys.c.id,
    sqlite_where=ROTATED_BY_ITSELF,
    postgresql_where=ROTATED_BY_ITSELF,
)

# The primary key is what keeps a version's number from ever being used twice: rows are never deleted.
versions = Table(
    "versions",
    metadata,
    Column("key_id", NAME, ForeignKey("keys.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("handle", Text, nullable=False),
    Column("material_id", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("rotation", Text, nullable=False),
)

aliases = Table(
    "aliases",
    metadata,
    Column("account", NAME, primary_key=True),
    Column("region", NAME, primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("key_id", NAME, ForeignKey("keys.id"), nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
)
Index("aliases_of_key", aliases.c.key_id, aliases.c.account, aliases.c.region, aliases.c.name)

tags = Table(
    "tags",
    metadata,
    Column("key_id", NAME, ForeignKey("keys.id"), primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("value", Text, nullable=False),
)

principals = Table(
    "principals",
    metadata,
    Column("arn", NAME, primary_key=True),
    Column("account", NAME, nullable=False),
    Column("name", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("policy", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
)
Index("principals_of_account", principals.c.account, principals.c.arn)

access_keys = Table(
    "access_keys",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("principal", NAME, ForeignKey("principals.arn"), nullable=False),
    Column("protected", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("enabled", Boolean, nullable=False),
)
Index("access_keys_of_principal", access_keys.c.principal, access_keys.c.id)

account_keys = Table(
    "account_keys",
    metadata,
    Column("account", NAME, primary_key=True),
    Column("wrapped", Text, nullable=False),
)

seal_slots = Table(
    "seal_slots",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("parameters", Text, nullable=False),  # a JSON object
    Column("wrapped", Text, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("value", Text, nullable=False),
)

# `seq` is the epoch. AUTOINCREMENT, because a number must not come back after its row was pruned.
changes = Table(
    "changes",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("request", NAME, nullable=False),
    Column("at", Double, nullable=False),
    sqlite_autoincrement=True,
)
Index("changes_of_request", changes.c.request)
