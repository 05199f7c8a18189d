"""Who may still be scored: uses of consents, revocations, scores per day, versions per person, and what was opened.

One SQLite file (mode 0600, synchronous), one transaction for each batch: what a score uses up is in it before the score
leaves, so a crash may count a score that never left and never misses one. People are the node's keyed hashes.
"""
from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from parties.runtime.files import make_private
from protocols.scoring import scoring_pb2 as pb
from protocols.scoring.consent import Consent

DAY_S = 86_400
SCORE, SIDES = "online.score", "online.sides"  # kinds of openings
LACKS, FRAUD = "online.lacks", "online.fraud"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS consent (
  bank TEXT NOT NULL, reference BLOB NOT NULL, person BLOB, first_use BLOB, uses INTEGER NOT NULL,
  revoked INTEGER NOT NULL, not_after_s INTEGER NOT NULL, PRIMARY KEY (bank, reference)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS later_use (
  bank TEXT NOT NULL, reference BLOB NOT NULL, use BLOB NOT NULL, not_after_s INTEGER NOT NULL,
  PRIMARY KEY (bank, reference, use)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS switched_off (
  bank TEXT NOT NULL, token BLOB NOT NULL, until_s INTEGER NOT NULL, PRIMARY KEY (bank, token)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scored (
  day INTEGER NOT NULL, person BLOB NOT NULL, model TEXT NOT NULL, bank TEXT NOT NULL, kind TEXT NOT NULL,
  times INTEGER NOT NULL, PRIMARY KEY (day, person, model, bank, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS version (
  model TEXT NOT NULL, person BLOB NOT NULL, version BLOB NOT NULL,
  PRIMARY KEY (model, person, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS opened (
  model TEXT NOT NULL, bank TEXT NOT NULL, kind TEXT NOT NULL, day INTEGER NOT NULL, numbers INTEGER NOT NULL,
  told INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (model, bank, kind, day)) WITHOUT ROWID;
"""
_CHECKPOINT_PAGES = 20_000  # of the journal, before a writer has to move it itself; `checkpoint` does so beforehand


@dataclass(frozen=True)
class Limits:
    """Of the policy."""

    scores_per_day: int
    versions: int


@dataclass(frozen=True, repr=False)
class Asked:
    """One person asked for under a consent that holds by itself. `opens`: kinds of openings that an answer makes."""

    consent: Consent
    use: bytes
    person: bytes
    version: bytes
    opens: tuple[str, ...]

    @property
    def key(self) -> tuple[str, bytes]:
        """Of the consent."""
        return self.consent.bank, self.consent.reference


@dataclass(frozen=True)
class Opened:
    """What was opened of a model to a bank on a day (days since 1970) and not yet handed to the audit log."""

    model: str
    bank: str
    kind: str
    day: int
    numbers: int
    told: int


class Admissions:
    """The file. Thread-safe; one transaction for each batch."""

    def __init__(self, path: Path, limits: Limits):
        make_private(path)
        self._limits, self._lock = limits, threading.RLock()
        self._path, self._db = path, _connected(path)
        self._db.executescript(_SCHEMA)
        self._depth = 0
        off = self._db.execute("SELECT bank, token, until_s FROM switched_off")
        self._off = {(bank, token): until_s for bank, token, until_s in off}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def admit(self, model: str, asked: Sequence[Asked], now_s: int) -> list[int]:
        """A Status for each, SCORED where an answer may leave; durable when this returns."""
        opened: Counter[tuple[str, str]] = Counter()
        with self.together():
            statuses = [self._admit(model, one, now_s // DAY_S, opened) for one in asked]
            for (bank, kind), numbers in opened.items():
                self._db.execute("INSERT INTO opened VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT DO UPDATE SET "
                                 "numbers = numbers + excluded.numbers", (model, bank, kind, now_s // DAY_S, numbers))
        return statuses

    @contextmanager
    def together(self) -> Iterator[None]:
        """One transaction around all that is done within: one wait for the disk. Durable when the outermost ends."""
        with self._lock:
            name = f"level{self._depth}"
            self._db.execute(f"SAVEPOINT {name}" if self._depth else "BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._db.execute(f"ROLLBACK TO {name}" if self._depth > 1 else "ROLLBACK")
                raise
            finally:
                self._depth -= 1
            self._db.execute(f"RELEASE {name}" if self._depth else "COMMIT")

    def _admit(self, model: str, one: Asked, day: int, opened: Counter[tuple[str, str]]) -> int:
        kept = self._one("SELECT person, first_use, uses, revoked FROM consent WHERE bank = ? AND reference = ?",
                         *one.key)
        if self._is_off(one) or (kept is not None and kept[3]):
            return pb.CONSENT_REVOKED
        if kept is not None and kept[0] != one.person:
            return pb.CONSENT_UNKNOWN
        versions = {version for (version,) in self._db.execute(
            "SELECT version FROM version WHERE model = ? AND person = ?", (model, one.person))}
        repeated = kept is not None and self._came_before(one, kept[1])
        if repeated and one.version in versions:
            return pb.SCORED  # the answer that was given, again
        if kept is not None and not repeated and kept[2] >= one.consent.maximum_uses:
            return pb.CONSENT_USED_UP
        if self._at_limit(one, day, versions):
            return pb.LIMIT_REACHED
        if not repeated:
            self._use(one, first=kept is None)
        self._count(model, one, day, versions, opened)
        return pb.SCORED

    def _is_off(self, one: Asked) -> bool:
        """Whether the person switched off after the consent was given."""
        return one.consent.issued_at_s <= self._off.get((one.consent.bank, one.consent.token), 0)

    def _came_before(self, one: Asked, first_use: bytes) -> bool:
        return first_use == one.use or self._one(
            "SELECT 1 FROM later_use WHERE bank = ? AND reference = ? AND use = ?", *one.key, one.use) is not None

    def _at_limit(self, one: Asked, day: int, versions: set[bytes]) -> bool:
        if one.version not in versions and len(versions) >= self._limits.versions:
            return True
        (times,) = self._one("SELECT coalesce(sum(times), 0) FROM scored WHERE day = ? AND person = ? AND kind != ?",
                             day, one.person, FRAUD)
        return times >= self._limits.scores_per_day

    def _use(self, one: Asked, *, first: bool) -> None:
        if first:
            self._db.execute("INSERT INTO consent VALUES (?, ?, ?, ?, 1, 0, ?)",
                             (*one.key, one.person, one.use, one.consent.not_after_s))
            return
        self._db.execute("UPDATE consent SET uses = uses + 1 WHERE bank = ? AND reference = ?", one.key)
        self._db.execute("INSERT INTO later_use VALUES (?, ?, ?, ?)", (*one.key, one.use, one.consent.not_after_s))

    def _count(self, model: str, one: Asked, day: int, versions: set[bytes], opened: Counter[tuple[str, str]]) -> None:
        if one.version not in versions:
            self._db.execute("INSERT INTO version VALUES (?, ?, ?)", (model, one.person, one.version))
        for kind in one.opens:
            self._db.execute("INSERT INTO scored VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1",
                             (day, one.person, model, one.consent.bank, kind))
            opened[one.consent.bank, kind] += 1

    # -- revocations

    def revoke(self, bank: str, references: Iterable[bytes], tokens: Iterable[bytes], at_s: int) -> int:
        """Refuse these consents for good, and all of these people's that were issued until `at_s`; how many."""
        gone = [(bank, reference) for reference in references]
        off = {(bank, token): max(at_s, self._off.get((bank, token), 0)) for token in tokens}
        with self.together():
            self._db.executemany("INSERT OR REPLACE INTO switched_off VALUES (?, ?, ?)",
                                 [(*key, until_s) for key, until_s in off.items()])
            self._db.executemany("INSERT INTO consent VALUES (?, ?, NULL, NULL, 0, 1, 0) "
                                 "ON CONFLICT DO UPDATE SET revoked = 1", gone)
            self._off |= off
        return len(off) + len(gone)

    # -- keeping house

    def forget(self, now_s: int) -> None:
        """Delete consents that have expired, which are refused anyway, and counts of days gone by that were told."""
        with self.together():
            for table in ("later_use", "consent"):
                more = "" if table == "later_use" else " AND revoked = 0"
                self._db.execute(f"DELETE FROM {table} WHERE not_after_s < ?{more}", (now_s - DAY_S,))
            self._db.execute("DELETE FROM scored WHERE day < ? AND NOT EXISTS (SELECT 1 FROM opened AS o WHERE "
                             "o.model = scored.model AND o.bank = scored.bank AND o.kind = scored.kind AND "
                             "o.day = scored.day AND o.told < o.numbers)", (now_s // DAY_S,))

    def checkpoint(self) -> None:
        """Move the journal into the file while scores go on; from another thread, now and then."""
        other = _connected(self._path)
        try:
            other.execute("PRAGMA wal_checkpoint(PASSIVE)").close()
        finally:
            other.close()

    # -- what was opened

    def untold(self) -> list[Opened]:
        """Openings that the audit log does not know yet."""
        with self._lock:
            return [Opened(*row) for row in self._db.execute(
                "SELECT model, bank, kind, day, numbers, told FROM opened WHERE told < numbers")]

    def people(self, opened: Opened) -> list[bytes]:
        """Whom these openings were about."""
        with self._lock:
            return [person for (person,) in self._db.execute(
                "SELECT person FROM scored WHERE model = ? AND bank = ? AND kind = ? AND day = ?",
                (opened.model, opened.bank, opened.kind, opened.day))]

    def told(self, handed: Iterable[Opened]) -> None:
        """The audit log knows of these."""
        with self.together():
            self._db.executemany("UPDATE opened SET told = ? WHERE model = ? AND bank = ? AND kind = ? AND day = ?",
                                 [(one.numbers, one.model, one.bank, one.kind, one.day) for one in handed])

    def _one(self, query: str, *values: object) -> tuple | None:
        return self._db.execute(query, values).fetchone()


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=FAST",
                   f"wal_autocheckpoint={_CHECKPOINT_PAGES}"):
        database.execute(f"PRAGMA {pragma}").close()
    return database
