"""The one door: whatever a role wants to send passes here. An auditor starts reading in this file.

    policy    an opening must be of a kind and within the count that this run's plan and policy allow
    ledger    how many numbers were opened, per kind, is written with the message
    audit     a record of kind, size and digest is durable before the message may leave
    send      the message goes into the outbox together with the state of the role that made it
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from parties.runtime.bulk_reference import refer
from parties.runtime.run_store import Handled, RunStore
from protocols.errors import PolicyRefused
from protocols.node.audit_log import AuditLog
from protocols.role import Message, Opening

LEDGER = "ledger.openings"

MEMBERSHIP = "membership"  # comes in chunks and adds up; alignment itself bounds it by the declared size
JOINT = "membership.joint"

COEFFICIENTS = "coefficients"

TRAINING_SCORES = "scores.training"  # as often as the plan says; each platform limits it across runs (releases.py)
TIMES = "ledger.times"  # how often it was, by learner

# What a run may open by kind, each kind once to each learner: the leakage tables of the protocols' READMEs.
ALLOWED_OPENINGS = {
    "train": (MEMBERSHIP, JOINT, COEFFICIENTS, "commons.histogram", "commons.moments", "scale", "step.norms",
              "step.size", "scores.calibration", "scores.test", "verdict"),
    "score": (MEMBERSHIP, JOINT, "scores.batch"),
}


class Egress:
    """The door of one run. `kind` is the plan's kind, `score_openings` how often it opens training rows' scores."""

    def __init__(self, run: str, kind: str, store: RunStore, audit: AuditLog, score_openings: int = 0):
        self._run, self._kind, self._store, self._audit = run, kind, store, audit
        self._score_openings = score_openings if kind == "train" else 0

    def release(
        self,
        phase: str,
        step: int,
        messages: Iterable[Message],
        facts: dict[str, bytes | None],
        handled: Iterable[Handled],
    ) -> None:
        """Check, count, record and persist what a role wants to send, with the role's new state.

        `handled`: the messages that led to it, of several peers when it was a sum.
        """
        messages = list(messages)
        ledger, times = self._ledger(), json.loads(self._store.get(TIMES) or b"{}")
        for message in messages:
            if message.opening is not None:
                self._count(message.opening, ledger, times)
        self._audit.extend([entry for message in messages for entry in self._records(phase, message)])
        outgoing, bulks = refer(phase, step, messages)
        entry = {LEDGER: json.dumps(ledger).encode(), TIMES: json.dumps(times).encode()} \
            if any(m.opening for m in messages) else {}
        self._store.commit(facts | entry, outgoing, handled, bulks)

    def openings(self) -> dict[str, int]:
        """Numbers opened so far, by kind."""
        return {kind: sum(learners.values()) for kind, learners in self._ledger().items()}

    def _ledger(self) -> dict[str, dict[str, int]]:
        return json.loads(self._store.get(LEDGER) or b"{}")

    def _count(self, opening: Opening, ledger: dict[str, dict[str, int]], times: dict[str, int]) -> None:
        scores = opening.kind == TRAINING_SCORES
        if opening.kind not in ALLOWED_OPENINGS[self._kind] and not (scores and self._score_openings):
            raise PolicyRefused("openings", f"a run of kind {self._kind} may not open {opening.kind}")
        learners = ledger.setdefault(opening.kind, {})
        if scores:
            times[opening.learner] = times.get(opening.learner, 0) + 1
            if times[opening.learner] > self._score_openings:
                raise PolicyRefused("openings", f"the plan opens {opening.kind} {self._score_openings} times, not more")
        elif opening.learner in learners and opening.kind != MEMBERSHIP:
            raise PolicyRefused("openings", f"{opening.kind} was opened before in this run; it may be opened once")
        learners[opening.learner] = learners.get(opening.learner, 0) + opening.count

    def _records(self, phase: str, message: Message) -> Iterator[tuple[str, dict[str, Any]]]:
        """What the log keeps of a message that leaves."""
        yield "egress", {
            "run": self._run, "phase": phase, "to": message.peer, "what": message.kind, "bytes": len(message.payload),
            "sha256": hashlib.sha256(message.payload).hexdigest(),
        }
        if message.opening is not None:
            opening = message.opening
            learned = {"what": opening.kind, "learner": opening.learner, "count": opening.count}
            yield "opening", {"run": self._run, "phase": phase} | learned
