"""What holds whatever a graph says: an approval that breaks one of these is refused, and the record names the guard.

The graphs are a risk manager's; these lines are the law's and the bank's, and only a release changes them. Their
figures (red line, caps, forbidden purposes, consents) are the rulebook's.
"""
from __future__ import annotations

from collections.abc import Callable

from parties.bank.decision.application import BUREAU_INQUIRY, JOINT_SCORING, Facts
from parties.bank.decision.context import Context
from parties.bank.decision.record import Offer
from parties.bank.decision.rulebook import Rulebook, product_of
from parties.bank.decision.view import consent_status

Guard = Callable[[Facts, Context, Offer, Rulebook], bool]


def broken(facts: Facts, context: Context, offer: Offer | None, rulebook: Rulebook) -> str | None:
    """The code of the first guard that an approval breaks, None if it breaks none."""
    if offer is None:
        return "guard-offer"
    return next((code for code, holds in GUARDS.items() if not holds(facts, context, offer, rulebook)), None)


def _consents(facts: Facts, context: Context, offer: Offer, rulebook: Rulebook) -> bool:
    needs = {JOINT_SCORING} if context.score.status == "answered" else set()
    needs |= {BUREAU_INQUIRY} if facts.bureau is not None or context.history.loans_repaid == 0 else set()
    return not context.switched_off and all(consent_status(context, need) == "valid" for need in needs)


def _sufficiency(facts: Facts, context: Context, offer: Offer, rulebook: Rulebook) -> bool:
    if context.score.lacks or (facts.bureau is None and context.history.loans_repaid == 0):
        return False
    joint = context.score.probability is not None
    return joint or (rulebook.settings.platform_failure == "bank-only" and context.bank_only.probability is not None)


def _purpose(facts: Facts, context: Context, offer: Offer, rulebook: Rulebook) -> bool:
    return facts.purpose not in rulebook.settings.forbidden_purposes


def _caps(facts: Facts, context: Context, offer: Offer, rulebook: Rulebook) -> bool:
    product = product_of(rulebook, facts.product)
    most = min(rulebook.products.single_customer_cap_fen, product.maximum_fen)
    return (product.minimum_fen <= offer.amount_fen <= facts.amount_fen
            and offer.amount_fen + context.history.outstanding_fen <= offer.limit_fen <= most)


def _frozen(facts: Facts, context: Context, offer: Offer, rulebook: Rulebook) -> bool:
    return not context.history.frozen


def _red_line(facts: Facts, context: Context, offer: Offer, rulebook: Rulebook) -> bool:
    product = product_of(rulebook, facts.product)
    return (product.minimum_daily_rate <= offer.daily_rate <= product.maximum_daily_rate
            and offer.annual_cost <= rulebook.pricing.annual_cost_red_line)


def _funding(facts: Facts, context: Context, offer: Offer, rulebook: Rulebook) -> bool:
    return sum(share.fen for share in offer.funding) == offer.amount_fen


GUARDS: dict[str, Guard] = {
    "guard-consent": _consents,
    "guard-sufficiency": _sufficiency,
    "guard-purpose": _purpose,
    "guard-frozen": _frozen,
    "guard-cap": _caps,
    "guard-red-line": _red_line,
    "guard-funding": _funding,
}
