"""Withdrawn consents on their way to the platform: each is noted with the withdrawal itself, in one transaction, and
forgotten once the platform has acknowledged it."""
from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from parties.bank.store.tables import withdrawals


@dataclass(frozen=True)
class Withdrawal:
    """One consent of a person, or all of theirs that were given until `at` where there is no reference."""

    number: int
    person: str
    reference: str | None
    at: datetime


class Withdrawals:
    """What the platform has to hear, on one connection."""

    def __init__(self, connection: Connection):
        self._connection = connection

    def add(self, person: str, reference: str | None, at: datetime) -> None:
        """The platform has yet to hear of it."""
        self._connection.execute(insert(withdrawals).values(person=person, reference=reference, at=at))

    def first(self) -> Withdrawal | None:
        """The one that has waited longest."""
        row = self._connection.execute(select(withdrawals).order_by(withdrawals.c.number).limit(1)).one_or_none()
        return None if row is None else Withdrawal(**row._mapping)

    def count(self) -> int:
        """How many wait."""
        return self._connection.execute(select(func.count()).select_from(withdrawals)).scalar_one()

    def done(self, one: Withdrawal) -> None:
        """The platform has acknowledged it."""
        same = withdrawals.c.number == one.number, withdrawals.c.at == one.at  # SQLite gives a number again
        self._connection.execute(delete(withdrawals).where(*same))
