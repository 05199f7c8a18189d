"""From what is kept to what callers get."""
from __future__ import annotations

import hashlib
from datetime import datetime

from parties.bank.decision.record import DecisionRecord
from parties.bank.service.messages import (
    Access,
    Answer,
    ConsentKept,
    DeletionState,
    Listed,
    PersonState,
    ReviewState,
)
from parties.bank.store.accesses import Access as AccessLine
from parties.bank.store.consents import Grant
from parties.bank.store.decisions import Line
from parties.bank.store.deletions import Deletion
from parties.bank.store.reviews import Review


def answer_of(record: DecisionRecord, data: bytes | None = None) -> Answer:
    """A record as the applicant's channel sees it: nothing of scores, thresholds or other graphs. `data`: its bytes,
    where they were made already."""
    digest = hashlib.sha256(data or record.to_bytes()).hexdigest()
    return Answer(
        application_id=record.application.application_id, person=record.context.person, outcome=record.outcome,
        score=_score(record), lacks=record.context.score.lacks if record.outcome == "insufficient-data" else (),
        offer=record.offer, reasons=record.reasons, decided_at=record.context.now, record=digest)


def _score(record: DecisionRecord) -> str:
    if record.context.score.probability is not None:
        return "joint"
    return "none" if record.context.bank_only.probability is None else "bank-only"


def review_of(review: Review | None) -> ReviewState | None:
    """The review of an application, without its text and officer."""
    if review is None:
        return None
    return ReviewState(state="asked" if review.outcome is None else "decided", asked_at=review.asked_at,
                       outcome=review.outcome, note=review.note, decided_at=review.decided_at)


def listed(line: Line) -> Listed:
    """One line of a list."""
    return Listed(application_id=line.application_id, person=line.person, outcome=line.outcome, product=line.product,
                  decided_at=line.created_at)


def person_of(person: str, off: bool, grants: list[Grant], now: datetime) -> PersonState:
    """Consents and switch of a person at `now`."""
    kept = tuple(ConsentKept(reference=one.reference, purpose=one.purpose, status=one.status(now, off),
                             expires_at=one.expires_at, uses=one.uses, maximum_uses=one.maximum_uses)
                 for one in grants)
    return PersonState(person=person, switched_off=off, consents=kept)


def access_of(line: AccessLine) -> Access:
    """One line of the access log."""
    return Access(at=line.at, who=line.who, role=line.role, purpose=line.purpose, action=line.action,
                  application_id=line.application_id)


def deletion_of(person: str, one: Deletion) -> DeletionState:
    """A request for deletion."""
    return DeletionState(person=person, state=one.state, due_at=one.due_at, held_by=one.held_by)
