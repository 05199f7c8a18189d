"""Platt scaling: turn a ranking score z into a probability sigmoid(intercept + slope·z).

Fitted on the calibration slice only. Targets are smoothed as in Platt (1999) §2.2, (N₊+1)/(N₊+2) and 1/(N₋+2), which
keeps the fit finite when the slice is separated; the damped Newton iteration follows Lin, Lin and Weng, *A note on
Platt's probabilistic outputs* (2007).
"""
from __future__ import annotations

import sys
from dataclasses import asdict, dataclass

import numpy as np

from protocols.errors import DataError, MalformedMessage
from protocols.scorecard.logistic import fit_targets, sigmoid


@dataclass(frozen=True)
class Calibration:
    """Log odds of the event = intercept + slope · z."""

    intercept: float
    slope: float

    @property
    def increasing(self) -> bool:
        """False when the scores rank the calibration slice the wrong way: such a model must not be published."""
        return self.slope > 0

    def log_odds(self, z: np.ndarray) -> np.ndarray:
        """Calibrated log odds; (n,) -> (n,)."""
        return self.intercept + self.slope * np.asarray(z, dtype=np.float64)

    def probability(self, z: np.ndarray) -> np.ndarray:
        """Calibrated probability of the event; (n,) -> (n,)."""
        return sigmoid(self.log_odds(z))

    def to_json(self) -> dict[str, float]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, float]) -> Calibration:
        """The inverse of `to_json`; MalformedMessage for anything else."""
        if not isinstance(data, dict) or set(data) != {"intercept", "slope"}:
            raise MalformedMessage("a calibration holds exactly intercept and slope; fit it again")
        values = [data["intercept"], data["slope"]]
        if not all(type(v) in (int, float) and abs(v) <= sys.float_info.max for v in values):
            raise MalformedMessage("a calibration's intercept and slope must be finite numbers; fit it again")
        return Calibration(float(values[0]), float(values[1]))


def calibrate(z: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fit on scores (n,) and labels (n,) in {0, 1}. Raises DataError for one class or scores that are all equal."""
    z, labels = np.asarray(z, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if z.ndim != 1 or labels.shape != z.shape:
        raise DataError(f"a calibration expects as many scores as labels; got shapes {z.shape} and {labels.shape}; "
                        "pass the calibration slice of both")
    events = float(labels.sum())
    if not np.isin(labels, (0.0, 1.0)).all() or not 0 < events < len(labels):
        raise DataError(f"a calibration needs labels 0 and 1, both present; got {int(events)} events in {len(labels)} "
                        "rows; enlarge the calibration slice")
    # Standardised first, so that Newton is well conditioned whatever the scale of z; undone below.
    centre, scale = float(z.mean()), float(z.std())
    if not np.isfinite(scale) or scale <= 1e-12 * max(1.0, abs(centre)):
        raise DataError("a calibration needs finite scores that differ; check that the model has any feature left")
    targets = np.where(labels == 1, (events + 1) / (events + 2), 1 / (len(labels) - events + 2))
    fitted = fit_targets(((z - centre) / scale)[:, None], targets, 0.0)
    slope = float(fitted.coefficients[0]) / scale
    return Calibration(fitted.intercept - slope * centre, slope)
