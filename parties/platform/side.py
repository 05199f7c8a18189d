"""The platform's side of a run: columns only. It sees no label, no score and no residual."""
from __future__ import annotations

from typing import Any

import numpy as np

from parties.platform.feature_side import FeatureSide
from parties.runtime.preparation import Prepared, partial_scores
from parties.runtime.side import TrainingGiven, scorecard_config
from parties.runtime.tables import Table
from protocols.plan import Plan
from protocols.psi.slices import CALIBRATION, TEST, TRAIN
from protocols.role import Role
from protocols.scorecard.batch import FeatureBatch
from protocols.scorecard.feature_party import FeatureTrainer, feature_trainer
from protocols.scorecard.holdout import FeatureHoldout
from protocols.scorecard.open_score import FeatureSolver
from protocols.scorecard.polynomial import lead_role
from protocols.scorecard.training import Coefficients


class PlatformSide(FeatureSide):
    """Of a scorecard."""

    def trainer(
        self, table: Table, prepared: Prepared, plan: Plan, given: TrainingGiven
    ) -> FeatureTrainer | FeatureSolver:
        """Feature side of training."""
        columns = {bank: slices.columns[TRAIN] for bank, slices in prepared.of.items()}
        config = scorecard_config(plan, given)
        if plan.model.variant == "open-score":
            return FeatureSolver(columns[config.speaker], config, given.peer_public)
        return feature_trainer(columns, given.keys, config, given.peer_public, lead_role(config))

    def holdout(
        self, table: Table, prepared: Prepared, plan: Plan, own: Coefficients, party: str, bank: str
    ) -> FeatureHoldout:
        """Own part of the score of each hold-out row of one bank, rounded."""
        columns = prepared.of[bank].columns
        scores = {name: columns[part] @ own.own for name, part in (("calibration", CALIBRATION), ("test", TEST))}
        return FeatureHoldout(party, bank, plan.feature_parties, scores)

    def half(self, prepared: Prepared, own: Coefficients, role: Role) -> dict[str, Any]:
        """Encoder, whitening and coefficients."""
        return {
            "encoder": prepared.encoder.to_json(),
            "whitening": prepared.whitening.to_json(),
            "coefficients": own.own.tolist(),
        }

    def scorer(self, table: Table, rows: np.ndarray, half: dict[str, Any], plan: Plan, party: str) -> FeatureBatch:
        """Own part of each row's score, rounded."""
        return FeatureBatch(party, plan.label_parties[0], plan.feature_parties, partial_scores(table, rows, half))

    def report(self, prepared: Prepared, own: Coefficients, role: Role) -> dict[str, Any]:
        """Points of the own columns."""
        coefficients, _ = prepared.whitening.coefficients(own.own)
        return {
            "columns": prepared.encoder.points_table(coefficients),
            "warnings": list(prepared.encoder.warnings),
            "training": own.card,
        }
