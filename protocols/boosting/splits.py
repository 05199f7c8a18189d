"""The best split of a node out of its exact sums.

Every number below is made of exact integers by single IEEE operations in one fixed order, so the same sums give the
same split on any machine. Gain and monotone constraints are XGBoost's (Chen and Guestrin 2016, eq. 7; its tree
evaluator clips leaf values to bounds handed down from constrained splits and refuses values in the wrong order).
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from protocols.boosting.candidates import Candidate, Candidates
from protocols.boosting.settings import BoostingSettings

LEAST_GAIN = 1e-6  # below it a gain is rounding


@dataclass(frozen=True)
class Bounds:
    """What a node's leaf value may be, before the learning rate."""

    lower: float = -math.inf
    upper: float = math.inf


@dataclass(frozen=True)
class Split:
    """`place` is the candidate's; left go bins up to `bin`, and missing values if `missing_left`. `gradient` and
    `hessian` are the left side's sums, by which the sides that come are checked."""

    place: int
    bin: int
    missing_left: bool
    gain: float
    gradient: int
    hessian: int


def best_split(sums: np.ndarray, candidates: Candidates, eligible: np.ndarray, bounds: Bounds,
               settings: BoostingSettings) -> Split | None:
    """The split of highest gain of a node with int64 `sums` (2, total bins), or None if none gains enough.

    Ties go to the lower place, then the lower bin, then missing values to the left.
    """
    best: Split | None = None
    parts = candidates.parts(sums)
    for place in np.flatnonzero(eligible).tolist():
        found = _of_column(parts[place], candidates.columns[place], place, bounds, settings)
        if found and (best is None or found.gain > best.gain):
            best = found
    return best


def leaf_weight(gradient: np.ndarray | float, hessian: np.ndarray | float, bounds: Bounds, l2: float) -> np.ndarray:
    """-G / (H + l2), clipped to the bounds; 0 where H + l2 is 0."""
    divisor = np.asarray(hessian + l2, dtype=np.float64)
    weight = -np.asarray(gradient, dtype=np.float64) / np.where(divisor > 0, divisor, 1.0)
    return np.clip(np.where(divisor > 0, weight, 0.0), bounds.lower, bounds.upper)


def scaled(sums: np.ndarray, settings: BoostingSettings) -> tuple[np.ndarray, np.ndarray]:
    """(2, ...) integer sums as gradients and hessians: exact, for they are multiples of powers of two."""
    return (np.ldexp(sums[0].astype(np.float64), -settings.gradient_bits),
            np.ldexp(sums[1].astype(np.float64), -settings.hessian_bits))


def handed_down(bounds: Bounds, monotone: int, left: float, right: float) -> tuple[Bounds, Bounds]:
    """Bounds of the children of a split whose leaf values would be `left` and `right`."""
    middle = (left + right) / 2
    if monotone == 0:
        return bounds, bounds
    low, high = Bounds(bounds.lower, middle), Bounds(middle, bounds.upper)
    return (low, high) if monotone > 0 else (high, low)


def _of_column(sums: np.ndarray, column: Candidate, place: int, bounds: Bounds,
               settings: BoostingSettings) -> Split | None:
    left = _left_sums(sums, column)
    if not left.shape[1]:
        return None
    gains = _gains(left, sums.sum(axis=1)[:, None, None], column.monotone, bounds, settings)
    at, way = divmod(int(gains.argmax()), gains.shape[1])
    gain = float(gains[at, way])
    if gain < max(LEAST_GAIN, settings.gamma):
        return None
    gradient, hessian = (int(one) for one in left[:, at, way])
    return Split(place, at, _missing_left(column, way, hessian, int(sums[1].sum())), gain, gradient, hessian)


def _left_sums(sums: np.ndarray, column: Candidate) -> np.ndarray:
    """(2, thresholds, ways): way 0 has missing values on the left. With missing values the last threshold parts them
    from all others."""
    values = np.cumsum(sums[:, :column.values], axis=1)
    if not column.has_missing:
        return values[:, :-1, None]
    return np.stack([values + sums[:, -1:], values], axis=2)


def _missing_left(column: Candidate, way: int, hessian: int, whole: int) -> bool:
    """A column without missing values in training sends later ones where more of it went."""
    return way == 0 if column.has_missing else 2 * hessian >= whole


def _gains(left: np.ndarray, whole: np.ndarray, monotone: int, bounds: Bounds,
           settings: BoostingSettings) -> np.ndarray:
    """(thresholds, ways), -inf where a side is too light or the leaf values are in the wrong order."""
    sides = [scaled(left, settings), scaled(whole - left, settings)]
    weights = [leaf_weight(g, h, bounds, settings.l2) for g, h in sides]
    scores = [_score(g, h, w, settings.l2) for (g, h), w in zip(sides, weights, strict=True)]
    g, h = scaled(whole, settings)
    gains = scores[0] + scores[1] - _score(g, h, leaf_weight(g, h, bounds, settings.l2), settings.l2)
    allowed = monotone * (weights[1] - weights[0]) >= 0
    for _, hessian in sides:
        allowed &= (hessian > 0) & (hessian >= settings.minimum_child_weight)
    return np.where(allowed, gains, -np.inf)


def _score(gradient: np.ndarray, hessian: np.ndarray, weight: np.ndarray, l2: float) -> np.ndarray:
    """Twice the loss that a leaf of this value saves; G² / (H + l2) if its value is not clipped."""
    return -(2.0 * gradient * weight + (hessian + l2) * weight * weight)
