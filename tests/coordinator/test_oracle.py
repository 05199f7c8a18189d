"""The oracle as the demo starts it, against scikit-learn on the tables joined by hand."""
from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from coordinator.demo import oracle
from coordinator.demo.population import BANK_COLUMNS, PLATFORM_COLUMNS, write_population
from parties.runtime.preparation import Prepared, prepare
from parties.runtime.tables import Table, TableConfig, load_table
from protocols.plan import Plan

L2 = 0.002


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """(folder, spec as a dict, tables, prepared halves, aligned rows): what the demo has at the end of a run."""
    folder = tmp_path_factory.mktemp("oracle")
    files = write_population(folder, rows=3000, seed=5)
    parties = {"bank": {"table": "customers", "columns": tuple(BANK_COLUMNS)},
               "platform": {"table": "users", "columns": tuple(PLATFORM_COLUMNS)}}
    plan = Plan(purpose="test", label_party="bank", feature_parties=("platform",), parties=parties,
                model={"l2": L2, "bins": 4})
    configs = {"bank": files.bank_table, "platform": files.platform_table}
    tables = {party: load_table(TableConfig.model_validate(config)) for party, config in configs.items()}
    rows = _shuffled_intersection(tables)
    prepared = {party: prepare(tables[party], rows[party], party, plan) for party in tables}
    halves = {party: {"encoder": p.encoder.to_json(), "whitening": p.whitening.to_json(), "coefficients": [0.5]}
              for party, p in prepared.items()}
    spec = {"plan": json.loads(plan.canonical()), "halves": halves,
            "tables": {party: TableConfig.model_validate(c).model_dump(mode="json") for party, c in configs.items()}}
    return folder, spec, tables, prepared


def _shuffled_intersection(tables: dict[str, Table]) -> dict[str, np.ndarray]:
    places = {party: {_plain(name): row for row, name in enumerate(t.ids)} for party, t in tables.items()}
    shared = sorted(set(places["bank"]) & set(places["platform"]))
    np.random.default_rng(0).shuffle(shared)
    return {party: np.array([place[name] for name in shared]) for party, place in places.items()}


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name.strip().casefold())


def _pooled_auc(tables: dict[str, Table], prepared: dict[str, Prepared]) -> tuple[float, int]:
    train, test = (np.hstack([prepared[party].columns[part] for party in ("bank", "platform")]) for part in (0, 2))
    labels = [tables["bank"].label[prepared["bank"].rows[part]] for part in (0, 2)]
    model = LogisticRegression(C=1 / (L2 * len(train)), tol=1e-10, max_iter=2000).fit(train, labels[0])
    return roc_auc_score(labels[1], model.decision_function(test)), len(test)


def test_own_process_reports_what_scikit_learn_finds(case, tmp_path):
    folder, spec, tables, prepared = case
    source, out = tmp_path / "spec.json", tmp_path / "out.json"
    source.write_text(json.dumps(spec))
    done = subprocess.run([sys.executable, "-m", "coordinator.demo.oracle", "--spec", source, "--out", out],
                          capture_output=True, text=True, timeout=120, cwd=Path(oracle.__file__).parents[2])
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(out.read_text())
    auc, test_rows = _pooled_auc(tables, prepared)
    assert result["metrics"]["auc"] == pytest.approx(auc, abs=1e-4)
    assert result["rows"]["test"] == test_rows and sum(result["rows"].values()) == result["rows_aligned"]
    assert result["rows_aligned"] == len(
        {_plain(name) for name in tables["bank"].ids} & {_plain(name) for name in tables["platform"].ids})
    assert result["converged"] and 0 < result["metrics"]["log_loss"] < 0.5
    assert result["curve"][0] == [0, 0] and result["curve"][-1] == [1, 1]


def test_relative_paths_count_from_the_folder_of_the_spec(case):
    folder, spec, *_ = case
    moved = json.loads(json.dumps(spec))
    for table in moved["tables"].values():
        table["path"] = Path(table["path"]).name
    path = folder / "spec.json"
    path.write_text(json.dumps(moved))
    assert oracle.main(["--spec", str(path), "--out", str(folder / "out.json")]) == 0


@pytest.mark.parametrize("break_it, words", [
    (lambda s: s["tables"].pop("platform"), "tables must have exactly bank, platform; got bank"),
    (lambda s: s["halves"].pop("bank"), "halves must have exactly"),
    (lambda s: s["halves"]["bank"].pop("whitening"), "halves.bank.whitening"),
    (lambda s: s.update(more=1), "more"),
    (lambda s: s["tables"]["bank"].update(label=None), "needs a label column"),
    (lambda s: s["tables"]["bank"].update(path="/nowhere/absent.csv"), "absent.csv"),
    (lambda s: s["halves"]["bank"]["encoder"].update(version=9), "encoder"),
])
def test_a_wrong_spec_is_one_sentence_and_no_result(case, tmp_path, capsys, break_it, words):
    broken = json.loads(json.dumps(case[1]))
    break_it(broken)
    source, out = tmp_path / "spec.json", tmp_path / "out.json"
    source.write_text(json.dumps(broken))
    assert oracle.main(["--spec", str(source), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and not out.exists()


def test_absent_and_garbled_spec(tmp_path, capsys):
    out = str(tmp_path / "out.json")
    assert oracle.main(["--spec", str(tmp_path / "none.json"), "--out", out]) == 2
    (tmp_path / "bad.json").write_text("{")
    assert oracle.main(["--spec", str(tmp_path / "bad.json"), "--out", out]) == 2
    assert capsys.readouterr().err.count("error: ") == 2


def test_only_the_oracle_reaches_into_the_parties():
    check = ("import sys, coordinator.demo.report, coordinator.demo.charts; "
             "sys.exit(any(name.split('.')[0] == 'parties' for name in sys.modules))")
    assert subprocess.run([sys.executable, "-c", check], timeout=60).returncode == 0
