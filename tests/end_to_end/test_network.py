"""Networks between real nodes: trained, judged and scored, with weights that nobody has or that the platform gets."""
from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from coordinator.demo.federation import FEATURE, LABEL, Federation
from tests.end_to_end import support

TORCH = find_spec("torch") is not None
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
RULES = ('release = ["owner", "shared"]', "maximum_runs_per_day = 1000")
SMALL = {"width": 1, "epochs": 2, "batch_rows": 32, "hidden": [8], "source_rate": 0.5, "learning_rate": 0.03}
EVERY = {"membership"}


def write_plan(path: Path, release: str | None = None, **settings: Any) -> Path:
    """Platform columns in bins, so that there are enough of them for the openings."""
    text = support.plan_text()
    begin, end = text.index("[model]"), text.index("[alignment]")
    lines = ["[model]", 'kind = "network"', "bins = 4", *([f'release = "{release}"'] if release else []),
             "[model.network]", *(f"{name} = {json.dumps(value)}" for name, value in (SMALL | settings).items()), ""]
    path.write_text(text[:begin] + "\n".join(lines) + text[end:])
    return path


def ledger(federation: Federation, party: str, run: str) -> dict[str, dict[str, int]]:
    return json.loads(support.run_fact(federation, party, run, "ledger.openings"))


@pytest.mark.skipif(not TORCH, reason="networks need torch: make test-network")
@pytest.mark.parametrize(("release", "settings", "kind"), [
    (None, {}, "embeddings"), ("owner", {}, "embeddings"), (None, {"activation": "square", "epochs": 1}, "activations"),
])
def test_a_network_is_trained_judged_and_scored(fed: Federation, tmp_path: Path, release: str | None,
                                                settings: dict[str, Any], kind: str) -> None:
    done = support.finished(fed, write_plan(tmp_path / "plan.toml", release, **settings), timeout_s=600)
    opened = {party: ledger(fed, party, done["run"]) for party in (LABEL, FEATURE)}
    weights = {"source.weights"} if release == "owner" else set()
    assert set(opened[FEATURE]) == EVERY | {kind, f"{kind}.calibration", f"{kind}.test"}
    assert set(opened[LABEL]) == EVERY | {"network.epoch", "verdict"} | weights
    report = json.loads(support.run_fact(fed, LABEL, done["run"], "report"))
    assert report["metrics"]["joint"]["auc"] > report["metrics"]["bank_only"]["auc"]
    assert report["training"]["epochs"] == opened[LABEL]["network.epoch"][FEATURE]
    assert opened[FEATURE][f"{kind}.test"][LABEL] == report["rows"]["test"]
    for party in (LABEL, FEATURE):
        half = support.vault_half(fed, party, done["model_id"])
        assert half["kind"] == "network" and half["release"] == (release or "shared")
        assert half["weights"] == done["result"]["halves"][party]["weights"]
        for secret in ("keys", "train.role", "evaluate.role.bank"):
            assert support.run_fact(fed, party, done["run"], secret) is None
    told = support.sealscore("score", done["model_id"], "--json", federation=fed)
    assert told.returncode == 0, told.stderr
    run = json.loads(told.stdout)["run"]
    scores = support.read_csv(fed.home(LABEL) / "state" / "scores" / f"{run}.csv")
    assert set(ledger(fed, FEATURE, run)) == EVERY | {f"{kind}.batch"}
    assert len(scores) == ledger(fed, FEATURE, run)[f"{kind}.batch"][LABEL]
    probabilities = [float(row["probability_of_default"]) for row in scores]
    assert all(0 < one < 1 for one in probabilities) and len(set(probabilities)) > 50


@pytest.mark.skipif(not TORCH, reason="networks need torch: make test-network")
def test_more_openings_than_the_platforms_columns_allow_are_refused(fed: Federation, tmp_path: Path) -> None:
    summary = support.launch(fed, write_plan(tmp_path / "plan.toml", width=8, epochs=9))
    assert summary["state"] == "failed" and "maximum_opened_rank" in summary["failure"]["cause"]


@pytest.mark.skipif(TORCH, reason="says what a node without torch does")
def test_a_bank_without_torch_says_so(fed: Federation, tmp_path: Path) -> None:
    summary = support.launch(fed, write_plan(tmp_path / "plan.toml"))
    assert summary["state"] == "failed" and "install sealscore[network]" in summary["failure"]["cause"]
