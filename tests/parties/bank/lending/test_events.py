"""What each event needs, in sentences a person can act on; figures by hand for lateness and the cooling-off."""
from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from pydantic import ValidationError

from parties.bank.lending.account import advanced
from parties.bank.lending.errors import LoanRefused
from parties.bank.lending.events import Movement, accepted, applied
from parties.bank.lending.parts import Parts
from parties.bank.lending.terms import Terms
from protocols.errors import MalformedMessage
from tests.parties.bank.lending.loans import OFFERED_UNTIL, START, event, terms

HOUR = timedelta(hours=1)


def drawn(**changes):
    """A loan drawn on 30 January 2026, 11:00 in Shanghai."""
    account, _ = accepted(terms(**changes), event("accept", START))
    return applied(account, event("draw", START, 1_000_000), 2)[0]


def test_an_offer_ends():
    with pytest.raises(LoanRefused, match="the offer ended at 2026-01-31 12:00 UTC"):
        accepted(terms(), event("accept", OFFERED_UNTIL + HOUR))


def test_an_accepted_loan_is_drawn_in_time_and_within_its_amount():
    account, _ = accepted(terms(minimum_fen=50_000), event("accept", START))
    for fen in (0, 49_999, 1_000_001):
        with pytest.raises(LoanRefused, match="50000 to 1000000 fen"):
            applied(account, event("draw", START, fen), 2)
    with pytest.raises(LoanRefused, match="could be drawn until 2026-03-02 12:00"):
        applied(account, event("draw", OFFERED_UNTIL + 721 * HOUR, 50_000), 2)
    with pytest.raises(LoanRefused, match="the loan is accepted; repay needs"):
        applied(account, event("repay", START, 1), 2)
    withdrawn, _ = applied(account, event("withdraw", START), 2)
    with pytest.raises(LoanRefused, match="the loan is withdrawn"):
        applied(withdrawn, event("draw", START, 50_000), 3)


def test_cancelling_within_24_hours_returns_the_principal_and_nothing_else():
    account = drawn(fees={"one_time_rate": "0.01"})
    with pytest.raises(LoanRefused, match="cancelling returns 1000000 fen, got 999999"):
        applied(account, event("cancel", START + 23 * HOUR, 999_999), 3)
    after, movement = applied(account, event("cancel", START + 23 * HOUR, 1_000_000), 3)
    assert (after.status, after.owed, movement.charged) == ("cancelled", Parts(), Parts())
    with pytest.raises(LoanRefused, match="the cooling-off of 24 hours is over"):
        applied(account, event("cancel", START + 24 * HOUR, 1_000_000), 3)


def test_cancelling_costs_what_was_agreed_where_interest_is_charged():
    account = drawn(fees={"one_time_rate": "0.01"}, cooling_off_interest="charged")
    after, movement = applied(account, event("cancel", START + 23 * HOUR, 1_010_400), 3)
    assert after.status == "cancelled" and movement.settled == Parts(10_000, 0, 400, 1_000_000)


def test_repaying_a_part_within_the_cooling_off_saves_its_interest_from_that_day_on():
    account, _ = applied(drawn(), event("repay", START + 20 * HOUR, 500_000), 3)
    assert account.owed == Parts(principal_fen=500_000)  # repaid on the next day: a day at 1,000,000
    assert advanced(account, START + 24 * HOUR).owed == Parts(interest_fen=400, principal_fen=500_000)
    assert advanced(account, START + 48 * HOUR).owed == Parts(interest_fen=600, principal_fen=500_000)


def test_late_principal_costs_half_as_much_again():
    account = advanced(drawn(repayment="equal-principal", term_months=2), datetime(2026, 3, 10, 3, tzinfo=UTC))
    assert account.bills[0].due_on == date(2026, 2, 28)
    assert account.days_past_due == 10
    assert account.owed == Parts(penalty_fen=9 * 100, interest_fen=39 * 400, principal_fen=1_000_000)
    assert account.overdue == Parts(interest_fen=29 * 400, principal_fen=500_000)


