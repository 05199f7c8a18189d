"""Every test of a repository runs on SQLite and on PostgreSQL."""
from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from parties.bank.store import Store, open_store
from tests.parties.bank.store.postgres import cluster, postgresql_url  # noqa: F401 - a fixture
from tests.parties.bank.store.templates import fresh_postgresql, fresh_sqlite


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an upgraded, empty store."""
    if request.param == "sqlite":
        yield fresh_sqlite(tmp_path)
        return
    server = cluster()
    if server is None:
        pytest.skip("PostgreSQL is not installed here (no initdb in /usr/lib/postgresql/*/bin or on PATH)")
    name = f"t_{uuid.uuid4().hex}"
    yield fresh_postgresql(server, name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Open."""
    with open_store(url) as opened:
        yield opened
