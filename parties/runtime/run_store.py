"""All that one run must not forget, in one SQLite file (mode 0600): facts, outbox, handled messages.

Facts and messages are sealed under a key of the run (`protocols/node/at_rest.py`), each under its own name: keys,
seeds, shares, coefficients and rows stand in no file. How the run stands is readable, and bulks are encrypted or masked
already.

A step of a role is one transaction: the message it handled, the state it left and the messages it wants to send are
written together or not at all. After a crash the same bytes are sent again, so no mask ever covers two values.
"""
from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from parties.runtime.files import make_private
from parties.runtime.link_store import Outgoing
from protocols.crypto.box import Box
from protocols.errors import SealscoreError, TrustError
from protocols.node.at_rest import is_open

STEPS = "egress.steps"  # a fact: how many steps of the run sent something
_SCHEMA = """
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (
  peer TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, round INTEGER NOT NULL, payload BLOB NOT NULL,
  slot TEXT, PRIMARY KEY (peer, seq));
CREATE TABLE IF NOT EXISTS handled (
  peer TEXT NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (peer, seq));
CREATE TABLE IF NOT EXISTS sent (peer TEXT PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS bulk (
  slot TEXT PRIMARY KEY, receivers TEXT NOT NULL, contributors TEXT NOT NULL, payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS referring ON outbox (slot) WHERE slot NOT NULL;
CREATE TEMP TABLE acknowledged (peer TEXT PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TEMP VIEW due AS SELECT outbox.* FROM outbox LEFT JOIN acknowledged USING (peer)
  WHERE outbox.seq > COALESCE(acknowledged.seq, 0);
"""


@dataclass(frozen=True, repr=False)
class Send:
    """One message towards a peer, to be put into the outbox; with `slot` it only refers to that bulk."""

    peer: str
    kind: str
    round: int
    payload: bytes
    slot: str | None = None


@dataclass(frozen=True, repr=False)
class StoredBulk:
    """A payload that goes to the hub once and stays here until every message that refers to it was acknowledged."""

    slot: str
    receivers: tuple[str, ...]
    contributors: tuple[str, ...]
    payload: bytes


@dataclass(frozen=True)
class Handled:
    """A peer's message whose effect is recorded in the same transaction."""

    peer: str
    seq: int
    digest: bytes


