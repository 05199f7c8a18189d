"""The matrix product against Python integers, on drawn shapes; its error, masks and parser."""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tenseal.sealapi as seal
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.crypto import product
from protocols.crypto import seal_objects as so
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.params import DEGREE, TAG_BYTES
from protocols.crypto.product import ERROR_BITS, MatrixTiles, ReplyCoding
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage

FULL, SHORT = ReplyCoding.FULL, ReplyCoding.SHORT
LAYOUTS = ("tile", "compact")


def run(keys: KeyPair, peer: PeerKeys, matrix: np.ndarray, vector: list[int], layout: str, coding: ReplyCoding):
    """-> (result as centred integers, tiles) of the whole exchange on uniform shares of the vector."""
    tiles = MatrixTiles(matrix, layout=layout, cache_bytes=1 << 24)
    own = RING.random(len(vector))
    request = product.ask(keys, RING.sub(RING.encode_ints(vector), own), tiles.shape, layout)
    assert len(request) == product.request_bytes(tiles.shape, layout)
    reply, share = product.answer(tiles, peer, own, request, coding)
    assert len(reply) == product.reply_bytes(tiles.shape, layout, coding)
    assert share.shape == (2, tiles.shape[0])
    mine = product.finish(keys, reply, tiles.shape, layout, coding)
    return RING.to_ints(RING.add(mine, share)), tiles


def errors(matrix: np.ndarray, vector: list[int], got: list[int]) -> list[int]:
    """Centred differences to the exact product modulo Q."""
    want = matrix.astype(object) @ np.array(vector, dtype=object)
    half = RING.modulus // 2
    return [int((g - int(w) + half) % RING.modulus - half) for g, w in zip(got, want, strict=True)]


def check(keys: KeyPair, peer: PeerKeys, matrix: np.ndarray, vector: list[int], layout: str, coding: ReplyCoding):
    got, tiles = run(keys, peer, matrix, vector, layout, coding)
    assert max(abs(e) for e in errors(matrix, vector, got)) <= 2 ** tiles.error_bits(coding)


short_side = st.one_of(st.integers(1, 9), st.integers(1, 40))
long_side = st.one_of(st.integers(1, 60), st.integers(1, 2_000), st.sampled_from([8191, 8192, 8193, 9_000]))


