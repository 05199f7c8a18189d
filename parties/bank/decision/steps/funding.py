"""Funding: the first partner whose conditions hold and that has room pays with the lead bank."""
from __future__ import annotations

from parties.bank.decision import funding as routing
from parties.bank.decision.graph import Reply
from parties.bank.decision.steps.case import Case, ends, goes_on


def funding(case: Case) -> Reply:
    """Set the shares; deferred where nobody has room at present."""
    bureau = case.facts.bureau
    borrower = routing.Borrower(
        product=case.facts.product, province=case.facts.province, probability=case.probability,
        provident_fund_months=bureau.provident_fund_months if bureau else 0)
    inputs = {"amount_fen": case.amount_fen, **borrower.model_dump(mode="json")}
    routed = routing.examine(case.rulebook.funding, case.amount_fen, borrower, case.context.quotas)
    attempts = {attempt.partner: attempt.verdict for attempt in routed.attempts}
    if routed.shares is None:
        return inputs, None, ends("deferred", "no-funding", attempts=attempts)
    case.funding = routed.shares
    shares = {share.partner: share.fen for share in routed.shares}
    return inputs, routed.attempts[-1].partner, goes_on(attempts=attempts, shares=shares, partners=len(shares))
