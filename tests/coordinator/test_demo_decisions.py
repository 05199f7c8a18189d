"""Applications of the demo are what the bank's interface takes, and its figures are those of what was decided."""
from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from coordinator.demo.applications import BUREAU, COUNT, JOINT, DemoApplication, draw
from coordinator.demo.decided import OUTCOMES, Decided, figures, quantile
from coordinator.demo.population import PopulationFiles, write_population
from coordinator.demo.report_decisions import view
from coordinator.demo.setting import plan_text, synthetic
from coordinator.demo.words import end_words
from parties.bank.decision.rulebook import Rulebook, default_files
from parties.bank.service.messages import ConsentGiven, Submission
from protocols.plan import Plan

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
ROWS = 4000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> PopulationFiles:
    return write_population(tmp_path_factory.mktemp("people"), ROWS, 3)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    parts = synthetic(tmp_path_factory.mktemp("plan"), 1000, 3, 1, 1, lambda text: None)
    return Plan.from_toml_text(plan_text(parts, tuple(parts.tables), encoding="numeric", bins=5, steps=8, seed=3))


@pytest.fixture(scope="module")
def drawn(files: PopulationFiles, plan: Plan) -> list[DemoApplication]:
    return draw(files.bank_csv, files.platform_csv, plan, 3, NOW)


def test_a_thousand_different_people_apply_and_one_in_ten_is_unknown_to_the_platform(drawn: list) -> None:
    assert len(drawn) == len({one.submission["customer"] for one in drawn}) == COUNT
    assert sum(one.known for one in drawn) == 900
    assert all(one.held_out for one in drawn)  # 30 % of 3,520 common rows are enough for 900
    assert 60 < sum(one.defaulted for one in drawn) < 150


def test_where_too_few_were_held_out_others_apply_and_count_as_trained_on(tmp_path: Path, plan: Plan) -> None:
    few = write_population(tmp_path, 1000, 3)
    drawn = draw(few.bank_csv, few.platform_csv, plan, 3, NOW)
    assert len(drawn) == 980  # 880 known to both, 100 of the 120 that only the bank knows
    assert 300 < sum(one.held_out for one in drawn) < 440


def test_every_application_is_one_that_the_service_takes(drawn: list) -> None:
    for one in drawn:
        Submission.model_validate(one.submission)
        for consent in one.consents:
            assert ConsentGiven.model_validate(consent).expires_at > NOW


def test_products_amounts_and_terms_are_those_that_the_shipped_rulebook_offers(drawn: list, tmp_path: Path) -> None:
    (tmp_path / "graphs").mkdir()
    for name, text in default_files().items():
        (tmp_path / name).write_bytes(text)
    products = Rulebook.load(tmp_path).products
    for one in drawn:
        asked = one.submission
        found = products.get(asked["product"]).misfit(asked["amount_fen"], asked["term_months"], asked["province"])
        assert found is None, asked


def test_some_of_every_kind_may_not_be_lent_to(drawn: list) -> None:
    given = [{consent["purpose"] for consent in one.consents} for one in drawn]
    assert 5 < sum(BUREAU not in one for one in given) < 50 and 10 < sum(JOINT not in one for one in given) < 60
    who = [one.submission["identity"] for one in drawn]
    assert all(0 < sum(odd) < 60 for odd in (
        [not one["real_name_verified"] for one in who], [not one["own_bank_card"] for one in who],
        [one["age"] < 18 for one in who], [one["student"] for one in who]))
    purposes = Counter(one.submission["purpose"] for one in drawn)
    assert 10 < purposes["securities"] + purposes["virtual-currency"] < 80


def test_the_same_seed_draws_the_same_and_another_seed_does_not(files: PopulationFiles, plan: Plan, drawn: list
                                                                ) -> None:
    assert draw(files.bank_csv, files.platform_csv, plan, 3, NOW) == drawn
    other = draw(files.bank_csv, files.platform_csv, plan, 4, NOW)
    assert [one.submission for one in other] != [one.submission for one in drawn]


# -- figures


