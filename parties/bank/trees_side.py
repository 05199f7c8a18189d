"""The bank's side of boosted trees: it grows them, keeps all but the platform's questions, and judges them."""
from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from parties.bank.evaluation import evaluate_slices
from parties.bank.label_side import LabelSide
from parties.runtime.preparation import HOLDOUT
from parties.runtime.side import Rows, TrainingGiven
from parties.runtime.tables import Table
from parties.runtime.trees import TreesPrepared, draw_seed, prepare_trees, validation_rows, values_of
from protocols.boosting.columns import TreeColumns
from protocols.boosting.explain import Explainer
from protocols.boosting.halves import Cut, LabelHalf
from protocols.boosting.label_party import LabelBooster, LabelConfig, LabelData
from protocols.boosting.model import Trees, importances
from protocols.boosting.pooled import Labelled, Part, grown
from protocols.boosting.scoring import Asked, LabelHoldout, LabelSides, Sides, Values
from protocols.plan import Plan
from protocols.psi.slices import TRAIN
from protocols.role import Role

BATCH = "batch"


class BankTreesSide(LabelSide):
    """Label party."""

    def __init__(self) -> None:
        super().__init__()
        self._alone: LabelHalf | None = None

    def prepare(self, table: Table, plan: Plan, given: Rows) -> TreesPrepared:
        """Bins of the own columns."""
        return prepare_trees(table, given.by_bank, given.party, plan, given.slices)

    def trainer(self, table: Table, prepared: TreesPrepared, plan: Plan, given: TrainingGiven) -> LabelBooster:
        """Grow trees over the columns of both."""
        rows, own = self._training(table, prepared, plan), prepared.only
        data = LabelData(own.codes, prepared.encoder.told, rows.labels, rows.seed, rows.validation)
        return LabelBooster(data, LabelConfig(given.party, plan.feature_parties[0], plan.model.boosting))

    def _training(self, table: Table, prepared: TreesPrepared, plan: Plan) -> Labelled:
        labels = self.labels(table, prepared.only.rows, TRAIN).astype(np.int8)
        seed = draw_seed(plan, labels)
        return Labelled(labels, seed, validation_rows(plan, seed, len(labels)))

    def _bank_only(self, table: Table, prepared: TreesPrepared, plan: Plan, party: str) -> LabelHalf:
        """Trees of the bank's own columns, with the same settings."""
        if self._alone is None:
            part = Part(prepared.only.codes, prepared.encoder.told)
            trees = grown(plan.model.boosting, {party: part}, self._training(table, prepared, plan))
            self._alone = LabelHalf.of(trees, party, prepared.encoder.edges)
        return self._alone

    def holdout(self, table: Table, prepared: TreesPrepared, plan: Plan, own: Trees, party: str, bank: str
                ) -> LabelHoldout:
        """Learn on which sides the hold-out rows are at the platform's splits, and judge the joint model."""
        (platform,), slices = plan.feature_parties, prepared.only
        joint, alone = LabelHalf.of(own, party, prepared.encoder.edges), self._bank_only(table, prepared, plan, party)
        labels = {name: self.labels(table, slices.rows, part) for name, part in HOLDOUT.items()}
        values = {name: values_of(table, slices.rows[part], prepared.encoder, own_names(joint) | own_names(alone))
                  for name, part in HOLDOUT.items()}
        bank_only = {name: _own_margins(alone, values[name], len(labels[name])) for name in HOLDOUT}

        def judge(sides: Sides) -> bool:
            scores = {name: _margins(joint, _pieces(joint, sides, name, values[name], platform), len(labels[name]))
                      for name in HOLDOUT}
            self._evaluation = evaluate_slices(labels, scores, bank_only)
            return self._evaluation.better

        self._judge = judge
        asked = Asked(platform, joint.numbers.get(platform, 0), {name: len(one) for name, one in labels.items()})
        return LabelHoldout(asked, judge)

    def half(self, prepared: TreesPrepared, own: Trees, role: Role) -> dict[str, Any]:
        """Bins, trees with the platform's splits as numbers, calibration, and the bank's own model."""
        evaluation = self.evaluated(role)
        return {
            "encoder": prepared.encoder.model_dump(mode="json"),
            "trees": json.loads(self._joint(prepared, own).to_json()),
            "calibration": evaluation.calibration.to_json(),
            "alone": {"trees": json.loads(self._alone.to_json()), "calibration": evaluation.alone.to_json()},
        }

    def _joint(self, prepared: TreesPrepared, own: Trees) -> LabelHalf:
        (party,) = prepared.of
        return LabelHalf.of(own, party, prepared.encoder.edges)

    def scorer(self, table: Table, rows: np.ndarray, half: dict[str, Any], plan: Plan, party: str) -> LabelSides:
        """Ask the platform for the sides of all rows at all its splits."""
        (platform,) = plan.feature_parties
        splits = LabelHalf.model_validate(half["trees"]).numbers.get(platform, 0)
        return LabelSides(Asked(platform, splits, {BATCH: len(rows)}))

    def _log_odds(self, role: Role, table: Table, rows: np.ndarray, half: dict[str, Any]) -> np.ndarray:
        trees = LabelHalf.model_validate(half["trees"])
        return _margins(trees, _scored(trees, role.result(), table, rows, half), len(rows))

    def _contributions(self, role: Role, table: Table, rows: np.ndarray, half: dict[str, Any]
                       ) -> dict[str, np.ndarray]:
        """TreeSHAP: of `column:NAME`, of `party:NAME` as a whole, and `expected`, which is the same for everybody."""
        trees = LabelHalf.model_validate(half["trees"])
        explainer = Explainer(trees, trees.names)
        found = {name: np.empty(len(rows)) for name in explainer.players}
        for part, sides in _scored(trees, role.result(), table, rows, half):
            for name, shares in explainer.shares(sides).items():
                found[name][part] = shares
        return {"expected": np.full(len(rows), explainer.expected)} | found

    def report(self, prepared: TreesPrepared, own: Trees, role: Role) -> dict[str, Any]:
        """Importances and the whole evaluation; trees have no points."""
        joint = self._joint(prepared, own)
        found = [{"name": one.name, "gain": one.gain, "splits": one.splits}
                 for one in importances(joint, joint.names)]
        return {
            "columns": [], "kind": "boosting", "importances": found,
            "warnings": list(prepared.encoder.warnings), **self.evaluated(role).to_json(),
            "training": {"trees": len(own.trees), "splits": own.count,
                         "depth": max((tree.depth for tree in own.trees), default=0)},
        }


