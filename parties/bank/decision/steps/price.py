"""The price: a daily rate by risk within the product's bounds, and the all-in annual cost against the red line."""
from __future__ import annotations

from parties.bank.decision import pricing
from parties.bank.decision.graph import Reply
from parties.bank.decision.steps.case import Case, ends, goes_on


def price(case: Case) -> Reply:
    """Set the quote; declined where there is no rate for the risk, or where the loan would cost more than allowed."""
    kind = "repeat" if case.context.history.loans_repaid else "first"
    inputs = {"probability": case.probability, "customer": kind, "amount_fen": case.amount_fen,
              "term_months": case.facts.term_months, "on": case.on.isoformat()}
    found = pricing.daily_rate(case.rulebook.pricing, case.product, case.probability, kind, case.on)
    if found is None:
        return inputs, None, ends("declined", "no-price")
    quote = pricing.quote(case.rulebook.pricing, case.product, case.amount_fen, case.facts.term_months, found)
    told = {"daily_rate": quote.daily_rate, "annual_cost": quote.annual_cost, "tightening": found.tightening,
            "bound": found.bound}
    if quote.refusal is not None:
        return inputs, found.grade, ends("declined", "above-red-line", **told)
    case.quote = quote
    return inputs, found.grade, goes_on(**told)
