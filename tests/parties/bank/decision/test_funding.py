"""Funding: shares sum to the fen, no cap is passed, and the first partner that can does."""
from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.bank.decision import funding
from parties.bank.decision.context import Quota
from parties.bank.decision.funding import Borrower, Funder, FundingPolicy, Partner
from tests.parties.bank.decision.figures import MONEY, probabilities, shares

LEAD = Funder(name="lead", quota_fen=10**7, net_tier1_capital_fen=10**8, total_loans_fen=10**8)
HOME = Borrower(product="weilidai", province="44", provident_fund_months=12, probability="0.03")
quotas = st.builds(Quota, free_fen=st.integers(0, 10**7), concentration=shares)


def partner(name: str = "one", **changes: object) -> Partner:
    settings = {"name": name, "share": "0.7", "quota_fen": 10**7, "net_tier1_capital_fen": 10**8,
                "total_loans_fen": 10**8}
    return Partner.model_validate(settings | changes)


def policy(*partners: Partner, fallback: str = "decline") -> FundingPolicy:
    return FundingPolicy(fallback=fallback, minimum_share="0.3", single_partner_cap="0.25", internet_loan_cap="0.5",
                         lead=LEAD, partners=partners)


partners = st.builds(
    partner, st.just("one"), share=st.integers(300, 700).map(lambda n: Decimal(n).scaleb(-3)),
    provinces=st.sampled_from([(), ("44",), ("31",)]), minimum_provident_fund_months=st.sampled_from([0, 12, 13]),
    maximum_probability=probabilities, quota_fen=st.integers(1, 10**7), net_tier1_capital_fen=st.integers(1, 4 * 10**7),
    total_loans_fen=st.integers(1, 4 * 10**7), internet_loans_elsewhere_fen=st.integers(0, 10**7))


@given(st.lists(partners, max_size=4), st.integers(1, 2 * 10**7), st.dictionaries(
    st.sampled_from(["lead", "p0", "p1", "p2", "p3"]), quotas), st.sampled_from(["lead", "decline"]))
def test_shares_sum_and_no_cap_is_passed(drawn: list[Partner], amount: int, room: dict, fallback: str) -> None:
    named = [p.model_copy(update={"name": f"p{i}"}) for i, p in enumerate(drawn)]
    rules = policy(*named, fallback=fallback)
    result = funding.route(rules, amount, HOME, room)
    assert result == funding.route(rules, amount, HOME, room)
    if result is None:
        return
    assert sum(share.fen for share in result) == amount and sum(share.share for share in result) == 1
    assert result[0].partner == "lead"
    for share in result:
        assert share.fen <= room[share.partner].free_fen
        assert share.fen >= Fraction(3, 10) * amount or len(result) == 1
        assert share.fen == amount or abs(share.fen - Fraction(share.share) * amount) <= 1
    for chosen, share in ((p, s) for p in named for s in result if p.name == s.partner):
        used = max(chosen.quota_fen - room[chosen.name].free_fen, 0)
        used = max(used, Fraction(room[chosen.name].concentration) * chosen.net_tier1_capital_fen) + share.fen
        assert used <= Fraction(chosen.net_tier1_capital_fen, 4)
        assert used + chosen.internet_loans_elsewhere_fen <= Fraction(chosen.total_loans_fen, 2)
        assert not chosen.provinces or "44" in chosen.provinces
        assert chosen.minimum_provident_fund_months <= 12 and chosen.maximum_probability >= Decimal("0.03")


@given(st.integers(0, 10**9), st.integers(0, 1000))
def test_splits_are_exact_and_leave_each_side_its_minimum(amount: int, thousandths: int) -> None:
    parts = funding.split(amount, Decimal(thousandths).scaleb(-3), Decimal("0.3"))
    if parts is None:
        assert amount == 1  # the least amount of which both could pay three tenths is 2 fen
    else:
        assert sum(parts) == amount and all(10 * part >= 3 * amount for part in parts)


