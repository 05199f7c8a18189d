"""Revisions lead to the tables of tables.py; nothing migrates silently, half or backwards."""
from __future__ import annotations

import importlib.util
import stat
from datetime import datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.engine import Engine

from parties.bank.store import Unreachable, migrate, open_store
from parties.bank.store.customers import Customers
from parties.bank.store.engines import engine_of
from parties.bank.store.tables import METADATA
from protocols.errors import ConfigError
from tests.parties.bank.store.postgres import postgresql_url  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow  # processes, servers or many threads at once

for _owner in ("parties.bank.lending.tables",):  # whoever else has tables in METADATA
    if importlib.util.find_spec(_owner.rpartition(".")[0]) and importlib.util.find_spec(_owner):
        importlib.import_module(_owner)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path):
    address = f"sqlite:///{tmp_path}/home/store.db" if request.param == "sqlite" else \
        request.getfixturevalue("postgresql_url")
    engine = engine_of(address)
    yield engine
    engine.dispose()


def address_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def test_the_revisions_lead_to_the_tables(empty: Engine) -> None:
    assert migrate.upgrade(empty) == (None, migrate.head())
    assert migrate.upgrade(empty) == (migrate.head(), migrate.head())
    with empty.connect() as connection:
        options = {"version_table": migrate.VERSION_TABLE, "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), METADATA) == []


def test_customers_from_before_keep_what_is_known_of_them(empty: Engine) -> None:
    """Lateness is dated by the last activity: a review since then has seen it, an earlier one has not."""
    if empty.dialect.name == "sqlite":
        Path(str(empty.url.database)).parent.mkdir(mode=0o700)
    config = migrate._config()
    with empty.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(text(
            "INSERT INTO customers (person, limit_fen, worst_overdue_days, opened_at, active_at, reviewed_at) VALUES "
            "('new', 1, 0, 100, NULL, NULL), ('seen', 1, 9, 100, 200, 300), ('unseen', 1, 9, 100, 400, 300), "
            "('never', 1, 9, 100, 200, NULL)"))
    migrate.upgrade(empty)
    with empty.connect() as connection:
        found = {name: Customers(connection).get(name) for name in ("new", "seen", "unseen", "never")}
    assert {name: (*_ticks(one.looked_at, one.active_at, one.late_at), one.new_overdue_days)
            for name, one in found.items()} == {
        "new": (100, 100, None, 0),
        "seen": (300, 200, 200, 0), "unseen": (300, 400, 400, 9), "never": (100, 200, 200, 9)}


def _ticks(*times: datetime | None) -> tuple[int | None, ...]:
    return tuple(None if at is None else at.microsecond for at in times)


def test_an_empty_or_unknown_store_is_not_opened(empty: Engine) -> None:
    with pytest.raises(ConfigError, match="revision none, expected .*upgrade"):
        open_store(address_of(empty))
    migrate.upgrade(empty)
    with empty.begin() as connection:
        connection.execute(text(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999'"))
    for refused in (lambda: open_store(address_of(empty)), lambda: migrate.upgrade(empty)):
        with pytest.raises(ConfigError, match="9999, which this version does not know"):
            refused()


def test_looking_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        open_store("sqlite:///state/store.db", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_upgrade_leaves_nothing(empty: Engine) -> None:
    migrate.upgrade(empty)
    with empty.begin() as connection:
        connection.execute(text(f"DELETE FROM {migrate.VERSION_TABLE}"))
        for name in reversed([table.name for table in METADATA.sorted_tables]):
            if name != "switches":
                connection.execute(text(f"DROP TABLE {name}"))
    with pytest.raises(Unreachable, match="nothing was changed"):
        migrate.upgrade(empty)
    left = set(inspect(empty).get_table_names()) - {migrate.VERSION_TABLE}
    assert "decisions" not in left and "switches" in left


def test_the_file_is_for_nobody_else_and_syncs_every_commit(tmp_path: Path) -> None:
    engine = engine_of("sqlite:///state/store.db", tmp_path)
    migrate.upgrade(engine)
    assert stat.S_IMODE((tmp_path / "state" / "store.db").stat().st_mode) == 0o600
    with engine.connect() as connection:
        names = ("journal_mode", "synchronous")
        pragmas = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}
        assert pragmas == {"journal_mode": "wal", "synchronous": 2}
        assert stat.S_IMODE((tmp_path / "state" / "store.db-wal").stat().st_mode) == 0o600
    engine.dispose()


def test_a_server_that_answers_too_early_is_told_otherwise(postgresql_url: str) -> None:  # noqa: F811
    name = postgresql_url.rpartition("/")[2]
    engine = engine_of(postgresql_url)
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off")).connection.commit()
    engine.dispose()
    with engine.connect() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
    engine.dispose()


@pytest.mark.parametrize("address,sentence", [
    ("sqlite://", "needs a file"), ("sqlite:///:memory:", "needs a file"), ("sqlite:///a?mode=ro", "needs a file"),
    ("mysql://u:secret@h/d", "kind 'mysql'"), ("postgresql://u:secret@h/d", "kind 'postgresql'"),
    ("nonsense secret", "not one")])
def test_an_address_of_no_use_is_refused_without_its_password(address: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as refused:
        open_store(address)
    assert "secret" not in str(refused.value)


def test_a_database_that_is_not_there_is_told_without_its_password() -> None:
    with pytest.raises(Unreachable, match="cannot be opened") as refused:
        open_store("postgresql+psycopg://u:secret@127.0.0.1:1/d")
    assert "secret" not in str(refused.value)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database at all, but long enough to be looked at" * 50)
    with pytest.raises(Unreachable, match="cannot be opened"):
        open_store("sqlite:///store.db", tmp_path)
