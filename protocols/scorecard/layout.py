"""Fixed-point layout of a training, chosen so that local truncation fails with probability below 2^-40 per run.

All shares live modulo Q (118 bits). A value with f fractional bits is an integer x * 2^f. Truncating both shares of x
locally is off by one unit, except with probability at most 4|x|/Q per element, when it is off by a huge amount; the
sum over every truncation of a run is the budget (protocols/crypto/fixed_point.py).
"""
from __future__ import annotations

import math
from dataclasses import dataclass

from protocols.crypto.fixed_point import TruncationBudget
from protocols.errors import DataError, ProtocolError

FEATURE_BITS = 12  # whitened columns
SCORE_BITS = 16  # z
MOMENTUM_BITS = 4  # beta is a multiple of 1/16
MOMENTUM = 9  # beta = 9/16
POLISH_MOMENTUM = 13  # with openings: as fast in weak directions as 1e-3 of the optimum needs, if slower at first
POWER_BITS = 10  # z² and z³ of a polynomial activation
STEP_CONSTANT_BITS = 5  # the step is a 5-bit integer over a power of two
RIDGE_CONSTANT_BITS = 12  # finer, because it decides where the steps lead and not only how fast
POWER_PASSES = 6  # iterations that estimate the largest eigenvalue
POWER_ROWS = 16384  # they run on so many rows, or a quarter of all if that is more
SCORE_BOUND_BITS = 8  # |z| < 2^8
RESIDUAL_BOUND_BITS = 1  # root mean square of the residual < 2
# (fractional bits of v, of the slope D), best first
CHOICES = ((36, 12), (36, 10), (34, 10), (32, 10), (32, 8), (30, 8))


@dataclass(frozen=True)
class Layout:
    """Fractional bits of every quantity; n rows, d coefficients of all parties together."""

    point_bits: int  # v, the momentum point
    slope_bits: int  # D = p0 (1 - p0)

    @property
    def weight_bits(self) -> int:
        """w."""
        return self.point_bits - MOMENTUM_BITS

    @property
    def residual_bits(self) -> int:
        """r = D (z - z0) + p0 - y."""
        return SCORE_BITS + self.slope_bits

    @property
    def gradient_bits(self) -> int:
        """X^T r."""
        return FEATURE_BITS + self.residual_bits

    @property
    def score_shift(self) -> int:
        """Bits truncated from X v to z."""
        return FEATURE_BITS + self.point_bits - SCORE_BITS


def power_rows(rows: int) -> int:
    """Rows of a power iteration, of `rows` in all: the joint order is random, so the first ones are a sample."""
    return min(rows, max(POWER_ROWS, rows // 4))


def bank_power_rows(own: int, rows: int) -> int:
    """Those of one of several banks with `own` rows of `rows` in all."""
    return max(1, own * power_rows(rows) // rows)


def declared_rows(rows: int) -> int:
    """What several banks may know of their rows in all: five binary digits, rounded up, so at most 1/16 too many."""
    unit = 1 << max(0, rows.bit_length() - 5)
    return -(-rows // unit) * unit


def fewest_rows(declared: int) -> int:
    """The least that a declared number can stand for."""
    return declared - (1 << max(0, declared.bit_length() - 5)) + 1


def grid(value: float) -> int:
    """k with 2^(k/2) >= value, the least: a number told to within a factor of the square root of 2."""
    return math.ceil(2 * math.log2(value))


@dataclass(frozen=True)
class Scale:
    """A positive real number as constant / 2^shift with a small constant: multiply a share, then truncate."""

    constant: int
    shift: int

    @property
    def value(self) -> float:
        """The number, after rounding."""
        return self.constant / 2.0**self.shift


def scale(value: float, bits: int = STEP_CONSTANT_BITS) -> Scale:
    """The nearest `bits`-bit constant over a power of two; ProtocolError when the shift does not fit a truncation."""
    shift = bits - 1 - math.floor(math.log2(value))
    constant = round(value * 2.0**shift)
    if not 0 < shift < 64 or not 0 < constant <= 2**bits:
        raise ProtocolError(f"a step of 2^{math.log2(value):.1f} does not fit the fixed-point layout")
    return Scale(constant, shift)


def step_scales(layout: Layout, rate: float, rows: int, l2: float) -> tuple[Scale, Scale | None]:
    """What a gradient summed over `rows` rows, and what the momentum point is multiplied with in a step.

    The ridge follows from the gradient's rounded step, so that the steps lead to the minimum for `l2` and not for one
    that is up to 6 % off; None without ridge.
    """
    lift = 2.0 ** (layout.weight_bits - layout.gradient_bits)
    step = scale(rate / rows * lift)
    taken = step.value * rows / lift
    return step, scale(taken * l2 * 2.0**-MOMENTUM_BITS, RIDGE_CONSTANT_BITS) if l2 else None


def power_scale(layout: Layout, rows: int) -> Scale:
    """What ends a power pass: 1 / rows, from the scale of the gradient to that of the point."""
    return scale(2.0 ** (layout.point_bits - layout.gradient_bits) / rows)


def power_excess(layout: Layout, rows: int) -> float:
    """How much a pass over so many rows makes too long, because 1 / rows is rounded to 5 bits."""
    factor = power_scale(layout, rows)
    return factor.constant / 2.0**factor.shift * rows * 2.0 ** (layout.gradient_bits - layout.point_bits)


def choose(rows: int, coefficients: int, steps: int, degree: int = 1) -> Layout:
    """The most precise layout within the failure budget of 2^-40; DataError when none is.

    `degree`: of the activation in z, 1 or 3; the latter truncates two more products per row and step.
    """
    for point_bits, slope_bits in CHOICES:
        layout = Layout(point_bits, slope_bits)
        if _within_budget(layout, rows, coefficients, steps, degree):
            return layout
    raise DataError(
        f"expected a training whose truncations fail with probability below 2^-40, but {rows} rows x {coefficients} "
        f"coefficients x {steps} steps exceed it; take fewer steps or rows"
    )


def _within_budget(layout: Layout, rows: int, coefficients: int, steps: int, degree: int) -> bool:
    budget, passes = TruncationBudget(), steps + POWER_PASSES
    gradient = math.ceil(math.log2(rows)) + RESIDUAL_BOUND_BITS + layout.gradient_bits + STEP_CONSTANT_BITS
    point = layout.point_bits + SCORE_BOUND_BITS + RIDGE_CONSTANT_BITS
    try:
        budget.spend(rows * passes, FEATURE_BITS + layout.point_bits + SCORE_BOUND_BITS)
        budget.spend(coefficients * passes, gradient)
        budget.spend(2 * coefficients * steps, point)
        if degree > 1:
            budget.spend(rows * steps, 2 * (SCORE_BITS + SCORE_BOUND_BITS))
            budget.spend(rows * steps, SCORE_BITS + POWER_BITS + 3 * SCORE_BOUND_BITS)
    except ProtocolError:
        return False
    return True


def eigenvalue_grid(eigenvalue: float) -> int:
    """k with 2^(k/2) >= 1.2 * eigenvalue: what is announced instead of the eigenvalue itself."""
    return grid(1.2 * eigenvalue)


def learning_rate(grid: int, l2: float) -> float:
    """Step size per row for the announced bound: 1 / (1.05 * 2^(k/2) + l2)."""
    return 1 / (1.05 * 2.0 ** (grid / 2) + l2)
