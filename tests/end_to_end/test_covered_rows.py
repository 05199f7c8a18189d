"""One bank and two platforms that know different people, as real processes: a training and a scoring of all of them."""
from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from coordinator.demo.federation import LABEL, Federation, Table
from coordinator.demo.population import read_rows, split_platform, write_population, write_rows
from parties.runtime.preparation import partial_scores, slices_of, transformed
from parties.runtime.tables import Table as Loaded
from parties.runtime.tables import TableConfig, load_table
from protocols.binning.encoder import COVERAGE, Encoder
from protocols.plan import Plan
from protocols.psi.identifiers import normalise
from protocols.psi.parameters import UNKNOWN
from protocols.psi.slices import TEST, TRAIN
from protocols.scorecard import evaluation, logistic
from protocols.scorecard.calibration import Calibration
from protocols.scorecard.holdout import coarse
from protocols.scorecard.whitening import Whitening
from protocols.state import unpack
from tests.end_to_end import support
from tests.end_to_end.test_crash import node_pid, wait_up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PLATFORMS = ("platform-1", "platform-2")
KNOWN = 0.8  # share of its people that is left to each platform
ROWS = 20_000  # with 6,000 chance alone moves the AUC of one step around the bank's model by 0.003
BAR = 0.003  # of AUC, to the pooled oracle
EXACT = 0.001  # of AUC, to the same step in the clear: what shares and rounded scores cost
RUN_S = 800.0
RULES = ['alignments = ["common", "covered"]']


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    files = write_population(tmp_path_factory.mktemp("data"), ROWS, seed=7)
    parts, rng = split_platform(files, len(PLATFORMS), seed=7), np.random.default_rng(1)
    for part in parts.values():
        path = Path(part.table["path"])
        people = [row for row in read_rows(path) if rng.random() < KNOWN]
        columns = {name: np.array([row[name] for row in people]) for name in part.table["columns"]}
        write_rows(path, np.array([row["id"] for row in people]), columns)
    return {LABEL: Table(files.bank_table)} | {name: Table(part.table) for name, part in parts.items()}


