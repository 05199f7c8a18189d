"""The loan book is tested on SQLite and on PostgreSQL, as the store is."""
from __future__ import annotations

from tests.parties.bank.store.conftest import store, url  # noqa: F401 - fixtures
from tests.parties.bank.store.postgres import postgresql_url  # noqa: F401 - a fixture
