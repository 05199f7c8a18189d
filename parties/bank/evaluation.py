"""The bank's judgement of the joint model: calibrated on one slice, compared with its own model on another."""
from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from protocols.scorecard import evaluation as measure
from protocols.scorecard.calibration import Calibration, calibrate


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Probabilities (m,) of both models on the test slice with its labels, and the calibrations of both."""

    labels: np.ndarray
    joint: np.ndarray
    bank_only: np.ndarray
    calibration: Calibration
    rows: dict[str, int]
    alone: Calibration  # of the bank's own model

    @property
    def better(self) -> bool:
        """Fail closed: the joint model must not lose against the bank's own on rows neither was fitted on."""
        joint, alone = (measure.log_loss(self.labels, p) for p in (self.joint, self.bank_only))
        return self.calibration.increasing and joint <= alone

    def card(self) -> dict[str, float]:
        """Figures for the model card."""
        both = {"joint": self.joint, "bank_only": self.bank_only}
        return {
            f"{name}_{which}": float(value)
            for which, p in both.items()
            for name, value in asdict(measure.evaluate(self.labels, p)).items()
        } | {f"rows_{name}": count for name, count in self.rows.items()}

    def to_json(self) -> dict[str, Any]:
        """Metrics, curves and tables of both models."""
        both = {"joint": self.joint, "bank_only": self.bank_only}
        return {
            "metrics": {which: asdict(measure.evaluate(self.labels, p)) for which, p in both.items()}
            | {"uplift": asdict(measure.auc_uplift(self.labels, self.joint, self.bank_only))},
            "curves": {
                which: {"roc": measure.roc_curve(self.labels, p), "ks": measure.ks_curve(self.labels, p)}
                for which, p in both.items()
            },
            "calibration": [asdict(row) for row in measure.calibration_table(self.labels, self.joint)],
            "lift": [asdict(row) for row in measure.lift_table(self.labels, self.joint)],
            "rows": self.rows,
        }


def evaluate_slices(
    labels: dict[str, np.ndarray], joint: dict[str, np.ndarray], bank_only: dict[str, np.ndarray]
) -> Evaluation:
    """Each argument holds log-odds or labels (m,) for "calibration" and "test"; both models are calibrated alike."""
    fitted = {
        name: calibrate(scores["calibration"], labels["calibration"])
        for name, scores in (("joint", joint), ("bank_only", bank_only))
    }
    return Evaluation(
        labels["test"],
        fitted["joint"].probability(joint["test"]),
        fitted["bank_only"].probability(bank_only["test"]),
        fitted["joint"],
        {name: len(part) for name, part in labels.items()},
        fitted["bank_only"],
    )
