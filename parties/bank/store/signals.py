"""Risk signals: what was reported about a person under which reference, and what followed. One reference acts once."""
from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select

from parties.bank.store.errors import Conflict
from parties.bank.store.tables import signals

_INSERT = insert(signals)
_FIND = select(signals).where(signals.c.person == bindparam("of"), signals.c.reference == bindparam("named"))


@dataclass(frozen=True)
class KeptSignal:
    """One signal, and the change of the limit that followed: its kind, fen before and after, its reason in words."""

    person: str
    reference: str
    signal: str
    reported_by: str
    at: datetime
    kind: str
    before_fen: int
    after_fen: int
    reason: str
    zh: str
    en: str


class Signals:
    """The signals, on one connection. Whoever keeps one has locked the person's account."""

    def __init__(self, connection: Connection):
        self._connection = connection

    def find(self, person: str, reference: str, signal: str) -> KeptSignal | None:
        """What this reference stands for, None for a new one; Conflict when it is another signal."""
        row = self._connection.execute(_FIND, {"of": person, "named": reference}).one_or_none()
        if row is not None and row.signal != signal:
            raise Conflict(f"reference {reference[:64]} stands for another signal about this person; give a new signal "
                           "a new reference")
        return None if row is None else KeptSignal(**row._mapping)

    def keep(self, one: KeptSignal) -> None:
        """Keep a signal that `find` has not found."""
        self._connection.execute(_INSERT, asdict(one))
