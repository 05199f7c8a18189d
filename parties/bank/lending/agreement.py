"""From an approved decision to the terms of a loan: the offer's figures, the product's form, the bank's lending
policy."""
from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from parties.bank.decision.pricing import PricingPolicy, overdue_daily_rate
from parties.bank.decision.products import Product
from parties.bank.decision.record import DecisionRecord
from parties.bank.decision.values import Whole
from parties.bank.lending.errors import LoanRefused
from parties.bank.lending.terms import Funder, Terms
from protocols.errors import UsageError
from protocols.strict import Strict

Hours = Annotated[int, Whole, Field(ge=1, le=8760)]


class LendingPolicy(Strict):
    """What every loan of the bank has in common: the section `[decisions.lending]` of its file. Units stand in the
    names."""

    offer_valid_h: Hours = Field(168, description="an offer may be accepted so long after the decision")
    draw_within_h: Hours = Field(720, description="an accepted loan may be drawn so long after the offer ended")
    cooling_off_h: Annotated[int, Whole, Field(ge=0, le=336)] = Field(24, description="cancelling is free")
    cooling_off_interest: Literal["waived", "charged"] = Field("waived", description="what a cancelled loan cost")
    write_off_after_days: Annotated[int, Whole, Field(ge=1, le=3650)] = Field(90, description="least days past due")
    performance_days: Annotated[int, Whole, Field(ge=1, le=3650)] = Field(
        365, description="from the draw-down on: what a loan's result is judged by, in reports of experiments")
    bad_from_days: Annotated[int, Whole, Field(ge=1, le=3650)] = Field(90, description="days past due of a bad loan")
    kept_years: Annotated[int, Whole, Field(ge=0, le=100)] = Field(10, description="a loan is kept after its end")
    time_zone: str = Field("Asia/Shanghai", description="whose dates count")

    def ended_before(self, now: datetime) -> datetime:
        """Loans that ended before this are forgotten."""
        return now - timedelta(days=366 * self.kept_years)

    def window_end(self, drawn_at: datetime) -> datetime:
        """When the performance window of a loan is over."""
        return drawn_at + timedelta(days=self.performance_days)

    def window_begin(self, now: datetime) -> datetime:
        """Loans that were drawn after this have no result yet."""
        return now - timedelta(days=self.performance_days)


def agreement(record: DecisionRecord, product: Product, pricing: PricingPolicy, policy: LendingPolicy,
              loan_id: str) -> Terms:
    """The terms that accepting the record's offer agrees to; product and pricing are of the record's rulebook."""
    offer, facts = record.offer, record.application
    if record.outcome != "approved" or offer is None:
        raise LoanRefused(f"only an approved application can be accepted, this one was {record.outcome}; "
                          "see its reasons or ask for a review")
    if product.name != facts.product:
        raise UsageError(f"the application is for product {facts.product}, got {product.name}; take the record's "
                         "rulebook")
    return Terms(
        loan_id=loan_id, application_id=facts.application_id, person=record.context.person, product=facts.product,
        decision=record.digest(), amount_fen=offer.amount_fen, minimum_fen=min(product.minimum_fen, offer.amount_fen),
        daily_rate=offer.daily_rate, overdue_daily_rate=overdue_daily_rate(pricing, product, offer.daily_rate),
        term_months=offer.term_months, repayment=product.repayment, fees=product.fees,
        funding=tuple(Funder(partner=share.partner, share=share.share) for share in offer.funding),
        offered_until=record.context.now + timedelta(hours=policy.offer_valid_h), draw_within_h=policy.draw_within_h,
        cooling_off_h=policy.cooling_off_h, cooling_off_interest=policy.cooling_off_interest,
        write_off_after_days=policy.write_off_after_days, time_zone=policy.time_zone)