def offer(limit: int, rate: str, cost: str) -> dict[str, Any]:
    return {"limit_fen": limit, "amount_fen": limit // 2, "daily_rate": rate, "annual_cost": cost,
            "funding": [{"partner": "lead", "fen": limit // 2 - 30}, {"partner": "union", "fen": 30}]}


def decided(outcome: str, wait: float, bad: bool, probability: float | None, **more: Any) -> Decided:
    answer = {"outcome": outcome, "offer": None, "reasons": []} | more
    return Decided(answer, "answered" if probability is not None else "not-asked: none", probability, wait, bad,
                   True, True)


def why(code: str, en: str) -> dict[str, str]:
    return {"code": code, "en": en, "zh": "因"}


SOME = [
    decided("approved", 5.0, False, 0.03, offer=offer(100_000, "0.0003", "0.11")),
    decided("approved", 9.0, True, 0.12, offer=offer(300_000, "0.0005", "0.20")),
    decided("declined", 7.0, True, 1.0, reasons=[why("risk-too-high", "risk"), why("column-1", "a")]),
    decided("declined", 6.0, True, 0.15, reasons=[why("column-1", "b"), why("column-1", "b")]),
    decided("referred", 40.0, False, None, reasons=[why("platform-unavailable", "later")]),
]


def test_figures_are_those_of_what_was_decided() -> None:
    told = figures(SOME, 0.5)
    assert told["outcomes"] == {"approved": 2, "declined": 2, "referred": 1, "insufficient-data": 0, "deferred": 0}
    assert (told["approval_rate"], told["per_s"]) == (0.4, 10.0)
    assert {name: (group["events"], group["count"]) for name, group in told["bad"].items()} == {
        "all": (3, 5), "approved": (1, 2), "declined": (2, 2), "referred": (0, 1)}
    assert told["offers"]["mean_limit_fen"] == 200_000 and told["offers"]["amount_fen"] == 200_000
    assert told["offers"]["mean_daily_rate"] == pytest.approx(0.0004)
    assert sum(told["offers"]["funding_fen"].values()) == told["offers"]["amount_fen"]
    assert told["joint_scores"] == {"answered": 4, "not-asked: none": 1}
    assert told["reasons"][0] == {"code": "column-1", "count": 3, "en": "b", "zh": "因"}


def test_every_scored_application_is_in_one_band_and_the_last_holds_its_end() -> None:
    bands = figures(SOME, 1.0)["bands"]
    assert [(band["from"], band["count"]) for band in bands if band["count"]] == [
        (0.02, 1), (0.08, 1), (0.15, 1), (0.3, 1)]
    assert all(sum(band["outcomes"].values()) == band["count"] and set(band["outcomes"]) == set(OUTCOMES)
               for band in bands)


@pytest.mark.parametrize(("share", "found"), [(0.0, 1), (0.5, 2), (0.51, 3), (0.75, 3), (0.99, 4), (1.0, 4)])
def test_a_quantile_is_a_value_that_was_seen(share: float, found: int) -> None:
    assert quantile([1, 2, 3, 4], share) == found


def test_without_an_approval_there_is_no_mean_offer_and_the_page_still_stands() -> None:
    told = figures(SOME[2:], 1.0)
    assert told["offers"] == {} and "approved" not in told["bad"]
    assert view({"decisions": told})["reason_rows"][0]["width"] == 100
    assert view({}) == {"decisions": None}


def test_the_end_of_the_demo_says_what_was_decided(tmp_path: Path) -> None:
    phases = {"train": {"seconds": 1.0, "bytes_bank": 1, "bytes_platform": 1}}
    metrics = {"rows_aligned": 1, "rows_bank": 1, "rows_platform": 1, "wall_s": 1.0, "phases": phases,
               "training": {"kind": "scorecard", "steps": 8},
               **{f"{kind}_{of}": 0.5 for kind in ("auc", "ks") for of in ("bank_only", "joint", "pooled_oracle")}}
    text = end_words(metrics | {"decisions": figures(SOME, 0.5)}, tmp_path, "sealscore")
    for words in ("2 approved, 2 declined, 1 referred", "approved 50.0 % (1 of 2)", "limit 2,000 CNY",
                  "0.0400 % a day", "15.5 % a year", "p50 7 ms", "p99 40 ms", "10 a second"):
        assert words in text
    assert "applications" not in end_words(metrics, tmp_path, "sealscore")
