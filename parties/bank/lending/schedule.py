"""Repayment plans on real dates: monthly, interest of each day counted, principal adding up to the last fen.

The price shows instalments of even months (parties/bank/decision/pricing.py); here months have the days they have.
Interest is what the account will charge if every instalment is paid on its date.
"""
from __future__ import annotations

import calendar
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from parties.bank.lending.amounts import fraction_of, rounded, scaled
from parties.bank.lending.terms import Terms


@dataclass(frozen=True)
class Due:
    """One instalment: what is to be paid by the end of `due_on`; `principal_so_far_fen` includes this one."""

    number: int
    due_on: date
    principal_fen: int
    interest_fen: int
    fee_fen: int
    principal_so_far_fen: int

    @property
    def total_fen(self) -> int:
        """Of all parts."""
        return self.principal_fen + self.interest_fen + self.fee_fen


def due_dates(drawn_on: date, months: int) -> tuple[date, ...]:
    """The same day of each following month, or its last day where there is no such day."""
    return tuple(_months_later(drawn_on, month) for month in range(1, months + 1))


def schedule(terms: Terms, amount_fen: int, drawn_on: date) -> tuple[Due, ...]:
    """The plan of a loan of `amount_fen` drawn on `drawn_on`."""
    dates = due_dates(drawn_on, terms.term_months)
    days = [(end - start).days for start, end in zip((drawn_on, *dates), dates, strict=False)]
    rate = scaled(terms.daily_rate)
    principals = _principals(terms, amount_fen, rate, days)
    rows, accrued, paid = [], 0, 0
    for number, (due_on, span, principal) in enumerate(zip(dates, days, principals, strict=True), 1):
        outstanding = amount_fen - paid
        before, accrued, paid = accrued, accrued + outstanding * rate * span, paid + principal
        fee = monthly_fee(terms, amount_fen, outstanding) + (one_time_fee(terms, amount_fen) if number == 1 else 0)
        rows.append(Due(number, due_on, principal, rounded(accrued) - rounded(before), fee, paid))
    return tuple(rows)


def one_time_fee(terms: Terms, amount_fen: int) -> int:
    """What the draw-down costs, in fen; payable with the first instalment."""
    return fraction_of(amount_fen, terms.fees.one_time_rate)


def monthly_fee(terms: Terms, amount_fen: int, outstanding_fen: int) -> int:
    """What an instalment costs beside interest, in fen."""
    base = outstanding_fen if terms.fees.monthly_on == "outstanding" else amount_fen
    return fraction_of(base, terms.fees.monthly_rate)


def _principals(terms: Terms, amount_fen: int, rate: int, days: Sequence[int]) -> list[int]:
    months = len(days)
    if terms.repayment == "interest-first":
        return [0] * (months - 1) + [amount_fen]
    if terms.repayment == "equal-principal":
        steps = [(2 * amount_fen * month + months) // (2 * months) for month in range(months + 1)]
        return [after - before for before, after in zip(steps, steps[1:], strict=False)]
    level = _least(lambda payment: _level(amount_fen, rate, days, payment)[1] <= payment, 1,
                   amount_fen + rounded(amount_fen * rate * sum(days)) + 1)
    return _level(amount_fen, rate, days, level)[0]


def _level(amount_fen: int, rate: int, days: Sequence[int], payment: int) -> tuple[list[int], int]:
    """Principals when every payment but the last is `payment`, and the last payment: the rest and its interest."""
    outstanding, accrued, principals = amount_fen, 0, []
    for span in days:
        before, accrued = accrued, accrued + outstanding * rate * span
        interest = rounded(accrued) - rounded(before)
        principals.append(min(max(payment - interest, 0), outstanding))
        outstanding -= principals[-1]
    principals[-1] += outstanding
    return principals, principals[-1] + interest


def _least(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The least number of low..high for which a monotone condition holds, given that it holds for `high`."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _months_later(day: date, months: int) -> date:
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
