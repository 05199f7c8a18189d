"""The online store: by model and token, sealed features. SQLite in the node's state by default, Redis by URL.

A refresh replaces all of a model at once: readers see the old or the new features, never some of both.
"""
from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from parties.runtime.files import make_private
from protocols.errors import ConfigError, SealscoreError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS features (
  model TEXT NOT NULL, token BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (model, token)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshot (model TEXT PRIMARY KEY, name TEXT NOT NULL, people INTEGER NOT NULL);
"""
_WRITE_ROWS = 1000


class OnlineStore(Protocol):
    """What both kinds can do. Thread-safe."""

    def replace(self, model: str, snapshot: str, rows: Iterable[tuple[bytes, bytes]]) -> int:
        """Put (token, sealed features) in the place of all that was there of a model; the number of people."""

    def get(self, model: str, tokens: Sequence[bytes]) -> list[bytes | None]:
        """Sealed features of each token, None where there are none."""

    def snapshot(self, model: str) -> str | None:
        """Name of the newest refresh of a model; None before the first."""

    def close(self) -> None:
        """Give it up."""


def open_store(where: str, home: Path) -> OnlineStore:
    """`where`: a file, relative to `home`, or redis://HOST:PORT/DB; ConfigError for another kind of address."""
    if where.startswith(("redis://", "rediss://", "unix://")):
        return RedisStore(where)
    if "://" in where:
        raise ConfigError(f"scoring.store: expected a file or an address redis://…, got {where.split('://')[0]}://…")
    return SqliteStore(home / where)


class SqliteStore:
    """One file of mode 0600 in WAL mode: a refresh does not stop readers."""

    def __init__(self, path: Path):
        make_private(path)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):  # a refresh can be made again
            self._db.execute(f"PRAGMA {pragma}").close()
        self._db.executescript(_SCHEMA)

    def replace(self, model: str, snapshot: str, rows: Iterable[tuple[bytes, bytes]]) -> int:
        """All in one transaction."""
        people = 0
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.execute("DELETE FROM features WHERE model = ?", (model,))
                for token, value in rows:
                    self._db.execute("INSERT INTO features VALUES (?, ?, ?)", (model, token, value))
                    people += 1
                self._db.execute("INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?)", (model, snapshot, people))
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        return people

    def get(self, model: str, tokens: Sequence[bytes]) -> list[bytes | None]:
        """One query."""
        marks = ", ".join("?" * len(tokens))
        query = f"SELECT token, value FROM features WHERE model = ? AND token IN ({marks})"
        with self._lock:
            found = dict(self._db.execute(query, (model, *tokens)).fetchall())
        return [found.get(token) for token in tokens]

    def snapshot(self, model: str) -> str | None:
        """Of the newest refresh."""
        with self._lock:
            row = self._db.execute("SELECT name FROM snapshot WHERE model = ?", (model,)).fetchone()
        return None if row is None else row[0]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


class RedisStore:
    """A hash of each model's people; a refresh fills another one and renames it."""

    def __init__(self, address: str):
        try:
            import redis
        except ImportError:
            raise ConfigError("scoring.store names a Redis server; install the extra: pip install "
                              "'sealscore[redis]'") from None
        self._fault = redis.RedisError
        self._client: Any = redis.Redis.from_url(address, socket_timeout=30, socket_connect_timeout=5)
        self._asked(self._client.ping)

    def replace(self, model: str, snapshot: str, rows: Iterable[tuple[bytes, bytes]]) -> int:
        """Rename is atomic; the snapshot's name stands in the same transaction."""
        return self._asked(lambda: self._replace(model, snapshot, rows))

    def _replace(self, model: str, snapshot: str, rows: Iterable[tuple[bytes, bytes]]) -> int:
        draft, people = f"{_key(model)}:draft:{snapshot}", 0
        self._client.delete(draft)
        remaining = iter(rows)
        try:
            while part := dict(islice(remaining, _WRITE_ROWS)):
                self._client.hset(draft, mapping=part)
                people += len(part)
        except BaseException:
            self._client.delete(draft)
            raise
        with self._client.pipeline(transaction=True) as together:
            together.rename(draft, _key(model)) if people else together.delete(_key(model))
            together.set(f"{_key(model)}:snapshot", snapshot)
            together.execute()
        return people

    def get(self, model: str, tokens: Sequence[bytes]) -> list[bytes | None]:
        """One round trip."""
        return self._asked(lambda: self._client.hmget(_key(model), list(tokens)))

    def snapshot(self, model: str) -> str | None:
        """Of the newest refresh."""
        name = self._asked(lambda: self._client.get(f"{_key(model)}:snapshot"))
        return None if name is None else name.decode()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _asked(self, call: Any) -> Any:
        try:
            return call()
        except self._fault as fault:
            raise SealscoreError(f"the Redis server of scoring.store does not answer ({type(fault).__name__}); check "
                                 "that it runs and the address") from None


def _key(model: str) -> str:
    return f"sealscore:features:{model}"
