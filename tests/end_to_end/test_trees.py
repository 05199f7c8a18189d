"""Boosted trees between real nodes: the trees of the pooled tables, scored without either side's half alone."""
from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.demo.applications import draw
from coordinator.demo.decisions import Branch
from coordinator.demo.federation import FEATURE, LABEL, TRIAL_RULES, Federation, Table
from parties.runtime.tables import TableConfig, load_table
from protocols.boosting.columns import TreeColumns
from protocols.boosting.halves import Elsewhere, FeatureHalf, LabelHalf
from protocols.boosting.pooled import Labelled, Part, grown
from protocols.plan import Plan
from protocols.psi.identifiers import normalise
from protocols.psi.slices import TRAIN, slice_of
from tests.end_to_end import support

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TREES = {"trees": 6, "depth": 3, "bins": 8, "learning_rate": 0.4}


def write_plan(path: Path, columns: dict[str, list[str]] | None = None, **more: Any) -> Path:
    text = support.plan_text(columns)
    begin, end = text.index("[model]"), text.index("[alignment]")
    settings = "\n".join(f"{name} = {json.dumps(value)}" for name, value in (TREES | more).items())
    path.write_text(text[:begin] + f'[model]\nkind = "boosting"\n[model.boosting]\n{settings}\n' + text[end:])
    return path


