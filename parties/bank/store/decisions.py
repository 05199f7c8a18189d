"""Decision records: kept once, read only under a name and a purpose."""
from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from parties.bank.decision.record import DecisionRecord
from parties.bank.store.accesses import AccessLog
from parties.bank.store.errors import Conflict, Unknown
from parties.bank.store.inserts import insert_new
from parties.bank.store.payloads import Payloads
from parties.bank.store.tables import decisions
from parties.bank.store.values import Reader
from protocols.errors import PolicyRefused, TrustError

LEGAL = "legal-hold"  # the one purpose for which a restricted record is still read
_CHUNK = 1000


@dataclass(frozen=True)
class Line:
    """A decision as lists show it. `daily_rate` is a decimal in text; amounts are None where there is no offer."""

    number: int
    application_id: str
    person: str | None
    digest: str
    rulebook: str
    outcome: str
    product: str
    arm: str | None
    amount_fen: int | None
    limit_fen: int | None
    daily_rate: str | None
    created_at: datetime
    restricted_at: datetime | None
    erased_at: datetime | None


_COLUMNS = [decisions.c[field.name] for field in fields(Line)]


class Decisions:
    """The records, on one connection."""

    def __init__(self, connection: Connection, payloads: Payloads, accesses: AccessLog):
        self._connection, self._payloads, self._accesses = connection, payloads, accesses

    def save(self, record: DecisionRecord, data: bytes | None = None) -> bool:
        """Keep a record; False if this very record is kept already, Conflict if another is for its application.
        `data`: its bytes, where they were made already."""
        data = data or record.to_bytes()
        digest = hashlib.sha256(data).hexdigest()
        name = record.application.application_id
        packed = self._payloads.pack(_name(name), data)
        if insert_new(self._connection, decisions, _values(record) | {"digest": digest, "record": packed}):
            return True
        kept = self._connection.execute(select(decisions.c.digest).where(decisions.c.application_id == name))
        if kept.scalar_one() != digest:
            raise Conflict(f"application {name} was decided already; give a new application another id")
        return False

    def read(self, application_id: str, reader: Reader, at: datetime) -> bytes:
        """The record's bytes; the access log has it first. Unknown when there is none or it was erased; PolicyRefused
        when the person's deletion restricts it and the purpose is not `legal-hold`."""
        query = select(decisions).where(decisions.c.application_id == application_id)
        row = self._connection.execute(query).one_or_none()
        if row is None:
            raise Unknown(f"no decision about application {application_id[:64]} is kept")
        if row.record is None:
            raise Unknown(f"the record of application {application_id} was erased when its retention ended")
        if row.restricted_at is not None and reader.purpose != LEGAL:
            raise PolicyRefused("retention", f"the person of application {application_id} asked for deletion, and the "
                                f"record is kept for the law only; read it with the purpose {LEGAL}")
        self._accesses.note(reader, "read", at, row.person, application_id)
        data = self._payloads.unpack(_name(application_id), row.record)
        if hashlib.sha256(data).hexdigest() != row.digest:
            raise TrustError(f"the record of application {application_id} was changed here; restore a backup")
        return data

    def standing(self, application_id: str, person: str | None = None) -> Line | None:
        """How an application stands, without its record: for progress queries by the `person` it is about, and for
        the process itself. None when there is none, or it is not about this person."""
        query = select(*_COLUMNS).where(decisions.c.application_id == application_id)
        row = self._connection.execute(query).one_or_none()
        return None if row is None or person not in (None, row.person) else Line(**row._mapping)

    def newest(self, person: str, since: datetime) -> str | None:
        """The application that was decided last about a person since then and whose record may be read, for `read`."""
        query = select(decisions.c.application_id).where(
            decisions.c.person == person, decisions.c.created_at >= since, decisions.c.restricted_at.is_(None),
            decisions.c.erased_at.is_(None))
        return self._connection.execute(query.order_by(decisions.c.number.desc()).limit(1)).scalar_one_or_none()

    def page(self, reader: Reader, at: datetime, before: int | None = None, limit: int = 50, person: str | None = None,
             outcome: str | None = None) -> list[Line]:
        """The newest first, those before a line's number; the access log has the look and how many it showed."""
        query = select(*_COLUMNS).order_by(decisions.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(decisions.c.number < before)
        if person is not None:
            query = query.where(decisions.c.person == person)
        if outcome is not None:
            query = query.where(decisions.c.outcome == outcome)
        found = [Line(**row._mapping) for row in self._connection.execute(query)]
        self._accesses.note(reader, "list", at, person, count=len(found))
        return found

    def each(self, since: datetime, until: datetime) -> Iterator[Line]:
        """Lines of decisions from `since` up to but without `until`, oldest first, without the person: for reports."""
        period = decisions.c.created_at >= since, decisions.c.created_at < until
        return (replace(line, person=None) for line in self._lines(*period))

    def counted(self, reader: Reader, at: datetime, arms: Sequence[str]) -> int:
        """How many decisions these arms of an experiment have; the access log has the look, for `of_arms`."""
        query = select(func.count()).where(decisions.c.arm.in_(arms))
        found = int(self._connection.execute(query).scalar_one())
        self._accesses.note(reader, "experiment", at, count=found)
        return found

    def of_arms(self, arms: Sequence[str]) -> Iterator[Line]:
        """Every decision of these arms, oldest first, with the person: for whoever tells sums of them and has called
        `counted` in a transaction before, so that the look is on the disk."""
        return self._lines(decisions.c.arm.in_(arms))

    def _lines(self, *which: ColumnElement[bool]) -> Iterator[Line]:
        last = 0
        while True:
            query = select(*_COLUMNS).where(*which, decisions.c.number > last)
            rows = self._connection.execute(query.order_by(decisions.c.number).limit(_CHUNK)).all()
            yield from (Line(**row._mapping) for row in rows)
            if len(rows) < _CHUNK:
                return
            last = rows[-1].number


def _name(application_id: str) -> str:
    return f"the record of application {application_id}"


def _values(record: DecisionRecord) -> dict[str, Any]:
    offer, context = record.offer, record.context
    return {
        "application_id": record.application.application_id, "person": context.person, "rulebook": record.rulebook,
        "outcome": record.outcome, "product": record.application.product, "arm": context.arm,
        "amount_fen": offer and offer.amount_fen, "limit_fen": offer and offer.limit_fen,
        "daily_rate": offer and _plain(offer.daily_rate), "created_at": context.now,
    }


def _plain(rate: Decimal) -> str:
    return format(rate, "f")
