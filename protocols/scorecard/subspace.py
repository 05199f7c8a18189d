"""The bank's exact solution in the subspace of gradients seen so far, in the clear.

The platform's coefficients are w = Σ mix_k g_k; the bank knows the images u_k = X g_k of every direction, and nothing
of X or g_k. Whitened columns satisfy XᵀX = n, so ‖w‖² = ‖Σ mix_k u_k‖² / n: the images are enough for the ridge too.
Taking an orthogonal basis of their span makes it the ordinary ridge of `logistic.fit`.

It is Newton's method on a Krylov subspace: with k directions it is at least as good as k steps of any gradient method
(Saad, "Iterative Methods for Sparse Linear Systems", 2003, section 6.1; here with exact re-solution for all of them).
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocols.scorecard import logistic

FLAT = 2.0**-14  # root mean square of what a direction adds; opened scores carry noise of 2^-18


@dataclass(frozen=True, repr=False)
class Solution:
    """Own coefficients, intercept first, (1 + d,); weight of each direction, (k,); scores of all rows, (n,)."""

    own: np.ndarray
    mix: np.ndarray
    scores: np.ndarray


def solve(columns: np.ndarray, images: np.ndarray, labels: np.ndarray, l2: float) -> Solution:
    """Fit on own whitened columns (n, d), images (n, k) and labels (n,); `l2` as in `logistic.fit`."""
    basis, back = _basis(images)
    fit = logistic.fit(np.hstack([columns, basis]), labels, l2)
    own, weights = fit.coefficients[: columns.shape[1]], fit.coefficients[columns.shape[1]:]
    return Solution(np.r_[fit.intercept, own], back @ weights, fit.intercept + columns @ own + basis @ weights)


def _basis(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, r) of squared length n each and orthogonal, and (k, r) with images @ (k, r) = basis; flat directions are
    left out, and their weight is zero."""
    rows, count = images.shape
    root = np.sqrt(rows)
    kept = np.abs(np.diag(np.linalg.qr(images, mode="r"))) > FLAT * root
    turned, triangle = np.linalg.qr(images[:, kept])
    back = np.zeros((count, int(kept.sum())))
    back[kept] = np.linalg.inv(triangle) * root
    return turned * root, back
