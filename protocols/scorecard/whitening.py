"""Local whitening of one party's encoded columns.

Each party rotates and scales its own columns so that they are uncorrelated with variance 1 on its training rows. The
joint problem becomes better conditioned (its Gram matrix has the canonical correlations as only off-diagonal part),
and nothing leaves the party. Directions whose eigenvalue is below `MINIMUM_EIGENVALUE` times the largest are dropped:
they would blow up rounding and say little.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from protocols.errors import DataError

MINIMUM_EIGENVALUE = 1e-4  # relative to the largest of the column covariance
MAXIMUM_ABSOLUTE = 2.0**8  # of a whitened value; the truncation budget rests on it
NORM_TOLERANCE = 0.01  # ||x_j||^2 = n within 1 %


@dataclass(frozen=True)
class Whitening:
    """An affine map: (n, d) encoded columns -> (n, r) whitened, r <= d."""

    mean: np.ndarray  # (d,)
    rotation: np.ndarray  # (d, r)

    @classmethod
    def fit(cls, columns: np.ndarray) -> Whitening:
        """Fit on training rows, shape (n, d); DataError when no direction varies or the result is out of bounds."""
        mean = columns.mean(axis=0)
        centred = columns - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(columns))
        keep = values > max(values.max(initial=0.0) * MINIMUM_EIGENVALUE, 1e-12)
        if not keep.any():
            raise DataError("expected a column that varies on the training rows, got none; check the columns")
        fitted = cls(mean, _fix_signs(vectors[:, keep]) / np.sqrt(values[keep]))
        check_whitened(fitted.transform(columns))
        return fitted

    def transform(self, columns: np.ndarray) -> np.ndarray:
        """(n, d) -> (n, r); values beyond the bound (rows unlike any seen in training) are clipped to it."""
        limit = MAXIMUM_ABSOLUTE - 1
        return np.clip((columns - self.mean) @ self.rotation, -limit, limit)

    def coefficients(self, whitened: np.ndarray) -> tuple[np.ndarray, float]:
        """Coefficients on the encoded columns (d,) and the constant they bring, from whitened coefficients (r,)."""
        own = self.rotation @ whitened
        return own, float(-self.mean @ own)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; `from_json` gives back the same map."""
        return {"mean": self.mean.tolist(), "rotation": self.rotation.tolist()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Whitening:
        """Inverse of `to_json`."""
        mean = np.array(data["mean"], dtype=float)
        return cls(mean, np.array(data["rotation"], dtype=float).reshape(len(mean), -1))


def check_whitened(whitened: np.ndarray) -> None:
    """The bounds that step size and truncation budget rest on; DataError names what is off."""
    largest = float(np.abs(whitened).max(initial=0.0))
    if largest >= MAXIMUM_ABSOLUTE - 1:
        raise DataError(
            f"expected whitened values below {MAXIMUM_ABSOLUTE - 1:.0f}, got larger ones: a column is constant but for "
            "very few rows; merge its rare values or leave it out"
        )
    norms = (whitened**2).mean(axis=0)
    if np.abs(norms - 1).max(initial=0.0) > NORM_TOLERANCE:
        raise DataError("expected whitened columns of variance 1 within 1 %; the columns are numerically degenerate")


def _fix_signs(vectors: np.ndarray) -> np.ndarray:
    """An eigenvector's sign is arbitrary: make the largest entry positive, so that equal data gives equal results."""
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return vectors * np.where(signs == 0, 1, signs)
