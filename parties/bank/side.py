"""The bank's side of a run: labels, its own model as anchor, calibration, evaluation and the verdict."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from parties.bank.evaluation import Evaluation, evaluate_slices
from parties.runtime.preparation import Prepared, Slices, partial_scores
from parties.runtime.side import ParallelMap, TrainingGiven
from parties.runtime.tables import Table
from protocols.binning.encoder import base_points
from protocols.errors import DataError
from protocols.plan import Plan
from protocols.psi.label_party import AlignLabelParty
from protocols.psi.parameters import AlignmentParams
from protocols.psi.slices import CALIBRATION, TEST, TRAIN
from protocols.role import Role
from protocols.scorecard import logistic
from protocols.scorecard.batch import LabelBatch
from protocols.scorecard.calibration import Calibration
from protocols.scorecard.holdout import LabelHoldout
from protocols.scorecard.label_party import LabelTrainer
from protocols.scorecard.open_score import LabelSolver
from protocols.scorecard.polynomial import bank_role
from protocols.scorecard.training import Coefficients

Judge = Callable[[dict[str, np.ndarray]], bool]


class BankSide:
    """Label party."""

    def __init__(self) -> None:
        self._own_model: np.ndarray | None = None
        self._evaluation: Evaluation | None = None

    def check_table(self, table: Table) -> None:
        """The bank's table needs its label."""
        if table.label is None:
            raise DataError(f"{table.config.path.name}: the bank's table needs a label column; set `label` for it")

    def aligner(self, ids: list[str], peer: str, params: AlignmentParams, parallel_map: ParallelMap) -> Role:
        """Label side of alignment."""
        return AlignLabelParty(ids, peer, params, parallel_map)

    def trainer(
        self, table: Table, prepared: Prepared, plan: Plan, given: TrainingGiven
    ) -> LabelTrainer | LabelSolver:
        """Fit the bank's own model and stand ready to train the joint one around it."""
        own_slices = _only(prepared)
        labels = self._labels(table, own_slices, TRAIN)
        own = self._bank_only(own_slices.columns[TRAIN], labels, plan)
        if plan.model.variant == "open-score":
            return LabelSolver(own_slices.columns[TRAIN], labels, own, given.keys(), given.config)
        columns = with_intercept(own_slices.columns[TRAIN])
        role = bank_role(given.config)
        return role(columns, labels, own, given.keys(), given.config, given.peer_public, given.circle)

    def _bank_only(self, columns: np.ndarray, labels: np.ndarray, plan: Plan) -> np.ndarray:
        if self._own_model is None:
            fit = logistic.fit(columns, labels, plan.model.l2)
            self._own_model = np.r_[fit.intercept, fit.coefficients]
        return self._own_model

    def _labels(self, table: Table, slices: Slices, part: int) -> np.ndarray:
        labels = table.label[slices.rows[part]].astype(float)
        if not 0 < labels.sum() < len(labels):
            raise DataError(f"{table.config.path.name}: a slice of the aligned rows holds labels of one class only; "
                            "bring more rows or change [slices]")
        return labels

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
        slices = _only(prepared)
        labels = {name: self._labels(table, slices, part) for name, part in HOLDOUT.items()}
        features = {name: with_intercept(slices.columns[part]) for name, part in HOLDOUT.items()}
        alone = self._bank_only(slices.columns[TRAIN], self._labels(table, slices, TRAIN), plan)

        def judge(joint: dict[str, np.ndarray]) -> bool:
            bank_only = {name: features[name] @ alone for name in HOLDOUT}
            self._evaluation = evaluate_slices(labels, joint, bank_only)
            return self._evaluation.better

        return features, judge

    def verdict(self, role: Role) -> bool:
        """Whether the joint model is better than the bank's own on the hold-out."""
        return self._evaluated(role).better

    def _evaluated(self, role: Role) -> Evaluation:
        if self._evaluation is None:  # the role was restored after a crash: the scores are there, the judgement is not
            self._judge(role.result())
        return self._evaluation

    def half(self, prepared: Prepared, own: Coefficients, role: Role) -> dict[str, Any]:
        """Encoder, whitening, coefficients and calibration."""
        return {
            "encoder": prepared.encoder.to_json(),
            "whitening": prepared.whitening.to_json(),
            "intercept": float(own.own[0]),
            "coefficients": own.own[1:].tolist(),
            "calibration": self._evaluated(role).calibration.to_json(),
            "alone": self._alone(role),
        }

    def _alone(self, role: Role) -> dict[str, Any]:
        """The bank's own model, for decisions when a platform does not answer."""
        evaluation = self._evaluated(role)
        return {"intercept": float(self._own_model[0]), "coefficients": self._own_model[1:].tolist(),
                "calibration": evaluation.alone.to_json()}

    def scorer(self, table: Table, rows: np.ndarray, half: dict[str, Any], plan: Plan, party: str) -> LabelBatch:
        """Wait for the platforms' part."""
        return LabelBatch(plan.feature_parties, len(rows))

    def scored(self, role: Role, table: Table, rows: np.ndarray, half: dict[str, Any]) -> dict[str, Any]:
        """Identifier and calibrated probability of default of each aligned row, in the order of the table."""
        joint = self._log_odds(role, table, rows, half)
        probability = Calibration.from_json(half["calibration"]).probability(joint)
        order = np.argsort(rows)
        return {
            "id": [table.ids[row] for row in rows[order]],
            "probability_of_default": [round(float(p), 4) for p in probability[order]],
        }

    def _log_odds(self, role: Role, table: Table, rows: np.ndarray, half: dict[str, Any]) -> np.ndarray:
        """Of the joint model, before calibration, (len(rows),)."""
        return half["intercept"] + partial_scores(table, rows, half) + role.result()

    def report(self, prepared: Prepared, own: Coefficients, role: Role) -> dict[str, Any]:
        """Points of the own columns and the whole evaluation."""
        coefficients, constant = prepared.whitening.coefficients(own.own[1:])
        evaluation = self._evaluated(role)
        return {
            "columns": prepared.labelled.points_table(coefficients),
            "base_points": base_points(float(own.own[0]) + constant),
            "warnings": list(prepared.encoder.warnings),
            **evaluation.to_json(),
        }

    def metrics(self, role: Role) -> dict[str, float]:
        """AUC, KS, Gini and log-loss of both models on the test slice."""
        return self._evaluated(role).card()


HOLDOUT = {"calibration": CALIBRATION, "test": TEST}


def _only(prepared: Prepared) -> Slices:
    """A bank holds no rows but its own."""
    (slices,) = prepared.of.values()
    return slices


def with_intercept(columns: np.ndarray) -> np.ndarray:
    """A column of ones before the others."""
    return np.hstack([np.ones((len(columns), 1)), columns])
