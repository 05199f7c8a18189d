"""Boosted trees in the cost model: bytes of every kind of message against those of real roles, and what it says."""
from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coordinator import plan_cli
from coordinator.cost import tree_sizes, trees
from coordinator.cost.estimate import PhaseCost, estimate
from coordinator.cost.parts import Calibration
from coordinator.cost.parts import Trees as Parts
from coordinator.cost.stage import Stage
from coordinator.cost.workload import Machines, Overrides, Workload, workload
from protocols.boosting import feature_sums, label_party, label_sums, scoring
from protocols.boosting.bins import Binned
from protocols.boosting.candidates import Candidate
from protocols.boosting.feature_party import FeatureBooster, FeatureConfig
from protocols.boosting.grower import Grower, Sums
from protocols.boosting.halves import Cut, FeatureHalf
from protocols.boosting.label_party import LabelBooster, LabelConfig, LabelData
from protocols.boosting.messages import Column, Split, side
from protocols.boosting.scoring import Asked, FeatureBatch, FeatureHoldout, LabelHoldout, LabelSides
from protocols.boosting.settings import BoostingSettings
from protocols.errors import UsageError
from protocols.plan import ModelPlan, Plan
from tests.benchmarks import cost_trees
from tests.coordinator.test_cost_messages import sent_by

ROWS, OWN, BINS = 1500, (8, 6), (8, 5, 8)
BIG = Workload("train", ("bank",), ("platform",), (1_000_000,), (1_000_000,), 1_000_000, 12, (100,), 12, (100,),
               ModelPlan(kind="boosting"), (0.7, 0.1, 0.2), platform_tree_bins=(32,) * 100)
PLAN = """
purpose = "credit-scoring"
label_party = "bank"
feature_parties = ["wallet"]
[parties.bank]
table = "customers"
columns = ["a", "b"]
[parties.wallet]
table = "users"
columns = ["d", "e", "f"]
[model]
kind = "boosting"
"""


def work_of(settings: BoostingSettings, own: int = len(OWN), bins: tuple[int, ...] = BINS) -> Workload:
    """A training over all rows; hold-out slices beside it."""
    return replace(BIG, rows=(ROWS,), bank_table=(ROWS,), platform_table=ROWS, bank_columns=own,
                   platform_columns=(len(bins),), model=ModelPlan(kind="boosting", boosting=settings),
                   slices=(1.0, 0.1, 0.2), platform_tree_bins=bins)


class Table:
    """Codes of both sides, and labels that depend on them."""

    def __init__(self, own: tuple[int, ...] = OWN, bins: tuple[int, ...] = BINS):
        draw = np.random.default_rng(1)
        self.columns = {"bank": tuple(map(Column, own)), "platform": tuple(map(Column, bins))}
        self.codes = {party: np.stack([draw.integers(0, one.bins, ROWS) for one in columns] or [np.zeros(ROWS)],
                                      axis=1).astype(np.uint8)[:, :len(columns)]
                      for party, columns in self.columns.items()}
        score = 0.4 * self.codes["platform"].sum(axis=1) + 0.3 * self.codes["bank"].sum(axis=1) - 5
        self.labels = (draw.random(ROWS) < 1 / (1 + np.exp(-score))).astype(np.int8)

    def roles(self, settings: BoostingSettings) -> dict:
        data = LabelData(self.codes["bank"], self.columns["bank"], self.labels, b"seed")
        return {"bank": LabelBooster(data, LabelConfig("bank", "platform", settings)),
                "platform": FeatureBooster(self.codes["platform"], self.columns["platform"],
                                           FeatureConfig("bank", 10**7, 10**4))}

    def forest(self, settings: BoostingSettings) -> list[trees.Tree]:
        """How the trees grow, from pooled columns: no message is looked at."""
        candidates = tuple(Candidate(party, number, one.bins, one.monotone, one.has_missing)
                           for party, columns in self.columns.items() for number, one in enumerate(columns))
        whole = Binned(np.concatenate(list(self.codes.values()), axis=1), tuple(one.bins for one in candidates))
        grower, found, levels = Grower(settings, self.labels, candidates, b"seed"), [], []
        while (wanted := grower.wanted()) is not None:
            done = grower.trees
            if isinstance(wanted, Sums):
                levels.append(trees.Level(len(wanted.nodes), 0, 0))
                grower.take_sums(np.stack([whole.plain_sums(vector) for vector in wanted.vectors]))
            else:
                theirs = sum(one.party == "platform" for one in wanted.splits)
                levels[-1] = trees.Level(levels[-1].asked, len(wanted.splits), theirs)
                grower.take_sides([self._side(one) for one in wanted.splits])
            if grower.trees > done:
                found, levels = [*found, tuple(levels)], []
        return found

    def _side(self, split) -> np.ndarray:
        asked = Split(split.column, split.bin, split.missing_left)
        return side(self.codes[split.party][:, split.column], asked, self.columns[split.party][split.column])