def test_paying_what_is_payable_makes_a_late_loan_current():
    """Interest that ran on since the due date is settled before principal, so the bill alone would not be enough."""
    late = advanced(drawn(repayment="equal-principal", term_months=2), datetime(2026, 3, 10, 3, tzinfo=UTC))
    assert late.payable == Parts(penalty_fen=900, interest_fen=15_600, principal_fen=500_000)
    bill, _ = applied(late, event("repay", late.at, late.overdue.total_fen + 900), 3)
    assert bill.days_past_due == 10 and bill.payable == Parts(principal_fen=4_000)
    current, _ = applied(late, event("repay", late.at, late.payable.total_fen), 3)
    assert current.days_past_due == 0 and current.payable == Parts() == current.overdue


def test_the_due_date_itself_is_in_time():
    account = drawn(repayment="equal-principal", term_months=2)
    evening = datetime(2026, 2, 28, 15, 59, tzinfo=UTC)
    assert advanced(account, evening).days_past_due == 0
    assert advanced(account, evening + timedelta(minutes=1)).days_past_due == 1
    paid, _ = applied(account, event("repay", evening, 511_600), 3)
    assert advanced(paid, evening + 48 * HOUR).owed == Parts(interest_fen=400, principal_fen=500_000)


def test_a_loan_is_written_off_late_and_may_still_be_paid():
    account = drawn(repayment="interest-first", term_months=1)
    with pytest.raises(LoanRefused, match="from 90 days past due, this one has 89"):
        applied(account, event("write-off", START + 118 * 24 * HOUR, reason="gone"), 3)
    with pytest.raises(LoanRefused, match="needs its reason"):
        applied(account, event("write-off", START + 119 * 24 * HOUR), 3)
    gone, movement = applied(account, event("write-off", START + 119 * 24 * HOUR, reason="gone"), 3)
    assert movement.owed.total_fen == gone.owed.total_fen == advanced(gone, START + 400 * 24 * HOUR).owed.total_fen
    back, movement = applied(gone, event("repay", START + 400 * 24 * HOUR, gone.owed.total_fen), 4)
    assert back.status == movement.status == "recovered" and back.days_past_due == 0


def test_time_does_not_go_back():
    with pytest.raises(LoanRefused, match="check the clock"):
        applied(drawn(), event("repay", START - HOUR, 1), 3)
    with pytest.raises(ValueError, match="back in time"):
        advanced(drawn(), START - HOUR)


@pytest.mark.parametrize(("changes", "says"), [
    ({"funding": ({"partner": "own", "share": "0.3"}, {"partner": "city", "share": "0.6"})}, "add up to 1"),
    ({"funding": ({"partner": "own", "share": "0.5"}, {"partner": "own", "share": "0.5"})}, "funds a loan once"),
    ({"overdue_daily_rate": "0.0003"}, "at least daily_rate"),
    ({"minimum_fen": 2_000_000}, "above amount_fen"),
    ({"loan_id": "a-1"}, "id of its own"),
    ({"time_zone": "Asia/Nowhere"}, "such as Asia/Shanghai"),
    ({"time_zone": "../../etc/passwd"}, "such as Asia/Shanghai"),
    ({"daily_rate": 0.0004}, "decimal in quotes"),
    ({"amount_fen": 1.5}, "whole number"),
])
def test_terms_that_make_no_sense_are_refused(changes, says):
    with pytest.raises(ValidationError, match=says):
        terms(**changes)


def test_terms_and_movements_have_one_spelling():
    agreed = terms()
    assert Terms.from_bytes(agreed.to_bytes()) == agreed
    _, movement = accepted(agreed, event("accept", START))
    assert Movement.from_bytes(movement.to_bytes()) == movement
    for cls, data in ((Terms, agreed.to_bytes()), (Movement, movement.to_bytes())):
        for bad in (data[:-1], data + b" ", b"{}", data.replace(b'"number":1', b'"number":0').replace(
                b'"version":1', b'"version":2'), data.replace(b'Z"', b'+00:00"')):
            with pytest.raises(MalformedMessage):
                cls.from_bytes(bad)
