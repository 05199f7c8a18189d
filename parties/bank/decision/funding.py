"""Who pays for a loan: the lead bank and one partner bank together, by default 3 to 7 (domain row 11).

Partners are tried in the order of the file; the first whose conditions hold and that has room funds the loan with the
lead. Room is the least of its free quota and of two caps on concentration: its loans with this lead at most 25 % of its
net tier-1 capital, its internet loans at most 50 % of all its loans; nobody pays less than 30 % of a joint loan
(domain, rules outside the sources). Shares in fen always sum to the amount.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from parties.bank.decision.context import Quota
from parties.bank.decision.pricing import EXACT
from parties.bank.decision.products import Positive, Share, unique_names
from parties.bank.decision.record import FundingShare
from parties.bank.decision.values import Count, Fen, Province, Whole
from protocols.plan import Name
from protocols.strict import Strict

Verdict = Literal[
    "funds", "product-not-funded", "province-not-served", "provident-fund-too-short", "risk-too-high",
    "amount-too-small", "amount-too-large", "shares-cannot-be-split", "no-quota-known", "quota-used-up",
    "single-partner-cap", "internet-loan-cap", "lead-has-no-room",
]
BalanceSheetFen = Annotated[int, Whole, Field(ge=1, le=10**17)]  # the largest banks lend some 3·10^15 fen


class Funder(Strict):
    """What bounds how much a bank can lend this way, in fen; `internet_loans_elsewhere_fen` are not in its quota."""

    name: Name
    quota_fen: Positive
    net_tier1_capital_fen: BalanceSheetFen
    total_loans_fen: BalanceSheetFen
    internet_loans_elsewhere_fen: Annotated[int, Whole, Field(ge=0, le=10**17)] = 0


class Partner(Funder):
    """A partner bank and its policy; empty lists mean any. A local bank lends in its provinces only."""

    share: Annotated[Share, Field(gt=0, lt=1)]
    local: bool = False
    provinces: tuple[Province, ...] = Field(default=(), max_length=64)
    products: tuple[Name, ...] = Field(default=(), max_length=64)
    minimum_provident_fund_months: Count = 0
    maximum_probability: Share = Field("1", validate_default=True)
    minimum_fen: Fen = 0
    maximum_fen: Fen | None = None

    @model_validator(mode="after")
    def _local_banks_say_where(self) -> Self:
        if self.local and not self.provinces:
            raise ValueError(f"partner {self.name}: a local bank needs its provinces (no lending across regions)")
        return self


class FundingPolicy(Strict):
    """The lead bank, its partners in order of preference, and what happens when none funds."""

    fallback: Literal["lead", "decline"]
    minimum_share: Share
    single_partner_cap: Share
    internet_loan_cap: Share
    lead: Funder
    partners: tuple[Partner, ...] = Field(default=(), max_length=255)

    @model_validator(mode="after")
    def _shares_are_allowed(self) -> Self:
        unique_names("partner", [self.lead.name, *(p.name for p in self.partners)])
        for partner in self.partners:
            if not self.minimum_share <= partner.share <= 1 - self.minimum_share:
                raise ValueError(f"partner {partner.name}: share {partner.share} leaves one side less than the "
                                 f"minimum_share of {self.minimum_share}")
        return self


class Borrower(Strict):
    """What partners ask about an applicant and the loan."""

    product: Name
    province: Province
    provident_fund_months: Count = 0
    probability: Share


class Attempt(Strict):
    """What became of trying one partner, for the record of the decision."""

    partner: Name
    verdict: Verdict


class Routing(Strict):
    """The shares (None: nobody funds the loan) and every attempt in order."""

    shares: tuple[FundingShare, ...] | None
    attempts: tuple[Attempt, ...]


def route(policy: FundingPolicy, amount_fen: int, borrower: Borrower,
          quotas: Mapping[str, Quota]) -> tuple[FundingShare, ...] | None:
    """Shares that sum to the amount, lead first; None where nobody funds it."""
    return examine(policy, amount_fen, borrower, quotas).shares


def examine(policy: FundingPolicy, amount_fen: int, borrower: Borrower, quotas: Mapping[str, Quota]) -> Routing:
    """`route`, with the verdict on everybody who was tried. The lead must have room for its part in any case."""
    attempts = []
    for partner in policy.partners:
        verdict = _verdict(policy, partner, amount_fen, borrower, quotas)
        attempts.append(Attempt(partner=partner.name, verdict=verdict))
        if verdict == "funds":
            return Routing(shares=_shares(policy, partner, amount_fen), attempts=tuple(attempts))
    if policy.fallback == "decline":
        return Routing(shares=None, attempts=tuple(attempts))
    verdict = _room(policy, policy.lead, amount_fen, quotas)
    attempts.append(Attempt(partner=policy.lead.name, verdict=verdict))
    alone = (FundingShare(partner=policy.lead.name, share=Decimal(1), fen=amount_fen),) if verdict == "funds" else None
    return Routing(shares=alone, attempts=tuple(attempts))


def split(amount_fen: int, lead_share: Decimal, minimum_share: Decimal) -> tuple[int, int] | None:
    """Lead's and partner's fen: the lead's is rounded up, and no side gets below its minimum; None where it must."""
    with localcontext(EXACT):
        least = int((amount_fen * minimum_share).to_integral_value(ROUND_CEILING))
        lead = int((amount_fen * lead_share).to_integral_value(ROUND_CEILING))
    if 2 * least > amount_fen:
        return None
    lead = min(max(lead, least), amount_fen - least)
    return lead, amount_fen - lead


