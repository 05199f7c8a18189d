"""Products of several evaluators, added up without a key: against integers, and against a hub that cheats."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.crypto import product, summed_product
from protocols.crypto.aggregate import CHECK_BYTES, HEADER_BYTES, MOST_SUMMANDS, add
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.params import DEGREE, TAG_BYTES
from protocols.crypto.product import MatrixTiles, ReplyCoding
from protocols.crypto.ring import RING
from protocols.crypto.summed_product import Seed, contribute, finish_sum, mask_sum
from protocols.errors import MalformedMessage, TrustError

FULL, SHORT = ReplyCoding.FULL, ReplyCoding.SHORT
POINT = Seed(bytes(range(32)))


def pads(count: int) -> list[np.ndarray]:
    return [Seed(bytes([i]) * 32).expand("pad", 1) for i in range(count)]


def masks(count: int, n: int) -> list[np.ndarray]:
    return [Seed(bytes([100 + i]) * 32).expand("mask", n) for i in range(count)]


def summands(keys: KeyPair, peer: PeerKeys, tiles: list[MatrixTiles], vectors: list[list[int]], coding) -> list[bytes]:
    """One per evaluator, each on its own vector shared with the requester."""
    out, rows = [], tiles[0].shape[0]
    for tile, vector, pad, mask in zip(tiles, vectors, pads(len(tiles)), masks(len(tiles), rows), strict=True):
        own = RING.random(len(vector))
        request = product.ask(keys, RING.sub(RING.encode_ints(vector), own), tile.shape, "compact")
        out.append(contribute(tile, peer, own, request, coding, mask, POINT, pad))
    return out


def summed(parts: list[bytes]) -> bytes:
    total = None
    for part in parts:
        total = add(total, part)
    return bytes(total)


def assert_sum(keys, tiles, vectors, parts, coding) -> None:
    shape = tiles[0].shape
    mine = finish_sum(keys, summed(parts), shape, "compact", coding, POINT, pads(len(tiles)))
    got = RING.to_ints(RING.add(mine, sum_of(masks(len(tiles), shape[0]))))
    want = sum(t._matrix.astype(object) @ np.array(v, dtype=object) for t, v in zip(tiles, vectors, strict=True))
    half = RING.modulus // 2
    errors = [abs(int((g - int(w) + half) % RING.modulus - half)) for g, w in zip(got, want, strict=True)]
    assert max(errors) <= sum(2 ** t.error_bits(coding) for t in tiles)


def sum_of(parts: list[np.ndarray]) -> np.ndarray:
    total = parts[0]
    for part in parts[1:]:
        total = RING.add(total, part)
    return total


@settings(max_examples=8, deadline=None)
@given(count=st.integers(1, 5), rows=st.sampled_from([1, 300, 8192, 8193]), columns=st.integers(1, 12),
       coding=st.sampled_from(ReplyCoding), seed=st.integers(0, 2**32))
def test_forward_sums_are_those_of_the_products(keys, peer, count, rows, columns, coding, seed):
    rng = np.random.default_rng(seed)
    tiles, vectors = [], []
    for _ in range(count):
        matrix = rng.integers(-(2**14), 2**14, (rows, columns))
        matrix[:, rng.integers(1, columns + 1):] = 0  # evaluators with fewer columns fill up with zeros
        tiles.append(MatrixTiles(matrix, layout="compact"))
        vectors.append([int(v) << 40 for v in rng.integers(-(2**30), 2**30, columns)])
    assert_sum(keys, tiles, vectors, summands(keys, peer, tiles, vectors, coding), coding)


@settings(max_examples=10, deadline=None)
@given(widths=st.lists(st.integers(1, 30), min_size=1, max_size=5), rows=st.sampled_from([40, 900, 9000]),
       seed=st.integers(0, 2**32))
def test_backward_sums_hold_every_block_in_its_place(keys, peer, widths, rows, seed):
    """Each evaluator has some of the rows; what it leaves in the others' places must not disturb them."""
    rng = np.random.default_rng(seed)
    tiles, at, total = [], 0, sum(widths)
    vector = [int(v) << 40 for v in rng.integers(-(2**30), 2**30, rows)]
    for width in widths:
        matrix = np.zeros((total, rows), np.int64)
        matrix[at : at + width] = rng.integers(-(2**14), 2**14, (width, rows))
        tiles.append(MatrixTiles(matrix, layout="compact", rows=slice(at, at + width)))
        at += width
    vectors = [vector] * len(widths)
    assert_sum(keys, tiles, vectors, summands(keys, peer, tiles, vectors, FULL), FULL)


@pytest.fixture(scope="module")
def three(keys: KeyPair, peer: PeerKeys):
    rng = np.random.default_rng(4)
    tiles = [MatrixTiles(rng.integers(-(2**12), 2**12, (50, 4)), layout="compact") for _ in range(3)]
    vectors = [[1 << 50, 2, 3, 4]] * 3
    return {coding: summands(keys, peer, tiles, vectors, coding) for coding in ReplyCoding}


def finish(keys: KeyPair, data: bytes, coding, count: int = 3) -> np.ndarray:
    return finish_sum(keys, data, (50, 4), "compact", coding, POINT, pads(count))


