"""The online store: by model and token, sealed features. SQLite in the node's state by default, Redis by URL.

A refresh replaces all of a model at once: readers see the old or the new features, never some of both.
"""
from __future__ import annotations

import contextlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
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
_READ_S, _WRITE_S = 0.5, 30.0  # waits for Redis
_PAUSE_S = 1.0
_DRAFT_S = 3600


class StoreUnavailable(SealscoreError):
    """A server that keeps features does not answer, or refuses; nothing was read or replaced."""


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
    """A hash of each model's people; a refresh fills another one and renames it.

    Reading waits `_READ_S` at most, because an applicant waits, and then `_PAUSE_S` pass before the server is asked
    again: calls that queue up behind a dead server are answered at once.
    """

    def __init__(self, address: str):
        try:
            import redis
        except ImportError:
            raise ConfigError("scoring.store names a Redis server; install the extra: pip install "
                              "'sealscore[redis]'") from None
        self._faults = redis
        self._pause_ends = 0.0
        try:
            self._reader = _client(redis, address, _READ_S)
            self._writer = _client(redis, address, _WRITE_S)
            self._asked(self._writer.ping)
        except (TypeError, ValueError):  # its text would show part of the address
            raise ConfigError("scoring.store: expected redis://USER:PASSWORD@HOST:PORT/DB with %-encoded signs in the "
                              "password, or rediss://… with the options of redis-py; correct the address") from None

    def replace(self, model: str, snapshot: str, rows: Iterable[tuple[bytes, bytes]]) -> int:
        """Rename is atomic; the snapshot's name stands in the same transaction."""
        return self._asked(lambda: self._replace(model, snapshot, rows))

    def _replace(self, model: str, snapshot: str, rows: Iterable[tuple[bytes, bytes]]) -> int:
        draft, people = f"{_key(model)}:draft:{secrets.token_hex(8)}", 0
        remaining = iter(rows)
        try:
            while part := dict(islice(remaining, _WRITE_ROWS)):
                self._add(draft, part)
                people += len(part)
            self._put(model, snapshot, draft, people)
        except BaseException:
            with contextlib.suppress(self._faults.RedisError):  # its time to live ends it too
                self._writer.unlink(draft)
            raise
        return people

    def _add(self, draft: str, part: dict[bytes, bytes]) -> None:
        with self._writer.pipeline(transaction=True) as together:
            together.hset(draft, mapping=part)
            together.expire(draft, _DRAFT_S)  # a refresh that was killed leaves nothing for good
            together.execute()

    def _put(self, model: str, snapshot: str, draft: str, people: int) -> None:
        with self._writer.pipeline(transaction=True) as together:
            together.unlink(_key(model))  # freed in the background: a rename onto it would make readers wait
            if people:
                together.rename(draft, _key(model))
                together.persist(_key(model))
            together.set(f"{_key(model)}:snapshot", snapshot)
            together.execute()

    def get(self, model: str, tokens: Sequence[bytes]) -> list[bytes | None]:
        """One round trip."""
        return self._read(lambda: self._reader.hmget(_key(model), list(tokens))) if tokens else []

    def snapshot(self, model: str) -> str | None:
        """Of the newest refresh."""
        name = self._read(lambda: self._reader.get(f"{_key(model)}:snapshot"))
        return None if name is None else name.decode()

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()
        self._writer.close()

    def _read(self, call: Callable[[], Any]) -> Any:
        if time.monotonic() < self._pause_ends:
            raise StoreUnavailable("the Redis server of scoring.store did not answer just now; it is asked again soon")
        try:
            return self._asked(call)
        except StoreUnavailable:
            self._pause_ends = time.monotonic() + _PAUSE_S
            raise

    def _asked(self, call: Callable[[], Any]) -> Any:
        """The server's texts stay out of errors: they may repeat what was sent."""
        try:
            return call()
        except self._faults.AuthenticationError:
            raise StoreUnavailable("the Redis server of scoring.store refuses this user and password; correct the "
                                   "address, or the server's users") from None
        except (self._faults.ConnectionError, self._faults.TimeoutError) as fault:
            raise StoreUnavailable(f"the Redis server of scoring.store does not answer ({type(fault).__name__}); check "
                                   "that it runs, the address and, with rediss://, the certificates") from None
        except self._faults.RedisError as fault:
            raise StoreUnavailable(f"the Redis server of scoring.store refuses a command ({type(fault).__name__}); "
                                   "check its log, its memory and what its user may do") from None


def _client(redis: Any, address: str, within_s: float) -> Any:
    """Tries once more at once: a connection that stood idle may have been cut."""
    once_more = redis.retry.Retry(redis.backoff.NoBackoff(), 1)
    return redis.Redis.from_url(address, socket_timeout=within_s, socket_connect_timeout=min(within_s, 5.0),
                                retry=once_more)


def _key(model: str) -> str:
    return f"sealscore:features:{model}"
