"""Penalised maximum-likelihood logistic regression in the clear, to convergence.

Serves the bank's own model (the anchor of the joint one) and the demo's pooled comparison. With n rows it minimises

    (1/n) Σ [log(1 + e^z) − y z]  +  (l2/2) ‖w‖²,      z = intercept + X w

so `l2` is a penalty per row and the intercept is free. Newton steps (Hastie, Tibshirani, Friedman, *The Elements of
Statistical Learning*, §4.4.1, IRLS) are halved until the objective falls, directions without curvature are left alone:
collinear columns, separated rows and l2 = 0 end with a finite fit and `converged` tells how.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from protocols.errors import DataError

BLOCK_ROWS = 65_536       # bounds the temporary weighted copy of the design matrix
FLAT_DIRECTION = 1e-12    # curvature below this share of the largest is treated as none
LARGEST_STEP = 10.0       # in the linear predictor per Newton step; separated rows otherwise overflow the Hessian


@dataclass(frozen=True, repr=False)
class LogisticFit:
    """A fitted model. `coefficients` has shape (d,), the columns of the matrix given to `fit`."""

    intercept: float
    coefficients: np.ndarray
    converged: bool
    iterations: int

    def score(self, features: np.ndarray) -> np.ndarray:
        """Linear predictor z (log odds) of each row; (n, d) -> (n,)."""
        return self.intercept + np.asarray(features, dtype=np.float64) @ self.coefficients

    def probability(self, features: np.ndarray) -> np.ndarray:
        """Probability of the event per row; (n, d) -> (n,)."""
        return sigmoid(self.score(features))


def sigmoid(z: np.ndarray | float) -> np.ndarray:
    """1 / (1 + e^-z) without overflow for any finite z."""
    z = np.asarray(z, dtype=np.float64)
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, small) / (1.0 + small)


def cross_entropy(z: np.ndarray, targets: np.ndarray) -> float:
    """Mean of log(1 + e^z) − t z over rows; exact for any finite z and targets in [0, 1]."""
    return float(np.mean(np.logaddexp(0.0, z) - targets * z))


def fit(features: np.ndarray, labels: np.ndarray, l2: float, *, tolerance: float = 1e-10,
        max_iterations: int = 100) -> LogisticFit:
    """Fit on (n, d) features without an intercept column and (n,) labels in {0, 1}.

    Ends when the gradient per row, each component in units of its column's root mean square, is below `tolerance`.
    Raises DataError for shapes that do not match, values that are not finite, other labels or a single class.
    """
    features, labels = _checked(features, labels, l2)
    if not 0 < labels.sum() < len(labels):
        raise DataError(f"a logistic regression needs events and non-events; all {len(labels)} labels are the same; "
                        "add rows of the other class")
    return fit_targets(features, labels, l2, tolerance=tolerance, max_iterations=max_iterations)


def fit_targets(features: np.ndarray, targets: np.ndarray, l2: float, *, tolerance: float = 1e-10,
                max_iterations: int = 100) -> LogisticFit:
    """As `fit` for targets anywhere in [0, 1] (smoothed labels), without the two-class check."""
    features, targets = _checked(features, targets, l2, binary=False)
    penalty = np.full(features.shape[1] + 1, float(l2))
    penalty[0] = 0.0
    theta = np.zeros(features.shape[1] + 1)
    theta[0] = _log_odds(targets)
    z = _predict(features, theta)
    units = _column_units(features)
    for iteration in range(max_iterations):
        gradient, hessian = _derivatives(features, targets, z, theta, penalty)
        if np.abs(gradient / units).max() < tolerance:
            return LogisticFit(float(theta[0]), theta[1:].copy(), True, iteration)
        moved = _line_search(features, targets, theta, _newton_direction(hessian, gradient), penalty, z)
        if moved is None:
            return LogisticFit(float(theta[0]), theta[1:].copy(), False, iteration)
        theta, z = moved
    return LogisticFit(float(theta[0]), theta[1:].copy(), False, max_iterations)


def _checked(features: np.ndarray, labels: np.ndarray, l2: float, binary: bool = True
             ) -> tuple[np.ndarray, np.ndarray]:
    features, labels = np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if features.ndim != 2 or labels.shape != (features.shape[0],) or not len(labels):
        raise DataError(f"a logistic regression expects an (n, d) matrix and n labels; got shapes {features.shape} and "
                        f"{labels.shape}; pass rows and labels of the same people")
    if not np.isfinite(features).all() or not np.isfinite(labels).all():
        raise DataError("a logistic regression expects finite numbers; encode missing values before fitting")
    allowed = np.isin(labels, (0.0, 1.0)).all() if binary else ((labels >= 0) & (labels <= 1)).all()
    if not allowed:
        raise DataError("a logistic regression expects labels 0 (no event) and 1 (event); recode the label column")
    if not np.isfinite(l2) or l2 < 0:
        raise DataError(f"the penalty l2 must be zero or a positive number; got {l2}; set it in the plan's model table")
    return features, labels


def _column_units(features: np.ndarray) -> np.ndarray:
    """Root mean square of the intercept column (1) and of each column; 1 for all-zero columns."""
    squares = np.einsum("ij,ij->j", features, features) / len(features)
    return np.concatenate([[1.0], np.sqrt(np.where(squares > 0, squares, 1.0))])


def _log_odds(targets: np.ndarray) -> float:
    """Start of the intercept: the base rate, kept off 0 and 1 for degenerate targets."""
    rate = float(np.clip(targets.mean(), 0.5 / len(targets), 1 - 0.5 / len(targets)))
    return float(np.log(rate / (1 - rate)))


def _predict(features: np.ndarray, theta: np.ndarray) -> np.ndarray:
    return theta[0] + features @ theta[1:]


def _objective(z: np.ndarray, targets: np.ndarray, theta: np.ndarray, penalty: np.ndarray) -> float:
    return cross_entropy(z, targets) + 0.5 * float(penalty @ theta**2)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK_ROWS, n)) for start in range(0, n, BLOCK_ROWS))


def _derivatives(features: np.ndarray, targets: np.ndarray, z: np.ndarray, theta: np.ndarray, penalty: np.ndarray
                 ) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (d+1,) and Hessian (d+1, d+1) per row, the intercept first."""
    n, size = len(targets), features.shape[1] + 1
    gradient, hessian = np.zeros(size), np.zeros((size, size))
    for rows in _blocks(n):
        probability = sigmoid(z[rows])
        residual, weight = probability - targets[rows], probability * (1 - probability)
        block = features[rows]
        weighted = block * weight[:, None]
        gradient += np.concatenate([[residual.sum()], residual @ block])
        hessian[0, 0] += weight.sum()
        hessian[0, 1:] += weighted.sum(axis=0)
        hessian[1:, 1:] += weighted.T @ block
    hessian[1:, 0] = hessian[0, 1:]
    return gradient / n + penalty * theta, hessian / n + np.diag(penalty)


def _newton_direction(hessian: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """−H⁻¹ g over the directions with curvature; the others (collinear columns) stay where they are."""
    values, vectors = np.linalg.eigh(hessian)
    curved = values > FLAT_DIRECTION * max(values[-1], np.finfo(float).tiny)
    basis = vectors[:, curved]
    return -basis @ ((basis.T @ gradient) / values[curved])


def _line_search(features: np.ndarray, targets: np.ndarray, theta: np.ndarray, direction: np.ndarray,
                 penalty: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Halve the step until the objective does not rise by more than its rounding error; None after forty halvings.

    Equality is accepted because the last Newton steps improve the gradient where the objective no longer shows it.
    """
    before = _objective(z, targets, theta, penalty)
    before += 4 * np.finfo(float).eps * max(1.0, before)
    change = _predict(features, direction)
    step = min(1.0, LARGEST_STEP / max(float(np.abs(change).max()), np.finfo(float).tiny))
    for _ in range(40):
        moved, moved_z = theta + step * direction, z + step * change
        if _objective(moved_z, targets, moved, penalty) <= before:
            return moved, moved_z
        step /= 2
    return None
