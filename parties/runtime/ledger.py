"""The node's ledger of openings across all its runs and models: what was opened to whom, about whom, how often.

People are kept as keyed hashes, each set of people once, whatever number of openings is about it. An opening is in here
before it leaves, so the ledger may count one that a crash kept from leaving, and never misses one.

It also knows two things that only several runs together say: with whom each training shared which people, and which of
them it took (a set that differs from an earlier one by a few people would tell about these few), and how many
identifiers a peer tested lately.
"""
from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parties.runtime.people_file import PeopleFile
from protocols.crypto.box import Box

QUARTER_S = 91 * 86400
_SCHEMA = """
CREATE TABLE IF NOT EXISTS salt (value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS people (digest BLOB PRIMARY KEY, tags BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS opening (
  run TEXT NOT NULL, kind TEXT NOT NULL, learner TEXT NOT NULL, numbers INTEGER NOT NULL, people BLOB,
  PRIMARY KEY (run, kind, learner));
CREATE TABLE IF NOT EXISTS shared (
  run TEXT NOT NULL, peer TEXT NOT NULL, people BLOB NOT NULL, PRIMARY KEY (run, peer));
CREATE TABLE IF NOT EXISTS tested (
  run TEXT NOT NULL, peer TEXT NOT NULL, rows INTEGER NOT NULL, at REAL NOT NULL, PRIMARY KEY (run, peer));
"""


@dataclass(frozen=True)
class Line:
    """All openings of one kind to one learner. `times`: at most so often was one person opened; None: not known."""

    kind: str
    learner: str
    numbers: int
    runs: int
    people: int | None
    times: int | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


class Ledger(PeopleFile):
    """One SQLite file (mode 0600) of the node; the key of people's hashes in it is sealed in `box`. Thread-safe."""

    def __init__(self, path: Path, box: Box):
        super().__init__(path, box, _SCHEMA)

    # -- people

    def keep(self, tags: np.ndarray) -> bytes:
        """Keep a set of people, given by their tags; its digest (32 bytes)."""
        data = np.unique(tags).tobytes()
        digest = hashlib.sha256(data).digest()
        with self._lock, self._db:
            self._db.execute("INSERT OR IGNORE INTO people VALUES (?, ?)", (digest, data))
        return digest

    def _tags_of(self, digest: bytes) -> np.ndarray:
        (data,) = self._db.execute("SELECT tags FROM people WHERE digest = ?", (digest,)).fetchone()
        return np.frombuffer(data, np.uint64)

    # -- openings

    def opened(self, run: str, kind: str, learner: str, numbers: int, people: bytes | None) -> None:
        """A run opens so many numbers in all to this learner; `people`: a set that was kept, None while not known."""
        with self._lock, self._db:
            self._db.execute("INSERT INTO opening VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                             "numbers = max(numbers, excluded.numbers), people = coalesce(excluded.people, people)",
                             (run, kind, learner, numbers, people))

    def about(self, run: str, kind: str, learner: str | None, people: bytes) -> None:
        """Openings of a run whose people were not known were about these; `learner` None stands for all learners."""
        with self._lock, self._db:
            self._db.execute("UPDATE opening SET people = ? WHERE run = ? AND kind = ? AND people IS NULL "
                             "AND learner = coalesce(?, learner)", (people, run, kind, learner))

    def lines(self) -> list[Line]:
        """Every kind and learner, over all runs."""
        with self._lock:
            found = self._db.execute("SELECT kind, learner, sum(numbers), count(*) FROM opening "
                                     "GROUP BY kind, learner ORDER BY min(rowid)").fetchall()
            return [Line(kind, learner, numbers, runs, *self._persons(kind, learner))
                    for kind, learner, numbers, runs in found]

    def _persons(self, kind: str, learner: str) -> tuple[int | None, int | None]:
        """(how many people, how often one of them at most) in the openings of a kind to a learner."""
        sets = self._db.execute("SELECT people, count(*) FROM opening WHERE kind = ? AND learner = ? "
                                "AND people IS NOT NULL GROUP BY people", (kind, learner)).fetchall()
        if not sets:
            return None, None
        tags = [self._tags_of(digest) for digest, _ in sets]
        times = np.concatenate([np.full(len(t), runs) for t, (_, runs) in zip(tags, sets, strict=True)])
        distinct, places = np.unique(np.concatenate(tags), return_inverse=True)
        return len(distinct), int(np.bincount(places, times).max(initial=0))

    # -- row sets of trainings

    def share(self, run: str, peer: str, people: bytes) -> int:
        """A training shares these people with a peer: by how many they differ at least from another training's.

        `peer` also names what a training takes of a bank, of all platforms together (people.py).

        Sets that are the same do not count; 0 when there is no other. Durable first: of two runs at once one must see
        the other.
        """
        with self._lock, self._db:
            self._db.execute("INSERT OR REPLACE INTO shared VALUES (?, ?, ?)", (run, peer, people))
            others = self._db.execute("SELECT DISTINCT people FROM shared WHERE peer = ? AND run != ? AND people != ?",
                                      (peer, run, people)).fetchall()
            own = self._tags_of(people)
            return min((len(np.setxor1d(own, self._tags_of(other), assume_unique=True)) for (other,) in others),
                       default=0)

    def unshare(self, run: str) -> None:
        """The training ended before it opened anything about the people it shared."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM shared WHERE run = ?", (run,))

    # -- tested identifiers

    def test(self, run: str, peer: str, rows: int, now: float) -> int:
        """A run in which a peer tests up to so many identifiers begins; how many it tested in others of a quarter."""
        with self._lock, self._db:
            self._db.execute("INSERT OR IGNORE INTO tested VALUES (?, ?, ?, ?)", (run, peer, rows, now))
            query = "SELECT coalesce(sum(rows), 0) FROM tested WHERE peer = ? AND run != ? AND at > ?"
            return self._db.execute(query, (peer, run, now - QUARTER_S)).fetchone()[0]

    def untest(self, run: str) -> None:
        """The run was refused before it began."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM tested WHERE run = ?", (run,))