@pytest.mark.parametrize(("changes", "quota", "verdict"), [
    ({}, {}, "funds"),
    ({"products": ("we2000",)}, {}, "product-not-funded"),
    ({"provinces": ("31",)}, {}, "province-not-served"),
    ({"minimum_provident_fund_months": 13}, {}, "provident-fund-too-short"),
    ({"maximum_probability": "0.0299"}, {}, "risk-too-high"),
    ({"minimum_fen": 1_000_001}, {}, "amount-too-small"),
    ({"maximum_fen": 999_999}, {}, "amount-too-large"),
    ({}, {"one": Quota(free_fen=699_999)}, "quota-used-up"),
    ({"net_tier1_capital_fen": 2_799_999}, {}, "single-partner-cap"),
    ({"net_tier1_capital_fen": 2_800_000}, {}, "funds"),
    ({}, {"one": Quota(free_fen=10**7, concentration="0.25")}, "single-partner-cap"),
    ({"net_tier1_capital_fen": 6_799_999}, {"one": Quota(free_fen=9 * 10**6)}, "single-partner-cap"),
    ({"net_tier1_capital_fen": 6_800_000}, {"one": Quota(free_fen=9 * 10**6)}, "funds"),
    ({"total_loans_fen": 1_399_999}, {}, "internet-loan-cap"),
    ({"total_loans_fen": 1_400_000}, {}, "funds"),
    ({"internet_loans_elsewhere_fen": 49_300_001}, {}, "internet-loan-cap"),
    ({}, {"lead": Quota(free_fen=299_999)}, "lead-has-no-room"),
])
def test_every_condition_has_its_verdict(changes: dict, quota: dict, verdict: str) -> None:
    room = {"lead": Quota(free_fen=10**7), "one": Quota(free_fen=10**7)} | quota
    routing = funding.examine(policy(partner(**changes)), 1_000_000, HOME, room)
    assert [(a.partner, a.verdict) for a in routing.attempts] == [("one", verdict)]
    assert (routing.shares is not None) == (verdict == "funds")


def test_the_first_that_can_funds() -> None:
    rules = policy(partner("far", provinces=("31",)), partner("near"), partner("next"))
    room = {name: Quota(free_fen=10**7) for name in ("lead", "far", "near", "next")}
    routing = funding.examine(rules, 1_000_001, HOME, room)
    assert [s.partner for s in routing.shares] == ["lead", "near"]
    assert [s.fen for s in routing.shares] == [300_001, 700_000]
    spent = room | {"near": Quota(free_fen=0)}
    assert [s.partner for s in funding.route(rules, 1_000_001, HOME, spent)] == ["lead", "next"]


def test_the_fallback() -> None:
    nobody = partner(provinces=("31",))
    room = {"lead": Quota(free_fen=1_000_000)}
    assert funding.route(policy(nobody), 1_000_000, HOME, room) is None
    alone = funding.examine(policy(nobody, fallback="lead"), 1_000_000, HOME, room)
    assert [(s.partner, s.share, s.fen) for s in alone.shares] == [("lead", 1, 1_000_000)]
    assert [a.verdict for a in alone.attempts] == ["province-not-served", "funds"]
    assert funding.route(policy(nobody, fallback="lead"), 1_000_001, HOME, room) is None
    assert funding.route(policy(nobody, fallback="lead"), 1_000_000, HOME, {}) is None


def test_the_partners_that_ship() -> None:
    room = {p.name: Quota(free_fen=p.quota_fen) for p in (MONEY.funding.lead, *MONEY.funding.partners)}
    places = {"44": "harbour", "31": "river", "65": "union"}
    for province, name in places.items():
        borrower = HOME.model_copy(update={"province": province})
        assert funding.route(MONEY.funding, 1_000_000, borrower, room)[1].partner == name


@given(st.lists(partners, min_size=1, max_size=3), st.integers(1, 2 * 10**7), st.data())
def test_what_a_funder_has_taken_is_said_or_follows_from_its_quota(drawn: list[Partner], amount: int, data) -> None:
    """A record from before says only what is free; it must lead to the same shares as one that says what is used."""
    rules = policy(*(p.model_copy(update={"name": f"p{i}"}) for i, p in enumerate(drawn)), fallback="lead")
    funders = (rules.lead, *rules.partners)
    used = {one.name: data.draw(st.integers(0, one.quota_fen)) for one in funders}
    told = {one.name: Quota(free_fen=one.quota_fen - used[one.name], used_fen=used[one.name]) for one in funders}
    before = {name: Quota(free_fen=quota.free_fen) for name, quota in told.items()}
    assert funding.examine(rules, amount, HOME, told) == funding.examine(rules, amount, HOME, before)
    limited = {one.name: Quota(free_fen=max(0, min(one.quota_fen, funding.most(rules, one)) - used[one.name]),
                               used_fen=used[one.name]) for one in funders}
    assert funding.route(rules, amount, HOME, limited) == funding.route(rules, amount, HOME, told)


def test_a_record_from_before_keeps_its_bytes() -> None:
    assert Quota(free_fen=7).model_dump(mode="json") == {"free_fen": 7, "concentration": "0"}
    assert Quota(free_fen=7, used_fen=0).model_dump(mode="json") == {"free_fen": 7, "used_fen": 0,
                                                                     "concentration": "0"}
