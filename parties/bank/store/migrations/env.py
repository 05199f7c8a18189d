"""Alembic runs this inside the transaction that `migrate.upgrade` opened."""
from __future__ import annotations

from alembic import context

from parties.bank.store.migrate import VERSION_TABLE
from parties.bank.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA,
                  version_table=VERSION_TABLE)
context.run_migrations()
