"""All that one run must not forget, in one SQLite file (mode 0600): facts, outbox, handled messages.

A step of a role is one transaction: the message it handled, the state it left and the messages it wants to send are
written together or not at all. After a crash the same bytes are sent again, so no mask ever covers two values.
"""
from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from parties.runtime.link_store import Outgoing
from protocols.errors import SealscoreError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (
  seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, round INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS handled (seq INTEGER PRIMARY KEY, digest BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


class RunStore:
    """The file of one run towards one peer. Thread-safe; it is the `LinkStore` of the run's link."""

    def __init__(self, path: Path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # large pages: messages are megabytes, half the time; secure_delete overwrites what is erased
        for pragma in ("page_size=32768", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            self._db.execute(f"PRAGMA {pragma}").close()
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    # facts

    def get(self, name: str) -> bytes | None:
        """A fact, or None."""
        with self._lock:
            row = self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def put(self, name: str, value: bytes) -> None:
        """Write a fact."""
        self.commit({name: value})

    def commit(
        self,
        facts: dict[str, bytes | None],
        outgoing: Iterable[tuple[str, int, bytes]] = (),
        handled: tuple[int, bytes] | None = None,
    ) -> None:
        """One transaction: facts (None removes), messages (kind, round, payload) to send, (seq, digest) handled."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._write(facts, outgoing, handled)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def erase(self, names: Iterable[str], *, outbox: bool) -> None:
        """Overwrite facts, and with `outbox` all that was to be sent, in the file and in its journal."""
        with self._lock:
            self.commit(dict.fromkeys(names))
            if outbox:
                self.trim(self.last_sequence())
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()

    def _write(self, facts: dict, outgoing: Iterable, handled: tuple[int, bytes] | None) -> None:
        for name, value in facts.items():
            if value is None:
                self._db.execute("DELETE FROM fact WHERE name = ?", (name,))
            else:
                self._db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))
        for kind, number, payload in outgoing:
            seq = self.last_sequence() + 1
            self._db.execute("INSERT INTO outbox VALUES (?, ?, ?, ?)", (seq, kind, number, payload))
            self._db.execute("INSERT OR REPLACE INTO mark VALUES ('outbox', ?)", (seq,))
        if handled is not None:
            if handled[0] != self.last_handled() + 1:
                raise SealscoreError(f"message {handled[0]} was to be recorded after message {self.last_handled()}")
            self._db.execute("INSERT INTO handled VALUES (?, ?)", handled)

    # LinkStore

    def next_outgoing(self, after: int) -> Outgoing | None:
        """The row with the lowest seq above `after`, or None."""
        query = "SELECT seq, kind, round, payload FROM outbox WHERE seq > ? ORDER BY seq LIMIT 1"
        with self._lock:
            row = self._db.execute(query, (after,)).fetchone()
        return None if row is None else Outgoing(*row)

    def last_sequence(self) -> int:
        """The highest seq ever put into the outbox."""
        with self._lock:
            row = self._db.execute("SELECT value FROM mark WHERE name = 'outbox'").fetchone()
        return 0 if row is None else row[0]

    def trim(self, through: int) -> None:
        """The peer has handled everything up to `through`."""
        with self._lock:
            self._db.execute("DELETE FROM outbox WHERE seq <= ?", (through,))

    def last_handled(self) -> int:
        """The highest seq of the peer whose effect is durable here."""
        with self._lock:
            return self._db.execute("SELECT COALESCE(MAX(seq), 0) FROM handled").fetchone()[0]

    def handled_digest(self, seq: int) -> bytes | None:
        """The digest recorded with a handled message."""
        with self._lock:
            row = self._db.execute("SELECT digest FROM handled WHERE seq = ?", (seq,)).fetchone()
        return None if row is None else row[0]
