"""The first schema. A migration is history: it repeats the tables of its day and imports none of today's."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Lay the tables."""
    op.create_table(
        "keys",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("account", NAME, nullable=False),
        sa.Column("region", NAME, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("usage", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("current_version", sa.Integer, nullable=False),
        sa.Column("deletion_date", sa.Double),
        sa.Column("rotation_period_days", sa.Integer),
        sa.Column("next_rotation", sa.Double),
        sa.Column("rotations_on_demand", sa.Integer, nullable=False),
    )
    for name, columns, condition in (
        ("keys_listed", ["account", "region", "id"], "state <> 'Destroyed'"),
        ("keys_to_destroy", ["deletion_date", "id"], "state = 'PendingDeletion'"),
        ("keys_to_rotate", ["next_rotation", "id"], "state = 'Enabled' AND next_rotation IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(name, "keys", columns, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "versions",
        sa.Column("key_id", NAME, sa.ForeignKey("keys.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("handle", sa.Text, nullable=False),
        sa.Column("material_id", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("rotation", sa.Text, nullable=False),
    )
    op.create_table(
        "aliases",
        sa.Column("account", NAME, primary_key=True),
        sa.Column("region", NAME, primary_key=True),
        sa.Column("name", NAME, primary_key=True),
        sa.Column("key_id", NAME, sa.ForeignKey("keys.id"), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
    )
    op.create_index("aliases_of_key", "aliases", ["key_id", "account", "region", "name"])
    op.create_table(
        "tags",
        sa.Column("key_id", NAME, sa.ForeignKey("keys.id"), primary_key=True),
        sa.Column("name", NAME, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "principals",
        sa.Column("arn", NAME, primary_key=True),
        sa.Column("account", NAME, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
    )
    op.create_index("principals_of_account", "principals", ["account", "arn"])
    op.create_table(
        "access_keys",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("principal", NAME, sa.ForeignKey("principals.arn"), nullable=False),
        sa.Column("protected", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
    )
    op.create_index("access_keys_of_principal", "access_keys", ["principal", "id"])
    op.create_table(
        "account_keys",
        sa.Column("account", NAME, primary_key=True),
        sa.Column("wrapped", sa.Text, nullable=False),
    )
    op.create_table(
        "seal_slots",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("wrapped", sa.Text, nullable=False),
    )
    op.create_table(
        "settings",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "changes",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("request", NAME, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("changes_of_request", "changes", ["request"])
