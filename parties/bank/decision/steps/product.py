"""Product match: does the bank have what is asked for, in this amount, for this term, in this province?"""
from __future__ import annotations

from parties.bank.decision.graph import Reply
from parties.bank.decision.steps.case import Case, ends, goes_on


def product(case: Case) -> Reply:
    """Find the product; declined with what does not fit."""
    facts = case.facts
    inputs = {"product": facts.product, "amount_fen": facts.amount_fen, "term_months": facts.term_months,
              "province": facts.province}
    case.product = case.rulebook.products.get(facts.product)
    if case.product is None:
        return inputs, None, ends("declined", "product-unknown")
    misfit = case.product.misfit(facts.amount_fen, facts.term_months, facts.province)
    if misfit is not None:
        return inputs, misfit, ends("declined", misfit)
    return inputs, "fits", goes_on(product=case.product.name)
