"""From a decision's record to the terms of a loan."""
from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from parties.bank.decision.pricing import PricingPolicy
from parties.bank.decision.products import Product
from parties.bank.decision.record import FundingShare, Offer
from parties.bank.lending.agreement import LendingPolicy, agreement
from parties.bank.lending.errors import LoanRefused
from protocols.errors import UsageError
from tests.parties.bank.store.samples import NOW, record

PRODUCT = Product.model_validate({
    "name": "weilidai", "zh": "x", "en": "x", "minimum_fen": 50_000, "maximum_fen": 20_000_000, "terms_months": [12],
    "minimum_daily_rate": "0.0002", "maximum_daily_rate": "0.0005", "overdue_floor_daily_rate": "0.0004"})
PRICING = PricingPolicy.model_validate({
    "annual_cost_red_line": "0.24", "overdue_surcharge": "0.5", "daily_rate_step": "0.00001",
    "grades": [{"name": "any", "customers": "any", "from_probability": "0", "to_probability": "1",
                "lowest_daily_rate": "0.0002", "highest_daily_rate": "0.0005"}]})


def offer(**changes: Any) -> Offer:
    """5,000 CNY at 0.035 % a day, 3:7."""
    return Offer(**({
        "limit_fen": 800_000, "amount_fen": 500_000, "daily_rate": Decimal("0.00035"), "term_months": 12,
        "annual_cost": Decimal("0.136"), "installments": (),
        "funding": (FundingShare(partner="own", share=Decimal("0.3"), fen=150_000),
                    FundingShare(partner="city", share=Decimal("0.7"), fen=350_000))} | changes))


def test_terms_follow_from_offer_product_and_policy():
    decided = record(outcome="approved", offer=offer())
    agreed = agreement(decided, PRODUCT, PRICING, LendingPolicy(offer_valid_h=48, cooling_off_h=36), "l-1")
    assert (agreed.amount_fen, agreed.minimum_fen, agreed.term_months) == (500_000, 50_000, 12)
    assert (agreed.daily_rate, agreed.overdue_daily_rate) == (Decimal("0.00035"), Decimal("0.0006"))
    assert agreed.offered_until == NOW + timedelta(hours=48) and agreed.cooling_off_h == 36
    assert agreed.decision == decided.digest() and agreed.person == decided.context.person
    assert [(one.partner, one.share) for one in agreed.funding] == [("own", Decimal("0.3")), ("city", Decimal("0.7"))]


def test_only_an_approved_application_has_terms():
    with pytest.raises(LoanRefused, match="this one was declined"):
        agreement(record(), PRODUCT, PRICING, LendingPolicy(), "l-1")


def test_another_product_is_refused():
    other = PRODUCT.model_copy(update={"name": "we2000"})
    with pytest.raises(UsageError, match="take the record's rulebook"):
        agreement(record(outcome="approved", offer=offer()), other, PRICING, LendingPolicy(), "l-1")
