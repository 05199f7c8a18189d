"""Products: what they offer, and files that contradict themselves."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.bank.decision.money import FILES, Money
from parties.bank.decision.products import Products
from protocols.errors import ConfigError
from tests.parties.bank.decision.figures import MONEY, TEXTS, product


def test_the_figures_of_the_domain_are_shipped() -> None:
    small = MONEY.products.get("weilidai")
    assert (small.minimum_fen, small.maximum_fen) == (50_000, 20_000_000)
    assert [str(rate) for rate in (small.minimum_daily_rate, small.maximum_daily_rate)] == ["0.0002", "0.0005"]
    assert MONEY.products.get("we2000").maximum_fen == 200_000
    assert str(MONEY.products.get("we2000").fees.one_time_rate) == "0.01"
    assert str(MONEY.products.get("xiaoe-cash").maximum_daily_rate) == "0.00098"
    assert str(MONEY.products.get("xiaoe-instalment").fees.monthly_rate) == "0.015"
    assert MONEY.products.single_customer_cap_fen == 20_000_000
    assert MONEY.products.get("no-such") is None


@pytest.mark.parametrize(("amount", "term", "province", "misfit"), [
    (50_000, 3, "44", None),
    (49_999, 3, "44", "amount-below-minimum"),
    (20_000_001, 3, "44", "amount-above-maximum"),
    (50_001, 3, "44", "amount-not-a-step"),
    (50_000, 4, "44", "term-not-offered"),
    (50_000, 3, "31", "province-not-served"),
])
def test_a_misfit_is_named(amount: int, term: int, province: str, misfit: str | None) -> None:
    regional = MONEY.products.get("weilidai").model_copy(update={"provinces": ("44",)})
    assert regional.misfit(amount, term, province) == misfit


@given(st.integers(0, 30_000_000), st.integers(1, 30))
def test_what_fits_is_within_bounds(amount: int, term: int) -> None:
    some = product(minimum_fen=50_000, step_fen=10_000)
    if some.misfit(amount, term, "11") is None:
        assert 50_000 <= amount <= 20_000_000 and amount % 10_000 == 0 and term in some.terms_months


@pytest.mark.parametrize(("file", "old", "new", "sentence"), [
    ("products.toml", 'minimum_daily_rate = "0.0002"', "minimum_daily_rate = 0.0002", "decimal in quotes"),
    ("products.toml", "maximum_fen = 20_000_000", "maximum_fen = 20_000_001", "above single_customer_cap_fen"),
    ("products.toml", 'name = "we2000"', 'name = "weilidai"', "weilidai is named twice"),
    ("products.toml", "terms_months = [9, 12]", "terms_months = [12, 9]", "must rise"),
    ("products.toml", "terms_months = [9, 12]", "terms_months = [6, 9]", "we2000 over 6 months costs 24.04 %"),
    ("products.toml", 'monthly_on = "outstanding"', 'monthly_on = "original"', "take the term out"),
    ("products.toml", 'repayment = "equal-principal"', 'repayment = "balloon"', "repayment"),
    ("products.toml", "[[products]]", "colour = 1\n[[products]]", "colour"),
    ("pricing.toml", 'from_probability = "0.03"', 'from_probability = "0.04"', "prime and standard must meet"),
    ("pricing.toml", 'lowest_daily_rate = "0.00035"', 'lowest_daily_rate = "0.0003"', "below the highest rate"),
    ("pricing.toml", "last = 2026-02-16", "last = 2026-01-01", "first is after last"),
    ("limits.toml", 'code = "income-lost"\nzh', 'code = "income-lest"\nzh', "no words for income-lost"),
    ("limits.toml", "limit_fen = 1_200_000", "limit_fen = 1_600_000", "never in limit_fen"),
    ("limits.toml", "freeze_overdue_days = 30", "freeze_overdue_days = 3", "below cut_overdue_days"),
    ("partners.toml", 'share = "0.7"', 'share = "0.8"', "leaves one side less"),
    ("partners.toml", 'provinces = ["35", "44"]', "provinces = []", "a local bank needs its provinces"),
    ("partners.toml", 'name = "union"', 'name = "union"\nproducts = ["gone"]', "does not have"),
    ("partners.toml", 'name = "river"', 'name = "lead"', "lead is named twice"),
    ("experiments.toml", "experiments = []", "[[experiments", "not valid TOML"),
])
def test_a_wrong_file_is_refused_with_its_name(file: str, old: str, new: str, sentence: str) -> None:
    assert old in TEXTS[file]
    with pytest.raises(ConfigError) as caught:
        Money.from_texts(TEXTS | {file: TEXTS[file].replace(old, new, 1)})
    assert file in str(caught.value) and sentence in str(caught.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match="has no limits.toml"):
        Money.from_texts({name: TEXTS[name] for name in FILES if name != "limits.toml"})


def test_no_limit_for_a_product_is_a_contradiction() -> None:
    text = TEXTS["products.toml"].replace("minimum_fen = 50_000", "minimum_fen = 1_600_000", 1)
    with pytest.raises(ConfigError, match="highest first limit, 1500000 fen, is below"):
        Money.from_texts(TEXTS | {"products.toml": text})


def test_a_loaded_file_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        MONEY.products.single_customer_cap_fen = 1
    with pytest.raises(TypeError):
        MONEY.experiments.salts["x"] = "0000"
    assert isinstance(Products.from_toml_text(TEXTS["products.toml"]).products, tuple)
