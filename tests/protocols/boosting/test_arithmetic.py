"""Limbs, residues, polynomials and samplers against plain integers."""
from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.boosting.bins import Binned
from protocols.boosting.limbs import limbs_of, times, times_ternary
from protocols.boosting.parameters import CUT, DEVIATION, KEPT, KEY_DEGREE, PAD_DEGREE, PRIMES, SCALE, Q
from protocols.boosting.polynomials import Factor, interleaved, signed, spread
from protocols.boosting.residues import SHARES, lifted, paired_rows, scaled_down, turned, unpaired
from protocols.boosting.sampling import _distribution, errors, expanded, ternary

FULL = math.prod(PRIMES)


def words_of(rng, shape, prime):
    return rng.integers(0, prime, shape, dtype=np.uint64)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 5), st.integers(0, 3), st.integers(0, 99))
def test_products_of_limbs_are_exact(a, b, c, which, seed):
    rng, prime = np.random.default_rng(seed), PRIMES[which]
    left, right = words_of(rng, (a, b), prime), words_of(rng, (b, c), prime)
    left[0] = prime - 1
    exact = (left.astype(object) @ right.astype(object)) % prime
    assert (times(limbs_of(left), limbs_of(right), prime) == exact).all()
    signs = rng.integers(-1, 2, (b, c))
    exact = (left.astype(object) @ signs.astype(object)) % prime
    assert (times_ternary(left, signs.astype(float), prime) == exact).all()


def test_products_of_full_length_are_exact():
    prime = PRIMES[3]
    left, right = np.full((1, KEY_DEGREE), prime - 1, np.uint64), np.full((KEY_DEGREE, 1), prime - 1, np.uint64)
    assert times(limbs_of(left), limbs_of(right), prime)[0, 0] == KEY_DEGREE
    with pytest.raises(ValueError, match="terms"):
        times(np.zeros((3, 1, 1 << 16)), np.zeros((3, 1 << 16, 1)), prime)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-(Q // 2) + 1, Q // 2), min_size=1, max_size=6))
def test_shares_are_lifted_with_their_sign(values):
    (words,) = lifted(SHARES.encode_ints(values)[None])
    assert [[value % prime for value in values] for prime in PRIMES] == words.tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, FULL - 1), min_size=1, max_size=6))
def test_scaling_down_rounds(values):
    words = np.array([[value % prime for value in values] for prime in PRIMES], dtype=np.uint64)
    scale = SCALE[0] * SCALE[1]
    exact = [(value + scale // 2) // scale for value in values]
    assert scaled_down(words).tolist() == [[value % prime for value in exact] for prime in KEPT]


def test_a_product_has_its_inner_products_where_they_are_read():
    rng = np.random.default_rng(3)
    rows = np.stack([words_of(rng, (3, PAD_DEGREE), prime) for prime in KEPT], axis=1)
    short = rng.integers(-1, 2, (2, PAD_DEGREE)).astype(np.int8)
    words = np.zeros((2, 2, KEY_DEGREE), np.uint64)
    words[:, :, :PAD_DEGREE] = signed(short, KEPT)
    polynomials = paired_rows(rows)
    exact = np.array([[[int(row.astype(object) @ one.astype(object)) % prime for row in rows[:, at]]
                       for at, prime in enumerate(KEPT)] for one in short])
    for at, one in enumerate(words):
        products = Factor(one).times(polynomials)
        read = products[:, :, [PAD_DEGREE - 1, KEY_DEGREE - 1]].transpose(1, 0, 2).reshape(2, -1)[:, :3]
        assert (read == exact[at]).all()
    columns = turned(short_keys(short), -short_keys(short))
    inner = np.stack([times_ternary(polynomials[:, at], columns, prime) for at, prime in enumerate(KEPT)])
    assert (unpaired(inner, 3) == exact).all()


def short_keys(short):
    made = np.zeros((len(short), KEY_DEGREE))
    made[:, :PAD_DEGREE] = short
    return made


def test_two_polynomials_travel_in_one():
    rng = np.random.default_rng(4)
    one, other = (np.stack([words_of(rng, PAD_DEGREE, prime) for prime in KEPT]) for _ in range(2))
    short = np.zeros(PAD_DEGREE, np.int8)
    short[[0, 7, PAD_DEGREE - 1]] = 1, -1, 1
    (product,) = Factor(spread(signed(short, KEPT))).times(interleaved(one, other)[None])
    for half, words in ((product[:, ::2], one.astype(object)), (product[:, 1::2], other.astype(object))):
        seven = np.concatenate([-words[:, -7:], words[:, :-7]], axis=1)  # times y^7
        last = np.concatenate([-words[:, 1:], words[:, :1]], axis=1)  # times y^4095 = -1/y
        assert ((words - seven + last) % np.array(KEPT, dtype=object)[:, None] == half).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.lists(st.integers(1, 64), min_size=1, max_size=5), st.integers(0, 99))
def test_sums_over_bins_of_any_number_of_columns_are_exact(rows, counts, seed):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, count, rows) for count in counts], axis=1).astype(np.uint8)
    words = np.stack([words_of(rng, rows, prime) for prime in KEPT])
    words[:, 0] = np.array(KEPT) - 1
    values = rng.integers(-2**20, 2**20, rows)
    places = [(at, code) for at, count in enumerate(counts) for code in range(count)]
    exact = [[sum(int(one) for one in row[codes[:, at] == code]) % prime for at, code in places]
             for row, prime in zip(words, KEPT, strict=True)]
    binned = Binned(codes, tuple(counts))
    assert binned.sums(words).tolist() == exact
    assert binned.plain_sums(values).tolist() == [int(values[codes[:, at] == code].sum()) for at, code in places]


def test_errors_are_the_discrete_gaussian():
    table = _distribution()
    most = int(CUT * DEVIATION)
    assert len(table) == 2 * most and (np.diff(table.astype(float)) >= 0).all()
    drawn = errors(200_000)
    assert abs(drawn).max() <= most and abs(drawn.mean()) < 0.05 and abs(drawn.std() - DEVIATION) < 0.03
    weights = {x: math.exp(-x * x / (2 * DEVIATION**2)) for x in range(-most, most + 1)}
    total, counts = sum(weights.values()), Counter(drawn.tolist())
    for x in range(-6, 7):
        assert abs(counts[x] / len(drawn) - weights[x] / total) < 0.004


def test_ternary_secrets_are_uniform_and_public_polynomials_follow_from_the_seed():
    counts = Counter(ternary(90_000).tolist())
    assert set(counts) == {-1, 0, 1} and all(abs(count - 30_000) < 700 for count in counts.values())
    one = expanded(bytes(32), "pads", 1000, KEPT)
    assert (one == expanded(bytes(32), "pads", 1000, KEPT)).all()
    assert (one != expanded(bytes(32), "key", 1000, KEPT)).any() and (one < np.array(KEPT)[:, None]).all()
