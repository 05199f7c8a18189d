"""Consents: one authorisation per inquiry, for one purpose, until its end, used once; and the switch.

What decides is one statement that looks and counts at once, so a consent is never used more often than it says, nor
after the switch-off was answered. Switching off withdraws every open consent: switching on again revives none. Whatever
is withdrawn is noted for the platform in the same transaction.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, exists, or_, select, update

from parties.bank.decision.context import ConsentState, ConsentStatus
from parties.bank.store.errors import Conflict, Unknown
from parties.bank.store.inserts import insert_new
from parties.bank.store.tables import consent_uses, consents, switches
from parties.bank.store.values import checked_text
from parties.bank.store.withdrawals import Withdrawals
from protocols.errors import PolicyRefused, UsageError

_MOST_USES = 1000
Taken = tuple[ConsentStatus, "Grant | None"]


@dataclass(frozen=True)
class Grant:
    """One consent as it is kept."""

    reference: str
    person: str
    purpose: str
    granted_at: datetime
    expires_at: datetime
    maximum_uses: int
    uses: int
    withdrawn_at: datetime | None

    def status(self, now: datetime, off: bool) -> ConsentStatus:
        """What it is worth at `now`, for a person who has switched off or not."""
        if off or self.withdrawn_at is not None:
            return "off"
        if not self.granted_at <= now < self.expires_at:
            return "expired"
        return "used" if self.uses >= self.maximum_uses else "valid"


# Built once: building a statement takes as long as running it, and every decision runs these.
_COLUMNS = [consents.c[field.name] for field in fields(Grant)]
_ONE = select(*_COLUMNS).where(consents.c.reference == bindparam("of"))
_IS_OFF = select(exists().where(switches.c.person == bindparam("of"), switches.c.off_at.is_not(None)))


@lru_cache
def _count(number: int) -> Any:
    """Use so many consents of one person, `of0` for the purpose `why0` and so on, once each where they hold."""
    asked = [and_(consents.c.reference == bindparam(f"of{n}"), consents.c.purpose == bindparam(f"why{n}"))
             for n in range(number)]
    return update(consents).where(
        or_(*asked), consents.c.person == bindparam("who"), consents.c.withdrawn_at.is_(None),
        consents.c.granted_at <= bindparam("now"), consents.c.expires_at > bindparam("now"),
        consents.c.uses < consents.c.maximum_uses,
        ~exists().where(switches.c.person == consents.c.person, switches.c.off_at.is_not(None)),
    ).values(uses=consents.c.uses + 1).returning(*_COLUMNS)


class Consents:
    """Grants and the switch, on one connection."""

    def __init__(self, connection: Connection):
        self._connection = connection

    def grant(self, reference: str, person: str, purpose: str, granted_at: datetime, expires_at: datetime,
              maximum_uses: int = 1) -> bool:
        """Keep a consent; False if this very one is kept, Conflict if another is, PolicyRefused while switched off."""
        if expires_at <= granted_at or not 1 <= maximum_uses <= _MOST_USES:
            raise UsageError(f"a consent ends after it begins and has 1 to {_MOST_USES} uses; got {maximum_uses} uses "
                             f"from {granted_at:%Y-%m-%d %H:%M} to {expires_at:%Y-%m-%d %H:%M}")
        if self.is_off(person):
            raise PolicyRefused("switch", "this person has switched financial services off; they switch them on first")
        terms = {"reference": reference, "person": person, "purpose": purpose, "granted_at": granted_at,
                 "expires_at": expires_at, "maximum_uses": maximum_uses}
        if insert_new(self._connection, consents, terms):
            return True
        kept = self._get(reference)
        if kept is None or any(getattr(kept, name) != value for name, value in terms.items()):
            raise Conflict(f"another consent is kept under the reference {reference[:64]}; every consent has its own")
        return False

    def use(self, reference: str, person: str, purpose: str, application_id: str, now: datetime) -> ConsentStatus:
        """Use a consent for an application: `valid` if it was, now or by the same application before; otherwise why
        not. One of another person or purpose is `unknown`."""
        return self.take([(reference, purpose)], person, application_id, now)[0][0]

    def take(self, asked: Sequence[tuple[str, str]], person: str, application_id: str, now: datetime) -> list[Taken]:
        """`use` of each (reference, purpose), and the consent itself where it holds."""
        counted = self._counted(asked, person, now)
        for reference in counted:
            use = {"reference": reference, "application_id": application_id, "used_at": now}
            if not insert_new(self._connection, consent_uses, use):  # the same application: not a second use
                self._uncount(reference)
        return [self._taken(counted.get(reference), reference, person, purpose, application_id, now)
                for reference, purpose in asked]

    def _counted(self, asked: Sequence[tuple[str, str]], person: str, now: datetime) -> dict[str, Grant]:
        """Those that held, by reference: used once more each, also where one is asked for twice."""
        if not asked:
            return {}
        values = {f"{name}{n}": value for n, pair in enumerate(asked)
                  for name, value in zip(("of", "why"), pair, strict=True)}
        rows = self._connection.execute(_count(len(asked)), values | {"who": person, "now": now})
        return {grant.reference: grant for grant in map(_grant, rows)}

    def _taken(self, counted: Grant | None, reference: str, person: str, purpose: str, application_id: str,
               now: datetime) -> Taken:
        """What one consent was worth: counted just now, used by this application before, or why not."""
        kept = counted or self._get(reference)
        if kept is None or (kept.person, kept.purpose) != (person, purpose):
            return "unknown", None
        if counted is not None:
            return "valid", counted
        status = kept.status(now, self.is_off(person))
        if status == "valid":  # another connection gave it between the two statements: not valid without a use
            return self.take([(reference, purpose)], person, application_id, now)[0]
        if status == "used" and self._used_by(reference, application_id):
            return "valid", kept
        return status, None

    def states(self, references: Sequence[tuple[str, str]], person: str, now: datetime) -> tuple[ConsentState, ...]:
        """By (reference, purpose), in their order: what each is worth, without using it."""
        query = select(*_COLUMNS).where(consents.c.reference.in_([reference for reference, _ in references]))
        kept = {row.reference: _grant(row) for row in self._connection.execute(query)} if references else {}
        off = self.is_off(person)

        def status(reference: str, purpose: str) -> ConsentStatus:
            grant = kept.get(reference)
            known = grant is not None and (grant.person, grant.purpose) == (person, purpose)
            return grant.status(now, off) if grant is not None and known else "unknown"

        return tuple(ConsentState(reference=reference, purpose=purpose, status=status(reference, purpose))
                     for reference, purpose in references)

    def withdraw(self, reference: str, person: str, now: datetime) -> bool:
        """Withdraw a consent of this person; False if it was already. Unknown when they gave none of that name."""
        kept = self._get(reference)
        if kept is None or kept.person != person:
            raise Unknown(f"this person has no consent {reference[:64]}")
        change = update(consents).where(consents.c.reference == reference, consents.c.withdrawn_at.is_(None))
        new = self._connection.execute(change.values(withdrawn_at=now)).rowcount == 1
        if new:
            Withdrawals(self._connection).add(person, reference, now)
        return new

    def of(self, person: str) -> list[Grant]:
        """All consents of a person, the newest first."""
        query = select(*_COLUMNS).where(consents.c.person == person).order_by(consents.c.granted_at.desc(),
                                                                              consents.c.reference)
        return [_grant(row) for row in self._connection.execute(query)]

    # the switch

    def is_off(self, person: str) -> bool:
        """Whether the person has switched financial services off."""
        return bool(self._connection.execute(_IS_OFF, {"of": person}).scalar_one())

    def switch_off(self, person: str, by: str, now: datetime) -> tuple[str, ...]:
        """Off, and every open consent withdrawn; their references, for whoever was told of them."""
        self._switch(person, by, now, now)
        Withdrawals(self._connection).add(person, None, now)
        open_ones = and_(consents.c.person == person, consents.c.withdrawn_at.is_(None), consents.c.expires_at > now)
        change = update(consents).where(open_ones).values(withdrawn_at=now).returning(consents.c.reference)
        return tuple(sorted(self._connection.execute(change).scalars()))

    def switch_on(self, person: str, by: str, now: datetime) -> None:
        """On again; consents have to be given anew."""
        self._switch(person, by, now, None)

    def _switch(self, person: str, by: str, now: datetime, off_at: datetime | None) -> None:
        values = {"off_at": off_at, "changed_at": now, "changed_by": checked_text("who switches", by)}
        if not insert_new(self._connection, switches, values | {"person": person}):
            self._connection.execute(update(switches).where(switches.c.person == person).values(**values))

    # one consent

    def _get(self, reference: str) -> Grant | None:
        row = self._connection.execute(_ONE, {"of": reference}).one_or_none()
        return None if row is None else _grant(row)

    def _uncount(self, reference: str) -> None:
        values: Any = {"uses": consents.c.uses - 1}
        self._connection.execute(update(consents).where(consents.c.reference == reference).values(values))

    def _used_by(self, reference: str, application_id: str) -> bool:
        query = select(exists().where(consent_uses.c.reference == reference,
                                      consent_uses.c.application_id == application_id))
        return bool(self._connection.execute(query).scalar_one())


def _grant(row: Row[Any]) -> Grant:
    return Grant(*row)
