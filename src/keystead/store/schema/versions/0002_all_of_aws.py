"""Keys by Region and id, grants, import offers and custom key stores.

The primary key of ``keys`` changes, and with it every table that refers to it: each is laid anew beside the
old one, its rows are copied, the old one is dropped and the new one takes its name. A row whose key is not
there is copied too, to a Region without a name: the check of all references after the upgrade finds it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

COPIES = (
    """
    INSERT INTO keys_new (
        id, account, region, spec, usage, state, created, description, policy, origin, current_version, expires,
        deletion_date, deletion_window_days, rotation_period_days, next_rotation, rotations_on_demand, members,
        key_store, outer_key
    )
    SELECT
        id, account, region, spec, usage, state, created, description, policy, 'AWS_KMS', current_version, NULL,
        deletion_date, NULL, rotation_period_days, next_rotation, rotations_on_demand, '[]', '', ''
    FROM keys
    """,
    """
    INSERT INTO versions_new (
        region, key_id, number, handle, material_id, created, rotation, rotated, public_key, valid_to, description
    )
    SELECT
        COALESCE(keys.region, ''), key_id, number, handle, material_id, versions.created, rotation,
        CASE WHEN rotation <> 'FIRST' THEN versions.created END, '', NULL, ''
    FROM versions LEFT JOIN keys ON keys.id = versions.key_id
    """,
    """
    INSERT INTO aliases_new (account, region, name, key_id, created, updated)
    SELECT account, region, name, key_id, created, updated FROM aliases
    """,
    """
    INSERT INTO tags_new (region, key_id, name, value)
    SELECT COALESCE(keys.region, ''), key_id, name, value FROM tags LEFT JOIN keys ON keys.id = tags.key_id
    """,
    # The feed names a key by its Region as well.
    """
    UPDATE changes SET ref = (SELECT keys.region || '/' || keys.id FROM keys WHERE keys.id = changes.ref)
    WHERE kind = 'key' AND ref IN (SELECT id FROM keys)
    """,
)


def upgrade() -> None:
    """Lay the new tables, and move the rows of four old ones."""
    _replace_tables()
    _add_tables()
    for name, table, columns, condition in (
        ("keys_listed", "keys", ["account", "region", "id"], "state <> 'Destroyed'"),
        ("keys_to_destroy", "keys", ["deletion_date", "region", "id"], "state = 'PendingDeletion'"),
        (
            "keys_to_rotate",
            "keys",
            ["next_rotation", "region", "id"],
            "state = 'Enabled' AND next_rotation IS NOT NULL",
        ),
        (
            "keys_to_expire",
            "keys",
            ["expires", "region", "id"],
            "expires IS NOT NULL AND state <> 'Destroyed'",
        ),
        ("keys_in_store", "keys", ["key_store", "id"], "key_store <> '' AND state <> 'Destroyed'"),
        ("grants_of_principal", "grants", ["grantee", "region", "key_id", "id"], "grantee <> ''"),
        (
            "grants_of_service",
            "grants",
            ["region", "key_id", "grantee_service", "id"],
            "grantee_service <> ''",
        ),
        ("grants_retired_by_principal", "grants", ["retiring", "region", "id"], "retiring <> ''"),
        (
            "grants_retired_by_service",
            "grants",
            ["retiring_service", "region", "id"],
            "retiring_service <> ''",
        ),
    ):
        where = sa.text(condition)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
    op.create_index("aliases_of_key", "aliases", ["key_id", "account", "region", "name"])
    op.create_index("import_offers_by_end", "import_offers", ["valid_to", "id"])
    op.create_index("key_stores_listed", "key_stores", ["account", "region", "id"])


def _replace_tables() -> None:
    """Everything of a key is named by its Region, too."""
    op.create_table(
        "keys_new",
        sa.Column("id", NAME, nullable=False),
        sa.Column("account", NAME, nullable=False),
        sa.Column("region", NAME, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("usage", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("current_version", sa.Integer, nullable=False),
        sa.Column("expires", sa.Double),
        sa.Column("deletion_date", sa.Double),
        sa.Column("deletion_window_days", sa.Integer),
        sa.Column("rotation_period_days", sa.Integer),
        sa.Column("next_rotation", sa.Double),
        sa.Column("rotations_on_demand", sa.Integer, nullable=False),
        sa.Column("members", sa.Text, nullable=False),
        sa.Column("key_store", NAME, nullable=False),
        sa.Column("outer_key", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("region", "id"),
    )
    op.create_table(
        "versions_new",
        sa.Column("region", NAME, primary_key=True),
        sa.Column("key_id", NAME, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("handle", sa.Text, nullable=False),
        sa.Column("material_id", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("rotation", sa.Text, nullable=False),
        sa.Column("rotated", sa.Double),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("valid_to", sa.Double),
        sa.Column("description", sa.Text, nullable=False),
        _of_key("keys_new"),
    )
    op.create_table(
        "aliases_new",
        sa.Column("account", NAME, primary_key=True),
        sa.Column("region", NAME, primary_key=True),
        sa.Column("name", NAME, primary_key=True),
        sa.Column("key_id", NAME, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        _of_key("keys_new"),
    )
    op.create_table(
        "tags_new",
        sa.Column("region", NAME, primary_key=True),
        sa.Column("key_id", NAME, primary_key=True),
        sa.Column("name", NAME, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        _of_key("keys_new"),
    )
    for copy in COPIES:
        op.execute(copy)
    for table in ("versions", "aliases", "tags", "keys"):
        op.drop_table(table)
    # What refers to a table follows it to its new name.
    for table in ("keys", "versions", "aliases", "tags"):
        op.rename_table(f"{table}_new", table)


def _add_tables() -> None:
    """What there was nothing like before."""
    op.create_table(
        "grants",
        sa.Column("id", NAME, nullable=False),
        sa.Column("region", NAME, nullable=False),
        sa.Column("key_id", NAME, nullable=False),
        sa.Column("grantee", NAME, nullable=False),
        sa.Column("operations", sa.Text, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("retiring", NAME, nullable=False),
        sa.Column("grantee_service", NAME, nullable=False),
        sa.Column("retiring_service", NAME, nullable=False),
        sa.Column("context_equals", sa.Text, nullable=False),
        sa.Column("context_subset", sa.Text, nullable=False),
        sa.Column("source_arn", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("region", "key_id", "id"),
        _of_key("keys"),
    )
    op.create_table(
        "import_offers",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("region", NAME, nullable=False),
        sa.Column("key_id", NAME, nullable=False),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("algorithm", sa.Text, nullable=False),
        sa.Column("wrapping_spec", sa.Text, nullable=False),
        sa.Column("handle", sa.Text, nullable=False),
        sa.Column("valid_to", sa.Double, nullable=False),
    )
    op.create_table(
        "key_stores",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("account", NAME, nullable=False),
        sa.Column("region", NAME, nullable=False),
        *(
            sa.Column(name, sa.Double if name == "created" else sa.Text, nullable=False)
            for name in (
                "name",
                "kind",
                "created",
                "connection",
                "connection_error",
                "endpoint",
                "path",
                "connectivity",
                "vpc_service",
                "vpc_owner",
                "access_key_id",
                "protected",
                "cluster",
                "trust_anchor",
            )
        ),
    )


def _of_key(table: str) -> sa.ForeignKeyConstraint:
    """What ties a row to its key."""
    return sa.ForeignKeyConstraint(["region", "key_id"], [f"{table}.region", f"{table}.id"])
