"""A matrix of one side times a vector that both sides share: fresh shares of the result for both.

    requester (keys, share a)                           evaluator (matrix X, share b)
    a + zero, encrypted, seeded          ── ask ──▶     + b; times X; + fresh zero; - mask r, uniform modulo Q
    decrypts: X·(a + b) - r + error      ◀─ answer ──   keeps r

The requester learns its share and nothing else: the mask covers c0, the fresh zero covers c1. The evaluator learns
nothing: it sees encryptions under a key it does not hold. Shares are (2, n) residues (`ring.py`); README.md bounds
the error. A reply is made once: keep its bytes and send the same bytes again, never call `answer` twice for one
request (a mask under two replies gives the matrix away).
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from functools import lru_cache, partial

import numpy as np
import tenseal.sealapi as seal

from protocols.crypto import seal_objects as so
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.layout import Layout, LayoutName, layout_of
from protocols.crypto.noise import DROPPED_BITS, energy_of, error_bits, typical_energy
from protocols.crypto.params import DEGREE, ENTRY_BITS, PRODUCT, TAG_BYTES, wire_tag
from protocols.crypto.ring import RING, WORD, Array
from protocols.errors import MalformedMessage

_REQUEST_TAG = wire_tag("product request")
_UPLOAD_BYTES = so.SEED_BYTES + DEGREE * sum(so.residue_widths(PRODUCT.data_primes))
_TILE_BYTES = 8 * DEGREE * len(PRODUCT.data_primes)


class ReplyCoding(Enum):
    """Bytes per coefficient of a reply."""

    FULL = 16
    SHORT = 12

    @property
    def tag(self) -> bytes:
        return wire_tag(f"product reply {self.name}")


_WIDEST_ROWS, _WIDEST_COLUMNS, _WIDEST_MEAN_SQUARE = 1 << 17, 256, 4.0**12.5


def _stated_error_bits(name: LayoutName, coding: ReplyCoding, direction: str) -> float:
    shape = (_WIDEST_ROWS, _WIDEST_COLUMNS) if direction == "forward" else (_WIDEST_COLUMNS, _WIDEST_ROWS)
    plan = layout_of(shape, name)
    return error_bits(plan, typical_energy(plan, _WIDEST_MEAN_SQUARE), coding is ReplyCoding.SHORT)


ERROR_BITS: dict[tuple[LayoutName, ReplyCoding, str], float] = {
    (name, coding, direction): _stated_error_bits(name, coding, direction)
    for name in ("tile", "compact")
    for coding in ReplyCoding
    for direction in ("forward", "backward")
}
"""log2 of the bound on |error| for up to 131,072 rows and 256 columns of root mean square 2^12.5 (whitened columns
and an intercept, at 12 fractional bits); forward is X·w, backward is the transpose times r.
`MatrixTiles.error_bits` bounds the error of one given matrix, of any shape and size."""


# ---------------------------------------------------------------- the evaluator's matrix


class MatrixTiles:
    """An integer matrix (rows, columns), |x| < 2^20, as transformed polynomials.

    `rows`: the rows that are one's own when other parties hold the others, which are zero here. That is public, so
    packing leaves the others out.
    `cache_bytes` bounds the transformed polynomials kept (131 KB each); the others are made again at each use,
    which costs about 0.4 ms each. The matrix itself takes 4 bytes per entry.
    """

    def __init__(self, matrix: Array, *, layout: LayoutName, cache_bytes: int = 1 << 30, rows: slice | None = None):
        matrix = np.asarray(matrix)
        if matrix.ndim != 2 or not np.issubdtype(matrix.dtype, np.integer):
            raise ValueError(f"expected an integer matrix, got {matrix.dtype} of shape {matrix.shape}")
        self.layout = layout_of(matrix.shape, layout)
        if max(abs(int(matrix.min())), abs(int(matrix.max()))) >> ENTRY_BITS:
            raise ValueError(f"expected entries below 2^{ENTRY_BITS} in absolute value; clip or scale the columns")
        self._matrix = matrix.astype(np.int32)
        own = rows or slice(0, len(matrix))
        fold = self.layout.fold
        self.items = range(own.start // fold, -(-own.stop // fold))  # of packing: those with rows of one's own
        self._room = cache_bytes // _TILE_BYTES
        self._cache: dict[tuple[int, int], seal.Plaintext | None] = {}

    @property
    def shape(self) -> tuple[int, int]:
        return self._matrix.shape

    def __repr__(self) -> str:
        return f"MatrixTiles(shape={self.shape}, layout={self.layout.kind}, REDACTED)"

    def __reduce__(self):
        raise TypeError("a MatrixTiles is neither pickled nor copied; build it again from the table")

    def error_bits(self, coding: ReplyCoding) -> float:
        """log2 of the bound on |error| of this matrix's products, from its actual entries."""
        return error_bits(self.layout, energy_of(self.layout, self._matrix), coding is ReplyCoding.SHORT)

    def tile(self, block: int, term: int) -> seal.Plaintext | None:
        """Polynomial that multiplies operand number `term` in result number `block`; None when it is zero."""
        key = (block, term)
        if key in self._cache:
            return self._cache[key]
        made = self._transform(self.layout.polynomial(self._matrix, block, term))
        if len(self._cache) < self._room:
            self._cache[key] = made
        return made

    @staticmethod
    def _transform(coefficients: Array) -> seal.Plaintext | None:
        if not coefficients.any():
            return None
        scheme = so.product_scheme()
        made = so.plaintext(scheme, np.mod(coefficients, np.int64(PRODUCT.plain_modulus)).astype(WORD))
        scheme.evaluator.transform_to_ntt_inplace(made, scheme.data_id)
        return made


