"""A vector made ready once multiplies small matrices as its upload would have, its error within the stated bound."""
from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.crypto import prepared, product
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.params import DEGREE
from protocols.crypto.prepared import PreparedVector
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage

SCALE = 60


@pytest.fixture(scope="module")
def keys() -> KeyPair:
    return KeyPair.generate()


@pytest.fixture(scope="module")
def peer(keys) -> PeerKeys:
    return PeerKeys.from_bytes(keys.public_bytes())


def ready(keys: KeyPair, peer: PeerKeys, vector: np.ndarray) -> PreparedVector:
    """Of a vector of integers, at SCALE fractional bits, shared at random."""
    own = RING.random(len(vector))
    theirs = RING.sub(RING.encode_ints([int(v) << SCALE for v in vector]), own)
    return PreparedVector(peer, own, product.ask(keys, theirs, (1, len(vector)), "column"))


def multiplied(keys: KeyPair, vector: PreparedVector, matrix: np.ndarray) -> list[int]:
    reply, share = vector.answer(matrix)
    assert len(reply) == prepared.reply_bytes(*matrix.shape)
    return RING.to_ints(RING.add(share, prepared.finish(keys, reply, *matrix.shape)))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.integers(1, 70), columns=st.sampled_from([1, 2, 7, 40, 200]), seed=st.integers(0, 2**20))
def test_products_are_exact_up_to_the_stated_error(keys, peer, rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vector = rng.integers(-1000, 1000, columns)
    matrix = rng.integers(-(2**14), 2**14, (rows, columns))
    errors = [got - (int(exact) << SCALE)
              for got, exact in zip(multiplied(keys, ready(keys, peer, vector), matrix), matrix @ vector, strict=True)]
    assert np.log2(max(map(abs, errors)) + 1) < prepared.error_bits(matrix)


def test_more_rows_than_one_reply_holds(keys, peer) -> None:
    rng = np.random.default_rng(3)
    vector, matrix = rng.integers(-9, 9, 1000), rng.integers(-99, 99, (20, 1000))
    got = multiplied(keys, ready(keys, peer, vector), matrix)
    assert [round(value / 2.0**SCALE) for value in got] == (matrix @ vector).tolist()
    assert prepared.reply_bytes(20, 1000) > 3 * prepared.reply_bytes(8, 1000) - 100


@pytest.mark.parametrize("rows", [1, 3, 16])
def test_single_coefficients_are_those_of_the_transform(keys, peer, rows: int) -> None:
    vector = ready(keys, peer, np.arange(9))
    reply, _ = vector.answer(np.random.default_rng(rows).integers(-50, 50, (rows, 9)))
    by_transform = product.finish(keys, reply, (rows, 9), prepared.LAYOUT, prepared.CODING)
    assert np.array_equal(prepared.finish(keys, reply, rows, 9), by_transform)


def test_the_turned_secret_is_the_ternary_key(keys) -> None:
    turned = keys.turned_secret
    assert turned.shape == (2 * DEGREE,) and set(turned.tolist()) == {-1.0, 0.0, 1.0}
    assert np.array_equal(turned[:DEGREE], -turned[DEGREE:])
    assert abs(np.count_nonzero(turned) / len(turned) - 2 / 3) < 0.03


def test_two_replies_share_neither_zero_nor_mask(keys, peer) -> None:
    vector, matrix = ready(keys, peer, np.arange(5)), np.ones((4, 5), np.int64)
    (first, mask), (second, other) = vector.answer(matrix), vector.answer(matrix)
    assert not np.array_equal(mask, other)
    a, b = (np.frombuffer(reply[16:], "<u8") for reply in (first, second))
    assert (a == b).mean() < 0.01


def test_a_stock_of_zeros_serves_each_once(keys) -> None:
    peer = PeerKeys.from_bytes(keys.public_bytes())
    vector = ready(keys, peer, np.arange(5))
    vector.stock(2)
    assert len(peer._stock) == 2
    replies = [vector.answer(np.ones((1, 5), np.int64))[0] for _ in range(3)]
    assert not peer._stock and len(set(replies)) == 3


def test_malformed_replies_and_shapes_are_refused(keys, peer) -> None:
    vector = ready(keys, peer, np.arange(5))
    reply, _ = vector.answer(np.ones((2, 5), np.int64))
    for bad in (reply[:-1], reply + b"\0", b"\0" * 16 + reply[16:], reply[:16] + bytes(len(reply) - 16),
                reply[:16] + b"\xff" * (len(reply) - 16)):
        with pytest.raises(MalformedMessage):
            prepared.finish(keys, bad, 2, 5)
    with pytest.raises(ValueError, match="rows of 5 entries"):
        vector.answer(np.ones((2, 4), np.int64))
    with pytest.raises(ValueError, match="at most 8192 columns"):
        prepared.reply_bytes(1, DEGREE + 1)
    with pytest.raises(MalformedMessage):
        PreparedVector(peer, RING.zeros(6), product.ask(keys, RING.zeros(5), (1, 5), "column"))
    with pytest.raises(TypeError):
        pickle.dumps(vector)
    assert "REDACTED" in repr(vector)
