"""Fixed-point numbers and the budget of local truncation.

A real x at `bits` fractional bits is the integer round(x·2^bits).
"""
from __future__ import annotations

from fractions import Fraction

import numpy as np

from protocols.crypto.ring import RING
from protocols.errors import DataError, ProtocolError

LARGEST_BITS = 62
RUN_FAILURE_BITS = 40
"""All truncations of one run together fail with probability at most 2^-RUN_FAILURE_BITS."""


def to_fixed(values: np.ndarray, bits: int) -> np.ndarray:
    """float64 array of any shape -> int64 array round(values·2^bits), ties to even.

    DataError when a value is not finite or does not fit in LARGEST_BITS bits.
    """
    if not 0 <= bits <= LARGEST_BITS:
        raise ValueError(f"expected 0 to {LARGEST_BITS} fractional bits, got {bits}")
    scaled = np.rint(np.ldexp(np.asarray(values, dtype=np.float64), bits))
    unfit = int(np.count_nonzero(~(np.abs(scaled) < 2.0**LARGEST_BITS)))
    if unfit:
        raise DataError(f"expected finite numbers below 2^{LARGEST_BITS - bits}, got {unfit} others; check the columns")
    return scaled.astype(np.int64)


class TruncationBudget:
    """Adds up the truncations of one run and refuses the one that would exceed 2^-RUN_FAILURE_BITS.

    Both parties count the same public numbers, so both refuse at the same step. One truncation of uniform shares of x
    fails with probability at most 2|x|/Q; a chain, whose input may already be one off, was measured at 2.2|x|/Q. The
    budget charges 4|x|/Q.
    """

    def __init__(self, limit: Fraction = Fraction(1, 1 << RUN_FAILURE_BITS)):
        self._limit, self._spent = limit, Fraction(0)

    @property
    def spent(self) -> float:
        """Probability of failure accounted for so far."""
        return float(self._spent)

    def spend(self, count: int, magnitude_bits: int) -> None:
        """Account for `count` truncations of values below 2^magnitude_bits; ProtocolError when over the limit."""
        if count < 0 or magnitude_bits < 0:
            raise ValueError(f"expected a count and bits of at least 0, got {count} and {magnitude_bits}")
        total = self._spent + Fraction(count << (2 + magnitude_bits), RING.modulus)
        if total > self._limit:
            raise ProtocolError(
                f"expected truncations to fail with probability at most 2^-{RUN_FAILURE_BITS} per run, got one above "
                f"after {count} values of {magnitude_bits} bits; use fewer steps, rows or fractional bits"
            )
        self._spent = total