def train_cost(work: Workload, forest: list[trees.Tree]) -> PhaseCost:
    cost = PhaseCost()

    def add(build, times: int = 1) -> None:
        stage = Stage(work, Calibration.load(), Machines())
        build(stage)
        cost.plus(stage, times)

    trees.train(work, 0, add, forest)
    return cost


# -- messages


@pytest.mark.parametrize(("change", "batch", "vectors"), [
    ({}, 64, 1000), ({"trees": 5}, 5, 3), ({"depth": 2, "gamma": 6.0}, 7, 1), ({"depth": 1}, 64, 1000),
    ({"row_share": 0.5}, 3, 2)], ids=str)
def test_a_training_sends_what_was_predicted(change: dict, batch: int, vectors: int, monkeypatch):
    settings, table = BoostingSettings(**{"trees": 3, "depth": 3, "bins": 8, "learning_rate": 0.3} | change), Table()
    for module in (label_party, tree_sizes):
        monkeypatch.setattr(module, "BATCH", batch)
        monkeypatch.setattr(module, "MESSAGE_BYTES", vectors * tree_sizes.SHARE_BYTES * ROWS + 5)
    found = train_cost(work_of(settings), table.forest(settings))
    assert dict(found.kinds) == dict(sent_by(table.roles(settings)))
    assert found.kinds["bank", "platform", "splits"] > 0


def test_full_trees_are_predicted_before_anything_is_known(monkeypatch):
    settings, table = BoostingSettings(trees=4, depth=2, bins=8, l2=0.0), Table(())
    found = estimate(work_of(settings, own=0), Calibration.load(), Machines()).phases["train"]
    (tree,) = set(table.forest(settings))
    assert tree == trees.full_tree(work_of(settings, own=0))
    assert dict(found.kinds) == dict(sent_by(table.roles(settings)))


def test_no_training_asks_for_more_than_full_trees():
    settings, table = BoostingSettings(trees=3, depth=3, bins=8), Table()
    most, sent = trees.full_tree(work_of(settings)), sent_by(table.roles(settings))
    assert all(level.asked <= full.asked for tree in table.forest(settings)
               for level, full in zip(tree, most, strict=False))
    assert sent["bank", "platform", "vectors"] <= train_cost(
        work_of(settings), [most] * 3).kinds["bank", "platform", "vectors"]


@pytest.mark.parametrize("piece", [65_536, 100])
def test_unseen_rows_are_told_as_predicted(piece: int, monkeypatch):
    for module in (scoring, tree_sizes):
        monkeypatch.setattr(module, "PIECE_ROWS", piece)
    settings = BoostingSettings(trees=2, depth=2, bins=8)
    work = work_of(settings)
    splits = trees.splits_of([trees.full_tree(work)] * 2).theirs
    half = FeatureHalf(party="platform", cuts=tuple(
        Cut(column="a", bin=0, threshold=1.0, missing_left=True) for _ in range(splits)))
    found, rows = estimate(work, Calibration.load(), Machines()), {"calibration": 150, "test": 300}
    holdout = {"bank": LabelHoldout(Asked("platform", splits, rows), lambda sides: True),
               "platform": FeatureHoldout("bank", half, _values(rows), rows)}
    assert dict(found.phases["evaluate"].kinds) == dict(sent_by(holdout))
    batch = estimate(replace(work, kind="score"), Calibration.load(), Machines()).phases["score"]
    rows = {"batch": ROWS}
    scorers = {"bank": LabelSides(Asked("platform", splits, rows)),
               "platform": FeatureBatch("bank", half, _values(rows), rows)}
    assert dict(batch.kinds) == dict(sent_by(scorers))