# ---------------------------------------------------------------- requester: ask


def request_bytes(shape: tuple[int, int], layout: LayoutName) -> int:
    """Exact length of a request."""
    return TAG_BYTES + layout_of(shape, layout).uploads * _UPLOAD_BYTES


def ask(keys: KeyPair, share: Array, shape: tuple[int, int], layout: LayoutName) -> bytes:
    """Encrypt one's share (2, shape[1]) of the vector; 1.3 ms and 131 KB per polynomial."""
    plan = layout_of(shape, layout)
    if share.shape != (2, plan.columns):
        raise ValueError(f"expected a share of shape (2, {plan.columns}), got {share.shape}")
    uploads = (_encrypt(keys, share[:, plan.chunk(j)], plan.places(j)) for j in range(plan.uploads))
    return b"".join([_REQUEST_TAG, *uploads])


def _encrypt(keys: KeyPair, chunk: Array, places: Array) -> bytes:
    """Seed and c0 of an encryption of zero, the chunk added unscaled to c0 at its places."""
    zero, seed = keys.seeded_zero()
    words = zero.copy()
    words[:, places] = RING.add(words[:, places], chunk)
    return seed + so.pack_residues(words, RING.q)


# ---------------------------------------------------------------- evaluator: answer


def check_request(request: bytes, shape: tuple[int, int], layout: LayoutName) -> None:
    """MalformedMessage unless `answer` would take it; for a request that is kept and answered later."""
    _operands(layout_of(shape, layout), None, request)


def answer(
    tiles: MatrixTiles, peer: PeerKeys, own_share: Array | None, request: bytes, coding: ReplyCoding
) -> tuple[bytes, Array]:
    """Reply and one's own share (2, rows) of tiles · (requester's share + own_share).

    Every reply polynomial carries its own fresh zero; the share is uniform modulo Q and drawn anew in every call.
    MalformedMessage on a request of another length or tag, with residues that are not below their primes, or with a
    seed used twice.
    """
    return _answered(tiles, partial(masked_replies, tiles, peer, own_share, request), coding)


def answer_with(
    tiles: MatrixTiles, peer: PeerKeys, operands: list[seal.Ciphertext], coding: ReplyCoding
) -> tuple[bytes, Array]:
    """As `answer`, of operands that are ready: `prepared.py` keeps those of an upload that serves many calls."""
    return _answered(tiles, partial(_replies, tiles, peer, operands), coding)


def _answered(
    tiles: MatrixTiles, replies: Callable[[Array], Iterable[tuple[Array, Array]]], coding: ReplyCoding
) -> tuple[bytes, Array]:
    mask = RING.random(tiles.shape[0])
    pieces = [coding.tag]
    for second, first in replies(mask):
        pieces += [_encode(second, coding), _encode(first, coding)]
    return b"".join(pieces), mask


def masked_replies(
    tiles: MatrixTiles, peer: PeerKeys, own_share: Array | None, request: bytes, mask: Array
) -> Iterable[tuple[Array, Array]]:
    """Per reply polynomial c1, (2, N), and the wanted coefficients of c0 minus their part of the mask, (2, rows of it).

    `mask`: (2, rows), uniform modulo Q to everybody but those who may know the result, and never used again.
    """
    return _replies(tiles, peer, _operands(tiles.layout, own_share, request), mask)


