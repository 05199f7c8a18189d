"""Deletion: what a person asks for, when it is due, what the law holds, and what is left.

    waiting ──due──► done        nothing is held: nothing is left but the access log and lines without the person
       │  └────due──► restricted  decision records are within their retention: all else is deleted, and they are read
       │                 │        for the law only (PIPL article 47); when it ends: done
       │                 └──────► done
       └──due──► held             a loan is open, or somebody placed a hold: nothing is deleted, it is looked at again
    waiting, held ──► cancelled   the person thought better of it

From the moment of asking the person's services are off: nothing is scored any more.
"""
from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, and_, delete, exists, func, or_, select, update

from parties.bank.store import tables as t
from parties.bank.store.accesses import AccessLog
from parties.bank.store.answers import Idempotency
from parties.bank.store.consents import Consents
from parties.bank.store.errors import Conflict, Unknown
from parties.bank.store.inserts import insert_new
from parties.bank.store.settings import Retention
from parties.bank.store.values import Reader, checked_text

OPEN = ("waiting", "held")
_LATER = "restricted"
_MOST = 20  # people of one run: it is one transaction, and decisions wait for it
_MOST_OLD = 500  # rows of each kind of one sweep
_AGAIN = timedelta(hours=12)  # what is held is looked at on the next day, also by a timer that is early


@dataclass(frozen=True)
class Deletion:
    """One request. `held_by` says what keeps the data; `due_at` is when it is looked at next, None when it ended."""

    number: int
    person: str | None
    asked_at: datetime
    asked_by: str
    due_at: datetime | None
    state: str
    held_by: str | None
    done_at: datetime | None


@dataclass(frozen=True)
class Swept:
    """What a sweep deleted by age: records, answers under idempotency keys, lines of the access log."""

    records: int
    answers: int
    accesses: int


_COLUMNS = [t.deletions.c[name] for name in Deletion.__dataclass_fields__]


