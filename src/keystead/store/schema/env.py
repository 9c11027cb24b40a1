"""Where Alembic starts. It is handed an open transaction, and neither begins nor ends one itself."""

from alembic import context

from keystead.store.schema.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