def _verdict(policy: FundingPolicy, partner: Partner, amount_fen: int, borrower: Borrower,
             quotas: Mapping[str, Quota]) -> Verdict:
    refused = _condition(partner, amount_fen, borrower)
    parts = split(amount_fen, 1 - partner.share, policy.minimum_share)
    if refused or parts is None:
        return refused or "shares-cannot-be-split"
    if _room(policy, policy.lead, parts[0], quotas) != "funds":
        return "lead-has-no-room"
    return _room(policy, partner, parts[1], quotas)


def _condition(partner: Partner, amount_fen: int, borrower: Borrower) -> Verdict | None:
    checks: Sequence[tuple[bool, Verdict]] = (
        (bool(partner.products) and borrower.product not in partner.products, "product-not-funded"),
        (bool(partner.provinces) and borrower.province not in partner.provinces, "province-not-served"),
        (borrower.provident_fund_months < partner.minimum_provident_fund_months, "provident-fund-too-short"),
        (borrower.probability > partner.maximum_probability, "risk-too-high"),
        (amount_fen < partner.minimum_fen, "amount-too-small"),
        (partner.maximum_fen is not None and amount_fen > partner.maximum_fen, "amount-too-large"),
    )
    return next((verdict for fails, verdict in checks if fails), None)


def _room(policy: FundingPolicy, funder: Funder, fen: int, quotas: Mapping[str, Quota]) -> Verdict:
    """Whether a funder can pay so much more."""
    quota = quotas.get(funder.name)
    if quota is None:
        return "no-quota-known"
    if fen > quota.free_fen:
        return "quota-used-up"
    balance = _balance(funder, quota) + fen
    if isinstance(funder, Partner) and balance > _share_of(funder.net_tier1_capital_fen, policy.single_partner_cap):
        return "single-partner-cap"
    internet = funder.internet_loans_elsewhere_fen + balance
    return "funds" if internet <= _share_of(funder.total_loans_fen, policy.internet_loan_cap) else "internet-loan-cap"


def _balance(funder: Funder, quota: Quota) -> int:
    """What it has lent here: as the context says, or else what its quota has used, or more by its concentration."""
    if quota.used_fen is not None:
        return quota.used_fen
    by_capital = _share_of(funder.net_tier1_capital_fen, quota.concentration, ROUND_CEILING)
    return max(0, funder.quota_fen - quota.free_fen, by_capital)


def most(policy: FundingPolicy, funder: Funder) -> int:
    """What the caps on concentration let a funder lend here in all, in fen; 0 for one that has lent too much
    elsewhere. `examine` never passes it; a store compares with it once more when several decide at a time."""
    by_loans = _share_of(funder.total_loans_fen, policy.internet_loan_cap) - funder.internet_loans_elsewhere_fen
    by_capital = _share_of(funder.net_tier1_capital_fen, policy.single_partner_cap)
    return max(0, min(by_loans, by_capital) if isinstance(funder, Partner) else by_loans)


def _shares(policy: FundingPolicy, partner: Partner, amount_fen: int) -> tuple[FundingShare, ...] | None:
    parts = split(amount_fen, 1 - partner.share, policy.minimum_share)
    return None if parts is None else (
        FundingShare(partner=policy.lead.name, share=1 - partner.share, fen=parts[0]),
        FundingShare(partner=partner.name, share=partner.share, fen=parts[1]))


def _share_of(fen: int, share: Decimal, rounding: str = ROUND_FLOOR) -> int:
    with localcontext(EXACT):
        return int((fen * share).to_integral_value(rounding))
