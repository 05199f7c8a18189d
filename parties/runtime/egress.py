"""The one door: whatever a role wants to send passes here. An auditor starts reading in this file.

    policy    an opening must be of a kind and within the count that this run's plan and policy allow
    ledger    how many numbers were opened, per kind, is written with the message
    audit     a record of kind, size and digest is durable before the message may leave
    send      the message goes into the outbox together with the state of the role that made it
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from parties.runtime.run_store import RunStore
from protocols.errors import PolicyRefused
from protocols.node.audit_log import AuditLog
from protocols.role import Message, Opening

LEDGER = "ledger.openings"

MEMBERSHIP = "membership"  # comes in chunks and adds up; alignment itself bounds it by the declared size

COEFFICIENTS = "coefficients"

# What a run may open by kind, each kind once: the leakage tables of the protocols' READMEs.
ALLOWED_OPENINGS = {
    "train": (MEMBERSHIP, COEFFICIENTS, "step.norms", "step.size", "scores.calibration", "scores.test",
              "verdict"),
    "score": (MEMBERSHIP, "scores.batch"),
}


@dataclass(frozen=True)
class Handled:
    """The peer's message that led to these; recorded in the same transaction."""

    seq: int
    digest: bytes


class Egress:
    """The door of one run. `kind` is the plan's kind."""

    def __init__(self, run: str, kind: str, store: RunStore, audit: AuditLog):
        self._run, self._kind, self._store, self._audit = run, kind, store, audit

    def release(
        self,
        phase: str,
        step: int,
        messages: Iterable[Message],
        facts: dict[str, bytes | None],
        handled: Handled | None,
    ) -> None:
        """Check, count, record and persist what a role wants to send, with the role's new state."""
        messages = list(messages)
        ledger = self.openings()
        for message in messages:
            if message.opening is not None:
                self._count(message.opening, ledger)
        for message in messages:
            self._record(phase, message)
        outgoing = [(f"{phase}.{message.kind}", step, message.payload) for message in messages]
        entry = {LEDGER: json.dumps(ledger).encode()} if any(m.opening for m in messages) else {}
        self._store.commit(facts | entry, outgoing, None if handled is None else (handled.seq, handled.digest))

    def openings(self) -> dict[str, int]:
        """Numbers opened towards the peer so far, by kind."""
        return json.loads(self._store.get(LEDGER) or b"{}")

    def _count(self, opening: Opening, ledger: dict[str, int]) -> None:
        if opening.kind not in ALLOWED_OPENINGS[self._kind]:
            raise PolicyRefused("openings", f"a run of kind {self._kind} may not open {opening.kind}")
        if opening.kind in ledger and opening.kind != MEMBERSHIP:
            raise PolicyRefused("openings", f"{opening.kind} was opened before in this run; it may be opened once")
        ledger[opening.kind] = ledger.get(opening.kind, 0) + opening.count

    def _record(self, phase: str, message: Message) -> None:
        body = {
            "run": self._run, "phase": phase, "to": message.peer, "what": message.kind, "bytes": len(message.payload),
            "sha256": hashlib.sha256(message.payload).hexdigest(),
        }
        self._audit.append("egress", body)
        if message.opening is not None:
            opening = message.opening
            learned = {"what": opening.kind, "learner": opening.learner, "count": opening.count}
            self._audit.append("opening", {"run": self._run, "phase": phase} | learned)