def _values(rows: dict[str, int]) -> dict:
    return {name: {"a": np.zeros(count)} for name, count in rows.items()}


def test_what_stands_here_twice_is_the_same():
    assert (tree_sizes.BATCH, tree_sizes.MESSAGE_BYTES) == (label_party.BATCH, label_party.MESSAGE_BYTES)
    assert tree_sizes.PIECE_ROWS == scoring.PIECE_ROWS
    assert (tree_sizes.SHARE_BYTES, tree_sizes.SECRET_BYTES) == (label_sums.SHARE_BYTES, label_sums.SECRET_BYTES)
    assert feature_sums.SHARE_BYTES == tree_sizes.SHARE_BYTES


def test_what_is_written_down_beside_messages_is_what_roles_write():
    settings, table = BoostingSettings(trees=1, depth=2, bins=8, l2=0.0), Table(())
    roles = table.roles(settings)
    sent_by(roles)
    written = {party: Counter() for party in roles}
    for party, role in roles.items():
        for name, piece in role.new_pieces().items():
            written[party][name.split(".")[0]] += len(piece)
    secrets, bins = 2 ** settings.depth, sum(BINS)
    assert written["bank"]["pads"] + written["bank"]["keys"] == secrets * tree_sizes.SECRET_KEPT_BYTES
    assert written["bank"]["shares"] == written["platform"]["own"] == tree_sizes.corrections_bytes(secrets, bins)
    assert written["bank"]["veil"] == tree_sizes.veil_bytes(bins)
    assert written["bank"]["sums"] == 4 * secrets * bins and written["bank"]["route"] == 2 * -(-ROWS // 8)
    assert written["platform"]["veils"] == tree_sizes.VEIL_KEPT_BYTES * tree_sizes.polynomials(bins)
    assert written["platform"]["splits"] == tree_sizes.split_bytes(3)


# -- what it says


def boosted(**settings) -> Workload:
    return replace(BIG, model=ModelPlan(kind="boosting", boosting=BoostingSettings(**settings)))


def predicted(work: Workload):
    return estimate(work, Calibration.load(), Machines())


def test_depth_doubles_the_vectors_and_trees_multiply_what_is_not_made_once():
    one, deeper, twice = (predicted(boosted(trees=trees_, depth=depth)).phases["train"]
                          for trees_, depth in ((4, 3), (4, 4), (8, 3)))
    kind = ("bank", "platform", "vectors")
    assert deeper.kinds[kind] / one.kinds[kind] == pytest.approx(2, rel=1e-3)
    assert twice.kinds[kind] == 2 * one.kinds[kind]
    veil = ("platform", "bank", "veil")
    assert one.kinds[veil] == twice.kinds[veil] == tree_sizes.veil_bytes(3200)
    assert one.seconds < twice.seconds < 2 * one.seconds


def test_levels_stop_where_nodes_have_too_few_rows():
    work = replace(boosted(depth=8), rows=(30_000,))  # 21,000 to train on, nodes of 640
    tree = trees.full_tree(work)
    assert [level.asked for level in tree] == [1, 1, 2, 4, 8, 16, 16, 16]
    assert "128 nodes of the last level" in " ".join(predicted(work).notes)
    few = predicted(replace(work, rows=(800,)))
    assert "560 rows to grow a tree from would be refused: at least 640" in " ".join(few.notes)
    assert ("bank", "platform", "vectors") not in few.phases["train"].kinds


def test_drawn_rows_and_columns_leave_less():
    all_, some = (predicted(replace(boosted(trees=5, **change), rows=(20_000,)))
                  for change in ({}, {"column_share": 0.5, "goss": {"top": 0.1, "other": 0.1}}))
    kinds = [cost.phases["train"].kinds["platform", "bank", "sums"] for cost in (all_, some)]
    assert kinds[1] < kinds[0] / 2
    assert trees.drawn_rows(boosted(early_stopping_rounds=3, validation_share=0.2)) == 560_000


def test_it_says_what_a_policy_or_the_room_would_refuse():
    usual = predicted(boosted(trees=100, depth=4))
    assert usual.notes == ()
    many = " ".join(predicted(boosted(trees=500, depth=8)).notes)
    assert "up to 127500 splits" in many and "maximum_tree_splits" in many and "maximum_tree_sums" in many
    assert "be refused: expected a training whose opened sums hide all else" in many
    wide = replace(boosted(trees=1), platform_columns=(5000,), platform_tree_bins=(2,) * 5000)
    assert "5000 columns of the platform would be refused: at most 4096" in predicted(wide).notes


def test_memory_is_that_of_the_bench_and_grows_with_bins_and_rows():
    base = Calibration.load().base_mb
    small = replace(boosted(), rows=(30_000,), bank_table=(30_000,), platform_table=30_000, slices=(1.0, 0.1, 0.1),
                    platform_columns=(40,), platform_tree_bins=(32,) * 40)
    large = replace(boosted(), slices=(1.0, 0.1, 0.1))
    for work, peaks in ((small, (290, 529)), (large, (673, 882))):  # of protocols/boosting/README.md
        table = {"bank": work.bank_table[0] * (150 + 9 * 12), "platform": work.platform_table * (150 + 9 * 100)}
        for party, peak in zip(("bank", "platform"), peaks, strict=True):
            own = predicted(work).memory_mb[party] - base - table[party] / 1e6
            assert own == pytest.approx(peak - 100, rel=0.1)  # 100: the process


def test_the_bench_measures_every_part(monkeypatch):
    small = {"ROWS": 4096, "COLUMNS": 4, "MATRICES": ((2, 8, 1), (4, 2, 2), (3, 4, 3)),
             "ANSWERS": ((2, 1), (4, 2), (3, 3), (4, 1))}
    for name, value in small.items():
        monkeypatch.setattr(cost_trees, name, value)
    assert Parts.model_validate(cost_trees.measure()).veil_bin_s > 0


# -- plans and the command


def test_columns_and_bins_come_from_the_catalogues():
    columns = [{"name": "d", "type": "number", "missing_rate": 0.1}, {"name": "e", "type": "category"},
               {"name": "f", "type": "category", "missing_rate": 0.2}]
    catalogues = {"bank": {"customers": {"rows": 9_000, "columns": []}},
                  "wallet": {"users": {"rows": 5_000, "columns": columns}}}
    work = workload(Plan.from_toml_text(PLAN), catalogues, Overrides())
    assert work.bank_columns == 2 and work.platform_columns == (10,)
    assert work.platform_tree_bins == (32, *(2,) * 9)
    asked = workload(Plan.from_toml_text(PLAN), {}, Overrides(rows=500, bank_columns=7, platform_columns=3))
    assert asked.bank_columns == 7 and asked.platform_tree_bins == (17,) * 3  # 350 rows to train on, 20 a bin
    for more in (Overrides(rows=500, banks=2), Overrides(rows=500, platforms=2)):
        with pytest.raises(UsageError, match="expected one bank and one platform"):
            workload(Plan.from_toml_text(PLAN), {}, more)


def test_the_command_prints_trees(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEALSCORE_COORDINATOR", raising=False)
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    words = ["cost", "plan.toml", "--rows", "20000", "--platform-columns", "40"]
    assert plan_cli.main(words) == 0
    told = capsys.readouterr().out
    assert "2 + 40 columns, 100 trees of depth 4" in told and "memory at most" in told
    assert plan_cli.main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "boosting" and found["columns_platforms"] == [40]
    assert found["phases"]["train"]["messages"]["wallet -> bank veil"] == tree_sizes.veil_bytes(40 * 32)
