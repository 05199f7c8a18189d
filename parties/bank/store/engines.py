"""Database addresses and connections: SQLite by default, PostgreSQL by URL; both keep what they have acknowledged."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from protocols.errors import ConfigError

BUSY_MS = 15_000
_HINT = "expected sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"


def engine_of(address: str, home: Path | None = None) -> Engine:
    """An engine; a SQLite file is relative to `home` and of mode 0600. ConfigError for an address that is of no use."""
    url = _checked(address, home or Path.cwd())
    try:
        engine = create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite", hide_parameters=True)
    except ModuleNotFoundError:
        raise ConfigError("a store on PostgreSQL needs psycopg; install sealscore[postgresql]") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_settings)
        # not a listener: an engine that has one asks for listeners before and after every statement
        engine.dialect.do_begin = _sqlite_begin  # type: ignore[method-assign]
    else:
        event.listen(engine, "connect", _postgresql_settings)
    return engine


def reading(engine: Engine) -> Engine:
    """The same database for transactions that only read: on SQLite they wait for no writer."""
    reads = engine.execution_options()
    if engine.dialect.name == "sqlite":
        event.listen(reads, "begin", _sqlite_begin_reading)
    return reads


def shown(engine: Engine) -> str:
    """The address without its password."""
    return engine.url.render_as_string(hide_password=True)


def _checked(address: str, home: Path) -> URL:
    try:
        url = make_url(address)
    except ArgumentError:
        raise ConfigError(f"the store's address is not one; {_HINT}") from None
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        if not url.database or url.database == ":memory:" or url.query:
            raise ConfigError("a SQLite store needs a file and no options; " + _HINT)
        return url.set(database=str(home / Path(url.database)))
    if url.drivername != "postgresql+psycopg":
        raise ConfigError(f"the store cannot be of kind {url.drivername[:40]!r}; {_HINT}")
    return url


def _sqlite_settings(connection: Any, _record: Any) -> None:
    """WAL with a sync at every commit: an acknowledged transaction survives a kill and a power cut."""
    connection.isolation_level = None  # the driver would begin too late
    settings = (f"busy_timeout={BUSY_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON",
                "secure_delete=ON")
    for pragma in settings:
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(connection: Any) -> None:
    """With the lock at once, unless it was begun to read."""
    if not connection.driver_connection.in_transaction:
        connection.driver_connection.execute("BEGIN IMMEDIATE")


def _sqlite_begin_reading(connection: Connection) -> None:
    connection.connection.driver_connection.execute("BEGIN")


def _postgresql_settings(connection: Any, _record: Any) -> None:
    """A server that was told to answer before it has written is told otherwise."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('synchronous_commit', 'on', false) "
                       "WHERE current_setting('synchronous_commit') = 'off'")
    connection.commit()
