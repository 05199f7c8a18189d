"""metrics.json out of what nodes hold: sums, means and intervals over banks, and what each party added."""
from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.demo.ablations import Training
from coordinator.demo.learned import learned
from coordinator.demo.metrics import Outcome, collect
from coordinator.demo.words import ablation_words, end_words

SUMMARY = {"run": "r-1", "model_id": "m-1"}
ROWS = {"bank-1": 1200, "bank-2": 400}
AUC = {"bank-1": (0.7, 0.8, 0.81), "bank-2": (0.6, 0.76, 0.77)}  # alone, joint, pooled


def facts(bank: str, test: int, alone: float, joint: float) -> dict:
    def model(auc: float) -> dict:
        return {"auc": auc, "ks": auc - 0.3, "gini": 2 * auc - 1, "log_loss": 0.3}

    return {
        "report": {"metrics": {"joint": model(joint), "bank_only": model(alone),
                               "uplift": {"difference": joint - alone, "low": joint - alone - 0.03,
                                          "high": joint - alone + 0.03}},
                   "rows": {"calibration": test // 2, "test": test},
                   "training": {"rows": test * 3, "steps": 8}},
        "half": {"coefficients": [0.1] * 10},
        "spent.train": {"seconds": 3.0, "bytes": 100}, "ledger.openings": {"coefficients": {bank: 11}},
    }


@pytest.fixture
def two():
    """(facts, pooled) of two banks and one platform."""
    told = {bank: facts(bank, ROWS[bank] // 6, *AUC[bank][:2]) for bank in ROWS}
    told["platform"] = {"spent.train": {"seconds": 2.0, "bytes": 50}, "half": {"coefficients": [0.1] * 20},
                        "ledger.openings": {"membership": {"platform": 7}}}
    pooled = {"rows_aligned": 1350, "metrics": {"auc": 0.8, "ks": 0.5}, "trainings": {}, "banks": {
        bank: {"rows": {"train": ROWS[bank] // 2, "test": ROWS[bank] // 6}, "events": {"train": 60, "test": 20},
               "metrics": {"auc": AUC[bank][2], "ks": 0.5}} for bank in ROWS}}
    return told, pooled


def outcome(name: str, banks: tuple[str, ...], told: dict | None, refused: str | None = None) -> Outcome:
    training = Training(name, banks, ("platform",))
    if refused:
        return Outcome(training, {}, refused=refused)
    return Outcome(training, {}, run="r-2", facts={bank: told[bank] for bank in banks} | {"platform": told["platform"]})


def test_several_banks_are_summed_and_averaged_by_test_rows(two):
    told, pooled = two
    metrics = collect(SUMMARY, told, pooled, ROWS | {"platform": 1500}, 12.345)
    assert (metrics["rows_bank"], metrics["rows_platform"], metrics["rows_train"]) == (1600, 1500, 800)
    assert metrics["rows_test"] == 200 + 66 and metrics["wall_s"] == pytest.approx(12.345, abs=0.01)
    assert metrics["auc_joint"] == pytest.approx((0.8 * 200 + 0.76 * 66) / 266)
    half = metrics["auc_uplift_high"] - metrics["auc_uplift"]
    assert half == pytest.approx(0.03 * (200**2 + 66**2) ** 0.5 / 266)
    assert (metrics["columns_bank"], metrics["columns_platform"]) == (11, 20)
    train = metrics["phases"]["train"]
    assert (train["bytes_bank"], train["bytes_platform"], train["seconds_bank-2"]) == (200, 50, 3.0)
    assert metrics["banks"]["bank-2"]["auc_pooled_oracle"] == 0.77 and "ablations" not in metrics
    assert metrics["openings"] == {"coefficients": 22, "membership": 7}


def test_one_bank_keeps_its_own_figures(two):
    told, pooled = two
    one = {"bank": told["bank-1"], "platform": told["platform"]}
    pooled = pooled | {"banks": {"bank": pooled["banks"]["bank-1"]}}
    metrics = collect(SUMMARY, one, pooled, {"bank": 1200, "platform": 1500}, 1.0)
    assert "banks" not in metrics and "rows" not in metrics and "events_test" not in metrics
    assert metrics["auc_joint"] == 0.8 and metrics["rows_bank"] == 1200
    assert set(metrics["phases"]["train"]) == {"seconds", "bytes_bank", "bytes_platform"}


def test_what_each_party_added(two):
    told, pooled = two
    pooled["trainings"] = {"own.bank-1": {"bank-1": {"auc": 0.79, "ks": 0.45, "difference": 0.01, "low": -0.01,
                                                     "high": 0.03}}}
    outcomes = [outcome("own.bank-1", ("bank-1",), told), outcome("own.bank-2", (), None, "bank-2, in train: too few")]
    metrics = collect(SUMMARY, told, pooled, ROWS | {"platform": 1500}, 1.0, outcomes)
    assert metrics["banks"]["bank-1"]["auc_platforms_only"] == 0.79
    assert "auc_platforms_only" not in metrics["banks"]["bank-2"]
    found = metrics["ablations"]
    assert found["refused"] == {"own.bank-2": "bank-2, in train: too few"}
    assert [(c["party"], c["at"], round(c["difference"], 6)) for c in found["contributions"]] == [
        ("platform", "bank-1", 0.1), ("bank-2", "bank-1", 0.01)]
    words = end_words(metrics, Path("out"), "sealscore")
    assert "added by bank-2" in words and "not trained: own.bank-2 (bank-2, in train: too few)" in words


def test_a_platform_at_several_banks_has_a_mean(two):
    told, pooled = two
    gain = {"auc": 0.7, "ks": 0.3, "low": 0.0, "high": 0.1, "difference": 0.05}
    pooled["trainings"] = {"without.platform": {bank: gain for bank in ROWS}}
    told["wallet"] = told["platform"]
    outcomes = [Outcome(Training("without.platform", tuple(ROWS), ("wallet",)), {}, run="r-2", facts=told)]
    found = collect(SUMMARY, told, pooled, ROWS | {"platform": 9, "wallet": 9}, 1.0, outcomes)["ablations"]
    assert [c["at"] for c in found["contributions"]] == ["bank-1", "bank-2", "all"]
    mean = found["contributions"][-1]
    assert mean["difference"] == pytest.approx(0.05) and 0 < mean["low"] < mean["high"] < 0.1


def test_the_terminal_shows_each_bank(two):
    told, pooled = two
    lines = end_words(collect(SUMMARY, told, pooled, ROWS | {"platform": 1500}, 1.0), Path("out"), "sealscore")
    table = [line for line in lines.splitlines() if line.startswith("bank-")]
    assert [line.split()[0] for line in table] == ["bank-1", "bank-2"]
    assert "0.7000 (0.400)   -" in table[0] and "0.8000 (0.500)" in table[0] and "0.8100 (0.500)" in table[0]
    assert "privacy   out/privacy.html" in lines
    assert "--ablations" in lines and "verify    sealscore audit verify out/evidence --trust out/trust.json" in lines


def test_ablations_are_announced():
    order = [Training("all", ("bank",), ("a", "b")), Training("without.a", ("bank",), ("b",))]
    assert ablation_words(order, True) == "2 trainings, one after another: all, without.a"
    assert "some will be refused" in ablation_words(order, False)


@pytest.mark.parametrize(("banks", "platforms"), [(1, 1), (1, 2), (2, 1), (2, 3)])
def test_each_party_learned_something(two, banks, platforms):
    told, pooled = two
    metrics = collect(SUMMARY, told, pooled, ROWS | {"platform": 1500}, 1.0)
    names = ["bank"] if banks == 1 else ["bank-1", "bank-2"]
    others = ["platform"] if platforms == 1 else [f"platform-{i}" for i in range(1, platforms + 1)]
    sentences = learned(metrics, "a file", names, others)
    assert list(sentences) == [*names, *others, "coordinator"] and all(sentences.values())
    assert "nothing of the data (here: a file)" in sentences["coordinator"]