def own_names(half: LabelHalf) -> set[str]:
    """The bank's own columns that a model asks about."""
    return {one.column for one in half.splits if isinstance(one, Cut)}


SidesOfRows = Iterable[tuple[slice, np.ndarray]]
"""Piece by piece of some rows, the (splits, n) sides of all splits."""


def _scored(trees: LabelHalf, told: Sides, table: Table, rows: np.ndarray, half: dict[str, Any]) -> SidesOfRows:
    """Of the rows of a scoring."""
    (platform,) = (name for name, seat in half["parties"].items() if seat == "feature")
    values = values_of(table, rows, TreeColumns.model_validate(half["encoder"]), own_names(trees))
    return _pieces(trees, told, BATCH, values, platform)


def _pieces(trees: LabelHalf, told: Sides, name: str, values: Values, platform: str) -> SidesOfRows:
    """Own sides and the platform's, of the rows of a slice."""
    for part, theirs in told.pieces(name):
        yield part, trees.sides({column: one[part] for column, one in values.items()}, {platform: theirs})


def _margins(trees: LabelHalf, pieces: SidesOfRows, rows: int) -> np.ndarray:
    """(rows,) log-odds."""
    found = np.empty(rows)
    for part, sides in pieces:
        found[part] = trees.margins(sides)
    return found


def _own_margins(trees: LabelHalf, values: Values, rows: int) -> np.ndarray:
    """(rows,) log-odds of trees that ask nobody else; they may have no split at all."""
    return trees.margins(trees.sides(values, {}) if trees.splits else np.zeros((0, rows), bool))