class RunStore:
    """The file of one run. Thread-safe; `towards(peer)` is the `LinkStore` of the link to that peer."""

    def __init__(self, path: Path, box: Box):
        """`box` is the run's own (`run_box`)."""
        make_private(path)
        self._box = box
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # large pages: messages are megabytes, half the time; secure_delete overwrites what is erased
        for pragma in ("page_size=32768", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON",
                       "temp_store=MEMORY"):
            self._db.execute(f"PRAGMA {pragma}").close()
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    # facts

    def has(self, name: str) -> bool:
        """Whether there is such a fact, without reading it."""
        return self.row("SELECT 1 FROM fact WHERE name = ?", name) is not None

    def get(self, name: str) -> bytes | None:
        """A fact, or None."""
        with self._lock:
            row = self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return None if row is None else self._opened_fact(name, row[0])

    def put(self, name: str, value: bytes) -> None:
        """Write a fact."""
        self.commit({name: value})

    def commit(
        self,
        facts: dict[str, bytes | None],
        outgoing: Iterable[Send] = (),
        handled: Iterable[Handled] = (),
        bulks: Iterable[StoredBulk] = (),
    ) -> None:
        """One transaction: facts (None removes one and its pieces, NAME/…), messages to send, what they refer to, and
        what was handled."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._write(facts, outgoing, handled, bulks)
                self._remove_acknowledged()
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def erase(self, names: Iterable[str], *, outbox: bool) -> None:
        """Overwrite facts, and with `outbox` all that was to be sent, in the file and in its journal."""
        with self._lock:
            self.commit(dict.fromkeys(names))
            if outbox:
                self._db.execute("DELETE FROM outbox")
                self._db.execute("DELETE FROM bulk")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()

    def _write(
        self, facts: dict, outgoing: Iterable[Send], handled: Iterable[Handled], bulks: Iterable[StoredBulk]
    ) -> None:
        for name, value in facts.items():
            if value is None:
                self._db.execute("DELETE FROM fact WHERE name = ? OR name GLOB ? || '/*'", (name, name))
            else:
                self._db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, self._sealed_fact(name, value)))
        for bulk in bulks:
            names = (" ".join(bulk.receivers), " ".join(bulk.contributors))
            self._db.execute("INSERT INTO bulk VALUES (?, ?, ?, ?)", (bulk.slot, *names, bulk.payload))
        for message in outgoing:
            seq = self.towards(message.peer).last_sequence() + 1
            payload = self._box.seal(_message(message.peer, seq, message.kind, message.round), message.payload)
            row = (message.peer, seq, message.kind, message.round, payload, message.slot)
            self._db.execute("INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?)", row)
            self._db.execute("INSERT OR REPLACE INTO sent VALUES (?, ?)", (message.peer, seq))
        for entry in handled:
            last = self.towards(entry.peer).last_handled()
            if entry.seq != last + 1:
                raise SealscoreError(f"message {entry.seq} was to be recorded after message {last}")
            self._db.execute("INSERT INTO handled VALUES (?, ?, ?)", (entry.peer, entry.seq, entry.digest))

    def _sealed_fact(self, name: str, value: bytes) -> bytes:
        return value if is_open(name) else self._box.seal(_fact(name), value)

    def _opened_fact(self, name: str, value: bytes) -> bytes:
        return value if is_open(name) else self.opened(_fact(name), value)

    def opened(self, name: str, sealed: bytes) -> bytes:
        """What the file keeps under a name; TrustError if it was changed or moved."""
        try:
            return self._box.open(name, sealed)
        except TrustError:
            raise TrustError(f"the store of this run does not open at {name}: it was changed, comes from another run, "
                             "or from an older version of the software; start a new run") from None

    # messages

    def towards(self, peer: str) -> PeerStore:
        """What of the file belongs to one peer."""
        return PeerStore(self, peer)

    def waiting(self) -> bool:
        """Whether any peer has not acknowledged everything."""
        return self.row("SELECT 1 FROM due LIMIT 1") is not None

    def slots(self) -> list[str]:
        """Bulks that somebody may still need, oldest first."""
        with self._lock:
            return [slot for (slot,) in self._db.execute(
                "SELECT slot FROM bulk WHERE slot IN (SELECT slot FROM due WHERE slot NOT NULL) ORDER BY rowid")]

    def bulk(self, slot: str) -> StoredBulk | None:
        """One of them; None when everybody has it meanwhile."""
        row = self.row("SELECT receivers, contributors, payload FROM bulk WHERE slot = ? AND slot IN "
                       "(SELECT slot FROM due WHERE slot NOT NULL)", slot)
        return None if row is None else StoredBulk(slot, tuple(row[0].split()), tuple(row[1].split()), row[2])

    def row(self, query: str, *values: object) -> tuple | None:
        """The first row of a query."""
        with self._lock:
            return self._db.execute(query, values).fetchone()

    def trim(self, peer: str, through: int) -> None:
        """`peer` has handled everything up to `through`: those rows are not shown any more.

        They go with the next transaction, and at once when nobody is owed anything, so that a step costs one
        transaction and not one for each peer that acknowledges. After a crash a peer says again what it has.
        """
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO acknowledged VALUES (?, ?)", (peer, through))
            if not self.waiting():
                self.commit({})

    def _remove_acknowledged(self) -> None:
        gone = self._db.execute("DELETE FROM outbox WHERE seq <= (SELECT acknowledged.seq FROM acknowledged "
                                "WHERE acknowledged.peer = outbox.peer)").rowcount
        if gone:
            self._db.execute("DELETE FROM bulk WHERE slot NOT IN (SELECT slot FROM outbox WHERE slot NOT NULL)")


class PeerStore:
    """The `LinkStore` of one peer."""

    def __init__(self, store: RunStore, peer: str):
        self._store, self._peer = store, peer

    def next_outgoing(self, after: int) -> Outgoing | None:
        """The row with the lowest seq above `after`, or None."""
        query = "SELECT seq, kind, round, payload FROM due WHERE peer = ? AND seq > ? ORDER BY seq LIMIT 1"
        row = self._store.row(query, self._peer, after)
        if row is None:
            return None
        return Outgoing(*row[:3], self._store.opened(_message(self._peer, *row[:3]), row[3]))

    def last_sequence(self) -> int:
        """The highest seq ever put into the outbox."""
        row = self._store.row("SELECT seq FROM sent WHERE peer = ?", self._peer)
        return 0 if row is None else row[0]

    def trim(self, through: int) -> None:
        """The peer has handled everything up to `through`."""
        self._store.trim(self._peer, through)

    def last_handled(self) -> int:
        """The highest seq of the peer whose effect is durable here."""
        return self._store.row("SELECT COALESCE(MAX(seq), 0) FROM handled WHERE peer = ?", self._peer)[0]

    def handled_digest(self, seq: int) -> bytes | None:
        """The digest recorded with a handled message."""
        row = self._store.row("SELECT digest FROM handled WHERE peer = ? AND seq = ?", self._peer, seq)
        return None if row is None else row[0]


def _fact(name: str) -> str:
    return f"fact {name}"


def _message(peer: str, seq: int, kind: str, round_number: int) -> str:
    return f"message {seq} to {peer}: {kind}, round {round_number}"
