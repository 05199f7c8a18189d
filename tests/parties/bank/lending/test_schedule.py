"""Plans: dates, principal to the last fen, equal payments, and interest that the account then really charges."""
from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.bank.lending.account import advanced
from parties.bank.lending.events import accepted, applied
from parties.bank.lending.schedule import due_dates, schedule
from parties.bank.lending.statement import outlook
from tests.parties.bank.lending.loans import event, half_up, terms

FORMS = st.sampled_from(["equal-installment", "equal-principal", "interest-first"])
LOANS = dict(amount=st.integers(1, 20_000_000), rate=st.decimals(0, "0.001", places=6), months=st.integers(1, 36),
             form=FORMS, day=st.dates(date(2020, 1, 1), date(2035, 12, 31)))


def test_months_keep_their_day_or_end_earlier():
    assert due_dates(date(2027, 11, 30), 4) == (
        date(2027, 12, 30), date(2028, 1, 30), date(2028, 2, 29), date(2028, 3, 30))


def test_a_plan_by_hand():
    """10,000 CNY at 0.04 % a day, interest first: 31 and 28 days."""
    plan = schedule(terms(repayment="interest-first", term_months=2), 1_000_000, date(2026, 1, 1))
    assert [(due.due_on, due.principal_fen, due.interest_fen) for due in plan] == [
        (date(2026, 2, 1), 0, 12_400), (date(2026, 3, 1), 1_000_000, 11_200)]


def test_fees_by_hand():
    fees = {"one_time_rate": "0.01", "monthly_rate": "0.015", "monthly_on": "outstanding"}
    plan = schedule(terms(repayment="equal-principal", term_months=2, fees=fees), 100_000, date(2026, 1, 1))
    assert [due.fee_fen for due in plan] == [1_000 + 1_500, 750]
    original = schedule(terms(repayment="equal-principal", term_months=2, fees=fees | {"monthly_on": "original"}),
                        100_000, date(2026, 1, 1))
    assert [due.fee_fen for due in original] == [2_500, 1_500]


@given(**LOANS)
def test_a_plan_adds_up(amount, rate, months, form, day):
    plan = schedule(terms(amount_fen=amount, daily_rate=rate, overdue_daily_rate=rate, term_months=months,
                          repayment=form), amount, day)
    assert sum(due.principal_fen for due in plan) == amount == plan[-1].principal_so_far_fen
    assert all(due.principal_fen >= 0 and due.interest_fen >= 0 for due in plan)
    left, start, exact = amount, day, Fraction(0)
    for due in plan:
        exact += left * Fraction(rate) * (due.due_on - start).days
        left, start = left - due.principal_fen, due.due_on
    assert sum(due.interest_fen for due in plan) == half_up(exact)


@given(**LOANS | {"form": st.just("equal-installment"), "amount": st.integers(100_000, 20_000_000),
                  "months": st.integers(2, 36)})
def test_equal_instalments_are_equal(amount, rate, months, form, day):
    """All but the last, which is at most as large and by less than one fen for each instalment and its interest."""
    plan = schedule(terms(amount_fen=amount, daily_rate=rate, overdue_daily_rate=rate, term_months=months,
                          repayment=form), amount, day)
    totals = [due.total_fen for due in plan]
    assert len(set(totals[:-1])) == 1
    assert 0 <= totals[0] - totals[-1] <= 2 * months + 2


@given(**LOANS | {"months": st.integers(1, 12)})
def test_paying_the_plan_ends_the_loan(amount, rate, months, form, day):
    """The account bills exactly the plan, and is repaid by it; the outlook says so from the first day on."""
    agreed = terms(amount_fen=amount, daily_rate=rate, overdue_daily_rate=rate, term_months=months, repayment=form,
                   fees={"monthly_rate": "0.01", "one_time_rate": "0.01"},
                   offered_until=datetime(2040, 1, 1, tzinfo=UTC))
    at = agreed.start_of(day) + timedelta(hours=9)
    account, _ = accepted(agreed, event("accept", at))
    account, _ = applied(account, event("draw", at, amount), 2)
    assert [(pay.due_on, pay.parts.total_fen) for pay in outlook(account)] == [
        (due.due_on, due.total_fen) for due in account.plan]
    for number, due in enumerate(account.plan, 3):
        moment = agreed.start_of(due.due_on) + timedelta(hours=20)
        if due.total_fen:
            account, _ = applied(account, event("repay", moment, due.total_fen), number)
        assert advanced(account, moment).days_past_due == 0
    assert account.status == "repaid"


@pytest.mark.parametrize("early_days", [0, 1, 10, 29])
def test_repaying_early_costs_the_days_of_use_and_no_fee(early_days):
    agreed = terms(cooling_off_interest="charged", daily_rate=Decimal("0.0005"))
    at = datetime(2026, 1, 30, 3, tzinfo=UTC)
    account, _ = accepted(agreed, event("accept", at))
    account, _ = applied(account, event("draw", at, 1_000_000), 2)
    now = advanced(account, at + timedelta(days=early_days))
    assert now.owed.total_fen == 1_000_000 + 500 * early_days
