"""Insert a row unless its key is taken: one statement, so two writers cannot both win.

Each statement is compiled once and handed to the driver as text: every decision inserts half a dozen rows, and
SQLAlchemy's way from a statement to its execution takes more than twice as long as this.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

_INSERTS = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
Processor = Callable[[Any], Any] | None


@dataclass(frozen=True)
class _Insert:
    """`binds`: in the order of the text, each column and how its values become the driver's."""

    text: str
    binds: tuple[tuple[str, Processor], ...]
    by_name: bool

    def row(self, values: Mapping[str, Any]) -> Any:
        made = [values[name] if to is None else to(values[name]) for name, to in self.binds]
        return {name: value for (name, _), value in zip(self.binds, made, strict=True)} if self.by_name else tuple(made)


@lru_cache
def _compiled(table: Table, names: tuple[str, ...], dialect: Dialect) -> _Insert:
    """`inline`: the number that a row is given is not asked for."""
    statement = _INSERTS[dialect.name](table).on_conflict_do_nothing().inline()
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    order = compiled.positiontup if compiled.positional else names
    binds = tuple((name, table.c[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in order or ())
    return _Insert(str(compiled), binds, not compiled.positional)


def insert_all_new(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> int:
    """How many of the rows, all with the same columns, were new."""
    told = list(rows)
    insert = _compiled(table, tuple(told[0]), connection.dialect)
    return connection.exec_driver_sql(insert.text, [insert.row(values) for values in told]).rowcount


def insert_new(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Whether the row was new."""
    insert = _compiled(table, tuple(values), connection.dialect)
    return connection.exec_driver_sql(insert.text, insert.row(values)).rowcount == 1
