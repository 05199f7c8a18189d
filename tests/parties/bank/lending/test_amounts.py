"""Rounding and splitting: exact, monotone, close to the shares."""
from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.bank.lending.amounts import UNIT, apportion, fraction_of, rounded, scaled
from parties.bank.lending.parts import Parts
from tests.parties.bank.lending.loans import half_up

WEIGHTS = st.lists(st.integers(1, UNIT), min_size=1, max_size=16)


def test_rates_are_exact_or_refused():
    assert scaled(Decimal("0.0005")) == 5 * 10**14
    with pytest.raises(ValueError, match="18 decimal places"):
        scaled(Decimal("1E-19"))


@given(st.integers(0, 10**40))
def test_units_round_half_up(units):
    assert rounded(units) == half_up(Fraction(units, UNIT))


@given(st.integers(0, 10**13), st.decimals(0, 1, places=6))
def test_fees_round_half_up(fen, rate):
    assert fraction_of(fen, rate) == half_up(fen * Fraction(rate))


@given(st.integers(0, 10**13), WEIGHTS)
def test_a_split_adds_up_and_never_falls(total, weights):
    parts = apportion(total, weights)
    assert sum(parts) == total
    assert all(before <= after for before, after in zip(parts, apportion(total + 1, weights), strict=True))
    if len(weights) <= 3:
        assert all(abs(part - Fraction(total * weight, sum(weights))) < 1 for part, weight in
                   zip(parts, weights, strict=True))


@given(st.integers(0, 300), st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_a_split_gives_out_one_fen_after_another_by_rank(total, weights):
    """The definition: always to the part with the least (2j-1)/w, ties to the earlier part."""
    parts = [0] * len(weights)
    for _ in range(total):
        parts[min(range(len(weights)), key=lambda k: (Fraction(2 * parts[k] + 1, weights[k]), k))] += 1
    assert apportion(total, weights) == tuple(parts)


def test_largest_remainders_would_take_a_fen_back():
    """Why they are not used: with shares 6:6:2 the third part falls from 2 fen to 1 when 10 fen become 11."""
    def largest_remainders(total):
        exact = [Fraction(total * weight, 14) for weight in (6, 6, 2)]
        parts = [value.__floor__() for value in exact]
        order = sorted(range(3), key=lambda k: (parts[k] - exact[k], k))
        return [part + (order.index(k) < total - sum(parts)) for k, part in enumerate(parts)]

    assert (largest_remainders(10), largest_remainders(11)) == ([4, 4, 2], [5, 5, 1])
    assert [apportion(total, (6, 6, 2))[2] for total in (10, 11)] == [1, 1]


@given(st.tuples(*[st.integers(0, 100)] * 4), st.integers(0, 500))
def test_a_payment_settles_in_the_fixed_order(owed, fen):
    settled = Parts(*owed).settled_by(fen)
    assert settled.total_fen == min(fen, sum(owed))
    short = [taken < due for taken, due in zip(settled.values, owed, strict=True)]
    assert not any(taken for taken in settled.values[short.index(True) + 1:]) if True in short else True