def _replies(
    tiles: MatrixTiles, peer: PeerKeys, operands: list[seal.Ciphertext], mask: Array
) -> Iterable[tuple[Array, Array]]:
    plan = tiles.layout
    for block, result in enumerate(_EVALUATE[plan.kind](tiles, peer, operands)):
        so.product_scheme().evaluator.add_inplace(result, peer.fresh_zero())
        words = so.ciphertext_words(result, 2)
        yield words[1], RING.sub(words[0][:, plan.positions(block)], mask[:, plan.block(block)])


def _operands(plan: Layout, own_share: Array | None, request: bytes) -> list[seal.Ciphertext]:
    """Encryptions of the whole vector, transformed, one per upload."""
    operands = loaded(plan, own_share, request)
    for operand in operands:
        so.product_scheme().evaluator.transform_to_ntt_inplace(operand)
    return operands


def loaded(plan: Layout, own_share: Array | None, request: bytes) -> list[seal.Ciphertext]:
    """Encryptions of the whole vector in coefficient form, one per upload. MalformedMessage as in `answer`."""
    if own_share is not None and own_share.shape != (2, plan.columns):
        raise ValueError(f"expected a share of shape (2, {plan.columns}), got {own_share.shape}")
    expected = TAG_BYTES + plan.uploads * _UPLOAD_BYTES
    body = so.require_length(request, expected, _REQUEST_TAG, "product request")
    uploads = [body[j * _UPLOAD_BYTES : (j + 1) * _UPLOAD_BYTES] for j in range(plan.uploads)]
    if len({bytes(upload[: so.SEED_BYTES]) for upload in uploads}) != len(uploads):
        raise MalformedMessage("expected a fresh seed for every upload, got one twice; refuse this peer")
    return [_operand(upload, _part(own_share, plan.chunk(j)), plan.places(j)) for j, upload in enumerate(uploads)]


def _part(share: Array | None, chunk: slice) -> Array | None:
    return None if share is None else share[:, chunk]


def _operand(upload: memoryview, own_share: Array | None, places: Array) -> seal.Ciphertext:
    words = so.unpack_residues(upload[so.SEED_BYTES :], RING.q, DEGREE)
    if own_share is not None:
        words[:, places] = RING.add(words[:, places], own_share)
    return so.seeded_ciphertext(so.product_scheme(), words, bytes(upload[: so.SEED_BYTES]))


def _inner(tiles: MatrixTiles, peer: PeerKeys, block: int, operands: list[seal.Ciphertext]) -> seal.Ciphertext:
    """Σ tile(block, term) · operands[term], back in coefficient form; a zero tile costs what any other costs."""
    evaluator, total, spare = so.product_scheme().evaluator, None, seal.Ciphertext()
    for term, operand in enumerate(operands):
        tile = tiles.tile(block, term)
        evaluator.multiply_plain(operand, _one() if tile is None else tile, spare)
        if tile is None:
            continue
        if total is None:
            total, spare = spare, seal.Ciphertext()
        else:
            evaluator.add_inplace(total, spare)
    if total is None:
        return peer.fresh_zero()
    evaluator.transform_from_ntt_inplace(total)
    return total


def _evaluate_tile(tiles: MatrixTiles, peer: PeerKeys, operands: list[seal.Ciphertext]) -> Iterable[seal.Ciphertext]:
    for block in range(tiles.layout.replies):
        yield _inner(tiles, peer, block, operands)


def _evaluate_dot(tiles: MatrixTiles, peer: PeerKeys, operands: list[seal.Ciphertext]) -> Iterable[seal.Ciphertext]:
    """All dot products packed: packing multiplies by 2^levels, so the operands are divided by that first.

    Coefficients between the packed ones hold other sums; they are never sent, so nothing clears them.
    """
    evaluator, plan = so.product_scheme().evaluator, tiles.layout
    for operand in operands:
        evaluator.multiply_plain_inplace(operand, _inverse_power(plan.levels))
    yield _pack(lambda row: _inner(tiles, peer, row, operands), peer, range(plan.items), tiles)


