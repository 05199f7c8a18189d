"""Ring arithmetic against Python's integers, and against literal values."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.crypto.params import PRODUCT, SLOT_DATA_PRIMES, SLOTS, ParameterSet, wire_tag
from protocols.crypto.ring import RING, mul_high, multiply_mod, reduce_words, scale_mod, uniform_bits
from protocols.errors import MalformedMessage

Q = RING.modulus
few = settings(max_examples=60, deadline=None)
EDGES = [0, 1, RING.q[0] - 1, RING.q[0], RING.q[1], Q // 2, Q // 2 + 1, Q - 1]
elements = st.lists(st.one_of(st.sampled_from(EDGES), st.integers(0, Q - 1)), min_size=1, max_size=9)
word = st.integers(0, 2**64 - 1)


def centred(x: int) -> int:
    x %= Q
    return x - Q if x > Q // 2 else x


def test_parameters_are_the_stated_ones():
    assert PRODUCT.primes == (576460752303046657, 576460752303210497, 1152921504606830593)
    assert SLOT_DATA_PRIMES == (1125899906629633, 1125899906826241, 281474976546817, 281474976694273)
    assert [sum(p.bit_length() for p in s.primes) for s in (PRODUCT, *SLOTS)] == [178, 218, 218]
    assert Q.bit_length() == 118
    assert [s.plain_modulus for s in SLOTS] == list(RING.q)


def test_parameters_beyond_128_bit_security_are_refused():
    with pytest.raises(ValueError, match="218 bits"):
        ParameterSet("wide", PRODUCT.primes, PRODUCT.special_prime, 1 << 48)
    with pytest.raises(ValueError, match="congruent"):
        ParameterSet("odd", (PRODUCT.data_primes[0] + 2,), PRODUCT.special_prime, 1 << 48)


def test_wire_tags_name_kind_and_parameters():
    assert wire_tag("product request").hex() == "0415ff78a12fb075a973e9ae19ed529a"
    assert wire_tag("product request") != wire_tag("product reply FULL")


def test_known_answers():
    a = RING.encode_ints([-5, 3 * 2**100 + 7, Q // 2])
    assert a.tolist() == [
        [576460752303046652, 180137388026560515, 288230376151523328],
        [576460752303210492, 252194982063407109, 288230376151605248],
    ]
    squares = [25, 16851196480374167020678696817852430, -83076749736472239748026683870789632]
    assert RING.to_ints(RING.mul(a, a)) == squares
    assert RING.to_bytes(a[:, :1]).hex() == "fc3ffaffffffff07fcbffcffffffff07"


@few
@given(word, word)
def test_mul_high(a: int, b: int):
    assert int(mul_high(np.array([a], np.uint64), np.array([b], np.uint64))[0]) == a * b >> 64


@few
@given(word, st.integers(), st.sampled_from([*RING.q, *SLOT_DATA_PRIMES]))
def test_scale_mod(a: int, factor: int, q: int):
    assert int(scale_mod(np.array([a], np.uint64), factor, q)[0]) == a * factor % q


@few
@given(st.data(), st.sampled_from([*RING.q, *SLOT_DATA_PRIMES]))
def test_multiply_mod(data: st.DataObject, q: int):
    a, b = (data.draw(st.integers(0, q - 1)) for _ in range(2))
    assert int(multiply_mod(np.array([a], np.uint64), np.array([b], np.uint64), q)[0]) == a * b % q


@few
@given(st.lists(word, min_size=1, max_size=4))
def test_reduce_words(words: list[int]):
    value = sum(w << 64 * i for i, w in enumerate(reversed(words)))
    got = reduce_words([np.array([w], np.uint64) for w in words], SLOT_DATA_PRIMES)
    assert got[:, 0].tolist() == [value % q for q in SLOT_DATA_PRIMES]


@few
@given(elements, st.data())
def test_arithmetic_is_exact(x: list[int], data: st.DataObject):
    y = data.draw(st.lists(st.integers(0, Q - 1), min_size=len(x), max_size=len(x)))
    a, b = RING.encode_ints(x), RING.encode_ints(y)
    assert RING.to_ints(a) == [centred(u) for u in x]
    assert RING.to_ints(RING.add(a, b)) == [centred(u + v) for u, v in zip(x, y, strict=True)]
    assert RING.to_ints(RING.sub(a, b)) == [centred(u - v) for u, v in zip(x, y, strict=True)]
    assert RING.to_ints(RING.neg(a)) == [centred(-u) for u in x]
    assert RING.to_ints(RING.mul(a, b)) == [centred(u * v) for u, v in zip(x, y, strict=True)]
    for result in (RING.add(a, b), RING.sub(a, b), RING.neg(a), RING.mul(a, b)):
        assert (result < np.array(RING.q, np.uint64)[:, None]).all(), "residues must stay canonical"


@few
@given(elements, st.integers())
def test_mul_public(x: list[int], c: int):
    assert RING.to_ints(RING.mul_public(RING.encode_ints(x), c)) == [centred(u * c) for u in x]


@few
@given(elements)
def test_digits_and_bytes_round_trip(x: list[int]):
    a = RING.encode_ints(x)
    assert np.array_equal(RING.from_digits(*RING.digits(a)), a)
    data = RING.to_bytes(a)
    assert len(data) == 16 * len(x)
    assert np.array_equal(RING.from_bytes(data, len(x)), a)
    assert RING.to_bytes(RING.from_bytes(data, len(x))) == data


@few
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9))
def test_encode_and_to_float(values: list[int]):
    a = RING.encode(np.array(values, np.int64))
    assert RING.to_ints(a) == values
    assert np.allclose(RING.to_float(a), np.array(values, float), rtol=2**-51, atol=0)


@few
@given(elements)
def test_to_float_of_any_element(x: list[int]):
    want = np.array([float(centred(u)) for u in x])
    assert np.allclose(RING.to_float(RING.encode_ints(x)), want, rtol=2**-51, atol=0)


@few
@given(st.integers(-(2**76), 2**76), st.integers(1, 117), st.integers(0, Q - 1))
def test_truncation_is_off_by_one_at_most(x: int, bits: int, mask: int):
    """Holds for every mask outside an interval of 2^77 of the 2^118: never hit here in practice."""
    first = RING.truncate(RING.encode_ints([mask]), bits, second=False)
    second = RING.truncate(RING.encode_ints([x - mask]), bits, second=True)
    got = RING.to_ints(RING.add(first, second))[0]
    assert got - (x >> bits) in (0, 1) or not 2**77 < mask < Q - 2**77


def test_truncation_of_an_unmasked_negative_number_fails():
    first = RING.truncate(RING.encode_ints([-(2**50)]), 20, second=False)
    assert RING.to_ints(RING.add(first, RING.truncate(RING.zeros(1), 20, second=True)))[0] != -(2**30)


@pytest.mark.parametrize("bits", [0, 118, -1])
def test_truncation_and_flood_refuse_impossible_widths(bits: int):
    with pytest.raises(ValueError, match="118"):
        RING.truncate(RING.zeros(1), bits, second=False)
    with pytest.raises(ValueError, match="118"):
        RING.random_below_bits(1, bits)


def test_encode_takes_int64_vectors_only():
    with pytest.raises(ValueError, match="int64 vector"):
        RING.encode(np.zeros(3))
    with pytest.raises(ValueError, match="int64 vector"):
        RING.encode(np.zeros((2, 3), np.int64))


def test_from_bytes_is_strict():
    good = RING.to_bytes(RING.random(5))
    for bad in (good[:-1], good + b"\0", b""):
        with pytest.raises(MalformedMessage, match="expected 80 bytes"):
            RING.from_bytes(bad, 5)
    for row, q in enumerate(RING.q):
        words = np.frombuffer(good, "<u8").copy()
        words[5 * row] = q
        with pytest.raises(MalformedMessage, match="below their primes"):
            RING.from_bytes(words.tobytes(), 5)


def test_random_elements_are_uniform():
    """Chi-squared over 64 cells of each residue: 63 degrees of freedom, 160 is beyond 2^-30."""
    a = RING.random(40_000)
    for row, q in zip(a, RING.q, strict=True):
        counts = np.bincount((row.astype(float) * 64 / q).astype(int), minlength=64)
        assert ((counts - 625.0) ** 2 / 625).sum() < 160
    assert len(set(RING.to_ints(a))) == 40_000


@pytest.mark.parametrize("bits", [1, 40, 64, 65, 88, 98, 117])
def test_random_below_bits_fills_its_range(bits: int):
    values = [v % Q for v in RING.to_ints(RING.random_below_bits(2_000, bits))]
    assert max(values) < 2**bits
    mean = sum(values) / 2_000 / 2**bits
    assert abs(mean - (0.5 - 0.5 / 2**bits)) < 6 * 0.5 / 2_000**0.5


def test_uniform_bits_wider_than_two_words():
    low, high = uniform_bits(500, 134, [2**61 - 1]), uniform_bits(500, 134, [2**61 - 1])
    assert not np.array_equal(low, high)
    assert len(np.unique(low)) == 500
