"""One case under one graph: what went in, and what the bank's own steps have found so far."""
from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from parties.bank.decision.application import Facts
from parties.bank.decision.context import Context
from parties.bank.decision.pricing import Quote
from parties.bank.decision.products import Product
from parties.bank.decision.record import FundingShare, Offer, Outcome
from parties.bank.decision.rulebook import Rulebook

Found = dict[str, Any]


@dataclass
class Case:
    """`joint` says which score decides: the joint one, or the bank's own."""

    facts: Facts
    context: Context
    rulebook: Rulebook
    joint: bool
    product: Product | None = None
    limit_fen: int = 0
    amount_fen: int = 0
    quote: Quote | None = None
    funding: tuple[FundingShare, ...] = ()

    @property
    def on(self) -> date:
        """The business date."""
        return self.rulebook.business_date(self.context.now)

    @property
    def probability(self) -> Decimal:
        """Of default, by the score that decides."""
        return (self.context.score if self.joint else self.context.bank_only).probability

    def offer(self) -> Offer | None:
        """What the case has come to; None before its last step."""
        if self.quote is None or not self.funding:
            return None
        return Offer(limit_fen=self.limit_fen, amount_fen=self.amount_fen, daily_rate=self.quote.daily_rate,
                     term_months=self.facts.term_months, annual_cost=self.quote.annual_cost,
                     installments=self.quote.installments, funding=self.funding)


def goes_on(**found: Any) -> Found:
    """The step does not end the decision."""
    return {"outcome": None, "reason": None, **found}


def ends(outcome: Outcome, reason: str, **found: Any) -> Found:
    """The step ends the decision."""
    return {"outcome": outcome, "reason": reason, **found}
