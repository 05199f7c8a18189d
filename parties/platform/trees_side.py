"""The platform's side of boosted trees: it sums hidden vectors and answers for its own splits. It sees no label."""
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from parties.platform.feature_side import FeatureSide
from parties.runtime.preparation import HOLDOUT
from parties.runtime.side import Rows, TrainingGiven
from parties.runtime.tables import Table
from parties.runtime.trees import TreesPrepared, prepare_trees, values_of
from protocols.boosting.columns import TreeColumns
from protocols.boosting.feature_party import FeatureBooster, FeatureConfig
from protocols.boosting.halves import FeatureHalf, cut
from protocols.boosting.messages import Split
from protocols.boosting.model import PlacedSplit
from protocols.boosting.scoring import FeatureBatch, FeatureHoldout, FeatureSides
from protocols.plan import Plan


class PlatformTreesSide(FeatureSide):
    """Feature party."""

    def prepare(self, table: Table, plan: Plan, given: Rows) -> TreesPrepared:
        """Bins of the own columns, which the bank gets to know by numbers in a secret order."""
        return prepare_trees(table, given.by_bank, given.party, plan, given.slices, given.order())

    def trainer(self, table: Table, prepared: TreesPrepared, plan: Plan, given: TrainingGiven) -> FeatureBooster:
        """Sum over own bins, within what the policy allows."""
        ((bank, rows),) = prepared.of.items()
        allowed = FeatureConfig(bank, given.policy.maximum_tree_sums, given.splits)
        return FeatureBooster(rows.codes, prepared.encoder.told, allowed)

    def holdout(self, table: Table, prepared: TreesPrepared, plan: Plan, own: list[Split], party: str, bank: str
                ) -> FeatureHoldout:
        """On which side of each kept split every hold-out row is."""
        half, rows = _half(own, prepared.encoder, party), prepared.of[bank].rows
        return FeatureHoldout(bank, half, *_told(half, table, prepared.encoder,
                                                 {name: rows[part] for name, part in HOLDOUT.items()}))

    def half(self, prepared: TreesPrepared, own: list[Split], role: FeatureSides) -> dict[str, Any]:
        """Bins, and the kept splits by number."""
        return {"encoder": prepared.encoder.model_dump(mode="json"), "trees": json.loads(role.kept.to_json())}

    def scorer(self, table: Table, rows: np.ndarray, half: dict[str, Any], plan: Plan, party: str) -> FeatureBatch:
        """On which side of each split every row is."""
        cuts, encoder = FeatureHalf.model_validate(half["trees"]), TreeColumns.model_validate(half["encoder"])
        return FeatureBatch(plan.label_parties[0], cuts, *_told(cuts, table, encoder, {"batch": rows}))

    def report(self, prepared: TreesPrepared, own: list[Split], role: FeatureSides) -> dict[str, Any]:
        """How often each own column splits; what it gained only the bank knows."""
        names = [one.column for one in role.kept.cuts]
        counts = sorted(((names.count(name), name) for name in set(names)), key=lambda one: (-one[0], one[1]))
        return {"columns": [], "kind": "boosting", "warnings": list(prepared.encoder.warnings),
                "importances": [{"name": f"column:{name}", "splits": count} for count, name in counts],
                "training": {"splits": len(own), "kept": len(names)}}


def _half(own: list[Split], encoder: TreeColumns, party: str) -> FeatureHalf:
    """All splits that were answered in training."""
    placed = (PlacedSplit(party=party, column=one.column, bin=one.bin, missing_left=one.missing_left) for one in own)
    return FeatureHalf(party=party, cuts=tuple(cut(one, encoder.edges) for one in placed))


def _told(half: FeatureHalf, table: Table, encoder: TreeColumns, rows: Mapping[str, np.ndarray]
          ) -> tuple[dict[str, Any], dict[str, int]]:
    """By slice: values of the columns that are asked about, and number of rows."""
    names = {one.column for one in half.cuts}
    return ({name: values_of(table, some, encoder, names) for name, some in rows.items()},
            {name: len(some) for name, some in rows.items()})