class Deletions:
    """The queue, on one connection."""

    def __init__(self, connection: Connection, accesses: AccessLog, idempotency: Idempotency):
        self._connection, self._accesses, self._idempotency = connection, accesses, idempotency

    # what people ask for

    def ask(self, person: str, by: str, now: datetime, retention: Retention) -> tuple[Deletion, tuple[str, ...]]:
        """Queue a person's deletion, or find the one that waits, and switch their services off; (it, references of the
        consents that this withdrew)."""
        withdrawn = Consents(self._connection).switch_off(person, by, now)
        values = {"person": person, "asked_at": now, "asked_by": checked_text("who asks", by),
                  "due_at": retention.due(now), "state": "waiting", "open": True}
        insert_new(self._connection, t.deletions, values)
        return self._open_one(person), withdrawn

    def cancel(self, person: str, now: datetime) -> None:
        """The person takes the request back; Unknown when none waits. Services stay off until switched on."""
        one = self._open_one(person)
        self._set(one.number, state="cancelled", open=None, due_at=None, done_at=now)

    def of(self, person: str) -> list[Deletion]:
        """A person's requests, the newest first."""
        return self._select(t.deletions.c.person == person)

    def queue(self, reader: Reader, now: datetime) -> list[Deletion]:
        """Every request that has not ended, the newest first; the access log has the look."""
        found = self._select(t.deletions.c.state.in_((*OPEN, _LATER)))
        self._accesses.note(reader, "deletions", now, count=len(found))
        return found

    # what holds them

    def hold(self, person: str, name: str, reason: str, by: str, now: datetime, until: datetime | None = None) -> None:
        """Keep a person's data until then, or until released: a dispute, a court order. Conflict: the name is taken."""
        values = {"person": person, "name": name, "reason": checked_text("the reason of the hold", reason),
                  "changed_by": checked_text("who places it", by), "since": now, "until": until}
        if not insert_new(self._connection, t.holds, values):
            raise Conflict(f"a hold {name[:64]} on this person's data is there already; release it first")

    def release(self, person: str, name: str) -> None:
        """End a hold; Unknown when there is none of that name."""
        change = delete(t.holds).where(t.holds.c.person == person, t.holds.c.name == name)
        if self._connection.execute(change).rowcount == 0:
            raise Unknown(f"no hold {name[:64]} on this person's data")

    def held_by(self, person: str, now: datetime) -> str | None:
        """What holds a person's data, in a few words; None when nothing does."""
        query = select(t.holds.c.name).where(t.holds.c.person == person, _lasts(now)).order_by(t.holds.c.name)
        names = [f"hold {name}" for name in self._connection.execute(query).scalars()]
        drawn = select(t.customers.c.outstanding_fen).where(t.customers.c.person == person).with_for_update()
        if self._connection.execute(drawn).scalar_one_or_none():
            names.insert(0, "a loan that is not repaid")
        return ", ".join(names)[:256] or None

    # what is done

    def run(self, reader: Reader, now: datetime, retention: Retention) -> list[Deletion]:
        """Carry out what is due, at most 20 requests at once; how each stands now. Empty when none is left."""
        query = select(*_COLUMNS).where(t.deletions.c.due_at <= now, t.deletions.c.state.in_((*OPEN, _LATER)))
        due = self._connection.execute(query.order_by(t.deletions.c.due_at).limit(_MOST).with_for_update()).all()
        for row in due:
            self._advance(Deletion(**row._mapping), reader, now, retention)
        numbers = [row.number for row in due]
        return self._select(t.deletions.c.number.in_(numbers)) if numbers else []

    def sweep(self, now: datetime, retention: Retention) -> Swept:
        """Delete what is older than its time, of everybody whom nothing holds; at most 500 rows of a kind."""
        old = t.decisions.c.created_at < retention.decided_before(now)
        query = select(t.decisions.c.number).where(old, t.decisions.c.erased_at.is_(None),
                                                   nothing_holds(t.decisions.c.person, now))
        numbers = list(self._connection.execute(query.order_by(t.decisions.c.created_at).limit(_MOST_OLD)).scalars())
        if numbers:
            self._erase(t.decisions.c.number.in_(numbers), now=now)
        return Swept(len(numbers), self._idempotency.forget(retention.answered_before(now), _MOST_OLD),
                     self._accesses.forget(retention.accessed_before(now), _MOST_OLD))

    def _advance(self, one: Deletion, reader: Reader, now: datetime, retention: Retention) -> None:
        person = str(one.person)
        if held := self.held_by(person, now):
            self._set(one.number, held_by=held, due_at=now + _AGAIN, state="held" if one.state in OPEN else one.state)
            return
        if one.state in OPEN:
            self._delete_rest(person)
            restrict = update(t.decisions).where(t.decisions.c.person == person, t.decisions.c.restricted_at.is_(None))
            self._connection.execute(restrict.values(restricted_at=now))
        self._accesses.note(reader, "delete", now, person)
        mine = (t.decisions.c.person == person, t.decisions.c.restricted_at.is_not(None))
        self._erase(*mine, now=now, before=retention.decided_before(now))
        last = self._connection.execute(select(func.max(t.decisions.c.created_at)).where(*mine)).scalar_one()
        if last is None:
            self._set(one.number, person=None, state="done", open=None, due_at=None, held_by=None, done_at=now)
        else:
            until = retention.erased_at(last)
            self._set(one.number, state=_LATER, open=None, due_at=until, done_at=now,
                      held_by=f"retention of decision records until {until:%Y-%m-%d}")

    def _delete_rest(self, person: str) -> None:
        """Everything but the decisions, the access log and the queue."""
        mine = select(t.consents.c.reference).where(t.consents.c.person == person)
        self._connection.execute(delete(t.consent_uses).where(t.consent_uses.c.reference.in_(mine)))
        for table in (t.consents, t.idempotency, t.limit_changes, t.signals, t.customers, t.switches, t.holds,
                      t.reviews, t.withdrawals):
            self._connection.execute(delete(table).where(table.c.person == person))

    def _erase(self, *which: Any, now: datetime, before: datetime | None = None) -> None:
        """Empty records for good; of the row stays that a decision was made, not of whom."""
        rows = [*which, t.decisions.c.erased_at.is_(None)]
        if before is not None:
            rows.append(t.decisions.c.created_at < before)
        gone = select(t.decisions.c.application_id).where(*rows)
        self._connection.execute(delete(t.reviews).where(t.reviews.c.application_id.in_(gone)))
        self._connection.execute(update(t.decisions).where(*rows).values(record=None, person=None, erased_at=now))

    # rows

    def _open_one(self, person: str) -> Deletion:
        found = self._select(t.deletions.c.person == person, t.deletions.c.open)
        if not found:
            raise Unknown("no deletion of this person waits")
        return found[0]

    def _select(self, *which: Any) -> list[Deletion]:
        query = select(*_COLUMNS).where(*which).order_by(t.deletions.c.number.desc())
        return [Deletion(**row._mapping) for row in self._connection.execute(query)]

    def _set(self, number: int, **values: Any) -> None:
        self._connection.execute(update(t.deletions).where(t.deletions.c.number == number).values(**values))


def nothing_holds(person: Column, now: datetime) -> Any:
    """`held_by(…) is None` as a condition on the people of a column."""
    held = exists().where(t.holds.c.person == person, _lasts(now))
    owing = exists().where(t.customers.c.person == person, t.customers.c.outstanding_fen > 0)
    return and_(~held, ~owing)


def _lasts(now: datetime) -> Any:
    return or_(t.holds.c.until.is_(None), t.holds.c.until > now)
