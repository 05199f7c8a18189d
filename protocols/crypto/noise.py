"""How large the error of a matrix product is: the formulas of README.md, "Error of the matrix product".

The error is a sum of very many independent terms, so its bound is a standard deviation times TAIL.
"""
from __future__ import annotations

import math

from protocols.crypto.layout import Layout
from protocols.crypto.params import DEGREE, ERROR_DEVIATION, PRODUCT

TAIL = 9.0
"""Deviations covered: a Gaussian exceeds nine of them with probability 2^-62."""

KEY_VARIANCE = 2 / 3
"""Mean square of a coefficient of a uniform ternary key."""

DROPPED_BITS = 27
"""A short reply leaves out this many low bits of the low mixed-radix digit."""


def key_switch_variance() -> float:
    """Variance that one key switch adds to a coefficient.

    Two digits, uniform in [0, q) and not centred (mean square q²/3), times Galois-key errors, divided by the special
    prime; then one rounding to an integer per polynomial.
    """
    ratio = max(PRODUCT.data_primes) / PRODUCT.special_prime
    digits = len(PRODUCT.data_primes) * DEGREE * ratio**2 / 3 * ERROR_DEVIATION**2
    return digits + (1 + DEGREE * KEY_VARIANCE) / 12


def error_variance(layout: Layout, energy: float, short: bool) -> float:
    """Variance of one result; `energy` is the largest sum of squared entries behind one result polynomial
    (tile, fan: all entries of its rows; dot: of one row)."""
    variance = ERROR_DEVIATION**2 * energy + (1 + DEGREE * KEY_VARIANCE) / 12
    if layout.kind == "dot":
        variance += key_switch_variance() * DEGREE**2 / 3
    if layout.kind == "fan":
        variance += key_switch_variance() * (2**layout.levels - 1) * energy
    if short:
        variance += (1 + DEGREE * KEY_VARIANCE) * 4.0**DROPPED_BITS / 12
    return variance


def error_bits(layout: Layout, energy: float, short: bool) -> float:
    """log2 of the bound on |error|: TAIL standard deviations."""
    return math.log2(TAIL) + math.log2(error_variance(layout, energy, short)) / 2


def typical_energy(layout: Layout, mean_square: float) -> float:
    """`energy` for a matrix whose entries have this mean square in every block of rows."""
    rows = 1 if layout.kind == "dot" else min(layout.rows_per_tile, layout.rows)
    return mean_square * rows * layout.columns
