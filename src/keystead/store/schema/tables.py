"""The tables, as they are now, for SQLite and PostgreSQL alike.

A column is called what the record's field is called, so `rows` needs no dictionary between the two. Names
that lists are ordered by are compared byte by byte in every database. Indexes hold what a query walks and
no more: a million keys, of which a handful await their deletion, give that index a handful of rows.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TextClause,
    text,
)

REVISION = "0003"
"""The newest revision in ``versions/``: what a store must be at to be used by this version."""

# PostgreSQL orders text by the language of the database unless told otherwise; SQLite never does.
NAME = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite counts by itself only in a column declared INTEGER, which holds 64 bits there.
NUMBER = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

keys = Table(
    "keys",
    metadata,
    Column("id", NAME, nullable=False),
    Column("account", NAME, nullable=False),
    Column("region", NAME, nullable=False),
    Column("spec", Text, nullable=False),
    Column("usage", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("description", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("current_version", Integer, nullable=False),
    Column("expires", Double),
    Column("deletion_date", Double),
    Column("deletion_window_days", Integer),
    Column("rotation_period_days", Integer),
    Column("next_rotation", Double),
    Column("rotations_on_demand", Integer, nullable=False),
    Column("members", Text, nullable=False),  # a JSON array
    Column("key_store", NAME, nullable=False),
    Column("outer_key", Text, nullable=False),
    PrimaryKeyConstraint("region", "id"),  # the members of a multi-Region key have one id
)

# The conditions are written out, not bound: a database uses such an index only for a query that has the
# same words. `statements` in the adapters take them from here.
NOT_DESTROYED = text("state <> 'Destroyed'")
PENDING_DELETION = text("state = 'PendingDeletion'")
ROTATED_BY_ITSELF = text("state = 'Enabled' AND next_rotation IS NOT NULL")
EXPIRING = text("expires IS NOT NULL AND state <> 'Destroyed'")
IN_STORE = text("key_store <> '' AND state <> 'Destroyed'")
FOR_PRINCIPAL = text("grantee <> ''")
FOR_SERVICE = text("grantee_service <> ''")
RETIRED_BY_PRINCIPAL = text("retiring <> ''")
RETIRED_BY_SERVICE = text("retiring_service <> ''")


def _partial(name: str, condition: TextClause, *columns: Column[Any]) -> None:
    """An index of the rows that fulfil a condition."""
    Index(name, *columns, sqlite_where=condition, postgresql_where=condition)


_partial("keys_listed", NOT_DESTROYED, keys.c.account, keys.c.region, keys.c.id)
_partial("keys_to_destroy", PENDING_DELETION, keys.c.deletion_date, keys.c.region, keys.c.id)
_partial("keys_to_rotate", ROTATED_BY_ITSELF, keys.c.next_rotation, keys.c.region, keys.c.id)
_partial("keys_to_expire", EXPIRING, keys.c.expires, keys.c.region, keys.c.id)
_partial("keys_in_store", IN_STORE, keys.c.key_store, keys.c.id)


def _of_key() -> ForeignKeyConstraint:
    """What ties a row to its key."""
    return ForeignKeyConstraint(["region", "key_id"], ["keys.region", "keys.id"])


# The primary key is what keeps a version's number from ever being used twice: rows are never deleted.
versions = Table(
    "versions",
    metadata,
    Column("region", NAME, primary_key=True),
    Column("key_id", NAME, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("handle", Text, nullable=False),
    Column("material_id", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("rotation", Text, nullable=False),
    Column("rotated", Double),
    Column("public_key", Text, nullable=False),
    Column("valid_to", Double),
    Column("description", Text, nullable=False),
    _of_key(),
)

aliases = Table(
    "aliases",
    metadata,
    Column("account", NAME, primary_key=True),
    Column("region", NAME, primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("key_id", NAME, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    _of_key(),
)
Index("aliases_of_key", aliases.c.key_id, aliases.c.account, aliases.c.region, aliases.c.name)

tags = Table(
    "tags",
    metadata,
    Column("region", NAME, primary_key=True),
    Column("key_id", NAME, primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("value", Text, nullable=False),
    _of_key(),
)

grants = Table(
    "grants",
    metadata,
    Column("id", NAME, nullable=False),
    Column("region", NAME, nullable=False),
    Column("key_id", NAME, nullable=False),
    Column("grantee", NAME, nullable=False),
    Column("operations", Text, nullable=False),  # a JSON array
    Column("issuer", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("name", Text, nullable=False),
    Column("retiring", NAME, nullable=False),
    Column("grantee_service", NAME, nullable=False),
    Column("retiring_service", NAME, nullable=False),
    Column("context_equals", Text, nullable=False),  # a JSON object
    Column("context_subset", Text, nullable=False),  # a JSON object
    Column("source_arn", Text, nullable=False),
    PrimaryKeyConstraint("region", "key_id", "id"),
    _of_key(),
)
_g = grants.c
_partial("grants_of_principal", FOR_PRINCIPAL, _g.grantee, _g.region, _g.key_id, _g.id)
_partial("grants_of_service", FOR_SERVICE, _g.region, _g.key_id, _g.grantee_service, _g.id)
_partial("grants_retired_by_principal", RETIRED_BY_PRINCIPAL, _g.retiring, _g.region, _g.id)
_partial("grants_retired_by_service", RETIRED_BY_SERVICE, _g.retiring_service, _g.region, _g.id)

import_offers = Table(
    "import_offers",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("region", NAME, nullable=False),
    Column("key_id", NAME, nullable=False),
    Column("principal", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("wrapping_spec", Text, nullable=False),
    Column("handle", Text, nullable=False),
    Column("valid_to", Double, nullable=False),
)
Index("import_offers_by_end", import_offers.c.valid_to, import_offers.c.id)

key_stores = Table(
    "key_stores",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("account", NAME, nullable=False),
    Column("region", NAME, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("connection", Text, nullable=False),
    Column("connection_error", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("connectivity", Text, nullable=False),
    Column("vpc_service", Text, nullable=False),
    Column("vpc_owner", Text, nullable=False),
    Column("access_key_id", Text, nullable=False),
    Column("protected", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("trust_anchor", Text, nullable=False),
)
Index("key_stores_listed", key_stores.c.account, key_stores.c.region, key_stores.c.id)

principals = Table(
    "principals",
    metadata,
    Column("arn", NAME, primary_key=True),
    Column("account", NAME, nullable=False),
    Column("name", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("policy", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("attached", Text, nullable=False),  # a JSON array
    Column("groups", Text, nullable=False),  # a JSON array
    Column("boundary", Text, nullable=False),
    Column("tags", Text, nullable=False),  # a JSON array of pairs
    Column("trust", Text, nullable=False),
    Column("session_seconds", Integer, nullable=False),
    Column("sessions_from", NUMBER, nullable=False),
    Column("mfa", Text, nullable=False),
    Column("mfa_step", Integer, nullable=False),
)
Index("principals_of_account", principals.c.account, principals.c.arn)

# What a principal's row says of its groups and of the policies over it, the other way round: from each of them
# to the principal. Written with every principal, so that nobody has to read all of them to find a few.
principal_links = Table(
    "principal_links",
    metadata,
    Column("kind", NAME, primary_key=True),  # what `ref` is the ARN of
    Column("ref", NAME, primary_key=True),
    Column("principal", NAME, ForeignKey("principals.arn"), primary_key=True),
)
Index("principal_links_of_principal", principal_links.c.principal)
GROUP_LINK = "group"
POLICY_LINK = "policy"

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

accounts = Table(
    "accounts",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created", Double, nullable=False),
)

declarations = Table(
    "declarations",
    metadata,
    Column("account", NAME, primary_key=True),
    Column("kind", NAME, primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("text", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
)

providers = Table(
    "providers",
    metadata,
    Column("arn", NAME, primary_key=True),
    Column("account", NAME, nullable=False),
    Column("url", Text, nullable=False),
    Column("audiences", Text, nullable=False),  # a JSON array
    Column("created", Double, nullable=False),
    Column("authorities", Text, nullable=False),
    Column("keys", Text, nullable=False),
    Column("fetched", Double, nullable=False),
)
Index("providers_of_account", providers.c.account, providers.c.arn)

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

# A subject is erased in its place, by texts of the same length: a row that is deleted makes the database move others,
# and moving leaves copies behind here and there, which nothing erases. For the same reason rows are only ever added at
# the end, and no index holds a value.
subjects = Table(
    "subjects",
    metadata,
    Column("commitment", NAME, primary_key=True),
    Column("lookup", NAME, nullable=False),
    Column("member", NAME, nullable=False),
    Column("value", Text, nullable=False),
    Column("salt", Text, nullable=False),
    Column("created", Double, nullable=False),
)
Index("subjects_by_value", subjects.c.lookup, unique=True)

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
