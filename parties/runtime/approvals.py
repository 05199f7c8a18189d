"""What people at this node decided about runs and models, kept for good: waiting, approved, rejected, revoked.

A run that a person must approve waits here from the first time the coordinator asks for it; the coordinator asks again
and again until its plan's deadline. A decision is about one run with one plan.
"""
from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from parties.runtime.files import make_private
from protocols.errors import TrustError, UsageError
from protocols.plan import Plan

State = Literal["waiting", "approved", "rejected", "revoked"]
FORGOTTEN_S = 60.0  # nobody has asked for it for so long: cancelled, or its deadline has passed
_SCHEMA = """
CREATE TABLE IF NOT EXISTS request (
  run TEXT PRIMARY KEY, plan BLOB NOT NULL, asked_at TEXT NOT NULL, state TEXT NOT NULL,
  decided_by TEXT NOT NULL, decided_at TEXT NOT NULL, reason TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Request:
    """One run that was asked for. Times are ISO 8601 in UTC; the last three are empty while it waits."""

    run: str
    canonical: bytes
    asked_at: str
    state: State
    decided_by: str = ""
    decided_at: str = ""
    reason: str = ""

    def plan(self) -> Plan:
        """The plan; MalformedMessage when another version of this software made it."""
        return Plan.from_canonical(self.canonical)


class Approvals:
    """One SQLite file (mode 0600) of the node. Thread-safe."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic):
        make_private(path)
        self._lock, self._clock = threading.Lock(), clock
        self._asked: dict[str, float] = {}
        self._db = sqlite3.connect(path, check_same_thread=False)
        with self._db:
            self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def ask(self, run: str, plan: Plan) -> bool:
        """The coordinator asks for a run; whether for the first time. TrustError when it was asked for another plan."""
        with self._lock, self._db:
            self._asked[run] = self._clock()
            row = (run, plan.canonical(), now_text(), "waiting", "", "", "")
            added = self._db.execute("INSERT OR IGNORE INTO request VALUES (?, ?, ?, ?, ?, ?, ?)", row).rowcount
            (kept,) = self._db.execute("SELECT plan FROM request WHERE run = ?", (run,)).fetchone()
        if kept != plan.canonical():
            raise TrustError(f"run {run} was asked for with another plan before; start a new run")
        return added == 1

    def get(self, run: str) -> Request | None:
        """What is known of a run; None when nobody asked for it or decided on it."""
        found = self._select("WHERE run = ?", run)
        return found[0] if found else None

    def all(self) -> list[Request]:
        """Every run that was ever asked for or decided on, oldest first."""
        return self._select("ORDER BY rowid")

    def asked_since(self, at: str) -> int:
        """How many runs were first asked for at or after this time, in the form of `now_text`."""
        return sum(request.asked_at >= at for request in self.all())

    def asked_lately(self, run: str) -> bool:
        """Whether the coordinator still asks for a run that waits."""
        with self._lock:
            return self._clock() - self._asked.get(run, float("-inf")) < FORGOTTEN_S

    def decide(self, run: str, state: State, by: str, reason: str) -> Request:
        """Approve or reject a run that waits; UsageError when it does not wait, or is unknown."""
        request = self.get(run)
        if request is None:
            raise UsageError(f"nobody has asked this node for run {run}; `runs` lists what waits for approval")
        if request.state != "waiting":
            raise UsageError(f"run {run} was {request.state} by {request.decided_by} at {request.decided_at}; `revoke` "
                             "stops it and its model")
        return self._put(run, request.canonical, state, by, reason)

    def revoke(self, run: str, plan: Plan, by: str, reason: str) -> Request:
        """Whatever stood before: this run is not to go on, nor to begin again."""
        return self._put(run, plan.canonical(), "revoked", by, reason)

    def _put(self, run: str, plan: bytes, state: State, by: str, reason: str) -> Request:
        now = now_text()
        with self._lock, self._db:
            self._db.execute(
                "INSERT INTO request VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state, "
                "decided_by = excluded.decided_by, decided_at = excluded.decided_at, reason = excluded.reason",
                (run, plan, now, state, by, now, reason))
        return self._select("WHERE run = ?", run)[0]

    def _select(self, rest: str, *values: str) -> list[Request]:
        with self._lock:
            rows = self._db.execute(f"SELECT * FROM request {rest}", values).fetchall()
        return [Request(*row) for row in rows]


def now_text() -> str:
    """UTC to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
