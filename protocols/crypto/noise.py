"""How large the error of a matrix product is: the formulas of README.md, "Error of the matrix product".

The error is a sum of very many independent terms, so its bound is a standard deviation times TAIL.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from protocols.crypto.layout import Layout
from protocols.crypto.params import DEGREE, ERROR_DEVIATION, PRODUCT

TAIL = 9.0
"""Deviations covered: a Gaussian exceeds nine of them with probability 2^-62."""

KEY_VARIANCE = 2 / 3
"""Mean square of a coefficient of a uniform ternary key."""

DROPPED_BITS = 27
"""A short reply leaves out this many low bits of the low mixed-radix digit."""


_DIGIT_RATIO = len(PRODUCT.data_primes) * (max(PRODUCT.data_primes) / PRODUCT.special_prime * ERROR_DEVIATION) ** 2
_ROUNDING = (1 + DEGREE * KEY_VARIANCE) / 12


@dataclass(frozen=True)
class Energy:
    """What the error sees of a matrix, largest over its result polynomials.

    `squares`: sum of the squared entries (tile, fan: of all rows of the polynomial; dot: of one fold of rows).
    `runs`: fan only, sum over polynomials of ‖x·(1 + X + … + X^(N-1))‖², N terms each: large for long runs of one
    sign, an intercept column above all.
    """

    squares: float
    runs: float = 0.0


def key_switch_variance() -> float:
    """Variance that one key switch adds to a coefficient.

    Two digits, uniform in [0, q) and not centred (mean square q²/3), times Galois-key errors, divided by the special
    prime; then one rounding to an integer per polynomial.
    """
    return _DIGIT_RATIO * DEGREE / 3 + _ROUNDING


def expansion_variance(energy: Energy) -> float:
    """Variance that one key switch adds to a product: the digits' centred part (q²/12) meets the squares, their mean
    q/2, the same in every coefficient, meets the runs."""
    return (_DIGIT_RATIO * DEGREE / 12 + _ROUNDING) * energy.squares + _DIGIT_RATIO / 4 * energy.runs


def error_variance(layout: Layout, energy: Energy, short: bool) -> float:
    """Variance of one entry of the product."""
    variance = ERROR_DEVIATION**2 * energy.squares + _ROUNDING
    if layout.kind == "dot":
        variance += key_switch_variance() * 4**layout.levels / 3
    if layout.kind == "fan":
        variance += _expansion_factor(layout) * expansion_variance(energy)
    if short:
        variance += (1 + DEGREE * KEY_VARIANCE) * 4.0**DROPPED_BITS / 12
    return variance


def _expansion_factor(layout: Layout) -> int:
    """Key switches' worth of noise in one expanded operand: halved in energy and doubled in amplitude by every level;
    where the last level has nothing to split it only doubles, which no other operand then shares."""
    full = 2**layout.levels
    return full - 1 if layout.items == full else 2 * (full - 2)


def error_bits(layout: Layout, energy: Energy, short: bool) -> float:
    """log2 of the bound on |error|: TAIL standard deviations."""
    return math.log2(TAIL) + math.log2(error_variance(layout, energy, short)) / 2


def energy_of(layout: Layout, matrix: np.ndarray) -> Energy:
    """Energy of one matrix of any integer type."""
    if layout.kind == "dot":
        squares = np.square(matrix, dtype=np.float64).sum(axis=1)
        return Energy(float(np.add.reduceat(squares, range(0, layout.rows, layout.fold)).max()))
    if layout.kind == "tile":
        return Energy(max(float(np.square(matrix[layout.block(b)], dtype=np.float64).sum())
                          for b in range(layout.replies)))
    blocks = [_fan_energy(layout, matrix, block) for block in range(layout.replies)]
    return Energy(max(e.squares for e in blocks), max(e.runs for e in blocks))


def _fan_energy(layout: Layout, matrix: np.ndarray, block: int) -> Energy:
    squares = runs = 0.0
    for term in range(layout.items):
        polynomial = layout.polynomial(matrix, block, term).astype(np.float64)
        sums = np.cumsum(polynomial)
        squares += float(np.square(polynomial).sum())
        runs += float(np.square(2 * sums - sums[-1]).sum())
    return Energy(squares, runs)


def typical_energy(layout: Layout, mean_square: float) -> Energy:
    """Energy of a matrix of columns that are zero on average, rows in no order, beside one constant column, all with
    this mean square."""
    rows = layout.fold if layout.kind == "dot" else min(layout.rows_per_tile, layout.rows)
    squares = mean_square * rows * layout.columns
    return Energy(squares, DEGREE * squares + mean_square * DEGREE**3 / 3)
