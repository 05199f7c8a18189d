"""Random sequences of events on one loan against the naive account, with every promise of the book checked after
each."""
from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from parties.bank.lending.account import advanced
from parties.bank.lending.errors import LoanRefused
from parties.bank.lending.events import accepted, applied, replayed
from parties.bank.lending.parts import NAMES, Parts
from tests.parties.bank.lending.loans import ORDER, START, NaiveAccount, event, terms

RATES = st.decimals(0, "0.001", places=7)
SHARES = st.lists(st.integers(1, 20), min_size=1, max_size=4)
OPEN = ("active", "written-off")


class LoanMachine(RuleBasedStateMachine):
    """One loan from its acceptance on."""

    @initialize(
        amount=st.integers(1, 20_000_000), rate=RATES, surcharge=RATES, months=st.integers(1, 24), shares=SHARES,
        repayment=st.sampled_from(["equal-installment", "equal-principal", "interest-first"]),
        one_time=st.sampled_from(["0", "0.01", "0.0333"]), monthly=st.sampled_from(["0", "0.015"]),
        monthly_on=st.sampled_from(["outstanding", "original"]), cooling_off_h=st.sampled_from([0, 24, 72]),
        cooling_off_interest=st.sampled_from(["waived", "charged"]), later_h=st.integers(0, 30))
    def start(self, amount, rate, surcharge, months, shares, one_time, monthly, monthly_on, later_h, **settings_of):
        """Accept and draw."""
        whole = sum(shares)
        parts = [(Decimal(share) / whole).quantize(Decimal("0.000001")) for share in shares[1:]]
        parts.insert(0, 1 - sum(parts, Decimal(0)))
        funding = tuple({"partner": f"p-{k}", "share": share} for k, share in enumerate(parts))
        self.terms = terms(amount_fen=amount, daily_rate=rate, overdue_daily_rate=rate + surcharge, funding=funding,
                           term_months=months, fees={"one_time_rate": one_time, "monthly_rate": monthly,
                                                     "monthly_on": monthly_on}, **settings_of)
        self.now = START
        self.account, movement = accepted(self.terms, event("accept", self.now))
        self.movements, self.naive, self.count = [movement], None, 0
        self.now += timedelta(hours=later_h)
        self._apply("draw", amount)
        self.naive = NaiveAccount(self.terms, self.now, amount, self.account.plan)

    def _apply(self, kind, amount=0, reason=None):
        self.count += 1
        one = event(kind, self.now, amount, f"e-{self.count}", reason)
        self.account, movement = applied(self.account, one, len(self.movements) + 1)
        self.movements.append(movement)

    @rule(hours=st.integers(1, 24 * 45))
    def time_passes(self, hours):
        """Nothing happens for a while."""
        self.now += timedelta(hours=hours)

    @precondition(lambda self: self.account.status in OPEN)
    @rule(share=st.integers(0, 1000))
    def repay(self, share):
        """Pay some of what is owed, or too much or nothing, which is refused and changes nothing."""
        owed = advanced(self.account, self.now).owed.total_fen
        fen, before = owed * share // 990, self.account
        if 1 <= fen <= owed:
            self._apply("repay", fen)
            self.naive.payments.append((self.now, fen))
        else:
            with pytest.raises(LoanRefused):
                self._apply("repay", fen)
            assert self.account is before

    @precondition(lambda self: self.account.status in OPEN)
    @rule()
    def repay_what_is_due(self):
        """Pay the bills that are there."""
        fen = advanced(self.account, self.now).payable.total_fen
        if fen:
            self._apply("repay", fen)
            self.naive.payments.append((self.now, fen))
            assert self.account.days_past_due == 0 and self.account.payable == Parts()

    @precondition(lambda self: self.account.status == "active")
    @rule()
    def cancel(self):
        """Only inside the cooling-off, and for exactly what is owed."""
        now = advanced(self.account, self.now)
        if now.cooling_off:
            self._apply("cancel", now.owed.total_fen)
            if self.terms.cooling_off_interest == "waived":
                assert self.account.settled == Parts(principal_fen=self.terms.amount_fen)
        else:
            with pytest.raises(LoanRefused, match="cooling-off"):
                self._apply("cancel", now.owed.total_fen)

    @precondition(lambda self: self.account.status == "active")
    @rule()
    def write_off(self):
        """Only when it is old enough."""
        if advanced(self.account, self.now).days_past_due >= self.terms.write_off_after_days:
            self._apply("write-off", reason="cannot be found")
            self.naive.stopped_at = self.now
        else:
            with pytest.raises(LoanRefused, match="past due"):
                self._apply("write-off", reason="too early")

    @rule(kind=st.sampled_from(["accept", "draw", "withdraw"]))
    def out_of_turn(self, kind):
        """What a drawn loan never allows."""
        with pytest.raises(LoanRefused):
            self._apply(kind, 1)

    @invariant()
    def agrees_with_the_clerk(self):
        """Part by part and day by day."""
        if getattr(self, "naive", None) is None:
            return
        now = advanced(self.account, self.now)
        if now.status in OPEN:
            assert dict(zip(ORDER, now.owed.values, strict=True)) == self.naive.owed(self.now)
            assert now.days_past_due == self.naive.days_past_due(self.now)
        else:
            assert now.owed == Parts() and now.days_past_due == 0

    @invariant()
    def partners_add_up(self):
        """At every moment, and over all entries; nobody's entry is negative (the types refuse it)."""
        if not hasattr(self, "account"):
            return
        now = advanced(self.account, self.now)
        balances = now.balances()
        assert sum(balances.values(), Parts()) == now.owed
        assert all(value >= 0 for parts in balances.values() for value in parts.values)
        book = dict.fromkeys(balances, 0)
        for movement in self.movements:
            for entry in movement.partners:
                book[entry.partner] += entry.drawn_fen - entry.settled.principal_fen
            assert sum((entry.settled for entry in movement.partners), Parts()) == movement.settled
        assert book == {partner: parts.principal_fen for partner, parts in balances.items()}

    @invariant()
    def entries_foot(self):
        """Charged less settled is owed, entry after entry; replaying the events gives the same book."""
        if not hasattr(self, "account"):
            return
        owed = Parts()
        for movement in self.movements:
            owed = owed + movement.charged - movement.settled
            assert owed == movement.owed
            assert all(value >= 0 for name in NAMES for value in (getattr(movement.owed, name),))
        assert replayed(self.terms, [m.event for m in self.movements]) == (self.account, tuple(self.movements))


TestLoanMachine = LoanMachine.TestCase
TestLoanMachine.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
