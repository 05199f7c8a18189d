"""The bank's side of a run: labels, its own model as anchor, calibration, evaluation and the verdict."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from parties.bank.evaluation import evaluate_slices
from parties.bank.label_side import LabelSide
from parties.runtime.preparation import HOLDOUT, Prepared, partial_scores
from parties.runtime.side import TrainingGiven, scorecard_config
from parties.runtime.tables import Table
from protocols.binning.encoder import base_points
from protocols.plan import Plan
from protocols.psi.slices import TRAIN
from protocols.role import Role
from protocols.scorecard import logistic
from protocols.scorecard.batch import LabelBatch
from protocols.scorecard.holdout import LabelHoldout
from protocols.scorecard.label_party import LabelTrainer
from protocols.scorecard.open_score import LabelSolver
from protocols.scorecard.polynomial import bank_role
from protocols.scorecard.training import Coefficients

Judge = Callable[[dict[str, np.ndarray]], bool]


class BankSide(LabelSide):
    """Of a scorecard."""

    def __init__(self) -> None:
        super().__init__()
        self._own_model: np.ndarray | None = None

    def trainer(
        self, table: Table, prepared: Prepared, plan: Plan, given: TrainingGiven
    ) -> LabelTrainer | LabelSolver:
        """Fit the bank's own model and stand ready to train the joint one around it."""
        own_slices = prepared.only
        labels = self.labels(table, own_slices.rows, TRAIN)
        own = self._bank_only(own_slices.columns[TRAIN], labels, plan)
        config = scorecard_config(plan, given)
        if plan.model.variant == "open-score":
            return LabelSolver(own_slices.columns[TRAIN], labels, own, given.keys(), config)
        columns = with_intercept(own_slices.columns[TRAIN])
        return bank_role(config)(columns, labels, own, given.keys(), config, given.peer_public, given.circle)

    def _bank_only(self, columns: np.ndarray, labels: np.ndarray, plan: Plan) -> np.ndarray:
        if self._own_model is None:
            fit = logistic.fit(columns, labels, plan.model.l2)
            self._own_model = np.r_[fit.intercept, fit.coefficients]
        return self._own_model

    def holdout(
        self, table: Table, prepared: Prepared, plan: Plan, own: Coefficients, party: str, bank: str
    ) -> LabelHoldout:
        """Receive the platforms' part of the hold-out scores and judge the joint model."""
        features, judge = self._judgement(table, prepared, plan)

        def judge_parts(scores: dict[str, np.ndarray]) -> bool:
            return judge({name: features[name] @ own.own + scores[name] for name in HOLDOUT})

        self._judge = judge_parts
        return LabelHoldout(plan.feature_parties, {name: len(features[name]) for name in HOLDOUT}, judge_parts)

    def _judgement(self, table: Table, prepared: Prepared, plan: Plan) -> tuple[dict[str, np.ndarray], Judge]:
        """Own columns of each hold-out slice, ones first, and what judges the joint model by its scores there."""
        slices = prepared.only
        labels = {name: self.labels(table, slices.rows, part) for name, part in HOLDOUT.items()}
        features = {name: with_intercept(slices.columns[part]) for name, part in HOLDOUT.items()}
        alone = self._bank_only(slices.columns[TRAIN], self.labels(table, slices.rows, TRAIN), plan)

        def judge(joint: dict[str, np.ndarray]) -> bool:
            bank_only = {name: features[name] @ alone for name in HOLDOUT}
            self._evaluation = evaluate_slices(labels, joint, bank_only)
            return self._evaluation.better

        return features, judge

    def half(self, prepared: Prepared, own: Coefficients, role: Role) -> dict[str, Any]:
        """Encoder, whitening, coefficients and calibration."""
        return {
            "encoder": prepared.encoder.to_json(),
            "whitening": prepared.whitening.to_json(),
            "intercept": float(own.own[0]),
            "coefficients": own.own[1:].tolist(),
            "calibration": self.evaluated(role).calibration.to_json(),
            "alone": self._alone(role),
        }

    def _alone(self, role: Role) -> dict[str, Any]:
        """The bank's own model, for decisions when a platform does not answer."""
        evaluation = self.evaluated(role)
        return {"intercept": float(self._own_model[0]), "coefficients": self._own_model[1:].tolist(),
                "calibration": evaluation.alone.to_json()}

    def scorer(self, table: Table, rows: np.ndarray, half: dict[str, Any], plan: Plan, party: str) -> LabelBatch:
        """Wait for the platforms' part."""
        return LabelBatch(plan.feature_parties, len(rows))

    def _log_odds(self, role: Role, table: Table, rows: np.ndarray, half: dict[str, Any]) -> np.ndarray:
        """Of the joint model, before calibration, (len(rows),)."""
        return half["intercept"] + partial_scores(table, rows, half) + role.result()

    def report(self, prepared: Prepared, own: Coefficients, role: Role) -> dict[str, Any]:
        """Points of the own columns and the whole evaluation."""
        coefficients, constant = prepared.whitening.coefficients(own.own[1:])
        evaluation = self.evaluated(role)
        return {
            "columns": prepared.labelled.points_table(coefficients),
            "base_points": base_points(float(own.own[0]) + constant),
            "warnings": list(prepared.encoder.warnings),
            **evaluation.to_json(),
            "training": own.card,
        }



def with_intercept(columns: np.ndarray) -> np.ndarray:
    """A column of ones before the others."""
    return np.hstack([np.ones((len(columns), 1)), columns])
