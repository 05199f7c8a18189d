"""Prices: a daily rate by risk within the product's bounds, the instalments it leads to, and what it costs all in.

The annual cost is the internal rate of return of all payments, compounded over twelve months (announcement no. 3 of
2021 of the People's Bank of China: every cost over the principal really in use, by the IRR method). A month counts
365/12 days, so that the price does not depend on the day of the draw-down; fees are paid with instalments, never
deducted from the pay-out (Civil Code, article 670).
"""
from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import ROUND_CEILING, ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from parties.bank.decision.products import DailyRate, Product, Share, unique_names
from parties.bank.decision.record import Installment
from parties.bank.decision.values import Number
from protocols.plan import Name
from protocols.strict import Strict

EXACT = Context(prec=50)
ONE = 10**18  # rates as whole numbers: `Number` has at most 18 decimal places
COST_PLACES = Decimal("0.000001")
Kind = Literal["first", "repeat"]


class Grade(Strict):
    """Probabilities of default from above `from_probability` to `to_probability`, and the daily rates between them."""

    name: Name
    customers: Literal["first", "repeat", "any"]
    from_probability: Share
    to_probability: Share
    lowest_daily_rate: DailyRate
    highest_daily_rate: DailyRate

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_probability >= self.to_probability:
            raise ValueError(f"grade {self.name}: from_probability must be below to_probability")
        if self.lowest_daily_rate > self.highest_daily_rate:
            raise ValueError(f"grade {self.name}: lowest_daily_rate is above highest_daily_rate")
        return self


class Tightening(Strict):
    """A window of dates, both included, in which rates rise and initial limits shrink."""

    name: Name
    first: date
    last: date
    daily_rate_surcharge: DailyRate
    limit_factor: Share = Field("1", validate_default=True)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first > self.last:
            raise ValueError(f"tightening {self.name}: first is after last")
        return self


class PricingPolicy(Strict):
    """The grade table, the red line for the annual cost, the overdue surcharge and the windows of tightening."""

    annual_cost_red_line: Annotated[Number, Field(gt=0, le=1)]
    overdue_surcharge: Share
    daily_rate_step: Annotated[DailyRate, Field(gt=0)]
    grades: tuple[Grade, ...] = Field(min_length=1, max_length=64)
    tightenings: tuple[Tightening, ...] = Field(default=(), max_length=64)

    @model_validator(mode="after")
    def _grades_rise_without_gaps(self) -> Self:
        unique_names("grade", [g.name for g in self.grades])
        unique_names("tightening", [t.name for t in self.tightenings])
        for kind in ("first", "repeat"):
            _check_ladder(kind, self.ladder(kind))
        return self

    def ladder(self, kind: Kind) -> tuple[Grade, ...]:
        """The grades for first or for repeat customers, safest first."""
        return tuple(sorted((g for g in self.grades if g.customers in (kind, "any")), key=lambda g: g.from_probability))

    def tightening(self, on: date) -> Tightening | None:
        """The window that `on` lies in; of several the one with the highest surcharge."""
        open_now = [t for t in self.tightenings if t.first <= on <= t.last]
        return max(open_now, key=lambda t: (t.daily_rate_surcharge, t.name), default=None)


class Price(Strict):
    """A daily rate and how it came about; `bound` says which of the product's bounds cut it."""

    daily_rate: DailyRate
    grade: Name
    tightening: Name | None = None
    bound: Literal["minimum", "maximum"] | None = None


class Quote(Strict):
    """What a loan at this price costs; a refusal means that it may not be offered."""

    daily_rate: DailyRate
    annual_cost: Number
    red_line: Number
    installments: tuple[Installment, ...]
    refusal: Literal["above-red-line"] | None = None


def daily_rate(policy: PricingPolicy, product: Product, probability: Decimal, kind: Kind, on: date) -> Price | None:
    """The rate for this probability of default on this business date; None where the grade table ends."""
    grade = next((g for g in policy.ladder(kind) if probability <= g.to_probability), None)
    if grade is None:
        return None
    window = policy.tightening(on)
    with localcontext(EXACT):
        width = grade.to_probability - grade.from_probability
        place = (probability - grade.from_probability) / width
        rate = grade.lowest_daily_rate + (grade.highest_daily_rate - grade.lowest_daily_rate) * place
        rate += window.daily_rate_surcharge if window else 0
        rate = (rate / policy.daily_rate_step).to_integral_value(ROUND_CEILING) * policy.daily_rate_step
    bound = _bound(product, rate)
    return Price(daily_rate=_clamped(product, rate), grade=grade.name, tightening=window.name if window else None,
                 bound=bound)


def quote(policy: PricingPolicy, product: Product, amount_fen: int, term_months: int, price: Price) -> Quote:
    """Instalments and annual cost of a loan, and whether the red line forbids it."""
    payments = installments(product, amount_fen, term_months, price.daily_rate)
    cost = _cost_of(amount_fen, price.daily_rate, payments)
    return Quote(daily_rate=price.daily_rate, annual_cost=cost, red_line=policy.annual_cost_red_line,
                 installments=payments, refusal="above-red-line" if cost > policy.annual_cost_red_line else None)


def annual_cost(product: Product, amount_fen: int, term_months: int, rate: Decimal) -> Decimal:
    """All-in annual cost as a fraction: (1 + monthly IRR)^12 - 1, rounded up at six places, never understated."""
    return _cost_of(amount_fen, rate, installments(product, amount_fen, term_months, rate))