@pytest.fixture(scope="module")
def plan(tables: dict[str, Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.plan_of(tables, tmp_path_factory.mktemp("p") / "plan.toml", "[model]", 'encoding = "numeric"',
                           "steps = 16", "[alignment]", 'rows = "covered"')


@pytest.fixture(scope="module")
def trained(fed: Federation, plan: Path) -> dict:
    return support.finished(fed, plan, RUN_S)


@pytest.fixture(scope="module")
def loaded(fed: Federation, tables: dict[str, Table]) -> dict[str, Loaded]:
    return {p: load_table(TableConfig.model_validate(t.section), fed.folder) for p, t in tables.items()}


@pytest.fixture(scope="module")
def join(loaded: dict[str, Loaded]) -> dict[str, np.ndarray]:
    """The plain join: by party the row of each of the bank's people whom any platform knows, or UNKNOWN."""
    places = {p: {name: row for row, name in enumerate(normalise(t.ids, ("trim", "casefold", "nfkc")))}
              for p, t in loaded.items()}
    people = [name for name in places[LABEL] if any(name in places[p] for p in PLATFORMS)]
    return {p: np.array([places[p].get(name, UNKNOWN) for name in people]) for p in loaded}


def halves(fed: Federation, model: str) -> dict[str, dict]:
    return {party: support.vault_half(fed, party, model) for party in fed.parties}


def report(fed: Federation, run: str) -> dict:
    return json.loads(support.run_fact(fed, LABEL, run, "report"))


def test_the_rows_are_those_of_a_plain_join(fed: Federation, trained: dict, join: dict[str, np.ndarray]) -> None:
    run = trained["run"]
    rows = {p: unpack(support.run_fact(fed, p, run, "align.rows"))[LABEL] for p in join}
    expected = set(zip(*(join[p].tolist() for p in join), strict=True))
    assert set(zip(*(rows[p].tolist() for p in join), strict=True)) == expected
    for party in PLATFORMS:
        unknown = int((join[party] == UNKNOWN).sum())
        assert unknown > 500
        (noted,) = [r["body"] for r in support.audit_records(fed, party)
                    if r["kind"] == "phase" and r["body"].get("phase") == "rows" and r["body"]["run"] == run]
        assert noted["count"] == len(expected) - unknown
        assert support.vault_half(fed, party, trained["model_id"])["encoder"]["coverage"]["unknown"] > 300
        shown = json.loads(support.run_fact(fed, party, run, "report"))["columns"][-1]
        assert shown["column"] == COVERAGE and shown["bins"][1]["label"] == "unknown to this platform"
    opened = [r["body"] for r in support.audit_records(fed, LABEL) if r["kind"] == "opening"
              and r["body"]["run"] == run and r["body"]["what"] == "membership.joint"]
    assert {o["learner"]: o["count"] for o in opened} == dict.fromkeys(PLATFORMS, len(expected))


def test_the_joint_model_ranks_as_the_pooled_oracle(
    fed: Federation, plan: Path, trained: dict, loaded: dict[str, Loaded], join: dict[str, np.ndarray]
) -> None:
    declared = Plan.from_toml_text(plan.read_text())
    own = halves(fed, trained["model_id"])
    matrices = [transformed(loaded[p], join[p], Encoder.from_json(own[p]["encoder"]),
                            Whitening.from_json(own[p]["whitening"])) for p in join]
    labels = loaded[LABEL].label[join[LABEL]].astype(float)
    slices = slices_of(loaded[LABEL], join[LABEL], declared)
    train, test, l2 = slices == TRAIN, slices == TEST, declared.model.l2
    matrix = np.hstack(matrices)
    pooled = evaluation.auc(labels[test], logistic.fit(matrix[train], labels[train], l2).score(matrix[test]))
    alone = logistic.fit(matrices[0][train], labels[train], l2)
    step = one_step(matrix[train], labels[train], alone.score(matrices[0][train]), l2)
    clear = evaluation.auc(labels[test], matrix[test] @ step)
    metrics = report(fed, trained["run"])["metrics"]
    joint, bank_only = metrics["joint"]["auc"], metrics["bank_only"]["auc"]
    print(f"AUC joint {joint:.5f}, pooled {pooled:.5f}, one step in the clear {clear:.5f}, bank only {bank_only:.5f}; "
          f"{len(labels)} rows")
    assert abs(joint - pooled) <= BAR and abs(joint - clear) <= EXACT and joint > bank_only


def one_step(matrix: np.ndarray, labels: np.ndarray, scores: np.ndarray, l2: float) -> np.ndarray:
    """Coefficients (d,) of one weighted least-squares step around the bank's own `scores`, with a free intercept."""
    own = 1 / (1 + np.exp(-scores))
    weights, n = own * (1 - own), len(labels)
    columns = np.column_stack([np.ones(n), matrix])
    ridge = np.diag([0.0, *np.full(matrix.shape[1], l2)])
    gram = columns.T @ (columns * weights[:, None]) / n + ridge
    return np.linalg.solve(gram, columns.T @ (weights * scores + labels - own) / n)[1:]


def test_people_unknown_to_one_platform_are_scored(
    fed: Federation, trained: dict, loaded: dict[str, Loaded], join: dict[str, np.ndarray]
) -> None:
    done = support.sealscore("score", trained["model_id"], "--json", federation=fed)
    assert done.returncode == 0, done.stderr
    path = fed.home(LABEL) / "state" / "scores" / f"{json.loads(done.stdout)['run']}.csv"
    scores = {row["id"]: float(row["probability_of_default"]) for row in support.read_csv(path)}
    own = halves(fed, trained["model_id"])
    part = {p: partial_scores(loaded[p], join[p], own[p]) for p in join}
    score = own[LABEL]["intercept"] + part[LABEL] + sum(coarse(part[p]) / 32 for p in PLATFORMS)
    expected = Calibration.from_json(own[LABEL]["calibration"]).probability(score)
    ids = [loaded[LABEL].ids[row] for row in join[LABEL]]
    assert set(scores) == set(ids)
    assert max(abs(scores[i] - p) for i, p in zip(ids, expected, strict=True)) <= 0.00006
    for party in PLATFORMS:
        unknown = join[party] == UNKNOWN
        assert unknown.sum() > 500 and np.ptp([scores[i] for i, u in zip(ids, unknown, strict=True) if u]) > 0.01


def test_a_policy_that_names_only_common_rows_refuses(fed: Federation, plan: Path, trained: dict) -> None:
    """Before any data moves; the last test, for the node starts anew with that policy."""
    path, pid = fed.home("platform-2") / "policy.toml", node_pid(fed, "platform-2")
    path.write_text(path.read_text().replace('alignments = ["common", "covered"]\n', ""))
    os.kill(pid, signal.SIGTERM)
    wait_up(fed, "platform-2", pid)
    summary = support.launch(fed, plan, timeout_s=RUN_S)
    told = summary["stderr"] + json.dumps(summary["failure"])
    assert summary["exit_code"] != 0 and "policy setting alignments" in told and "'covered' is asked for" in told
    runs = [path.parent.name for path in (fed.home(LABEL) / "state" / "runs").glob("*/run.db")]
    assert trained["run"] in runs and summary["run"] not in runs