@pytest.fixture(scope="module")
def fed(tables: dict[str, Table], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A federation whose policies allow to score online, too."""
    rules = ['kinds = ["train", "score", "online"]', *TRIAL_RULES[1:]]
    with Federation(tmp_path_factory.mktemp("f"), tables, minimum_rows=1000, rules=rules) as running:
        yield running


@pytest.fixture(scope="module")
def trained(fed: Federation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = write_plan(tmp_path_factory.mktemp("plan") / "plan.toml")
    return support.finished(fed, path) | {"plan": Plan.from_toml_text(path.read_text(), "plan.toml")}


class Pooled:
    """Both tables joined in the clear."""

    def __init__(self, tables: dict[str, Table], plan: Plan):
        loaded = {party: load_table(TableConfig.model_validate(table.section), Path()) for party, table in
                  tables.items()}
        places = {party: {name: row for row, name in enumerate(normalise(table.ids, plan.alignment.normalise))}
                  for party, table in loaded.items()}
        self.people = sorted(places[LABEL].keys() & places[FEATURE].keys())
        slices = slice_of(self.people, plan.slices.key(),
                          (plan.slices.train, plan.slices.calibration, plan.slices.test))
        self.rows = {party: np.array([places[party][name] for name in self.people]) for party in loaded}
        self.tables, self.slices = loaded, slices
        self.names = {party: list(plan.parties[party].columns) for party in loaded}

    def encoder(self, party: str) -> TreeColumns:
        rows = np.sort(self.rows[party][self.slices == TRAIN])
        return TreeColumns.fit(self.tables[party].take(rows).select(self.names[party]), TREES["bins"], 20)

    def values(self, party: str, encoder: TreeColumns) -> dict[str, np.ndarray]:
        columns = self.tables[party].take(self.rows[party]).select(self.names[party])
        return encoder.values(columns, np.ones(len(self.people), bool))


def test_both_halves_are_the_pooled_trees(fed: Federation, tables: dict[str, Table], trained: dict) -> None:
    """Over rows in another order than the run's: trees without draws depend on the set of rows alone."""
    pooled, plan = Pooled(tables, trained["plan"]), trained["plan"]
    halves = {party: support.vault_half(fed, party, trained["model_id"]) for party in (LABEL, FEATURE)}
    encoders = {party: TreeColumns.model_validate(half["encoder"]) for party, half in halves.items()}
    assert encoders[LABEL] == pooled.encoder(LABEL)
    there, expected = encoders[FEATURE].columns, pooled.encoder(FEATURE).columns
    assert there != expected and sorted(there, key=repr) == sorted(expected, key=repr)  # the platform shuffles its own
    bank, platform = LabelHalf.model_validate(halves[LABEL]["trees"]), FeatureHalf.model_validate(
        halves[FEATURE]["trees"])
    assert bank.numbers == {FEATURE: len(platform.cuts)} and len(bank.trees) <= TREES["trees"]
    assert {isinstance(one, Elsewhere) for one in bank.splits} == {True, False}
    training, parts = pooled.slices == TRAIN, {}
    for party, encoder in encoders.items():
        columns = pooled.tables[party].take(pooled.rows[party][training]).select(pooled.names[party])
        parts[party] = Part(encoder.codes(columns, np.ones(training.sum(), bool)), encoder.told)
    labels = pooled.tables[LABEL].label[pooled.rows[LABEL][training]].astype(np.int8)
    trees = grown(plan.model.boosting, parts, Labelled(labels, b"no draws"))
    assert LabelHalf.of(trees, LABEL, encoders[LABEL].edges) == bank
    assert FeatureHalf.of(trees, FEATURE, encoders[FEATURE].edges) == platform
    for half in halves.values():
        assert "coefficients" not in half and "whitening" not in half
    assert not {"trees", "base"} & set(halves[FEATURE]["trees"]) and "calibration" not in halves[FEATURE]


@pytest.fixture(scope="module")
def batch(fed: Federation, trained: dict) -> tuple[str, dict[str, float]]:
    """A scoring run and the probability of each common person."""
    done = support.sealscore("score", trained["model_id"], "--json", federation=fed)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["run"]
    return run, {row["id"]: float(row["probability_of_default"])
                 for row in support.read_csv(fed.home(LABEL) / "state" / "scores" / f"{run}.csv")}


def test_applicants_are_scored_online_as_in_the_batch(
    fed: Federation, trained: dict, tables: dict[str, Table], batch: tuple[str, dict[str, float]]
) -> None:
    files = (Path(tables[party].section["path"]) for party in (LABEL, FEATURE))
    people = draw(*files, trained["plan"], 7, datetime.now(UTC), count=30)
    with Branch(fed, trained["model_id"], 20_000) as branch:
        decided, _ = branch.decide(people)
    scored = {person.submission["customer"]: one for person, one in zip(people, decided, strict=True)
              if one.probability}
    assert len(scored) > 15 and {one.answer["score"] for one in scored.values()} == {"joint"}
    for name, one in scored.items():
        assert abs(float(one.probability) - batch[1][name]) <= 0.0001, name
    opened = [r["body"] for r in support.audit_records(fed, FEATURE) if r["body"].get("phase") == "online"]
    assert {one["what"] for one in opened} <= {"online.sides", "online.lacks"}
    assert sum(one["count"] for one in opened if one["what"] == "online.sides") == len(scored)


def test_the_bank_gets_probabilities_of_all_common_people(
    fed: Federation, tables: dict[str, Table], trained: dict, batch: tuple[str, dict[str, float]]
) -> None:
    (run, scores), pooled = batch, Pooled(tables, trained["plan"])
    assert len(scores) == len(pooled.people)
    halves = {party: support.vault_half(fed, party, trained["model_id"]) for party in (LABEL, FEATURE)}
    bank = LabelHalf.model_validate(halves[LABEL]["trees"])
    platform = FeatureHalf.model_validate(halves[FEATURE]["trees"])
    margins = bank.margins(bank.sides(pooled.values(LABEL, pooled.encoder(LABEL)),
                                      {FEATURE: platform.sides(pooled.values(FEATURE, pooled.encoder(FEATURE)))}))
    by_id = dict(zip((pooled.tables[LABEL].ids[row] for row in pooled.rows[LABEL]), margins, strict=True))
    order = sorted(scores, key=by_id.__getitem__)
    probabilities = [scores[name] for name in order]
    assert probabilities == sorted(probabilities) and len(set(probabilities)) > 20
    openings = json.loads(support.run_fact(fed, FEATURE, run, "ledger.openings"))
    assert openings["sides.batch"] == {LABEL: len(scores) * len(platform.cuts)}


def test_openings_are_those_of_trees(fed: Federation, trained: dict) -> None:
    opened = {party: json.loads(support.run_fact(fed, party, trained["run"], "ledger.openings"))
              for party in (LABEL, FEATURE)}
    assert set(opened[LABEL]) == {"membership", "tree.splits", "tree.kept", "verdict"}
    assert set(opened[FEATURE]) == {"membership", "tree.sums", "tree.sides", "sides.calibration", "sides.test"}
    half = support.vault_half(fed, FEATURE, trained["model_id"])
    report = json.loads(support.run_fact(fed, LABEL, trained["run"], "report"))
    told = FeatureHalf.model_validate(half["trees"])
    assert opened[FEATURE]["sides.test"][LABEL] == len(told.cuts) * report["rows"]["test"]
    assert report["metrics"]["joint"]["auc"] > report["metrics"]["bank_only"]["auc"]
    assert {one["name"] for one in report["importances"]} >= {f"party:{FEATURE}"}
    for party, secret in ((LABEL, "train.role"), (FEATURE, "train.role")):
        assert support.run_fact(fed, party, trained["run"], secret) is None


def test_a_training_that_stops_early_keeps_the_first_trees(fed: Federation, tmp_path: Path) -> None:
    settings = {"trees": 12, "learning_rate": 1.0, "early_stopping_rounds": 1, "validation_share": 0.3}
    done = support.finished(fed, write_plan(tmp_path / "plan.toml", **settings))
    told = json.loads(support.run_fact(fed, FEATURE, done["run"], "report"))["training"]
    bank = LabelHalf.model_validate(support.vault_half(fed, LABEL, done["model_id"])["trees"])
    assert told["kept"] < told["splits"] and bank.numbers == {FEATURE: told["kept"]}
