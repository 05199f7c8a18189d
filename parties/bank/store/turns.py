"""Whose turn it is to write into a SQLite file: processes that wait are woken in their order.

SQLite itself lets a writer who finds the file locked sleep and try again, longer each time, so that among several busy
processes some wait for seconds. With a lock of the operating system (flock) they queue up, and a process that is
killed gives its turn up by that.
"""
from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy.engine import Engine


class Turns:
    """`with turns.take():` around a transaction that writes; a file `NAME-turn` beside the database, mode 0600."""

    def __init__(self, database: Path):
        self._file = os.open(f"{database}-turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Wait for the turn and give it back."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)


class NoTurns:
    """Of a database that has many writers."""

    def take(self) -> AbstractContextManager[None]:
        """At once."""
        return contextlib.nullcontext()

    def close(self) -> None:
        """Nothing is open."""


def turns_of(engine: Engine) -> Turns | NoTurns:
    """What writers of this database keep to."""
    return Turns(Path(str(engine.url.database))) if engine.dialect.name == "sqlite" else NoTurns()
