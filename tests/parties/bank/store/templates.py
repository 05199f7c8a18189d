"""An upgraded, empty store for every test, made once and copied: migrating takes longer than most tests."""
from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from parties.bank.store import migrate
from parties.bank.store.engines import engine_of
from tests.parties.bank.store.postgres import Cluster

TEMPLATE = "upgraded"


@functools.cache
def _sqlite_template() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        address = f"sqlite:///{folder}/store.db"
        _upgrade(address)
        return (Path(folder) / "store.db").read_bytes()


def fresh_sqlite(folder: Path) -> str:
    """The address of a new store in a folder."""
    path = folder / "store.db"
    path.touch(mode=0o600)
    path.write_bytes(_sqlite_template())
    return f"sqlite:///{path}"


@functools.cache
def _postgresql_template(cluster: Cluster) -> str:
    cluster.execute(f"CREATE DATABASE {TEMPLATE}")
    _upgrade(cluster.url(TEMPLATE))
    return TEMPLATE


def fresh_postgresql(cluster: Cluster, name: str) -> str:
    """The address of a new database."""
    cluster.execute(f"CREATE DATABASE {name} TEMPLATE {_postgresql_template(cluster)}")
    return cluster.url(name)


def _upgrade(address: str) -> None:
    engine = engine_of(address)
    migrate.upgrade(engine)
    engine.dispose()
