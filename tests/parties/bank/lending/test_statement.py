"""Statements foot over any period, and two periods that meet say the same."""
from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parties.bank.lending.events import replayed
from parties.bank.lending.parts import Parts
from parties.bank.lending.statement import outlook, standing, statement
from protocols.errors import UsageError
from tests.parties.bank.lending.loans import START, event, terms

NOW = datetime(2028, 6, 1, tzinfo=UTC)
PAYMENTS = st.lists(st.tuples(st.integers(1, 24 * 300), st.integers(1, 40_000)), max_size=6, unique_by=lambda p: p[0])


def history(payments):
    """Acceptance, draw-down and these payments (hours after it, fen)."""
    later = [event("repay", START + timedelta(hours=hours), fen) for hours, fen in sorted(payments)]
    return [event("accept", START), event("draw", START, 1_000_000), *later]


@settings(max_examples=40, deadline=None)
@given(PAYMENTS, st.dates(date(2026, 1, 29), date(2026, 12, 1)), st.integers(0, 300), st.integers(1, 100))
def test_a_statement_foots_and_the_next_one_begins_where_it_ends(payments, first, days, more):
    agreed, events = terms(), history(payments)
    last = max(first + timedelta(days=days), date(2026, 1, 30))
    one = statement(agreed, events, first, last, NOW)
    two = statement(agreed, events, last + timedelta(days=1), last + timedelta(days=more), NOW)
    for sheet in (one, two):
        owed = sheet.opening
        for line in sheet.lines:
            owed = owed + line.charged - line.settled
            assert line.owed == owed
        assert owed == sheet.closing == sum(sheet.balances.values(), Parts())
    assert one.closing == two.opening
    assert standing(agreed, events, agreed.start_of(last + timedelta(days=1))).owed == one.closing


def test_lines_by_hand():
    sheet = statement(terms(), history([(24, 100_000)]), date(2026, 1, 30), date(2026, 3, 1), NOW)
    assert [(line.what, line.charged.interest_fen, line.settled.total_fen) for line in sheet.lines] == [
        ("accept", 0, 0), ("draw", 0, 0), ("repay", 400, 100_000), ("due", 28 * 360 + 4, 0), ("accrued", 721, 0)]
    assert sheet.closing == Parts(interest_fen=10_805, principal_fen=900_400) and sheet.days_past_due == 1


def test_a_period_that_says_nothing_is_refused():
    for first, last in ((date(2026, 1, 1), date(2026, 1, 29)), (date(2028, 7, 1), date(2028, 7, 2)),
                        (date(2026, 3, 2), date(2026, 3, 1))):
        with pytest.raises(UsageError, match="from the acceptance until today"):
            statement(terms(), history([]), first, last, NOW)


@settings(max_examples=25, deadline=None)
@given(PAYMENTS, st.integers(0, 24 * 500))
@example([], 709)  # a bill that is late by one day: what a payment settles first has grown since
def test_following_the_outlook_ends_the_loan(payments, hours):
    agreed, events = terms(fees={"monthly_rate": "0.01"}), history(payments)
    now = max(events[-1].at, START + timedelta(hours=hours))
    for payment in outlook(standing(agreed, events, now + timedelta(microseconds=1))):
        at = max(agreed.start_of(payment.due_on), now + timedelta(microseconds=1))
        if payment.parts.total_fen:
            events.append(event("repay", at, payment.parts.total_fen, f"o-{len(events)}"))
            assert replayed(agreed, events)[1][-1].settled == payment.parts
    assert replayed(agreed, events)[0].status == "repaid"
