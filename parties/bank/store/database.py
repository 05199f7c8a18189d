"""The store: writes by group commit, reads beside them. It never migrates by itself."""
from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from parties.bank.store import migrate
from parties.bank.store.engines import engine_of, reading
from parties.bank.store.errors import Unreachable
from parties.bank.store.payloads import Payloads
from parties.bank.store.unit import Unit
from parties.bank.store.writer import Writer
from protocols.crypto.box import Box

_POSTGRESQL_WRITERS = 4
T = TypeVar("T")


class Store:
    """One database, for any thread; an event loop awaits `asyncio.wrap_future(store.submit(…))`."""

    def __init__(self, engine: Engine, payloads: Payloads):
        self._engine, self._payloads = engine, payloads
        self._reads = reading(engine)
        self._writer = Writer(engine, 1 if engine.dialect.name == "sqlite" else _POSTGRESQL_WRITERS)

    def submit(self, job: Callable[[Unit], T]) -> Future[T]:
        """Run `job` in a transaction; its result comes when that is durable. A job may run again after a deadlock, so
        it does nothing but use its unit."""
        return self._writer.submit(lambda connection: job(self._unit(connection, True)))

    def write(self, job: Callable[[Unit], T]) -> T:
        """`submit`, and wait."""
        return self.submit(job).result()

    def read(self, job: Callable[[Unit], T]) -> T:
        """Run `job` on what was committed last, in the caller's thread; what it would change is dropped."""
        try:
            with self._reads.connect() as connection:
                return job(self._unit(connection, False))
        except SQLAlchemyError as fault:
            raise Unreachable(f"the store cannot be read ({type(fault).__name__}); see that the database runs") \
                from None

    def close(self) -> None:
        """Finish what was submitted and give all connections back."""
        self._writer.close()
        self._engine.dispose()

    def _unit(self, connection: Connection, writable: bool) -> Unit:
        return Unit(connection, self._payloads, writable)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_store(address: str, home: Path | None = None, box: Box | None = None) -> Store:
    """The store at `address`: `sqlite:///FILE`, relative to `home`, or `postgresql+psycopg://…`. Records go into `box`.

    ConfigError when its tables are not those of this version: `sealscore bank store upgrade` makes them so.
    """
    engine = engine_of(address, home)
    try:
        migrate.check(engine)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, Payloads(box))
