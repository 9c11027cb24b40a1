"""The schema: the tables, the steps that led to them, and how a record becomes a row.

``tables.py`` says what the tables are now. ``versions/`` holds one migration for every change they went
through, run by Alembic. ``rows.py`` turns rows into the records of ``core`` and back.

Nothing here belongs to one database: the same tables are laid out in SQLite and in PostgreSQL.
"""
