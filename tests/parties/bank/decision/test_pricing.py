"""Prices: instalments against an oracle in fractions, annual cost against the definition, rates within bounds."""
from __future__ import annotations

import decimal
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.bank.decision import pricing
from parties.bank.decision.pricing import annual_cost, daily_rate, installments, internal_rate, overdue_daily_rate
from parties.bank.decision.products import Fees, Product
from tests.parties.bank.decision.figures import MONEY, probabilities, product, products, rates

POLICY = MONEY.pricing
amounts = st.integers(100, 20_000_000)
terms = st.integers(1, 24)
days = st.dates(date(2026, 1, 1), date(2028, 12, 31))


def half_up(value: Fraction) -> int:
    return int(value + Fraction(1, 2))


@given(products, amounts, terms, rates)
def test_instalments_follow_the_contract(some: Product, amount: int, term: int, rate: Decimal) -> None:
    rows = installments(some, amount, term, rate)
    assert [row.month for row in rows] == list(range(1, term + 1))
    assert sum(row.principal_fen for row in rows) == amount
    outstanding = amount
    for row in rows:
        assert row.interest_fen == half_up(outstanding * Fraction(rate) * 365 / 12)
        base = outstanding if some.fees.monthly_on == "outstanding" else amount
        once = half_up(amount * Fraction(some.fees.one_time_rate)) if row.month == 1 else 0
        assert row.fee_fen == half_up(base * Fraction(some.fees.monthly_rate)) + once
        assert row.principal_fen >= 0
        outstanding -= row.principal_fen


@given(st.integers(100_000, 20_000_000), terms, rates)
def test_level_payments_are_level(amount: int, term: int, rate: Decimal) -> None:
    rows = installments(product(repayment="equal-installment"), amount, term, rate)
    paid = [row.principal_fen + row.interest_fen for row in rows]
    assert len(set(paid[:-1])) <= 1
    left = sum((1 + Fraction(rate) * 365 / 12) ** month for month in range(term))
    assert abs(paid[-1] - paid[0]) <= left  # at most a fen of rounding a month, and its interest


