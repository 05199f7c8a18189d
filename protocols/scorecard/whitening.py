"""Local whitening of one party's encoded columns.

Each party rotates and scales its own columns so that they are uncorrelated with variance 1 on its training rows. The
joint problem becomes better conditioned (its Gram matrix has the canonical correlations as only off-diagonal part),
and nothing leaves the party. Directions whose eigenvalue is below `MINIMUM_EIGENVALUE` times the largest are dropped:
they would blow up rounding and say little. Several parties with the same columns whiten them alike, from noisy common
moments (`from_moments`).
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from protocols.errors import DataError, MalformedMessage

MINIMUM_EIGENVALUE = 1e-4  # relative to the largest of the column covariance
MAXIMUM_ABSOLUTE = 2.0**8  # of a whitened value; the truncation budget rests on it
RIDGE = 1.5  # of the noise's deviation times sqrt(d); its spectral norm is at most 2 of them
NORM_TOLERANCE = 0.01  # ||x_j||^2 = n within 1 %


@dataclass(frozen=True, repr=False)
class Whitening:
    """An affine map: (n, d) encoded columns -> (n, r) whitened, r <= d."""

    mean: np.ndarray  # (d,)
    rotation: np.ndarray  # (d, r)

    @classmethod
    def fit(cls, columns: np.ndarray) -> Whitening:
        """Fit on training rows, shape (n, d); DataError when no direction varies or the result is out of bounds."""
        mean = columns.mean(axis=0)
        centred = columns - mean
        fitted = cls(mean, _roots(centred.T @ centred / len(columns)))
        check_whitened(fitted.transform(columns))
        return fitted

    @classmethod
    def from_moments(cls, mean: np.ndarray, covariance: np.ndarray, noise: np.ndarray | float) -> Whitening:
        """From a noisy covariance (d, d) and the deviation of the noise in each entry, (d, d) or one for all.

        What is known exactly, the entries without noise and the variances, is whitened first, so that the noise has
        about the same size in all directions. Of the rest every direction is divided by sqrt(eigenvalue + ridge), the
        ridge being about the spectral norm of the noise. That is 2·deviation·sqrt(d) for independent entries (Füredi,
        Komlós, "The eigenvalues of random symmetric matrices", 1981) and less here, where the noise of pairs of bins
        adds up to zero over each column. Whatever the noise has taken away, no direction then gets a variance much
        above 1, and none is lost: `protocols/commons/README.md` has the measurements. DataError when none varies.

        Both roots are the symmetric ones, so r = d. Unlike eigenvectors they hardly move when the arithmetic of one
        party's machine differs in the last bits.
        """
        spread = np.broadcast_to(np.asarray(noise, dtype=float), covariance.shape)
        known = np.where((spread == 0) | np.eye(len(mean), dtype=bool), covariance, 0.0)
        basis = _symmetric_root(known, 0.0)
        variances = basis**2 @ spread**2 @ basis**2
        ridge = RIDGE * (variances.mean() * len(mean)) ** 0.5
        return cls(mean, basis @ _symmetric_root(basis @ covariance @ basis, ridge))

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
        """Inverse of `to_json`; MalformedMessage for anything else."""
        try:
            mean = np.array(data["mean"], dtype=float)
            return cls(mean, np.array(data["rotation"], dtype=float).reshape(len(mean), -1))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise MalformedMessage("a whitening holds a list of means and a matrix with as many rows") from None


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


def _roots(covariance: np.ndarray) -> np.ndarray:
    """(d, r): eigenvectors divided by the root of their eigenvalue, without the directions that say little."""
    values, vectors = np.linalg.eigh(covariance)
    keep = values > _floor(values)
    return _fix_signs(vectors[:, keep]) / np.sqrt(values[keep])


def _symmetric_root(covariance: np.ndarray, ridge: float) -> np.ndarray:
    """(d, d): the inverse root of covariance + ridge, no eigenvalue counting as less than the floor."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors / np.sqrt(np.maximum(values, _floor(values)) + ridge)) @ vectors.T


def _floor(values: np.ndarray) -> float:
    largest = values.max(initial=0.0)
    if largest <= 1e-12:
        raise DataError("expected a column that varies on the training rows, got none; check the columns")
    return largest * MINIMUM_EIGENVALUE


def _fix_signs(vectors: np.ndarray) -> np.ndarray:
    """An eigenvector's sign is arbitrary: make the largest entry positive, so that equal data gives equal results."""
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return vectors * np.where(signs == 0, 1, signs)
