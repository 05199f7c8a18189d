"""Fixed point and the truncation budget."""
from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.crypto.fixed_point import TruncationBudget, to_fixed
from protocols.crypto.ring import RING
from protocols.errors import DataError, ProtocolError


@given(st.lists(st.floats(-1000, 1000), min_size=1, max_size=20), st.integers(0, 40))
def test_round_trip_within_half_a_step(values: list[float], bits: int):
    fixed = to_fixed(np.array(values), bits)
    assert fixed.dtype == np.int64
    assert np.abs(fixed / 2.0**bits - values).max() <= 2.0 ** -(bits + 1)


def test_shape_and_ties():
    assert to_fixed(np.array([[0.5, 1.5], [-0.5, 2.0]]), 0).tolist() == [[0, 2], [0, 2]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**50, -(2.0**50)])
def test_unfit_values_are_counted_not_shown(bad: float):
    with pytest.raises(DataError, match="got 1 others") as error:
        to_fixed(np.array([1.0, bad]), 12)
    assert repr(bad) not in str(error.value)


def test_bits_are_bounded():
    with pytest.raises(ValueError, match="0 to 62"):
        to_fixed(np.zeros(1), 63)


def test_budget_charges_four_times_the_magnitude():
    budget = TruncationBudget()
    budget.spend(1000, 56)
    assert budget.spent == pytest.approx(1000 * 4 * 2.0**56 / RING.modulus)


def test_budget_is_enforced_over_the_sum():
    budget = TruncationBudget()
    most = int(Fraction(1, 1 << 40) * RING.modulus) >> 58
    budget.spend(most - 10, 56)
    with pytest.raises(ProtocolError, match="2\\^-40"):
        budget.spend(11, 56)
    budget.spend(10, 56)
    with pytest.raises(ProtocolError, match="fewer steps"):
        budget.spend(1, 56)


def test_flagship_run_fits():
    """12 steps over 100,000 rows: scores below 2^3 at scale 2^52, four truncations of 60 coefficients below 2^60."""
    budget = TruncationBudget()
    for _ in range(12):
        budget.spend(100_000, 52 + 3)
        budget.spend(60 * 4, 60)
    assert budget.spent < 2.0**-40


def test_negative_spending_is_refused():
    with pytest.raises(ValueError, match="at least 0"):
        TruncationBudget().spend(-1, 10)


def test_failures_stay_below_the_budget():
    """Magnitudes so large that failures happen: their rate must stay below what the budget charges."""
    n, bits = 20_000, 110
    mask = RING.random(n)
    other = RING.sub(RING.encode_ints([2**bits - 1] * n), mask)
    result = RING.add(RING.truncate(mask, 20, second=False), RING.truncate(other, 20, second=True))
    failures = sum(abs(v - (2**bits - 1 >> 20)) > 1 for v in RING.to_ints(result))
    assert 0 < failures < n * 4 * 2.0**bits / RING.modulus
