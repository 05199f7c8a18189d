"""The limit: a first one, or what a review says of the one there is. The amount is what it leaves of what is asked."""
from __future__ import annotations

from decimal import Decimal

from parties.bank.decision import limits
from parties.bank.decision.graph import Reply
from parties.bank.decision.steps.case import Case, ends, goes_on


def limit(case: Case) -> Reply:
    """Set limit and amount; declined where less than the product's minimum is left."""
    standing = _standing(case)
    change = _change(case, standing)
    inputs = {"amount_fen": case.facts.amount_fen, "outstanding_fen": case.context.history.outstanding_fen,
              **standing.model_dump(mode="json")}
    found = {"kind": change.kind, "bounds": {bound.name: bound.fen for bound in change.bounds}}
    if change.kind == "frozen" or standing.frozen:
        return inputs, change.reason, ends("declined", "account-frozen", **found)
    if change.kind == "refused" and not change.bounds:
        return inputs, change.reason, ends("declined", "risk-too-high", **found)
    case.limit_fen = min(change.after_fen, case.product.maximum_fen, case.rulebook.products.single_customer_cap_fen)
    left = limits.available(case.limit_fen, case.context.history.outstanding_fen, False, case.on)
    case.amount_fen = min(case.facts.amount_fen, left - left % case.product.step_fen)
    found |= {"limit_fen": case.limit_fen, "amount_fen": case.amount_fen}
    if case.amount_fen < case.product.minimum_fen:
        return inputs, change.reason, ends("declined", "limit-too-low", **found)
    return inputs, change.reason, goes_on(**found)


def _change(case: Case, standing: limits.Standing) -> limits.LimitChange:
    policy, cap = case.rulebook.limits, case.rulebook.products.single_customer_cap_fen
    if standing.limit_fen:
        return limits.review(policy, case.product, cap, standing, case.on)
    window = case.rulebook.pricing.tightening(case.on)
    factor = window.limit_factor if window else Decimal(1)
    return limits.initial(policy, case.product, cap, standing, factor)


def _standing(case: Case) -> limits.Standing:
    history, bureau = case.context.history, case.facts.bureau
    reviewed = history.last_review
    return limits.Standing(
        probability=case.probability, annual_income_fen=bureau.annual_income_fen if bureau else None,
        credit_elsewhere_fen=bureau.credit_lines_elsewhere_fen if bureau else 0,
        limit_fen=history.existing_limit_fen, loans_repaid=history.loans_repaid,
        worst_overdue_days=history.worst_overdue_days, idle_days=history.idle_days,
        last_review=reviewed and case.rulebook.business_date(reviewed), frozen=history.frozen,
        new_overdue_days=history.new_overdue_days,
        late_on=history.late_at and case.rulebook.business_date(history.late_at))
