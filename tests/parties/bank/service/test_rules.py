"""What the store knows of the rulebook's funders: decisions and reservations together never pass a quota or a cap."""
from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.bank.decision import funding
from parties.bank.decision.funding import FundingPolicy, Partner
from parties.bank.decision.rulebook import Rulebook, default_files
from parties.bank.decision.values import LARGEST_FEN
from parties.bank.service.rules import Rules
from parties.bank.store import LimitExceeded, open_store
from tests.parties.bank.decision.test_funding import HOME, LEAD
from tests.parties.bank.store.samples import NOW
from tests.parties.bank.store.templates import fresh_sqlite

sizes = st.integers(1, 4000)
partners = st.builds(
    lambda share, quota, capital, loans, elsewhere: Partner(
        name="one", share=Decimal(share).scaleb(-1), quota_fen=quota, net_tier1_capital_fen=capital,
        total_loans_fen=loans, internet_loans_elsewhere_fen=elsewhere),
    st.integers(3, 7), sizes, sizes, sizes, st.integers(0, 2500))


def rules_of(policy: FundingPolicy) -> Rules:
    """As much of a rulebook as the store hears of."""
    return Rules(SimpleNamespace(digest="c" * 64, funding=policy, to_bytes=lambda: b"{}"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with open_store(fresh_sqlite(tmp_path_factory.mktemp("rules"))) as opened:
        yield opened


class Back(Exception):
    """Takes one example back."""


@given(st.lists(partners, max_size=3), st.lists(st.tuples(st.integers(1, 900), st.booleans()), max_size=12),
       st.sampled_from(["0", "0.01", "0.25", "1"]), st.sampled_from(["lead", "decline"]))
@settings(max_examples=60)
def test_decisions_and_reservations_agree_on_who_has_room(store, drawn, loans, cap, fallback):
    lead = LEAD.model_copy(update={"quota_fen": 3000, "net_tier1_capital_fen": 500, "total_loans_fen": 5000})
    policy = FundingPolicy(fallback=fallback, minimum_share="0.3", single_partner_cap=cap, internet_loan_cap="0.5",
                           lead=lead, partners=[p.model_copy(update={"name": f"p{i}"}) for i, p in enumerate(drawn)])
    rules = rules_of(policy)

    def play(unit) -> None:
        rules.declare(unit, NOW)
        stale = unit.quotas.free(rules.funders)
        for number, (amount, fresh) in enumerate(loans):
            seen = unit.quotas.free(rules.funders) if fresh else stale
            shares = funding.route(policy, amount, HOME, seen)
            wanted = {one.partner: one.fen for one in shares or () if one.fen}
            try:
                if wanted:
                    unit.quotas.reserve(f"a-{number}", wanted, NOW, None)
            except LimitExceeded:
                assert not fresh, "what was routed on fresh quotas must have room"
            for funder in (lead, *policy.partners):
                taken = unit.quotas.all()[funder.name].reserved_fen
                assert taken <= min(funder.quota_fen, funding.most(policy, funder))
        raise Back

    with pytest.raises(Back):
        store.write(play)


def test_what_a_removed_partner_took_is_kept_and_not_shown_to_decisions(store):
    def play(unit) -> None:
        both, one = (rules_of(FundingPolicy(
            fallback="lead", minimum_share="0.3", single_partner_cap="0.25", internet_loan_cap="0.5", lead=LEAD,
            partners=[Partner(name=name, share="0.7", quota_fen=1000, net_tier1_capital_fen=10**6,
                              total_loans_fen=10**6) for name in names])) for names in (("east", "west"), ("east",)))
        both.declare(unit, NOW)
        unit.quotas.reserve("a-1", {"west": 700}, NOW, None)
        one.declare(unit, NOW)
        assert unit.quotas.free(one.funders).keys() == {"lead", "east"}
        both.declare(unit, NOW)
        assert unit.quotas.free(both.funders)["west"].used_fen == 700
        raise Back

    with pytest.raises(Back):
        store.write(play)


def test_the_largest_banks_can_be_declared(store):
    rulebook = Rulebook(default_files())
    large = rulebook.funding.lead.model_copy(update={"net_tier1_capital_fen": 4 * 10**14, "total_loans_fen": 10**17})

    def play(unit) -> None:
        rules_of(rulebook.funding.model_copy(update={"lead": large})).declare(unit, NOW)
        assert unit.quotas.all()["lead"].cap_fen == LARGEST_FEN
        raise Back

    with pytest.raises(Back):
        store.write(play)
