"""The account of one loan: a pure state machine in exact arithmetic.

    accepted ──draw──► active ──repay all──► repaid          active ──write-off──► written-off ──repay all──► recovered
        └──withdraw──► withdrawn └──cancel──► cancelled (within the cooling-off, the whole amount paid back)

Two totals per part only ever rise: what was charged and what was settled. What is owed is their difference, and each
partner owns the difference of the splits of both totals; so partners' balances add up to the loan's at every moment
and none of their entries is ever taken back.

A day's interest is due for every date at whose end principal is outstanding: the day of the draw-down counts, the day
of repayment does not. Principal that was due and is unpaid at the end of a later date costs the overdue rate.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

from parties.bank.lending.amounts import rounded, scaled
from parties.bank.lending.parts import Parts
from parties.bank.lending.schedule import Due, monthly_fee, one_time_fee
from parties.bank.lending.terms import Terms

Status = Literal["accepted", "withdrawn", "active", "cancelled", "repaid", "written-off", "recovered"]


@dataclass(frozen=True)
class Bill:
    """What must have been paid in all by the end of `due_on`: totals since the draw-down."""

    due_on: date
    fee_fen: int
    interest_fen: int
    principal_fen: int

    def unpaid(self, settled: Parts) -> Parts:
        """What of it is not settled."""
        return Parts(fee_fen=max(0, self.fee_fen - settled.fee_fen),
                     interest_fen=max(0, self.interest_fen - settled.interest_fen),
                     principal_fen=max(0, self.principal_fen - settled.principal_fen))


@dataclass(frozen=True)
class Account:
    """A loan at the moment `at`. `accrued` and `surcharge` are units of 10^-18 fen; days before `next_day` are in
    them."""

    terms: Terms
    status: Status
    at: datetime
    drawn_at: datetime | None = None
    plan: tuple[Due, ...] = ()
    next_day: date | None = None
    accrued: int = 0
    surcharge: int = 0
    fees_fen: int = 0
    charged: Parts = Parts()
    settled: Parts = Parts()
    bills: tuple[Bill, ...] = ()

    @property
    def owed(self) -> Parts:
        """What is to be paid if the loan is paid off now."""
        return self.charged - self.settled

    @property
    def drawn_fen(self) -> int:
        """The amount of the draw-down, 0 before it."""
        return self.charged.principal_fen

    @property
    def overdue(self) -> Parts:
        """What had to be paid on an earlier date and was not; the surcharge comes on top."""
        today = self.terms.day(self.at)
        late = [bill for bill in self.bills if bill.due_on < today]
        return late[-1].unpaid(self.settled) if late else Parts()

    @property
    def payable(self) -> Parts:
        """What a payment now must be to leave no bill open: their principal, and all fees, surcharge and interest
        owed, since a payment settles those first; nothing if no bill is open."""
        unpaid = self.bills[-1].unpaid(self.settled) if self.bills else Parts()
        return replace(self.owed, principal_fen=unpaid.principal_fen) if unpaid.total_fen else Parts()

    @property
    def due_next(self) -> Due | None:
        """The first instalment that is not billed yet, of a loan that runs."""
        return self.plan[len(self.bills)] if self.status == "active" and len(self.bills) < len(self.plan) else None

    @property
    def days_past_due(self) -> int:
        """Days since the oldest due date whose bill is not paid, 0 if there is none."""
        today = self.terms.day(self.at)
        oldest = next((bill.due_on for bill in self.bills if bill.unpaid(self.settled).total_fen), today)
        return (today - oldest).days if self.status in ("active", "written-off") else 0

    @property
    def cooling_off(self) -> bool:
        """Whether the loan may be cancelled."""
        until = None if self.drawn_at is None else self.drawn_at + self.terms.cooling_off
        return self.status == "active" and until is not None and self.at < until

    def balances(self) -> dict[str, Parts]:
        """What is owed to each partner; adds up to `owed` in every part."""
        weights = self.terms.weights
        pairs = zip(self.charged.split(weights), self.settled.split(weights), strict=True)
        return {funder.partner: charged - settled
                for funder, (charged, settled) in zip(self.terms.funding, pairs, strict=True)}


def advanced(account: Account, at: datetime) -> Account:
    """The account at a later moment: closed days accrued, due dates billed, and what is final charged."""
    if at < account.at:
        raise ValueError("an account does not go back in time")
    if account.status != "active":
        return replace(account, at=at)
    today = account.terms.day(at)
    while account.next_day is not None and account.next_day < today:
        stop = _next_change(account, today)
        account = _billed(_accrued(account, stop), stop)
    return _charged(replace(account, at=at))


def _next_change(account: Account, today: date) -> date:
    """The first date after `next_day` on which a bill falls due or may become overdue, at most today."""
    first = account.next_day or today
    for due in account.plan[max(0, len(account.bills) - 1):]:
        for day in (due.due_on, date.fromordinal(due.due_on.toordinal() + 1)):
            if first < day < today:
                return day
    return today


def _accrued(account: Account, stop: date) -> Account:
    """With the days `next_day` to `stop` (excluded); no bill falls due between them."""
    first = account.next_day or stop
    days, terms = (stop - first).days, account.terms
    rate, principal = scaled(terms.daily_rate), account.owed.principal_fen
    late = [bill for bill in account.bills if bill.due_on < first]
    overdue = late[-1].unpaid(account.settled).principal_fen if late else 0
    return replace(account, next_day=stop, accrued=account.accrued + days * principal * rate,
                   surcharge=account.surcharge + days * overdue * (scaled(terms.overdue_daily_rate) - rate))


def _billed(account: Account, day: date) -> Account:
    """With the bill of `day`, if an instalment falls due on it."""
    due = account.due_next
    if due is None or due.due_on != day:
        return account
    planned = account.drawn_fen - due.principal_so_far_fen + due.principal_fen
    outstanding = min(account.owed.principal_fen, planned)
    fees = account.fees_fen + (monthly_fee(account.terms, account.drawn_fen, outstanding) if outstanding else 0)
    bill = Bill(day, fees, rounded(account.accrued), due.principal_so_far_fen)
    return replace(account, fees_fen=fees, bills=(*account.bills, bill))


def _charged(account: Account) -> Account:
    """With all that has accrued charged, unless the cooling-off keeps it back."""
    if account.cooling_off and account.terms.cooling_off_interest == "waived":
        return account
    return replace(account, charged=Parts(account.fees_fen, rounded(account.surcharge), rounded(account.accrued),
                                          account.charged.principal_fen))


def opened(terms: Terms, at: datetime) -> Account:
    """The account of an offer that was accepted at this moment."""
    return Account(terms, "accepted", at)


def drawn(account: Account, amount_fen: int, at: datetime, plan: tuple[Due, ...]) -> Account:
    """With the amount paid out."""
    return _charged(replace(account, status="active", at=at, drawn_at=at, plan=plan, next_day=account.terms.day(at),
                            fees_fen=one_time_fee(account.terms, amount_fen),
                            charged=Parts(principal_fen=amount_fen)))
