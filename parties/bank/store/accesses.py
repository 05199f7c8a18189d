"""The access log: who read, listed or deleted what about whom, and why. A row is in it before anything is told."""
from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from parties.bank.store.tables import accesses
from parties.bank.store.values import Reader
from protocols.errors import SealscoreError

_INSERT = insert(accesses)


@dataclass(frozen=True)
class Access:
    """One line. `person` and `application_id` are None for lists, which say how many lines they held."""

    number: int
    at: datetime
    who: str
    role: str
    purpose: str
    action: str
    person: str | None
    application_id: str | None
    count: int


class AccessLog:
    """The log, on one connection."""

    def __init__(self, connection: Connection, writable: bool):
        self._connection, self._writable = connection, writable

    def note(self, reader: Reader, action: str, at: datetime, person: str | None = None,
             application_id: str | None = None, count: int = 1) -> None:
        """Add a line. SealscoreError inside `Store.read`, where the line would be lost."""
        if not self._writable:
            raise SealscoreError("what is kept about a person is read with Store.write or Store.submit, so that the "
                                 "access log has it")
        self._connection.execute(_INSERT, {
            "at": at, "who": reader.who, "role": reader.role, "purpose": reader.purpose, "action": action,
            "person": person, "application_id": application_id, "count": count})

    def of(self, reader: Reader, at: datetime, person: str | None = None, before: int | None = None,
           limit: int = 100) -> list[Access]:
        """The newest lines first, of one person or of all, before a line's number; this look is noted as well."""
        query = select(accesses).order_by(accesses.c.number.desc()).limit(limit)
        if person is not None:
            query = query.where(accesses.c.person == person)
        if before is not None:
            query = query.where(accesses.c.number < before)
        found = [Access(**row._mapping) for row in self._connection.execute(query)]
        self.note(reader, "accesses", at, person, count=len(found))
        return found

    def forget(self, before: datetime, most: int = 500) -> int:
        """Delete lines older than this; how many."""
        old = select(accesses.c.number).where(accesses.c.at < before).limit(most)
        return self._connection.execute(delete(accesses).where(accesses.c.number.in_(old))).rowcount