def overdue_daily_rate(policy: PricingPolicy, product: Product, rate: Decimal) -> Decimal:
    """What an overdue amount costs a day: the loan's rate (or the product's floor) and the surcharge on it."""
    with localcontext(EXACT):
        return max(rate, product.overdue_floor_daily_rate) * (1 + policy.overdue_surcharge)


def installments(product: Product, amount_fen: int, term_months: int, rate: Decimal) -> tuple[Installment, ...]:
    """The payments of a loan, principal summing to the amount exactly; each rounded half up to a fen."""
    outstanding, rows, scaled = amount_fen, [], _scaled(rate)
    level = _level_payment(amount_fen, term_months, rate) if product.repayment == "equal-installment" else 0
    for month in range(1, term_months + 1):
        interest = _half_up(outstanding * scaled * 365, 12 * ONE)
        principal = _principal(product, amount_fen, outstanding, term_months, month, level - interest)
        fee = _fee(product, amount_fen, outstanding, month)
        rows.append(_row(month, principal, interest, fee))
        outstanding -= principal
    return tuple(rows)


def _row(month: int, principal_fen: int, interest_fen: int, fee_fen: int) -> Installment:
    """Unchecked: whole numbers computed here, and checking twelve of them took most of the time of a quote."""
    return Installment.model_construct(
        month=month, principal_fen=principal_fen, interest_fen=interest_fen, fee_fen=fee_fen)


def internal_rate(amount_fen: int, payments: Sequence[int], guess: Decimal = Decimal(0)) -> Decimal:
    """The monthly rate at which `payments`, one at the end of each month, are worth the amount (both > 0).

    Newton's method on the discount factor: the value of payments is convex and rising in it, so that from the second
    step on every iterate lies right of the root and they fall to it.
    """
    with localcontext(EXACT):
        discount = 1 / (1 + guess)
        for _ in range(200):
            value, slope = _value_and_slope(payments, discount)
            step = (value - amount_fen) / slope
            discount -= step
            if abs(step) < Decimal("1e-20"):  # it squares with each step: what is left is below 1e-35
                break
        return 1 / discount - 1


def _value_and_slope(payments: Sequence[int], discount: Decimal) -> tuple[Decimal, Decimal]:
    """Of sum(payment_k · discount^k), k from 1, by Horner's rule."""
    value, slope = Decimal(0), Decimal(0)
    for payment in reversed(payments):
        slope = slope * discount + value
        value = value * discount + payment
    return value * discount, slope * discount + value


def _cost_of(amount_fen: int, rate: Decimal, payments: Sequence[Installment]) -> Decimal:
    with localcontext(EXACT):
        paid = [p.principal_fen + p.interest_fen + p.fee_fen for p in payments]
        yearly = (1 + internal_rate(amount_fen, paid, rate * 365 / 12)) ** 12 - 1
        return yearly.quantize(Decimal("1e-25")).quantize(COST_PLACES, ROUND_CEILING)


def _level_payment(amount_fen: int, term_months: int, rate: Decimal) -> int:
    """The payment of an annuity; the last one takes what rounding leaves."""
    with localcontext(EXACT):
        monthly = rate * 365 / 12
        if monthly == 0:
            return _half_up(amount_fen, term_months)
        return int((amount_fen * monthly / (1 - (1 + monthly) ** -term_months)).to_integral_value(ROUND_HALF_UP))


def _principal(product: Product, amount_fen: int, outstanding_fen: int, term: int, month: int, level: int) -> int:
    if month == term:
        return outstanding_fen
    if product.repayment == "interest-first":
        return 0
    return amount_fen // term if product.repayment == "equal-principal" else min(level, outstanding_fen)


def _fee(product: Product, amount_fen: int, outstanding_fen: int, month: int) -> int:
    fees = product.fees
    base = outstanding_fen if fees.monthly_on == "outstanding" else amount_fen
    once = _half_up(amount_fen * _scaled(fees.one_time_rate), ONE) if month == 1 else 0
    return _half_up(base * _scaled(fees.monthly_rate), ONE) + once


def _scaled(rate: Decimal) -> int:
    return int(rate.scaleb(18, EXACT))


def _half_up(numerator: int, denominator: int) -> int:
    """Of a quotient of whole numbers, neither negative: exact, unlike a division of decimals."""
    return (2 * numerator + denominator) // (2 * denominator)


def _bound(product: Product, rate: Decimal) -> Literal["minimum", "maximum"] | None:
    if rate < product.minimum_daily_rate:
        return "minimum"
    return "maximum" if rate > product.maximum_daily_rate else None


def _clamped(product: Product, rate: Decimal) -> Decimal:
    return min(max(rate, product.minimum_daily_rate), product.maximum_daily_rate).normalize(EXACT)


def _check_ladder(kind: str, ladder: Sequence[Grade]) -> None:
    if not ladder or ladder[0].from_probability != 0:
        raise ValueError(f"grades for {kind} loans must start at from_probability 0")
    for safer, riskier in zip(ladder, ladder[1:], strict=False):
        if riskier.from_probability != safer.to_probability:
            raise ValueError(f"grades {safer.name} and {riskier.name} must meet: to_probability of the one is "
                             "from_probability of the other")
        if riskier.lowest_daily_rate < safer.highest_daily_rate:
            raise ValueError(f"grade {riskier.name} starts below the highest rate of the safer grade {safer.name}")