@settings(max_examples=14, deadline=None)
@given(short=short_side, long=long_side, flip=st.booleans(), layout=st.sampled_from(LAYOUTS),
       coding=st.sampled_from(ReplyCoding), zeros=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_product_on_drawn_shapes(keys, peer, short, long, flip, layout, coding, zeros, seed):
    rng = np.random.default_rng(seed)
    shape = (short, long) if flip else (long, short)
    matrix = rng.integers(-(2**20) + 1, 2**20, shape) * (rng.random(shape) >= zeros)
    vector = [int(v) << 60 for v in rng.integers(-(2**50), 2**50, shape[1])]
    check(keys, peer, matrix, vector, layout, coding)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 9_000), (9_000, 1), (2, 2), (1024, 3), (3, 1024), (1025, 1030)], ids=str
)
def test_corner_shapes_with_largest_entries(keys, peer, layout, shape):
    matrix = np.full(shape, 2**20 - 1, np.int64)
    matrix[0] = -(2**20) + 1
    check(keys, peer, matrix, [RING.modulus // 3 + i for i in range(shape[1])], layout, FULL)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(20, 3), (3, 20), (9_000, 2)], ids=str)
def test_zero_matrices_and_zero_columns(keys, peer, layout, shape):
    vector = list(range(1, shape[1] + 1))
    check(keys, peer, np.zeros(shape, np.int64), vector, layout, FULL)
    matrix = np.ones(shape, np.int64)
    matrix[:, 1] = 0
    matrix[-2:] = 0
    check(keys, peer, matrix, vector, layout, FULL)


def test_equal_columns_do_not_exceed_the_bound(keys, peer):
    """Columns share the noise of their common ancestors in the expansion; equal ones are the worst case."""
    column = np.random.default_rng(1).choice([-4096, 4096], (8192, 1))
    check(keys, peer, np.repeat(column, 40, axis=1), [1] * 40, "compact", FULL)


def test_without_own_share(keys, peer):
    tiles = MatrixTiles(np.arange(12).reshape(3, 4), layout="tile", cache_bytes=0)
    request = product.ask(keys, RING.encode(np.array([1, 2, 3, 4]) << 40), (3, 4), "tile")
    reply, share = product.answer(tiles, peer, None, request, FULL)
    got = RING.to_float(RING.add(product.finish(keys, reply, (3, 4), "tile", FULL), share)) / 2.0**40
    assert np.abs(got - [20, 60, 100]).max() < 2**-12


def test_cache_bound_does_not_change_results(keys, peer):
    matrix = np.random.default_rng(2).integers(-(2**14), 2**14, (300, 30))
    for cache in (0, 131_072 * 3, 1 << 26):
        tiles = MatrixTiles(matrix, layout="compact", cache_bytes=cache)
        request = product.ask(keys, RING.encode(np.arange(30) << 40), (300, 30), "compact")
        reply, share = product.answer(tiles, peer, None, request, SHORT)
        got = RING.to_float(RING.add(product.finish(keys, reply, (300, 30), "compact", SHORT), share))
        assert np.abs(got / 2.0**40 - matrix @ np.arange(30)).max() < 1
        assert len(tiles._cache) == min(cache // 131_072, tiles.layout.items)


def test_matrix_is_checked():
    for bad in (np.zeros(3, np.int64), np.zeros((2, 2))):
        with pytest.raises(ValueError, match="integer matrix"):
            MatrixTiles(bad, layout="tile", cache_bytes=0)
    for value in (2**20, -(2**20)):
        with pytest.raises(ValueError, match="2\\^20"):
            MatrixTiles(np.array([[value]]), layout="tile", cache_bytes=0)
    with pytest.raises(ValueError, match="at least 1×1"):
        MatrixTiles(np.zeros((0, 3), np.int64), layout="tile", cache_bytes=0)


def test_tiles_print_no_entries():
    assert repr(MatrixTiles(np.array([[77]]), layout="tile", cache_bytes=0)) == (
        "MatrixTiles(shape=(1, 1), layout=tile, REDACTED)"
    )


def test_shares_of_another_shape_are_refused(keys, peer):
    tiles = MatrixTiles(np.ones((3, 4), np.int64), layout="tile", cache_bytes=0)
    with pytest.raises(ValueError, match="\\(2, 4\\)"):
        product.ask(keys, RING.zeros(5), (3, 4), "tile")
    request = product.ask(keys, RING.random(4), (3, 4), "tile")
    with pytest.raises(ValueError, match="\\(2, 4\\)"):
        product.answer(tiles, peer, RING.zeros(3), request, FULL)


# ---------------------------------------------------------------- what a reply carries


def test_masks_are_fresh_and_uniform(keys, peer):
    """Two answers to one request share nothing; shares of a constant matrix fill the ring."""
    tiles = MatrixTiles(np.ones((9_000, 1), np.int64), layout="compact", cache_bytes=1 << 24)
    request = product.ask(keys, RING.encode(np.array([5])), (9_000, 1), "compact")
    (one, mask_one), (two, mask_two) = (product.answer(tiles, peer, None, request, FULL) for _ in range(2))
    assert not (mask_one == mask_two).any()
    same = np.frombuffer(one[16:], np.uint64) == np.frombuffer(two[16:], np.uint64)
    assert not same.any(), "every word of a reply must depend on fresh randomness"
    for row, q in zip(product.finish(keys, one, (9_000, 1), "compact", FULL), RING.q, strict=True):
        counts = np.bincount((row.astype(float) * 32 / q).astype(int), minlength=32)
        assert ((counts - 9_000 / 32) ** 2 / (9_000 / 32)).sum() < 110


def _quotient_of_second_polynomials(request: bytes, reply: bytes) -> np.ndarray:
    """c1 of the reply divided by c1 of the (single) upload, as centred coefficients modulo q0."""
    scheme = so.product_scheme()
    body = request[TAG_BYTES:]
    words = so.unpack_residues(body[64:], RING.q, DEGREE)
    a = so.ciphertext_words(so.seeded_ciphertext(scheme, words, body[:64]), 2)[1]
    c1 = so.unpack_residues(reply[TAG_BYTES : TAG_BYTES + 16 * DEGREE], RING.q, DEGREE)
    pair = so.ciphertext(scheme, np.stack([a, c1]))
    scheme.evaluator.transform_to_ntt_inplace(pair)
    (below, above), q = so.ciphertext_words(pair, 2)[:, 0], RING.q[0]
    ratio = np.array([int(x) * pow(int(y), -1, q) % q for x, y in zip(above, below, strict=True)], np.uint64)
    identity = np.stack([ratio, np.zeros(DEGREE, np.uint64)])
    data = so.ciphertext_bytes(scheme.data_id, np.stack([identity, identity]))
    as_transformed = data[:48] + b"\1" + data[49:]
    back = so.load(seal.Ciphertext(), scheme.context, as_transformed)
    scheme.evaluator.transform_from_ntt_inplace(back)
    values = so.ciphertext_words(back, 2)[0, 0].astype(np.int64)
    return np.where(values > q // 2, values - q, values)


class NoZero(PeerKeys):
    """The mistake under test: replies without a fresh zero."""

    def __init__(self, peer: PeerKeys):
        self.galois = peer.galois

    def fresh_zero(self):
        words = np.zeros((2, 2, DEGREE), np.uint64)
        words[1, :, 0] = 1
        return so.ciphertext(so.product_scheme(), words)


def test_dividing_second_polynomials_gives_nothing(keys, peer):
    """Without the fresh zero c1' = a·p and division returns the matrix; with it, noise. Both are shown."""
    matrix = np.random.default_rng(3).integers(-(2**14), 2**14, (50, 4))
    tiles = MatrixTiles(matrix, layout="tile", cache_bytes=0)
    request = product.ask(keys, RING.random(4), (50, 4), "tile")
    reply, _ = product.answer(tiles, peer, None, request, FULL)
    assert np.median(np.abs(_quotient_of_second_polynomials(request, reply))) > 2**50
    leaking, _ = product.answer(tiles, NoZero(peer), None, request, FULL)
    body = request[TAG_BYTES:]
    words = so.unpack_residues(body[64:], RING.q, DEGREE)
    a = so.ciphertext_words(so.seeded_ciphertext(so.product_scheme(), words, body[:64]), 2)[1]
    c1 = so.unpack_residues(leaking[TAG_BYTES : TAG_BYTES + 16 * DEGREE], RING.q, DEGREE)
    c1[:, 0] = RING.sub(c1[:, :1], RING.encode(np.array([1])))[:, 0]
    leaking = leaking[:TAG_BYTES] + so.pack_residues(c1, RING.q) + leaking[TAG_BYTES + 16 * DEGREE :]
    found = _quotient_of_second_polynomials(request, leaking)[:200].reshape(50, 4)[:, ::-1]
    assert a.any()
    assert np.array_equal(found, matrix)


def test_every_reply_polynomial_has_its_own_zero(keys, peer, monkeypatch):
    made = []
    original = PeerKeys.fresh_zero
    monkeypatch.setattr(PeerKeys, "fresh_zero", lambda self: made.append(original(self)) or made[-1])
    tiles = MatrixTiles(np.ones((20_000, 2), np.int64), layout="compact", cache_bytes=1 << 24)
    request = product.ask(keys, RING.random(2), tiles.shape, "compact")
    product.answer(tiles, peer, None, request, SHORT)
    assert len(made) == tiles.layout.replies == 3


# ---------------------------------------------------------------- strict parsing


@pytest.fixture(scope="module")
def exchange(keys, peer):
    """(tiles, request, {coding: reply}) of a product with several uploads and replies."""
    tiles = MatrixTiles(np.ones((12_000, 12), np.int64), layout="tile", cache_bytes=1 << 24)
    request = product.ask(keys, RING.random(12), tiles.shape, "tile")
    assert tiles.layout.uploads > 1
    assert tiles.layout.replies > 1
    return tiles, request, {c: product.answer(tiles, peer, None, request, c)[0] for c in ReplyCoding}


def _changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


UPLOAD = 64 + 16 * DEGREE


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda d: b"", "bytes of product request"),
        (lambda d: d[:-1], "bytes of product request"),
        (lambda d: d + b"\0", "bytes of product request"),
        (lambda d: d + d[TAG_BYTES : TAG_BYTES + UPLOAD], "bytes of product request"),
        (lambda d: _changed(d, 0, bytes(TAG_BYTES)), "parameters"),
        (lambda d: _changed(d, TAG_BYTES + 64, RING.q[0].to_bytes(8, "little")), "below their primes"),
        (lambda d: _changed(d, len(d) - 8, RING.q[1].to_bytes(8, "little")), "below their primes"),
        (lambda d: _changed(d, TAG_BYTES + UPLOAD, d[TAG_BYTES : TAG_BYTES + 64]), "fresh seed"),
    ],
    ids=["empty", "short", "long", "one-more", "tag", "q0", "q1", "seed-twice"],
)
def test_malformed_requests_are_refused(peer, exchange, make, reason):
    tiles, request, _ = exchange
    with pytest.raises(MalformedMessage, match=reason):
        product.answer(tiles, peer, None, make(request), FULL)


def test_unseeded_uploads_are_refused(peer, keys):
    """A full SEAL ciphertext, the form in which c1 could be chosen, is not a request."""
    tiles = MatrixTiles(np.ones((2, 2), np.int64), layout="tile", cache_bytes=0)
    chosen = so.ciphertext_bytes(so.product_scheme().data_id, np.ones((2, 2, DEGREE), np.uint64))
    tag = product.ask(keys, RING.random(2), (2, 2), "tile")[:TAG_BYTES]
    for request in (chosen, tag + chosen, tag + chosen[: UPLOAD + 1]):
        with pytest.raises(MalformedMessage):
            product.answer(tiles, peer, None, request, FULL)


@pytest.mark.parametrize("coding", ReplyCoding)
def test_malformed_replies_are_refused(keys, exchange, coding):
    tiles, _, replies = exchange
    good = replies[coding]
    zero_second = _changed(good, TAG_BYTES, bytes(coding.value * DEGREE))
    cases = {
        "bytes of product reply": [b"", good[:-1], good + b"\0"],
        "parameters": [_changed(good, 0, bytes(TAG_BYTES)), _changed(good, TAG_BYTES, b"\xff" * 8)],
        "below their primes": [_changed(good, TAG_BYTES, b"\xff" * 8)],
    }
    if coding is FULL:
        cases["below their primes"].append(_changed(good, len(good) - 8, b"\xff" * 8))
    for reason, bad_ones in cases.items():
        for bad in bad_ones:
            with pytest.raises(MalformedMessage, match=reason):
                product.finish(keys, bad, tiles.shape, "tile", coding)
    if coding is FULL:
        with pytest.raises(MalformedMessage, match="second polynomial is zero"):
            product.finish(keys, zero_second, tiles.shape, "tile", coding)


def test_codings_are_not_interchangeable(keys, exchange):
    tiles, _, replies = exchange
    with pytest.raises(MalformedMessage):
        product.finish(keys, replies[FULL], tiles.shape, "tile", SHORT)


# ---------------------------------------------------------------- the stated error


@pytest.mark.slow
@pytest.mark.parametrize("coding", ReplyCoding)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_stated_error_at_30_000_rows(keys, peer, layout, coding, direction):
    rng = np.random.default_rng(4)
    columns = np.clip(np.rint(rng.normal(size=(30_000, 40)) * 4096), -20_480, 20_480).astype(np.int64)
    columns[:, 0] = 4096
    matrix = columns if direction == "forward" else columns.T.copy()
    vector = [int(v) for v in rng.integers(-(2**40), 2**40, matrix.shape[1])]
    got, tiles = run(keys, peer, matrix, vector, layout, coding)
    largest = max(abs(e) for e in errors(matrix, vector, got))
    assert 2 ** (tiles.error_bits(coding) - 4) < largest < 2 ** tiles.error_bits(coding)
    assert tiles.error_bits(coding) <= ERROR_BITS[layout, coding, direction]


def test_products_in_threads_do_not_mix(keys, peer):
    """A daemon serves several runs: no scratch state may be shared between calls."""
    matrix = np.random.default_rng(5).integers(-1000, 1000, (500, 3))

    def once(seed: int) -> int:
        vector = [seed << 50, 1 << 50, -seed << 50]
        got, _ = run(keys, peer, matrix, vector, "compact" if seed % 2 else "tile", FULL)
        return max(abs(e) for e in errors(matrix, vector, got))

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(once, range(8))) < 2**34