@given(products, amounts, terms, rates)
def test_the_annual_cost_is_the_internal_rate_rounded_up(some: Product, amount: int, term: int, rate: Decimal) -> None:
    cost = Fraction(annual_cost(some, amount, term, rate))
    paid = [row.principal_fen + row.interest_fen + row.fee_fen for row in installments(some, amount, term, rate)]

    def worth(yearly: Fraction) -> float:
        monthly = float(1 + yearly) ** (1 / 12)
        return sum(p / monthly ** (k + 1) for k, p in enumerate(paid)) - amount

    tolerance = 1e-9 * amount
    assert worth(cost) <= tolerance  # never understated
    assert worth(cost - Fraction(1, 10**6)) >= -tolerance or cost == 0  # and by less than a millionth too high


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=120), st.fractions(0, Fraction(1, 10)))
def test_the_internal_rate_gives_the_amount_back(payments: list[int], guess: Fraction) -> None:
    amount = max(1, sum(payments) * 9 // 10)
    if amount > sum(payments):
        return
    start = Decimal(guess.numerator) / guess.denominator
    monthly = Fraction(internal_rate(amount, payments, start))
    worth = sum(p / (1 + monthly) ** (k + 1) for k, p in enumerate(payments))
    assert abs(worth - amount) < Fraction(amount, 10**25)


@given(amounts, terms, rates, rates)
def test_cost_rises_with_the_rate_but_for_rounding(amount: int, term: int, one: Decimal, other: Decimal) -> None:
    low, high = sorted((one, other))
    some = product(repayment="equal-principal")
    slack = Decimal(200 * term) / amount  # half a fen a month, over principal that shrinks to a last instalment
    assert annual_cost(some, amount, term, low) <= annual_cost(some, amount, term, high) + slack


def test_known_costs() -> None:
    """One month: (1 + r)^12 - 1 by hand; the red line falls between 0.0594 % and 0.0595 % a day."""
    assert annual_cost(product(), 1_200_000, 1, Decimal("0.0004")) == Decimal("0.156178")  # 146.00 CNY on 12,000
    assert annual_cost(product(), 1_200_000, 12, Decimal(0)) == 0
    fee = product(fees=Fees(monthly_rate="0.015"))
    assert annual_cost(fee, 1_000_000, 1, Decimal(0)) == Decimal("0.195619")  # 1.015^12 - 1 = 0.1956181…
    assert annual_cost(product(), 20_000_000, 12, Decimal("0.000594")) < Decimal("0.24")
    assert annual_cost(product(), 20_000_000, 12, Decimal("0.000595")) > Decimal("0.24")


def test_nothing_depends_on_the_ambient_context() -> None:
    some = product(repayment="equal-installment", fees=Fees(one_time_rate="0.01", monthly_rate="0.001"))
    price = daily_rate(POLICY, MONEY.products.get("weilidai"), Decimal("0.0777"), "first", date(2027, 1, 10))
    usual = (pricing.quote(POLICY, some, 1_234_567, 11, price), overdue_daily_rate(POLICY, some, Decimal("0.00045")))
    with decimal.localcontext(decimal.Context(prec=3, rounding=decimal.ROUND_UP)):
        again = daily_rate(POLICY, MONEY.products.get("weilidai"), Decimal("0.0777"), "first", date(2027, 1, 10))
        assert again == price
        assert (pricing.quote(POLICY, some, 1_234_567, 11, again),
                overdue_daily_rate(POLICY, some, Decimal("0.00045"))) == usual


@given(probabilities, st.sampled_from(["first", "repeat"]), days, st.sampled_from(MONEY.products.products))
def test_a_rate_is_within_the_bounds_of_its_product(probability: Decimal, kind: str, on: date, some: Product) -> None:
    price = daily_rate(POLICY, some, probability, kind, on)
    assert (price is None) == (probability > Decimal("0.15"))
    if price is not None:
        assert some.minimum_daily_rate <= price.daily_rate <= some.maximum_daily_rate
        assert price.bound is not None or price.daily_rate % POLICY.daily_rate_step == 0


@given(probabilities, probabilities, st.sampled_from(["first", "repeat"]), days)
def test_more_risk_is_never_cheaper(one: Decimal, other: Decimal, kind: str, on: date) -> None:
    low, high = (daily_rate(POLICY, product(), p, kind, on) for p in sorted((one, other)))
    if high is not None:
        assert low is not None and low.daily_rate <= high.daily_rate


@given(probabilities, st.sampled_from(["first", "repeat"]), st.sampled_from(POLICY.tightenings))
def test_before_the_festival_money_is_dearer(probability: Decimal, kind: str, window: pricing.Tightening) -> None:
    before, first, last, after = (
        daily_rate(POLICY, product(), probability, kind, on) for on in
        (window.first - timedelta(1), window.first, window.last, window.last + timedelta(1)))
    if first is not None:
        assert first == last and before == after
        assert first.tightening == window.name and before.tightening is None
        assert first.daily_rate - before.daily_rate == window.daily_rate_surcharge


@pytest.mark.parametrize(("probability", "kind", "rate", "grade"), [
    ("0", "repeat", "0.0002", "prime"), ("0.03", "repeat", "0.00035", "prime"),
    ("0.0301", "repeat", "0.000355", "standard"), ("0", "first", "0.0003", "new"),
    ("0.04", "first", "0.0004", "new"), ("0.08", "first", "0.0005", "new"), ("0.15", "first", "0.0006", "risky"),
])
def test_the_grade_table(probability: str, kind: str, rate: str, grade: str) -> None:
    price = daily_rate(POLICY, product(), Decimal(probability), kind, date(2026, 6, 1))
    assert (price.daily_rate, price.grade) == (Decimal(rate), grade)


def test_above_the_red_line_is_refused() -> None:
    cash = MONEY.products.get("xiaoe-cash")
    risky = daily_rate(POLICY, cash, Decimal("0.15"), "first", date(2026, 6, 1))
    quote = pricing.quote(POLICY, cash, 1_000_000, 12, risky)
    assert quote.refusal == "above-red-line" and quote.annual_cost > quote.red_line
    fine = pricing.quote(POLICY, cash, 1_000_000, 12, risky.model_copy(update={"daily_rate": Decimal("0.0005")}))
    assert fine.refusal is None and fine.annual_cost <= fine.red_line


def test_overdue_costs_half_as_much_again() -> None:
    assert overdue_daily_rate(POLICY, product(), Decimal("0.0004")) == Decimal("0.0006")
    assert overdue_daily_rate(POLICY, MONEY.products.get("xiaoe-instalment"), Decimal(0)) == Decimal("0.00075")
