"""What a borrower or an auditor reads: a statement of a period that foots, and what is still to be paid."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from parties.bank.decision.lateness import Late
from parties.bank.lending.account import Account, advanced
from parties.bank.lending.events import Event, accepted, applied
from parties.bank.lending.parts import Parts
from parties.bank.lending.terms import Terms
from protocols.errors import UsageError


@dataclass(frozen=True)
class Line:
    """An event, a due date or the end: what was charged and settled since the line before, and what is owed then."""

    at: datetime
    what: str
    charged: Parts
    settled: Parts
    owed: Parts


@dataclass(frozen=True)
class Statement:
    """The dates `first` to `last`, both included: opening and all lines give `closing`, which partners' balances add
    up to."""

    loan_id: str
    first: date
    last: date
    opening: Parts
    lines: tuple[Line, ...]
    closing: Parts
    balances: dict[str, Parts]
    status: str
    days_past_due: int


@dataclass(frozen=True)
class Payment:
    """What is to be paid by the end of `due_on` if every payment before it is made; what is late is to be paid
    today."""

    due_on: date
    parts: Parts


def standing(terms: Terms, events: Sequence[Event], at: datetime) -> Account | None:
    """The account as it stood at a moment, before an event of that very moment; None before its acceptance."""
    account: Account | None = None
    for event in events:
        if event.at >= at:
            break
        account = _after(terms, account, event)
    return None if account is None else advanced(account, at)


def lateness(terms: Terms, events: Sequence[Event]) -> list[Late]:
    """How late the loan was just before each of its events, where it was: what a later decision looks at."""
    account, found = accepted(terms, events[0])[0], []
    for event in events[1:]:
        days = advanced(account, event.at).days_past_due
        found += [Late(days, event.at)] if days else []
        account = _after(terms, account, event)
    return found


def statement(terms: Terms, events: Sequence[Event], first: date, last: date, now: datetime) -> Statement:
    """Of the loan with these events, first to last date; a date that has not ended counts until `now`."""
    begin, end = terms.start_of(first), min(now, terms.start_of(last + timedelta(days=1)))
    account, final = standing(terms, events, begin), standing(terms, events, end)
    if end <= begin or final is None:
        raise UsageError(f"a statement covers dates from the acceptance until today, got {first} to {last}")
    opening, before, lines = _owed(account), account, []
    for at, event in _moments(terms, events, final, begin, end):
        after = _after(terms, before, event) if event else before and advanced(before, at)
        if event or _bills(after) > _bills(before):
            lines.append(_line(at, event.kind if event else "due", before, after))
            before = after
    if final.charged != _charged(before):
        lines.append(_line(end, "accrued", before, final))
    late = standing(terms, events, end - timedelta(microseconds=1))  # `end` is already the next date
    return Statement(terms.loan_id, first, last, opening, tuple(lines), final.owed, final.balances(), final.status,
                     late.days_past_due if late else 0)


def outlook(account: Account) -> tuple[Payment, ...]:
    """What is still to be paid and when, if the loan is paid as billed from now on; empty for one that does not run."""
    rows = []
    while account.status == "active":
        due, today = account.due_next, account.terms.day(account.at)
        day = max(due.due_on, today) if due and not account.overdue.total_fen else today
        account = advanced(account, max(account.at, account.terms.start_of(day)))
        payment = account.payable if due else account.owed
        rows.append(Payment(day, payment))
        settled = account.settled + payment
        ended = settled == account.charged and account.due_next is None
        account = replace(account, settled=settled, status="repaid" if ended or not due else "active")
    return tuple(rows)


def _moments(terms: Terms, events: Sequence[Event], final: Account, begin: datetime,
             end: datetime) -> list[tuple[datetime, Event | None]]:
    """Events and starts of due dates of the period in order, a due date before an event of the same moment."""
    dues: list[tuple[datetime, Event | None]] = [(terms.start_of(due.due_on), None) for due in final.plan]
    moments = dues + [(event.at, event) for event in events]
    return sorted(((at, event) for at, event in moments if begin <= at < end), key=lambda m: (m[0], m[1] is not None))


def _after(terms: Terms, account: Account | None, event: Event) -> Account:
    return accepted(terms, event)[0] if account is None else applied(account, event, 1)[0]


def _line(at: datetime, what: str, before: Account | None, after: Account) -> Line:
    settled = after.settled - before.settled if before else after.settled
    return Line(at, what, after.charged - _charged(before), settled, after.owed)


def _charged(account: Account | None) -> Parts:
    return account.charged if account else Parts()


def _owed(account: Account | None) -> Parts:
    return account.owed if account else Parts()


def _bills(account: Account | None) -> int:
    return len(account.bills) if account else 0
