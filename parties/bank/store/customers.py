"""Limit accounts: what a person may draw, what is drawn, and every change of the limit with its reason.

`reserve` is one statement that compares and adds, so two draw-downs at once never exceed a limit, whatever database,
thread or process they come from. It stands in the transaction of whatever it is for; only its commit makes it count.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, case, false, select, update

from parties.bank.decision.context import History
from parties.bank.decision.lateness import Late, last, worst, worst_since
from parties.bank.store.errors import Conflict, LimitExceeded, Unknown
from parties.bank.store.inserts import insert_new
from parties.bank.store.tables import customers, limit_changes
from parties.bank.store.values import checked_fen, checked_text
from protocols.errors import UsageError

# Built once: building a statement takes as long as running it, and every decision runs these.
_OPENED = ("opened_at", "active_at", "looked_at")
_SET_LIMIT = update(customers).where(customers.c.person == bindparam("of")).values(limit_fen=bindparam("to"))
# Each is a range of one index, in its order; the words of the second are those of its index.
_OLD = select(customers.c.person).where(customers.c.looked_at < bindparam("before")).order_by(
    customers.c.looked_at, customers.c.person).limit(bindparam("most"))
_IDLE = select(customers.c.person).where(
    customers.c.looked_at <= customers.c.active_at, customers.c.active_at < bindparam("active_before"),
    customers.c.looked_at >= bindparam("before")).order_by(
    customers.c.active_at, customers.c.person).limit(bindparam("most"))


@dataclass(frozen=True)
class LimitAccount:
    """One person's account. The temporary raise counts until its end; `late_days` is the worst of loans that ended late
    since the review before `late_at`, when one was last late; `looked_at` is the last review, or the opening."""

    person: str
    limit_fen: int
    outstanding_fen: int
    temporary_fen: int
    temporary_until: datetime | None
    frozen: bool
    loans_repaid: int
    worst_overdue_days: int
    opened_at: datetime
    active_at: datetime | None
    reviewed_at: datetime | None
    late_at: datetime | None
    late_days: int
    looked_at: datetime

    def limit_at(self, now: datetime) -> int:
        """The limit with the temporary raise, in fen."""
        lasting = self.temporary_until is not None and now < self.temporary_until
        return self.limit_fen + (self.temporary_fen if lasting else 0)

    def free_at(self, now: datetime) -> int:
        """What can be drawn now, in fen; 0 while frozen."""
        return 0 if self.frozen else max(0, self.limit_at(now) - self.outstanding_fen)

    @property
    def new_overdue_days(self) -> int:
        """The most days late, of loans that ended, that no review has seen."""
        seen = self.late_at is None or (self.reviewed_at is not None and self.late_at <= self.reviewed_at)
        return 0 if seen else self.late_days


_ONE = select(*(customers.c[field.name] for field in fields(LimitAccount))).where(customers.c.person == bindparam("of"))
_LOCKED = _ONE.with_for_update()


@dataclass(frozen=True)
class LimitChange:
    """One change: `what` is limit, temporary, freeze, unfreeze or review."""

    number: int
    person: str
    at: datetime
    what: str
    before_fen: int
    after_fen: int
    until: datetime | None
    reason: str
    changed_by: str


class Customers:
    """The accounts, on one connection."""

    def __init__(self, connection: Connection):
        self._connection = connection

    # what is drawn

    def reserve(self, person: str, fen: int, now: datetime) -> None:
        """Draw so much against the limit; LimitExceeded if it has less left, is frozen or does not exist."""
        lasting = and_(customers.c.temporary_until.is_not(None), customers.c.temporary_until > now)
        limit = customers.c.limit_fen + case((lasting, customers.c.temporary_fen), else_=0)
        change = update(customers).where(customers.c.person == person, customers.c.frozen == false(),
                                         customers.c.outstanding_fen + checked_fen(fen) <= limit)
        values: Any = {"outstanding_fen": customers.c.outstanding_fen + fen, "active_at": now}
        if self._connection.execute(change.values(values)).rowcount == 0:
            raise LimitExceeded(self._why_not(person, fen, now))

    def release(self, person: str, fen: int, now: datetime) -> None:
        """Give back so much principal; Conflict if less than that is drawn."""
        change = update(customers).where(customers.c.person == person,
                                         customers.c.outstanding_fen >= checked_fen(fen))
        values: Any = {"outstanding_fen": customers.c.outstanding_fen - fen, "active_at": now}
        if self._connection.execute(change.values(values)).rowcount == 0:
            raise Conflict(f"{fen} fen cannot be given back: less than that is drawn")

    def repaid(self, person: str, late: Sequence[Late], now: datetime, loans: int = 1) -> None:
        """So many loans were repaid, so late; for reviews and repeat loans."""
        account = self.locked(person)
        at = last(late)
        known = [when for when in (account.late_at, at) if when is not None]
        self._change(person, {
            "loans_repaid": account.loans_repaid + loans, "active_at": now,
            "worst_overdue_days": max(account.worst_overdue_days, worst(late)), "late_at": max(known, default=None),
            "late_days": max(account.new_overdue_days, worst_since(late, account.reviewed_at))})

    # the limit

    def set_limit(self, person: str, limit_fen: int, reason: str, by: str, now: datetime) -> None:
        """Set the limit, making the account if there is none. A cut below what is drawn only stops further drawing."""
        opened = {name: now for name in _OPENED} | {"person": person, "limit_fen": checked_fen(limit_fen, 0)}
        if insert_new(self._connection, customers, opened):
            self._noted(person, 0, now, "limit", limit_fen, reason, by)
            return
        self._note(self.locked(person), now, "limit", limit_fen, reason, by)
        self._connection.execute(_SET_LIMIT, {"of": person, "to": limit_fen})

    def raise_until(self, person: str, extra_fen: int, until: datetime, reason: str, by: str, now: datetime) -> None:
        """A temporary raise by so much, which ends by itself and replaces one that lasts; 0 fen ends it now."""
        account = self.locked(person)
        if until <= now and extra_fen:
            raise UsageError(f"a temporary raise ends in the future, got {until:%Y-%m-%d %H:%M}")
        self._note(account, now, "temporary", account.limit_fen + checked_fen(extra_fen, 0), reason, by, until)
        self._change(person, {"temporary_fen": extra_fen, "temporary_until": until})

    def freeze(self, person: str, reason: str, by: str, now: datetime) -> None:
        """Nothing can be drawn until `unfreeze`."""
        self._switch(person, True, reason, by, now)

    def unfreeze(self, person: str, reason: str, by: str, now: datetime) -> None:
        """What the limit has left can be drawn again."""
        self._switch(person, False, reason, by, now)

    def reviewed(self, person: str, reason: str, by: str, now: datetime) -> None:
        """A review looked at this account; what it changed are changes of their own."""
        account = self.locked(person)
        self._note(account, now, "review", account.limit_fen, reason, by)
        self._change(person, {"reviewed_at": now, "looked_at": now})

    # what is known

    def get(self, person: str) -> LimitAccount | None:
        """The account, None for who never had one."""
        row = self._connection.execute(_ONE, {"of": person}).one_or_none()
        return None if row is None else _account(row)

    def locked(self, person: str) -> LimitAccount:
        """The account, as it stays until this transaction ends; Unknown for who never had one."""
        row = self._connection.execute(_LOCKED, {"of": person}).one_or_none()
        if row is None:
            raise Unknown("this person has no limit account; an approved application makes one")
        return _account(row)

    def history(self, person: str, now: datetime) -> History:
        """The person as a customer, as a decision sees it."""
        account = self.get(person)
        if account is None:
            return History()
        return History(existing_limit_fen=account.limit_fen, outstanding_fen=account.outstanding_fen,
                       loans_repaid=account.loans_repaid, worst_overdue_days=account.worst_overdue_days,
                       idle_days=max(0, (now - (account.active_at or account.opened_at)).days),
                       last_review=account.reviewed_at, frozen=account.frozen, late_at=account.late_at,
                       new_overdue_days=None if account.late_at is None else account.new_overdue_days)

    def changes(self, person: str) -> list[LimitChange]:
        """Every change of the limit, the newest first."""
        query = select(limit_changes).where(limit_changes.c.person == person).order_by(limit_changes.c.number.desc())
        return [LimitChange(**row._mapping) for row in self._connection.execute(query)]

    def due(self, reviewed_before: datetime, active_before: datetime, limit: int = 1000) -> list[str]:
        """People not looked at since `reviewed_before`, the longest ago first, then those idle since `active_before`
        and not looked at since."""
        bounds = {"before": reviewed_before, "active_before": active_before}
        found = list(self._connection.execute(_OLD, {"before": reviewed_before, "most": limit}).scalars())
        if len(found) < limit:
            found += self._connection.execute(_IDLE, {**bounds, "most": limit - len(found)}).scalars()
        return found

    # one account

    def _change(self, person: str, values: dict[str, Any]) -> None:
        if self._connection.execute(update(customers).where(customers.c.person == person).values(values)).rowcount == 0:
            raise Unknown("this person has no limit account; an approved application makes one")

    def _switch(self, person: str, frozen: bool, reason: str, by: str, now: datetime) -> None:
        account = self.locked(person)
        self._note(account, now, "freeze" if frozen else "unfreeze", account.limit_fen, reason, by)
        self._change(person, {"frozen": frozen})

    def _note(self, account: LimitAccount, at: datetime, what: str, after_fen: int, reason: str, by: str,
              until: datetime | None = None) -> None:
        self._noted(account.person, account.limit_fen, at, what, after_fen, reason, by, until)

    def _noted(self, person: str, before_fen: int, at: datetime, what: str, after_fen: int, reason: str, by: str,
               until: datetime | None = None) -> None:
        insert_new(self._connection, limit_changes, {
            "person": person, "at": at, "what": what, "before_fen": before_fen, "after_fen": after_fen,
            "until": until, "reason": checked_text("the reason of the change", reason),
            "changed_by": checked_text("who changes it", by)})

    def _why_not(self, person: str, fen: int, now: datetime) -> str:
        account = self.get(person)
        if account is None:
            return "this person has no limit account; an approved application makes one"
        if account.frozen:
            return "the limit is frozen; nothing can be drawn until it is released"
        return f"{fen} fen are more than the {account.free_at(now)} fen that the limit has left"


def _account(row: Row[Any]) -> LimitAccount:
    return LimitAccount(*row)
