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
from coordinator.demo.banks import split_bank
from coordinator.demo.population import BANK_COLUMNS, PLATFORM_COLUMNS, split_platform, write_population
from parties.runtime.preparation import Prepared, prepare
from parties.runtime.tables import Table, TableConfig, load_table
from protocols.plan import Plan
from protocols.psi.slices import slice_of

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
    prepared = {party: prepare(tables[party], {"bank": rows[party]}, party, plan) for party in tables}
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
    own = {party: halves.of["bank"] for party, halves in prepared.items()}
    train, test = (np.hstack([own[party].columns[part] for party in ("bank", "platform")]) for part in (0, 2))
    labels = [tables["bank"].label[own["bank"].rows[part]] for part in (0, 2)]
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


# -- several banks


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """(folder, spec, tables, aligned rows by bank) of two banks and two platforms with halves of one encoding."""
    folder = tmp_path_factory.mktemp("banks")
    files = write_population(folder, rows=4500, seed=5)
    parts = split_bank(files, 2, seed=5) | split_platform(files, 2, seed=5)
    configs = {party: TableConfig.model_validate(part.table) for party, part in parts.items()}
    tables = {party: load_table(config) for party, config in configs.items()}
    plan = Plan(purpose="test", label_parties=("bank-1", "bank-2"), feature_parties=("platform-1", "platform-2"),
                parties={p: {"table": "t", "columns": tuple(part.table["columns"])} for p, part in parts.items()},
                model={"l2": L2, "bins": 3}, slices={"seed": "4"})
    halves = {party: _half(tables[party], plan, party) for party in plan.feature_parties}
    halves |= dict.fromkeys(plan.label_parties, _half(tables["bank-1"], plan, "bank-1"))
    spec = {"plan": json.loads(plan.canonical()), "halves": halves,
            "tables": {party: config.model_dump(mode="json") for party, config in configs.items()}}
    return folder, spec, tables


def _half(table: Table, plan: Plan, party: str) -> dict:
    prepared = prepare(table, {"bank": np.arange(len(table.ids))}, party, plan)
    weights = np.random.default_rng(len(party)).normal(0, 0.2, prepared.of["bank"].columns[0].shape[1])
    return {"encoder": prepared.encoder.to_json(), "whitening": prepared.whitening.to_json(),
            "coefficients": weights.tolist(), "intercept": 0.3}


def _stacked(spec: dict, tables: dict[str, Table], parts: tuple[int, ...]) -> list[tuple[np.ndarray, ...]]:
    """By slice: (columns with an indicator of the second bank, labels, number of the bank), each over both banks."""
    plan, found = Plan.model_validate(spec["plan"]), []
    platforms = {p: {_plain(name): row for row, name in enumerate(tables[p].ids)} for p in plan.feature_parties}
    for part in parts:
        blocks = []
        for number, bank in enumerate(plan.label_parties):
            names = [_plain(name) for name in tables[bank].ids]
            shared = [row for row, name in enumerate(names) if all(name in known for known in platforms.values())]
            inside = slice_of([names[row] for row in shared], plan.slices.key(), (0.7, 0.1, 0.2)) == part
            rows = np.array(shared)[inside]
            at = {bank: rows} | {p: np.array([known[names[row]] for row in rows]) for p, known in platforms.items()}
            columns = np.hstack([oracle._whitened(tables[p].take(r), oracle.Half(**spec["halves"][p]))
                                 for p, r in at.items()])
            blocks.append((columns, tables[bank].label[rows], np.full(len(rows), number)))
        found.append(tuple(np.concatenate(b) for b in zip(*blocks, strict=True)))
    return found


@pytest.fixture(scope="module")
def fitted(many):
    """What the oracle says of them."""
    folder, spec, _ = many
    return oracle.pooled(oracle.Spec.model_validate(spec), folder)


def test_banks_have_common_coefficients_and_an_intercept_each(many, fitted):
    """scikit-learn with the second bank's indicator in units so large that the ridge does not see it."""
    _, spec, tables = many
    train, test = _stacked(spec, tables, (0, 2))
    big = [np.column_stack([columns, 1000.0 * number]) for columns, _, number in (train, test)]
    model = LogisticRegression(C=1 / (L2 * len(big[0])), tol=1e-10, max_iter=5000, solver="newton-cholesky")
    scores = model.fit(big[0], train[1]).decision_function(big[1])
    result = fitted
    assert result["converged"] and result["rows"]["train"] == len(train[1])
    for number, bank in enumerate(("bank-1", "bank-2")):
        own = test[2] == number
        told = result["banks"][bank]
        assert told["rows"]["test"] == own.sum() and told["events"]["test"] == test[1][own].sum()
        assert told["metrics"]["auc"] == pytest.approx(roc_auc_score(test[1][own], scores[own]), abs=1e-4)
    weights = [result["banks"][bank]["rows"]["test"] for bank in ("bank-1", "bank-2")]
    assert result["metrics"]["auc"] == pytest.approx(np.average(
        [b["metrics"]["auc"] for b in result["banks"].values()], weights=weights))


def test_one_intercept_for_all_is_another_model(many, fitted):
    folder, spec, _ = many
    common = json.loads(json.dumps(spec))
    common["plan"]["model"]["intercepts"] = "common"
    one = oracle.pooled(oracle.Spec.model_validate(common), folder)["banks"]["bank-2"]["metrics"]["auc"]
    own = fitted["banks"]["bank-2"]["metrics"]["auc"]
    assert own == pytest.approx(one, abs=0.02) and own != one


def test_trainings_with_fewer_parties_are_measured_on_the_same_rows(many):
    folder, spec, _ = many
    fewer = json.loads(json.dumps(spec["plan"]))
    fewer["label_parties"], fewer["feature_parties"] = ["bank-2"], ["platform-1"]
    fewer["parties"] = {p: fewer["parties"][p] for p in ("bank-2", "platform-1")}
    halves = {p: spec["halves"][p] for p in fewer["parties"]}
    asked = spec | {"trainings": {"x": {"plan": fewer, "halves": halves},
                                  "same": {"plan": spec["plan"], "halves": spec["halves"]}}}
    told = oracle.pooled(oracle.Spec.model_validate(asked), folder)["trainings"]
    assert set(told["x"]) == {"bank-2"} and set(told["same"]) == {"bank-1", "bank-2"}
    assert told["same"]["bank-2"]["difference"] == told["same"]["bank-2"]["low"] == 0
    x, same = told["x"]["bank-2"], told["same"]["bank-2"]
    assert x["difference"] == pytest.approx(same["auc"] - x["auc"]) and x["low"] < x["difference"] < x["high"]


def test_a_training_without_its_halves_is_refused(many, tmp_path, capsys):
    spec = json.loads(json.dumps(many[1]))
    spec["trainings"] = {"x": {"plan": spec["plan"], "halves": {}}}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    words = ["--spec", str(tmp_path / "spec.json"), "--out", str(tmp_path / "out.json")]
    assert oracle.main(words) == 2 and "halves must have exactly bank-1" in capsys.readouterr().err
    spec["trainings"] = {"x": {"plan": spec["plan"], "halves": spec["halves"]}}
    del spec["halves"]["platform-1"]["coefficients"]
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    assert oracle.main(words) == 2 and "the half of platform-1 has no coefficients" in capsys.readouterr().err
