"""The matrix of corrections by float64 transforms against the same sums of words, row by row."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.boosting.bins import Binned
from protocols.boosting.convolution import back, bin_sums, limbs_of, residues_of, transformed
from protocols.boosting.parameters import KEPT, PAD_DEGREE

PRIMES = np.array(KEPT, dtype=np.uint64)[:, None]


def naive(binned: Binned, factors: np.ndarray) -> np.ndarray:
    """(rows, 2, 4096): for each row of the table y^(its place) · factor, added to its bins."""
    made = np.zeros((binned.rows, 2, PAD_DEGREE), np.uint64)
    starts = np.cumsum((0, *binned.counts))[:-1]
    for row, codes in enumerate(binned.codes.astype(int)):
        chunk, place = divmod(row, PAD_DEGREE)
        turned = np.roll(factors[chunk], place, axis=1)
        turned[:, :place] = (PRIMES - turned[:, :place]) % PRIMES
        for at in starts + codes:
            made[at] = (made[at] + turned) % PRIMES
    return made


def factors_of(rng: np.random.Generator, rows: int) -> np.ndarray:
    return np.stack([rng.integers(0, prime, (-(-rows // PAD_DEGREE), PAD_DEGREE), dtype=np.uint64)
                     for prime in KEPT], axis=1)


def check(codes: np.ndarray, counts: tuple[int, ...], factors: np.ndarray) -> None:
    binned = Binned(codes, counts)
    assert (np.concatenate(list(bin_sums(binned, factors))) == naive(binned, factors)).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 300), st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 99))
def test_bins_add_up_exactly(rows, counts, seed):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, count, rows) for count in counts], axis=1).astype(np.uint8)
    check(codes, tuple(counts), factors_of(rng, rows))


@pytest.mark.parametrize("rows", [PAD_DEGREE // 2 + 1, PAD_DEGREE, PAD_DEGREE + 1, 2 * PAD_DEGREE + 2050])
def test_rows_of_several_chunks_and_bins_of_very_unequal_size(rows):
    rng = np.random.default_rng(rows)
    codes = np.stack([np.minimum(rng.geometric(0.7, rows) - 1, 63), np.zeros(rows)], axis=1).astype(np.uint8)
    check(codes, (64, 3), factors_of(rng, rows))


@pytest.mark.parametrize("word", [0, 1, "half", "above", "most"])
def test_factors_of_one_size_in_one_bin_are_exact(word):
    """All limbs of one sign and all rows in a bin: the largest sums that there can be."""
    values = {"half": PRIMES // 2, "above": PRIMES // 2 + 1, "most": PRIMES - 1}
    words = values.get(word, PRIMES * 0 + np.uint64(word == 1))
    factor = np.repeat(words.astype(np.uint64), PAD_DEGREE, axis=1)
    rows = 2 * PAD_DEGREE
    check(np.ones((rows, 1), np.uint8), (2,), np.stack([factor] * 2))


def test_half_a_million_rows_in_one_bin_are_far_from_where_rounding_fails():
    rng, total, exact = np.random.default_rng(7), 0, 0
    ones = np.ones(PAD_DEGREE)
    for factor in factors_of(rng, 120 * PAD_DEGREE):
        limbs = limbs_of(factor)
        total = total + transformed(limbs) * transformed(ones)
        whole = np.cumsum(limbs, axis=1)
        exact = exact + 2 * whole - whole[:, -1:]  # Σ_i y^i times it: what came before, less what wrapped around
    assert (back(total) == exact).all()
    folded = np.fft.ifft(total) * np.exp(-1j * np.pi * np.arange(PAD_DEGREE // 2) / PAD_DEGREE)
    off = np.concatenate([folded.real, folded.imag], axis=-1) - exact
    assert np.abs(off).max() < 2**-12


def test_limbs_are_balanced_and_come_back():
    words = np.concatenate([PRIMES * 0, PRIMES // 2, PRIMES // 2 + 1, PRIMES - 1,
                            factors_of(np.random.default_rng(1), 1)[0]], axis=1).astype(np.uint64)
    limbs = limbs_of(words)
    assert np.abs(limbs).max() <= 2**26
    assert (residues_of(limbs[:, None].astype(np.int64))[0] == words).all()


def test_what_is_far_from_integers_is_an_error():
    with pytest.raises(RuntimeError, match="integers"):
        back(transformed(np.full((1, PAD_DEGREE), 0.25)))
