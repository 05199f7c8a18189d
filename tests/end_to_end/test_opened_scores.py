"""Opened scores of training rows as real processes: where polish leads, and the limit over runs."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from coordinator.demo.federation import FEATURE, LABEL, Federation, Table
from parties.runtime.preparation import prepare
from parties.runtime.tables import TableConfig, load_table
from protocols.plan import Plan
from protocols.psi.slices import TRAIN
from protocols.scorecard import logistic
from protocols.state import unpack
from tests.end_to_end import support

RUN_S = 500.0
WITHIN = 1e-3
RULES = ['variants = ["strict", "open-score"]', "maximum_polish = 2"]
MODEL = ("[model]", 'encoding = "numeric"')


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    return support.small_tables(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def polished(fed: Federation, tables: dict[str, Table], tmp_path_factory: pytest.TempPathFactory) -> dict:
    path = support.plan_of(tables, tmp_path_factory.mktemp("p") / "plan.toml", *MODEL, "polish = 2", "l2 = 0.02")
    return support.finished(fed, path, RUN_S) | {"plan": Plan.from_toml_text(path.read_text())}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_polish_leads_to_the_pooled_optimum(fed: Federation, tables: dict[str, Table], polished: dict) -> None:
    columns, labels = {}, None
    for party in (LABEL, FEATURE):
        table = load_table(TableConfig.model_validate(tables[party].section), fed.home(party))
        rows = unpack(support.run_fact(fed, party, polished["run"], "align.rows"))
        slices = prepare(table, rows, party, polished["plan"]).of[LABEL]
        columns[party] = slices.columns[TRAIN]
        labels = table.label[slices.rows[TRAIN]].astype(float) if party == LABEL else labels
    pooled = logistic.fit(np.hstack([columns[LABEL], columns[FEATURE]]), labels, polished["plan"].model.l2)
    halves = [support.vault_half(fed, party, "m-" + polished["run"].removeprefix("r-")) for party in (LABEL, FEATURE)]
    got = np.r_[halves[0]["intercept"], halves[0]["coefficients"], halves[1]["coefficients"]]
    assert np.abs(got - np.r_[pooled.intercept, pooled.coefficients]).max() < WITHIN


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_opening_is_in_the_ledger_and_in_the_log(fed: Federation, polished: dict) -> None:
    records = [r["body"] for r in support.audit_records(fed, FEATURE) if r["kind"] == "opening"]
    opened = [r for r in records if r["run"] == polished["run"] and r["what"] == "scores.training"]
    assert len(opened) == 2 and {r["learner"] for r in opened} == {LABEL} and len({r["count"] for r in opened}) == 1
    ledger = json.loads(support.run_fact(fed, FEATURE, polished["run"], "ledger.openings"))
    assert ledger["scores.training"] == {LABEL: 2 * opened[0]["count"]}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_platform_refuses_more_openings_than_a_quarter_of_its_rank_over_all_runs(
    fed: Federation, tables: dict[str, Table], polished: dict, tmp_path: Path
) -> None:
    rank = len(support.vault_half(fed, FEATURE, "m-" + polished["run"].removeprefix("r-"))["coefficients"])
    more = rank // 4 - 1  # alone they would be allowed
    lines = ('variant = "open-score"', f"openings = {more}")
    summary = support.launch(fed, support.plan_of(tables, tmp_path / "plan.toml", *MODEL, *lines), timeout_s=RUN_S)
    assert summary["state"] == "failed" and "maximum_opened_rank" in summary["failure"]["cause"]
    assert f"opens {more} numbers of each training row after 2 of earlier runs" in summary["failure"]["cause"]
    assert [r for r in support.audit_records(fed, FEATURE)
            if r["kind"] == "opening" and r["body"]["run"] == summary["run"]
            and r["body"]["what"] == "scores.training"] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_of_the_open_score_variant_keeps_its_contract(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = support.sealscore("demo", "--out", str(out), "--rows", "4000", "--variant", "open-score", "--no-decisions",
                             "--json", timeout_s=RUN_S)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert abs(metrics["auc_joint"] - metrics["auc_pooled_oracle"]) <= 0.005
    assert metrics["openings"]["scores.training"] % 4 == 0 and metrics["openings"]["scores.training"] > 0
    checked = support.sealscore("audit", "verify", str(out / "evidence"), "--trust", str(out / "trust.json"))
    assert checked.returncode == 0 and "the evidence holds" in checked.stdout