def _evaluate_fan(tiles: MatrixTiles, peer: PeerKeys, operands: list[seal.Ciphertext]) -> Iterable[seal.Ciphertext]:
    """One operand per fold of columns: expansion multiplies by 2^levels, so the upload is divided by that first."""
    evaluator, plan = so.product_scheme().evaluator, tiles.layout
    evaluator.multiply_plain_inplace(operands[0], _inverse_power(plan.levels))
    evaluator.transform_from_ntt_inplace(operands[0])
    columns = _expand(operands[0], peer, plan.levels, plan.items)
    for column in columns:
        evaluator.transform_to_ntt_inplace(column)
    for block in range(plan.replies):
        yield _inner(tiles, peer, block, columns)


_EVALUATE: dict[str, Callable[..., Iterable[seal.Ciphertext]]] = {
    "tile": _evaluate_tile,
    "dot": _evaluate_dot,
    "fan": _evaluate_fan,
}


def _pack(
    make: Callable[[int], seal.Ciphertext], peer: PeerKeys, items: range, tiles: MatrixTiles, below: int = 0
) -> seal.Ciphertext | None:
    """2^levels · the wanted coefficients of make(item) for all items, interleaved; at most len(items) - 1 key switches.

    Items that are not one's own are zero; None when all are. `below`: levels of the tree above this one.
    """
    plan, level = tiles.layout, tiles.layout.levels - below
    if not any(item in tiles.items for item in items):
        return None
    if level == 0:
        return make(items[0])
    even = _pack(make, peer, items[::2], tiles, below + 1)
    if len(items) == 1:
        return _sum(even, even)
    odd = _pack(make, peer, items[1::2], tiles, below + 1)
    odd = odd and shifted(odd, DEGREE // plan.fold >> level)
    if even is None:
        return _difference(odd, _automorphism(odd, (plan.fold << level) + 1, peer))
    both, turned = (even, even) if odd is None else (_sum(even, odd), _difference(even, odd))
    return _sum(both, _automorphism(turned, (plan.fold << level) + 1, peer))


def _expand(source: seal.Ciphertext, peer: PeerKeys, levels: int, count: int) -> list[seal.Ciphertext]:
    """2^levels · the coefficients i, i + 2^levels, … of the source, moved to 0, 2^levels, …, for each i < count.

    The source has no others. count - 1 key switches.
    """
    out = [source]
    for level in range(levels):
        split = min(len(out), count - len(out))
        turned = [_automorphism(c, (DEGREE >> level) + 1, peer) for c in out[:split]]
        upper = [_difference(t, c) for t, c in zip(turned, out, strict=False)]
        alone = [_sum(c, c) for c in out[split:]]  # its other half is zero already
        out = [_sum(c, t) for c, t in zip(out, turned, strict=False)] + alone
        out += [shifted(c, DEGREE - (1 << level)) for c in upper]
    return out


def _sum(a: seal.Ciphertext, b: seal.Ciphertext) -> seal.Ciphertext:
    out = seal.Ciphertext()
    so.product_scheme().evaluator.add(a, b, out)
    return out


def _difference(a: seal.Ciphertext, b: seal.Ciphertext) -> seal.Ciphertext:
    out = seal.Ciphertext()
    so.product_scheme().evaluator.sub(a, b, out)
    return out


def _automorphism(a: seal.Ciphertext, element: int, peer: PeerKeys) -> seal.Ciphertext:
    """x -> x^element, switched back to the peer's key; 1.1 ms."""
    out = seal.Ciphertext()
    so.product_scheme().evaluator.apply_galois(a, element, peer.galois, out)
    return out


def shifted(a: seal.Ciphertext, exponent: int) -> seal.Ciphertext:
    """a · x^exponent."""
    out = seal.Ciphertext()
    so.product_scheme().evaluator.multiply_plain(a, _monomial(exponent), out)
    return out


@lru_cache(maxsize=64)
def _monomial(exponent: int) -> seal.Plaintext:
    coefficients = np.zeros(exponent + 1, dtype=WORD)
    coefficients[exponent] = 1
    return so.plaintext(so.product_scheme(), coefficients)


@lru_cache(maxsize=16)
def _inverse_power(bits: int) -> seal.Plaintext:
    """The constant 2^-bits modulo Q, transformed."""
    constants = [np.full(DEGREE, pow(1 << bits, -1, q), dtype=WORD) for q in RING.q]
    return so.plaintext(so.product_scheme(), np.concatenate(constants), so.product_scheme().data_id)


def _one() -> seal.Plaintext:
    return _inverse_power(0)


# ---------------------------------------------------------------- reply coding


def _encode(words: Array, coding: ReplyCoding) -> bytes:
    """(2, n) residues -> n·coding.value bytes. SHORT keeps the high digit and the upper bits of the low one."""
    if coding is ReplyCoding.FULL:
        return so.pack_residues(words, RING.q)
    low, high = RING.digits(words)
    return high.astype("<u8").tobytes() + (low >> WORD(DROPPED_BITS)).astype("<u4").tobytes()


def _decode(data: memoryview, n: int, coding: ReplyCoding) -> Array:
    """Strict inverse of `_encode`; SHORT puts the middle of the dropped interval.

    q0 is just below 2^59, so every 32-bit value is an upper part of some digit below it.
    """
    if coding is ReplyCoding.FULL:
        return so.unpack_residues(data, RING.q, n)
    high, kept = so.widen(data[: 8 * n], 8), so.widen(data[8 * n :], 4)
    if (high >= WORD(RING.q[1])).any():
        raise MalformedMessage("expected digits below their primes; the peer runs other parameters")
    low = (kept << WORD(DROPPED_BITS)) + WORD(1 << (DROPPED_BITS - 1))
    return RING.from_digits(np.minimum(low, WORD(RING.q[0] - 1)), high)


# ---------------------------------------------------------------- requester: finish


def reply_bytes(shape: tuple[int, int], layout: LayoutName, coding: ReplyCoding) -> int:
    """Exact length of a reply."""
    plan = layout_of(shape, layout)
    return TAG_BYTES + coding.value * (plan.replies * DEGREE + plan.rows)


def finish(keys: KeyPair, reply: bytes, shape: tuple[int, int], layout: LayoutName, coding: ReplyCoding) -> Array:
    """One's share (2, shape[0]) of the product.

    MalformedMessage on a reply of another length or tag, residues that are not below their primes, or a second
    polynomial that is zero.
    """
    plan = layout_of(shape, layout)
    return opened(keys, plan, *parsed(reply, shape, layout, coding))


def parsed(
    reply: bytes, shape: tuple[int, int], layout: LayoutName, coding: ReplyCoding
) -> tuple[list[Array], list[Array]]:
    """Per reply polynomial c1, (2, N), and the masked coefficients of c0, (2, rows of it); MalformedMessage."""
    plan = layout_of(shape, layout)
    body = so.require_length(reply, reply_bytes(shape, layout, coding), coding.tag, "product reply")
    seconds, firsts, at = [], [], 0
    for block in range(plan.replies):
        rows = plan.block(block).stop - plan.block(block).start
        middle, end = at + coding.value * DEGREE, at + coding.value * (DEGREE + rows)
        seconds.append(_decode(body[at:middle], DEGREE, coding))
        firsts.append(_decode(body[middle:end], rows, coding))
        at = end
    return seconds, firsts


def refuse_transparent(polynomials: list[Array]) -> None:
    """MalformedMessage for a reply that encrypts nothing: its sender would know the share that comes of it."""
    if any(not polynomial.any() for polynomial in polynomials):
        raise MalformedMessage("expected an encrypted reply, got one whose second polynomial is zero")


def opened(keys: KeyPair, plan: Layout, seconds: list[Array], firsts: list[Array]) -> Array:
    """What the polynomials of `masked_replies` hold, (2, rows)."""
    turned = _times_secret(keys, seconds)
    parts = [RING.add(f, t[:, plan.positions(b)]) for b, (f, t) in enumerate(zip(firsts, turned, strict=True))]
    return np.concatenate(parts, axis=1)


def _times_secret(keys: KeyPair, polynomials: list[Array]) -> list[Array]:
    """c1 · s for each; SEAL multiplies two polynomials per call, as the halves of one ciphertext."""
    refuse_transparent(polynomials)
    scheme, out = so.product_scheme(), []
    for start in range(0, len(polynomials), 2):
        pair = so.ciphertext(scheme, np.stack([polynomials[start], polynomials[min(start + 1, len(polynomials) - 1)]]))
        scheme.evaluator.transform_to_ntt_inplace(pair)
        scheme.evaluator.multiply_plain_inplace(pair, keys.transformed_secret)
        scheme.evaluator.transform_from_ntt_inplace(pair)
        out += list(so.ciphertext_words(pair, 2))
    return out[: len(polynomials)]
