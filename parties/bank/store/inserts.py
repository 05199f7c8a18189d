"""Insert a row unless its key is taken: one statement, so two writers cannot both win."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

_INSERTS = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@lru_cache
def _statement(table: Table, dialect: str) -> Any:
    return _INSERTS[dialect](table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)


def insert_all_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """How many of the rows were new."""
    return connection.execute(_statement(table, connection.dialect.name), rows).rowcount


def insert_new(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Whether the row was new."""
    return connection.execute(_statement(table, connection.dialect.name), values).rowcount == 1