@pytest.mark.parametrize("shape", [(13, 9_000), (9_000, 13), (200, 300), (300, 200), (1, 9), (9, 1)])
def test_compact_layouts_switch_keys_once_per_further_entry(monkeypatch, keys, peer, shape):
    """Key switches are most of the cost: one less than ciphertexts packed, or operands expanded."""
    calls, real = [], product._automorphism
    monkeypatch.setattr(product, "_automorphism", lambda *a: calls.append(1) or real(*a))
    tiles = MatrixTiles(np.ones(shape, np.int64), layout="compact", cache_bytes=1 << 24)
    request = product.ask(keys, RING.random(shape[1]), shape, "compact")
    product.answer(tiles, peer, None, request, FULL)
    assert len(calls) == tiles.layout.items - 1


@settings(max_examples=6, deadline=None)
@given(rows=st.sampled_from([1, 5, 700, 8192, 8193]), columns=st.integers(1, 12), seed=st.integers(0, 2**32))
def test_uploads_made_once_serve_several_matrices(keys, peer, rows, columns, seed):
    """The "column" layout; what a shared model does for every batch of scores."""
    rng, vector = np.random.default_rng(seed), [(i + 1) << 70 for i in range(columns)]
    own = RING.random(columns)
    request = product.ask(keys, RING.sub(RING.encode_ints(vector), own), (1, columns), "column")
    product.check_request(request, (1, columns), "column")
    with pytest.raises(MalformedMessage):
        product.check_request(request[:-1], (1, columns), "column")
    for count in (rows, 3):
        matrix = rng.integers(-(2**20) + 1, 2**20, (count, columns))
        tiles = MatrixTiles(matrix, layout="column", cache_bytes=0)
        reply, share = product.answer(tiles, peer, own, request, FULL)
        got = RING.to_ints(RING.add(product.finish(keys, reply, (count, columns), "column", FULL), share))
        assert max(abs(e) for e in errors(matrix, vector, got)) <= 2 ** tiles.error_bits(FULL)
