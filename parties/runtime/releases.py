"""Which runs released what about which people, across all runs of this node.

Coefficients are equations about labels: with too many of them, over few rows, every label follows. So the rule
n >= 50 * sum of d counts the trainings before this one that shared a person with it (protocols/SECURITY.md). The same
training again releases the same coefficients and counts once. The noisy counts that several banks make their common
encoding of are differentially private; what runs that share a person spend of it adds up too. So do openings of
training rows' scores, each one more vector of the platform's columns, and splits of trees that a platform answered.
Event counts that a platform got for its bins (woe) are in a table of their own: `parties/runtime/woe.py` has the rule.
"""
from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parties.runtime.people_file import PeopleFile
from protocols.crypto.box import Box

_SCHEMA = """
CREATE TABLE IF NOT EXISTS salt (value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS release (
  run TEXT PRIMARY KEY, training BLOB NOT NULL, coefficients INTEGER NOT NULL, people BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS counts (run TEXT PRIMARY KEY, rho REAL NOT NULL, people BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS opened (run TEXT PRIMARY KEY, times INTEGER NOT NULL, people BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS splits (run TEXT PRIMARY KEY, splits INTEGER NOT NULL, people BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS version (model TEXT NOT NULL, people BLOB NOT NULL, tags BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS woe (
  run TEXT NOT NULL, platform TEXT NOT NULL, sums BLOB NOT NULL, rho REAL NOT NULL, people BLOB NOT NULL,
  PRIMARY KEY (run, platform));
"""


@dataclass(frozen=True, repr=False)
class WoeSums:
    """Event counts that a run opened to a platform. `sums` names people, labels and bins: equal, the counts are too.

    `rho`: privacy (zCDP) that the noise in them left of a label; 0 for counts without noise.
    """

    run: str
    platform: str
    sums: bytes
    rho: float


