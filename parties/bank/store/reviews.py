"""Reviews: an applicant asks that a person looks again, an officer says what came of it."""
from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from parties.bank.store.accesses import AccessLog
from parties.bank.store.errors import Conflict, Unknown
from parties.bank.store.inserts import insert_new
from parties.bank.store.tables import decisions, reviews
from parties.bank.store.values import Reader, checked_text

OUTCOMES = ("upheld", "overturned")
_MOST_TEXT = 2000


@dataclass(frozen=True)
class Review:
    """One request; `outcome` and what follows are None while it waits."""

    application_id: str
    person: str
    asked_at: datetime
    text: str
    outcome: str | None
    officer: str | None
    note: str | None
    decided_at: datetime | None


class Reviews:
    """The requests, on one connection."""

    def __init__(self, connection: Connection, accesses: AccessLog):
        self._connection, self._accesses = connection, accesses

    def ask(self, application_id: str, text: str, at: datetime) -> bool:
        """Ask for a review; False if one was asked for already. Unknown when there is no such decision."""
        text = checked_text("what the review is about", text, _MOST_TEXT)
        query = select(decisions.c.person).where(decisions.c.application_id == application_id)
        person = self._connection.execute(query).scalar_one_or_none()
        if person is None:
            raise Unknown(f"no decision about application {application_id[:64]} is kept")
        values = {"application_id": application_id, "person": person, "asked_at": at, "text": text}
        return insert_new(self._connection, reviews, values)

    def decide(self, application_id: str, outcome: str, officer: str, note: str, at: datetime) -> None:
        """An officer's answer, once: Conflict for a second one, Unknown when nobody asked."""
        if outcome not in OUTCOMES:
            raise Conflict(f"a review ends as {' or '.join(OUTCOMES)}, got {str(outcome)[:32]!r}")
        values = {"outcome": outcome, "officer": checked_text("the officer", officer),
                  "note": checked_text("the note", note, _MOST_TEXT), "decided_at": at}
        change = update(reviews).where(reviews.c.application_id == application_id, reviews.c.outcome.is_(None))
        if self._connection.execute(change.values(**values)).rowcount == 1:
            return
        if self.of(application_id) is None:
            raise Unknown(f"nobody asked for a review of application {application_id[:64]}")
        raise Conflict(f"the review of application {application_id} has its outcome already")

    def of(self, application_id: str) -> Review | None:
        """The review of an application: for its progress query."""
        query = select(reviews).where(reviews.c.application_id == application_id)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else Review(**row._mapping)

    def waiting(self, reader: Reader, at: datetime, limit: int = 100) -> list[Review]:
        """Those without an outcome, the oldest first; the access log has the look."""
        query = select(reviews).where(reviews.c.outcome.is_(None)).order_by(reviews.c.asked_at).limit(limit)
        found = [Review(**row._mapping) for row in self._connection.execute(query)]
        self._accesses.note(reader, "reviews", at, count=len(found))
        return found
