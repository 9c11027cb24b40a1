"""Accounts, what principals may be and do, declarations, identity providers and subjects of the audit.

A principal's new columns have a value in every row, so its table is laid anew like those of 0002, and with it the
one that refers to it. Every account that has a key-encryption key becomes an account with a name; the service's own,
twelve zeros, is none of these.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

COPIES = (
    """
    INSERT INTO principals_new (
        arn, account, name, created, policy, enabled, attached, groups, boundary, tags, trust, session_seconds,
        sessions_from, mfa, mfa_step
    )
    SELECT arn, account, name, created, policy, enabled, '[]', '[]', '', '[]', '', 3600, 0, '', 0 FROM principals
    """,
    """
    INSERT INTO access_keys_new (id, principal, protected, created, enabled)
    SELECT id, principal, protected, created, enabled FROM access_keys
    """,
    # When an account was made is not known any more.
    """
    INSERT INTO accounts (id, name, created)
    SELECT account, CASE WHEN account = settings.value THEN 'main' ELSE account END, 0
    FROM account_keys LEFT JOIN settings ON settings.name = 'account'
    WHERE account <> '000000000000'
    """,
)


def upgrade() -> None:
    """Lay the new tables, and move the rows of two old ones."""
    op.create_table(
        "principals_new",
        sa.Column("arn", NAME, primary_key=True),
        sa.Column("account", NAME, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("attached", sa.Text, nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("boundary", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("trust", sa.Text, nullable=False),
        sa.Column("session_seconds", sa.Integer, nullable=False),
        sa.Column("sessions_from", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mfa", sa.Text, nullable=False),
        sa.Column("mfa_step", sa.Integer, nullable=False),
    )
    op.create_table(
        "access_keys_new",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("principal", NAME, sa.ForeignKey("principals_new.arn"), nullable=False),
        sa.Column("protected", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
    )
    _add_tables()
    for copy in COPIES:
        op.execute(copy)
    for table in ("access_keys", "principals"):
        op.drop_table(table)
    # What refers to a table follows it to its new name.
    for table in ("principals", "access_keys"):
        op.rename_table(f"{table}_new", table)
    op.create_table(
        "principal_links",
        sa.Column("kind", NAME, primary_key=True),
        sa.Column("ref", NAME, primary_key=True),
        sa.Column("principal", NAME, sa.ForeignKey("principals.arn"), primary_key=True),
    )
    op.create_index("principals_of_account", "principals", ["account", "arn"])
    op.create_index("principal_links_of_principal", "principal_links", ["principal"])
    op.create_index("access_keys_of_principal", "access_keys", ["principal", "id"])
    op.create_index("providers_of_account", "providers", ["account", "arn"])
    op.create_index("subjects_by_value", "subjects", ["lookup"], unique=True)


def _add_tables() -> None:
    """What there was nothing like before."""
    op.create_table(
        "accounts",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_table(
        "declarations",
        sa.Column("account", NAME, primary_key=True),
        sa.Column("kind", NAME, primary_key=True),
        sa.Column("name", NAME, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
    )
    op.create_table(
        "providers",
        sa.Column("arn", NAME, primary_key=True),
        sa.Column("account", NAME, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("audiences", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("authorities", sa.Text, nullable=False),
        sa.Column("keys", sa.Text, nullable=False),
        sa.Column("fetched", sa.Double, nullable=False),
    )
    op.create_table(
        "subjects",
        sa.Column("commitment", NAME, primary_key=True),
        sa.Column("lookup", NAME, nullable=False),
        sa.Column("member", NAME, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("salt", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
