"""Gradients of the logistic loss, which rows a tree is grown from, and the loss by which training stops.

Draws follow from a seed by SHAKE-256 and ranks of 64-bit words, so they are the same with every version of numpy.
"""
from __future__ import annotations

import hashlib
import math

import numpy as np

from protocols.boosting.settings import BoostingSettings, Goss, quantised


def probabilities(margins: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-margin)), without overflow."""
    tail = np.exp(-np.abs(margins))
    return np.where(margins >= 0, 1.0, tail) / (1.0 + tail)


def base_margin(labels: np.ndarray, class_weight: float) -> float:
    """Log-odds of the weighted labels: the margin that training starts from."""
    events = int(labels.sum())
    return math.log(class_weight * events / (len(labels) - events))


def loss(margins: np.ndarray, labels: np.ndarray, class_weight: float) -> float:
    """Mean logistic loss under the weights that training uses: with others it would stop at the wrong tree."""
    weights = np.where(labels == 1, class_weight, 1.0)
    rows = weights * (np.logaddexp(0.0, margins) - labels * margins)
    return math.fsum(rows.tolist()) / math.fsum(weights.tolist())


def quantised_gradients(margins: np.ndarray, labels: np.ndarray, training: np.ndarray, settings: BoostingSettings,
                        seed: bytes) -> tuple[np.ndarray, np.ndarray]:
    """(n,) int64 gradients and hessians of one tree, 0 in rows that are no training rows or not drawn."""
    p = probabilities(margins)
    weights = np.where(labels == 1, settings.class_weight, 1.0)
    gradients, hessians = (p - labels) * weights, p * (1.0 - p) * weights
    amplified = _drawn(gradients, training, settings, seed)
    return (quantised(gradients * amplified, settings.gradient_bits),
            quantised(hessians * amplified, settings.hessian_bits))


def draw(among: np.ndarray, count: int, seed: bytes, purpose: str) -> np.ndarray:
    """`count` of the numbers `among`, without replacement, ascending; another draw for every seed and purpose."""
    stream = hashlib.shake_256(b"sealscore-boosting-draw" + seed + purpose.encode()).digest(8 * len(among))
    return np.sort(among[np.argsort(np.frombuffer(stream, "<u8"), kind="stable")[:count]])


def share_of(share: float, count: int) -> int:
    """How many rows or columns a share is; at least one."""
    return max(1, round(share * count))


def _drawn(gradients: np.ndarray, training: np.ndarray, settings: BoostingSettings, seed: bytes) -> np.ndarray:
    """(n,) weights of the draw: 0 out, 1 in, more than 1 amplified."""
    rows = np.flatnonzero(training)
    weights = np.zeros(len(gradients))
    if settings.goss:
        _one_sided(weights, rows, np.abs(gradients), settings.goss, seed)
    elif settings.row_share < 1:
        weights[draw(rows, share_of(settings.row_share, len(rows)), seed, "rows")] = 1.0
    else:
        weights[rows] = 1.0
    return weights


def _one_sided(weights: np.ndarray, rows: np.ndarray, sizes: np.ndarray, goss: Goss, seed: bytes) -> None:
    order = rows[np.argsort(-sizes[rows], kind="stable")]
    top = share_of(goss.top, len(rows))
    weights[order[:top]] = 1.0
    rest = np.sort(order[top:])
    weights[draw(rest, share_of(goss.other, len(rows)), seed, "goss")] = goss.amplification
