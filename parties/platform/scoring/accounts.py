"""What was opened online, handed from the scoring process to the node's audit log and ledger.

The audit log has one writer, the daemon: it is asked over its local socket; while no daemon runs, the log is opened
here. Counts are durable before a score leaves (`admissions.py`) and handed over afterwards, some seconds later; handing
over twice after a crash may count an opening twice and never misses one. When it fails for too long nothing more is
scored.
"""
from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from parties.platform.scoring.admissions import DAY_S, Admissions, Opened
from parties.runtime import local_api
from parties.runtime.config import LoadedParty
from parties.runtime.ledger import Ledger
from parties.runtime.scoring.openings import METHOD, entry
from protocols.crypto.identity import IdentityKey
from protocols.errors import SealscoreError
from protocols.node.at_rest import ledger_box
from protocols.node.audit_log import AuditLog, LogInUse

log = logging.getLogger("sealscore.scoring")
CALL_S = 20.0
Write = Callable[[list[dict[str, Any]]], None]


class Accounts:
    """`hand_over` now and then, from any thread; `behind()` says whether that failed for too long."""

    def __init__(self, admissions: Admissions, ledger: Ledger, write: Write, lag_s: float,
                 clock: Callable[[], float] = time.monotonic):
        self._admissions, self._ledger, self._write, self._lag_s, self._clock = admissions, ledger, write, lag_s, clock
        self._lock = threading.Lock()
        self._done_at = clock()

    def behind(self) -> bool:
        """No score may leave: openings are waiting for longer than is allowed."""
        return self._clock() - self._done_at > self._lag_s

    def hand_over(self) -> int:
        """How many numbers were handed over; SealscoreError when the log could not take them."""
        with self._lock:
            waiting = self._admissions.untold()
            for opened in waiting:
                tags = self._ledger.tags(person.hex() for person in self._admissions.people(opened))
                self._ledger.opened(f"{opened.model} {_day(opened)}", opened.kind, opened.bank, opened.numbers,
                                    self._ledger.keep(tags))
            if waiting:
                self._write([entry(one.model, one.bank, one.kind, one.numbers - one.told, _day(one))
                             for one in waiting])
                self._admissions.told(waiting)
            self._done_at = self._clock()
        return sum(opened.numbers - opened.told for opened in waiting)


def writer(party: LoadedParty, identity: IdentityKey) -> Write:
    """Through the daemon where one runs, else into the log itself."""
    def write(entries: list[dict[str, Any]]) -> None:
        try:
            with AuditLog(party.state / "audit", party.name, identity) as audit:
                audit.extend([("opening", body) for body in entries])
        except LogInUse:
            reply = local_api.call(party.socket, METHOD, {"openings": entries}, CALL_S)
            if reply.get("ok") is not True:
                raise SealscoreError(str(reply.get("error") or reply.get("refused") or "the daemon refused")) from None
    return write


def open_accounts(party: LoadedParty, identity: IdentityKey, admissions: Admissions, lag_s: float) -> Accounts:
    """Of a node."""
    ledger = Ledger(party.state / "openings.db", ledger_box(identity))
    return Accounts(admissions, ledger, writer(party, identity), lag_s)


def _day(opened: Opened) -> str:
    return datetime.fromtimestamp(opened.day * DAY_S, UTC).date().isoformat()