@pytest.mark.parametrize("coding", ReplyCoding)
def test_a_hub_that_adds_leaves_out_or_changes_is_caught(keys, peer, three, coding):
    parts = three[coding]
    finish(keys, summed(parts), coding)
    own = summands(keys, peer, [MatrixTiles(np.full((50, 4), 5), layout="compact")], [[9, 9, 9, 9]], coding)[0]
    unchecked = own[:TAG_BYTES] + bytes(CHECK_BYTES) + own[HEADER_BYTES:]
    for bad in ([*parts, own], [*parts, unchecked], parts[:2], [parts[0], parts[1], parts[1]], [parts[0]] * 3):
        with pytest.raises(TrustError, match="hub added something of its own"):
            finish(keys, summed(bad), coding)
    good = summed(parts)
    for place in (TAG_BYTES, HEADER_BYTES, len(good) // 2, len(good) - 1):
        changed = bytearray(good)
        changed[place] ^= 1
        with pytest.raises(TrustError):
            finish(keys, bytes(changed), coding)


def test_moving_two_words_into_each_other_is_caught(keys, three):
    """A check that only added the words would not see it."""
    good = summed(three[FULL])
    words = np.frombuffer(bytearray(good), "<u8").copy()
    words[[10, 11]] = words[[11, 10]]
    with pytest.raises(TrustError):
        finish(keys, words.tobytes(), FULL)


def test_another_training_s_pads_or_point_do_not_open_it(keys, three):
    good = summed(three[SHORT])
    with pytest.raises(TrustError):
        finish_sum(keys, good, (50, 4), "compact", SHORT, Seed(bytes(32)), pads(3))
    with pytest.raises(TrustError):
        finish_sum(keys, good, (50, 4), "compact", SHORT, POINT, pads(2))


@pytest.mark.parametrize("data", [b"", b"x" * 100, bytes(TAG_BYTES + 60)])
def test_what_is_no_summand_is_refused(keys, three, data):
    with pytest.raises(MalformedMessage, match="expected a summand"):
        add(None, data)
    with pytest.raises(MalformedMessage):
        add(bytearray(three[SHORT][0]), data)
    with pytest.raises(MalformedMessage, match="expected a sum of"):
        finish(keys, data, SHORT)


def test_summands_of_another_length_or_coding_do_not_fit(three):
    with pytest.raises(MalformedMessage, match="like the others"):
        add(bytearray(three[SHORT][0]), three[SHORT][1][:-12])
    with pytest.raises(MalformedMessage, match="like the others"):
        add(bytearray(three[SHORT][0]), three[FULL][1])


def test_the_largest_number_of_summands_does_not_overflow(three):
    """15 times the largest words that a summand can hold, as Python adds them."""
    for coding in ReplyCoding:
        part = bytearray(three[coding][0])
        part[TAG_BYTES:] = b"\xff" * (len(part) - TAG_BYTES)
        elements = (len(part) - HEADER_BYTES) // coding.value
        high = np.frombuffer(part, "<u8", elements, HEADER_BYTES)
        high[:] = max(RING.q) - 1
        total = bytearray(part)
        for _ in range(MOST_SUMMANDS - 1):
            total = add(total, bytes(part))
        words = np.frombuffer(total, "<u8", elements, HEADER_BYTES)
        carried = 0 if coding is FULL else (MOST_SUMMANDS * (2**32 - 1)) >> 32
        assert int(words[0]) == MOST_SUMMANDS * (max(RING.q) - 1) + carried


def test_a_single_summand_is_uniform_to_requester_and_hub(keys, peer):
    """The key owner, opening one summand by itself, finds the mask and nothing else: it moves with the mask alone."""
    tile = MatrixTiles(np.full((50, 4), 7), layout="compact")
    own = RING.random(4)
    request = product.ask(keys, RING.sub(RING.encode_ints([1, 2, 3, 4]), own), tile.shape, "compact")
    seen = []
    for number in range(200):
        mask = Seed(number.to_bytes(32, "little")).expand("mask", 50)
        part = contribute(tile, peer, own, request, FULL, mask, POINT, pads(1)[0])
        seen.append(finish_sum(keys, part, tile.shape, "compact", FULL, POINT, pads(1)))
    places = np.concatenate(seen, axis=1) / np.array(RING.q, dtype=float)[:, None]
    counts = np.stack([np.histogram(row, bins=10, range=(0, 1))[0] for row in places])
    expected = counts.sum(axis=1, keepdims=True) / 10
    assert (((counts - expected) ** 2 / expected).sum(axis=1) < 45).all()  # chi², 9 degrees: p = 1e-6


def test_seeds_expand_alike_and_apart():
    one, other = Seed(bytes(32)), Seed(bytes(31) + b"\x01")
    assert (one.expand("a", 5) == Seed(bytes(32)).expand("a", 5)).all()
    assert (one.expand("a", 9) != one.expand("b", 9)).all() and (one.expand("a", 9) != other.expand("a", 9)).all()
    assert (mask_sum([one, other], "a", 3) == RING.add(one.expand("a", 3), other.expand("a", 3))).all()
    assert "REDACTED" in repr(one)
    with pytest.raises(MalformedMessage, match="32 bytes"):
        Seed(b"short")


def test_words_of_a_seed_are_uniform_alike_and_apart():
    seed = Seed(bytes(range(32)))
    words = seed.words("a", 20_000)
    assert words.dtype == np.uint32 and (words == Seed(bytes(range(32))).words("a", 20_000)).all()
    assert (words[:9] == seed.words("a", 9)).all() and len(seed.words("a", 0)) == 0
    for other in (seed.words("b", 20_000), Seed(bytes(32)).words("a", 20_000)):
        assert (words != other).mean() > 0.999
    for part in (words >> 28, words & 15):
        counts = np.bincount(part, minlength=16)
        assert ((counts - 1250) ** 2 / 1250).sum() < 56  # chi², 15 degrees: p = 1e-6


def test_the_short_coding_costs_twelve_bytes_an_element_as_without_a_sum(three):
    sent = summed_product.sum_bytes((50, 4), "compact", SHORT)
    assert len(three[SHORT][0]) == sent == product.reply_bytes((50, 4), "compact", SHORT) + CHECK_BYTES
    assert sent == HEADER_BYTES + 12 * (DEGREE + 50)
