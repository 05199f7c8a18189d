"""The one door: whatever a role wants to send passes here. An auditor starts reading in this file.

    policy    an opening must be of a kind that protocols/openings.py has for this kind of run, once to each learner
    ledger    how many numbers were opened, per kind, is written with the message, and before it into the node's own
    audit     a record of kind, size and digest is durable before the message may leave
    send      the message goes into the outbox together with the state of the role that made it
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from parties.runtime.bulk_reference import refer
from parties.runtime.run_store import STEPS, Handled, RunStore
from protocols import openings
from protocols.errors import PolicyRefused
from protocols.node.audit_log import AuditLog
from protocols.plan import Plan
from protocols.role import Message, Opening

LEDGER = "ledger.openings"
COEFFICIENTS, WOE_COUNTS = "coefficients", "woe.counts"
# what a training gives of its model: the ledgers keep whom it was about, once it was opened
EQUATIONS = frozenset({COEFFICIENTS, WOE_COUNTS, "shared.calibration", "shared.test", "source.weights"})
TRAINING_SCORES = "scores.training"  # as often as the plan says; each platform limits it across runs (releases.py)
TRAINING_NUMBERS = frozenset({TRAINING_SCORES, "embeddings", "activations"})  # of each training row: limited alike
TREE_SIDES = "tree.sides"  # each platform limits the splits that it answers across runs
TIMES = "ledger.times"  # how often it was, by learner


class Egress:
    """The door of one run. `kind` is the plan's kind, `release` what becomes of the weights of its model; `plan` says
    more than both; `note(kind, learner, numbers)` keeps the node's own ledger; `score_openings`: how often the plan
    opens training rows' scores."""

    def __init__(self, run: str, kind: str, store: RunStore, audit: AuditLog,
                 note: Callable[[str, str, int], None] = lambda kind, learner, numbers: None, release: str = "owner",
                 score_openings: int = 0, plan: Plan | None = None):
        self._run, self._kind, self._store, self._audit, self._note = run, kind, store, audit, note
        self._release, self._score_openings, self._plan = release, score_openings, plan

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
        number = int(self._store.get(STEPS) or 0) + 1
        self._audit.extend([entry for message in messages for entry in self._records(phase, number, message)])
        for opening in filter(None, (message.opening for message in messages)):
            self._note(opening.kind, opening.learner, ledger[opening.kind][opening.learner])
        outgoing, bulks = refer(phase, step, messages)
        entry = {LEDGER: json.dumps(ledger).encode(), TIMES: json.dumps(times).encode()} \
            if any(m.opening for m in messages) else {}
        sent = {STEPS: str(number).encode()} if messages else {}
        self._store.commit(facts | entry | sent, outgoing, handled, bulks)

    def openings(self) -> dict[str, int]:
        """Numbers opened so far, by kind."""
        return {kind: sum(learners.values()) for kind, learners in self._ledger().items()}

    def _ledger(self) -> dict[str, dict[str, int]]:
        return json.loads(self._store.get(LEDGER) or b"{}")

    def _count(self, opening: Opening, ledger: dict[str, dict[str, int]], times: dict[str, int]) -> None:
        scores = opening.kind == TRAINING_SCORES
        allowed = openings.allowed(self._kind, opening.kind, self._release) if self._plan is None else \
            openings.permitted(self._plan, opening.kind)
        if not allowed or (scores and not self._score_openings):
            raise PolicyRefused("openings", f"a run of kind {self._kind} may not open {opening.kind}{self._of()}")
        learners = ledger.setdefault(opening.kind, {})
        if scores:
            times[opening.learner] = times.get(opening.learner, 0) + 1
            if times[opening.learner] > self._score_openings:
                raise PolicyRefused("openings", f"the plan opens {opening.kind} {self._score_openings} times, not more")
        elif opening.learner in learners and not openings.kind_of(opening.kind).in_parts:
            raise PolicyRefused("openings", f"{opening.kind} was opened before in this run; it may be opened once")
        learners[opening.learner] = learners.get(opening.learner, 0) + opening.count

    def _of(self) -> str:
        """What else than the kind of run decides, in words."""
        release = "" if self._release == "owner" else f" when release = {self._release!r}"
        kind = "scorecard" if self._plan is None else self._plan.model.kind
        return release if kind == "scorecard" else f"{release} of a model of kind {kind}"

    def _records(self, phase: str, step: int, message: Message) -> Iterator[tuple[str, dict[str, Any]]]:
        """What the log keeps of a message that leaves; `step` counts those of the run that sent something."""
        yield "egress", {
            "run": self._run, "phase": phase, "to": message.peer, "what": message.kind, "bytes": len(message.payload),
            "sha256": hashlib.sha256(message.payload).hexdigest(), "step": step,
        }
        if message.opening is not None:
            opening = message.opening
            learned = {"what": opening.kind, "learner": opening.learner, "count": opening.count}
            yield "opening", {"run": self._run, "phase": phase} | learned