class Releases(PeopleFile):
    """One SQLite file (mode 0600) of the node; people are kept as keyed hashes of 8 bytes, their key sealed: without
    the node's identity key nobody tells whether a person is among them. Thread-safe."""

    def __init__(self, path: Path, box: Box):
        super().__init__(path, box, _SCHEMA)

    def earlier(self, run: str, training: bytes, ids: Iterable[str]) -> int:
        """Coefficients that other trainings released about some of these people; `training` names what is trained."""
        people = self._people(ids)
        with self._lock:
            rows = self._db.execute(
                "SELECT training, coefficients, people FROM release WHERE run != ?", (run,)).fetchall()
        others: dict[bytes, int] = {}
        for other, coefficients, tags in rows:
            key = self._key(other, tags)
            if key != self._key(training, people.tobytes()) and _share(people, np.frombuffer(tags, np.uint64)):
                others[key] = max(coefficients, others.get(key, 0))
        return sum(others.values())

    def record(self, run: str, training: bytes, ids: Iterable[str], coefficients: int) -> None:
        """Durable before anything is released; a run that is continued replaces its own entry."""
        entry = (run, training, coefficients, self._people(ids).tobytes())
        with self._lock, self._db:
            self._db.execute("INSERT OR REPLACE INTO release VALUES (?, ?, ?, ?)", entry)

    def spend(self, run: str, ids: Iterable[str], rho: float) -> float:
        """Record that a run spends `rho`, before it does; gives what other runs spent on some of these people."""
        return self._add_up("counts", run, ids, rho)

    def unspend(self, run: str) -> None:
        """The run was refused before it sent any counts."""
        self._forget("counts", run)

    def open_scores(self, run: str, ids: Iterable[str], times: int) -> int:
        """Record that a run opens these people's scores so often, before it does; gives what other runs opened of some
        of them, added up."""
        return self._add_up("opened", run, ids, times)

    def unopen_scores(self, run: str) -> None:
        """The run ended before it opened any score of a training row."""
        self._forget("opened", run)

    def answer_splits(self, run: str, ids: Iterable[str], splits: int) -> int:
        """Record that a run may ask on which side of so many splits these people are, before it does; gives what other
        runs asked about some of them, added up."""
        return self._add_up("splits", run, ids, splits)

    def unanswer_splits(self, run: str) -> None:
        """The run ended before it asked about any split."""
        self._forget("splits", run)

    def _add_up(self, table: str, run: str, ids: Iterable[str], amount: float) -> float:
        """Record a run's amount in a table of (run, amount, people); gives those of other runs that share a person."""
        people = self._people(ids)
        with self._lock, self._db:
            self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", (run, amount, people.tobytes()))
            rows = self._db.execute(f"SELECT * FROM {table} WHERE run != ?", (run,)).fetchall()
        return sum(other for _, other, tags in rows if _share(people, np.frombuffer(tags, np.uint64)))

    def _forget(self, table: str, run: str) -> None:
        with self._lock, self._db:
            self._db.execute(f"DELETE FROM {table} WHERE run = ?", (run,))

    def forget(self, run: str) -> None:
        """The run ended before it released anything."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM release WHERE run = ?", (run,))
            self._db.execute("DELETE FROM woe WHERE run = ?", (run,))

    def record_woe(self, entry: WoeSums, ids: Iterable[str]) -> list[WoeSums]:
        """Durable before these sums are opened; gives those of other runs, and of this one at other platforms, that
        share a person with them."""
        people = self._people(ids)
        row = (entry.run, entry.platform, entry.sums, entry.rho, people.tobytes())
        with self._lock, self._db:
            self._db.execute("INSERT OR REPLACE INTO woe VALUES (?, ?, ?, ?, ?)", row)
            rows = self._db.execute("SELECT run, platform, sums, rho, people FROM woe WHERE run != ? OR platform != ?",
                                    row[:2]).fetchall()
        return [WoeSums(*other) for *other, tags in rows if _share(people, np.frombuffer(tags, np.uint64))]

    def forget_woe(self, entry: WoeSums) -> None:
        """These sums were refused before anything of them was opened."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM woe WHERE run = ? AND platform = ?", (entry.run, entry.platform))

    def fingerprint(self, ids: Iterable[str], values: np.ndarray) -> bytes:
        """32 bytes that name what each person has, `values` (n, …) in the order of `ids`, to nobody but this node."""
        hashes = self.tags(ids)
        order = np.argsort(hashes)
        text = hashes[order].tobytes() + np.ascontiguousarray(np.asarray(values)[order]).tobytes()
        return hashlib.blake2b(text, digest_size=32, key=self._salt, person=b"sealscore-same").digest()

    def admit(self, model: str, ids: Iterable[str], tags: np.ndarray, most: int) -> int:
        """Record that scores of these people are opened with `model`, durable before they are, and give the versions of
        the person with most of them, these included; nothing is recorded when that is above `most`.

        `tags`: (m,) uint64, which version of each person's data. The same version again counts once.
        """
        people = self.tags(ids)
        with self._lock, self._db:
            rows = self._db.execute("SELECT people, tags FROM version WHERE model = ?", (model,)).fetchall()
            before = [np.stack([np.frombuffer(blob, np.uint64) for blob in row], axis=1) for row in rows]
            all_of_them = np.unique(np.concatenate([*before, np.stack([people, tags], axis=1)]), axis=0)
            versions = int(np.unique(all_of_them[:, 0], return_counts=True)[1].max(initial=0))
            if versions <= most:
                self._db.execute("DELETE FROM version WHERE model = ?", (model,))
                self._db.execute("INSERT INTO version VALUES (?, ?, ?)",
                                 (model, *(all_of_them[:, part].tobytes() for part in (0, 1))))
        return versions

    def _people(self, ids: Iterable[str]) -> np.ndarray:
        """Sorted uint64. All normalisation there is, so that another plan's spelling does not make another person."""
        return np.sort(self.tags(ids))

    @staticmethod
    def _key(training: bytes, people: bytes) -> bytes:
        return hashlib.sha256(training + people).digest()


def _share(first: np.ndarray, second: np.ndarray) -> bool:
    return len(np.intersect1d(first, second, assume_unique=True)) > 0
