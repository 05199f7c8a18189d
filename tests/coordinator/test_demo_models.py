"""Kinds of models in a demo: which go with which options, the plans and policies of each, and how they compare."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coordinator.demo import models
from coordinator.demo.federation import FEATURE, LABEL, Table, _policy_toml
from coordinator.demo.learned import learned
from coordinator.demo.metrics import collect
from coordinator.demo.models import LEARNING_RATE, NAMES, NETWORK, TREE_BINS, check, row
from coordinator.demo.report import render_report
from coordinator.demo.setting import Setting, plan_text, policy_rules
from coordinator.demo.words import end_words
from protocols.errors import PolicyRefused, UsageError
from protocols.plan import Plan
from protocols.policy import Policy
from tests.coordinator.report_sample import sample_report

SETTINGS: dict[str, dict[str, Any]] = {
    "scorecard": {"encoding": "dummy", "bins": 5, "steps": 8},
    "boosting": {"kind": "boosting", "trees": 7, "depth": 3, "bins": TREE_BINS, "learning_rate": LEARNING_RATE},
    "network": {"kind": "network", "bins": 5, **NETWORK},
}
USUAL = {"encoding": ("dummy", "dummy"), "steps": (8, 8)}


@pytest.fixture
def torch_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find_spec", lambda name: object())


@pytest.mark.parametrize(("kinds", "more", "wrong"), [
    (["forest"], {}, "'forest' is not offered"), (["boosting", "boosting"], {}, "twice"),
    (["boosting"], {"banks": 2}, "one bank with one platform"), (["network"], {"platforms": 2}, "one bank with one"),
    (["scorecard", "boosting"], {"fewer": True}, "--ablations out"),
    (["boosting"], {"scorecard": USUAL | {"steps": (9, 8)}}, "--steps belong to --model scorecard"),
])
def test_options_that_do_not_go_together_are_one_sentence(torch_is_there, kinds, more, wrong) -> None:
    with pytest.raises(UsageError, match=wrong):
        check(kinds, **({"banks": 1, "platforms": 1, "fewer": False, "scorecard": USUAL} | more))


def test_all_kinds_go_together_and_a_network_needs_torch(torch_is_there, monkeypatch) -> None:
    check(list(NAMES), 1, 1, False, USUAL | {"steps": (9, 8)})
    check(["scorecard"], 3, 2, True, USUAL)
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    check(["scorecard", "boosting"], 1, 1, False, USUAL)
    with pytest.raises(UsageError, match="needs torch"):
        check(["network"], 1, 1, False, USUAL)


def plan(kind: str) -> Plan:
    columns = {f"c{n}": {"type": "number"} for n in range(5)}
    parts = Setting({name: Table({"columns": columns}) for name in (LABEL, FEATURE)}, {LABEL: 9000, FEATURE: 9000}, "")
    return Plan.from_toml_text(plan_text(parts, (LABEL, FEATURE), seed=1, **SETTINGS[kind]))


def policy(*kinds: str) -> Policy:
    return Policy.from_toml_text(_policy_toml({FEATURE: "a" * 64}, 1000, policy_rules(*map(plan, kinds))))


def allowed(rules: Policy, kind: str) -> bool:
    try:
        rules.check(plan(kind), LABEL)
    except PolicyRefused:
        return False
    return True


@pytest.mark.parametrize("kinds", [["scorecard"], ["boosting"], ["network"], ["boosting", "network"], list(NAMES)])
def test_a_policy_permits_the_kinds_of_its_plans_and_no_other(kinds) -> None:
    rules = policy(*kinds)
    assert [kind for kind in NAMES if allowed(rules, kind)] == [kind for kind in NAMES if kind in kinds]
    if "boosting" in kinds:
        assert rules.maximum_tree_splits == 7 * 7


def test_a_network_keeps_its_weights_shared() -> None:
    assert (plan("network").model.release, plan("boosting").model.release) == ("shared", "owner")


TRAINED = {
    "scorecard": ({"steps": 8}, {"coefficients": 41, "scores.test": 60}),
    "boosting": ({"trees": 7, "splits": 40, "depth": 3}, {"tree.sums": 900, "tree.splits": 30, "sides.test": 1800}),
    "network": ({"epochs": 4, "width": 2, "activation": "none"}, {"embeddings": 960, "network.epoch": 4}),
}


def facts(kind: str) -> dict[str, Any]:
    """What both nodes hold of a run of this kind."""
    sample, (training, opened) = sample_report(), TRAINED[kind]
    metrics = {name: sample["metrics"][name] for name in ("joint", "bank_only")}
    report = {"metrics": metrics | {"uplift": {"difference": 0.1, "low": 0.05, "high": 0.15}}, "columns": [],
              "rows": {"calibration": 30, "test": 60}, "training": training, "curves": sample["curves"],
              "calibration": sample["calibration"], "lift": sample["lift"], "kind": kind}
    half = {"kind": kind, "encoder": {"columns": [{"column": "a"}, {"column": "b"}]}}
    half |= {"coefficients": [0.1, 0.2]} if kind == "scorecard" else {}
    return {party: {"report": report, "half": half, "spent.train": {"seconds": 2.0, "bytes": 1000},
                    "ledger.openings": {name: {LABEL: count} for name, count in opened.items()}
                    if party == FEATURE else {}} for party in (LABEL, FEATURE)}


POOLED = {"rows_aligned": 200, "metrics": {"auc": 0.8, "ks": 0.5}, "trainings": {}, "banks": {LABEL: {
    "rows": {"train": 110, "test": 60}, "events": {"train": 20, "test": 9}, "metrics": {"auc": 0.8, "ks": 0.5}}}}


@pytest.mark.parametrize("kind", NAMES)
def test_metrics_words_and_sentences_are_of_the_kind(kind: str, tmp_path: Path) -> None:
    metrics = collect({"run": "r-1", "model_id": "m-1"}, facts(kind), POOLED, {LABEL: 300, FEATURE: 300}, 1.0)
    assert metrics["training"] == {"kind": kind} | TRAINED[kind][0]
    assert (metrics["columns_bank"], metrics["columns_platform"]) == (2 + (kind == "scorecard"), 2)
    text = end_words(metrics, tmp_path, "sealscore")
    assert {"scorecard": "8 steps", "boosting": "7 trees", "network": "4 epochs"}[kind] in text
    told = learned(metrics, "made up", [LABEL], [FEATURE])
    said = " ".join(told[LABEL])
    assert {"scorecard": "coefficients of its own columns", "boosting": "at 30 splits by the platform's columns",
            "network": "2 numbers about each of 110 training rows in each of 4 epochs"}[kind] in said
    assert ("coefficient" in said) == (kind == "scorecard")


def test_the_comparison_reaches_terminal_and_page(tmp_path: Path) -> None:
    rows = [row(kind, {"run": f"r-{kind}", "model_id": f"m-{kind}"}, facts(kind), POOLED) for kind in NAMES]
    metrics = collect({"run": "r-1", "model_id": "m-1"}, facts("scorecard"), POOLED, {LABEL: 300, FEATURE: 300}, 1.0)
    text = end_words(metrics | {"models": rows}, tmp_path, "sealscore")
    importances = {LABEL: [{"name": "party:platform", "gain": 12.5, "splits": 30}],
                   FEATURE: [{"name": "column:<wealth>", "splits": 30}]}
    page = render_report(sample_report() | {"models": rows, "importances": importances},
                         tmp_path / "report.html").read_text(encoding="utf-8")
    for kind in NAMES:
        assert NAMES[kind] in text and NAMES[kind] in page
    for told in ("sums over the platform", "weights that nobody knows", "all columns of platform", "&lt;wealth&gt;"):
        assert told.replace("'", "&#39;") in page, told
    assert "Points per column" not in page and rows[1]["openings"]["tree.sums"] == 900
