"""The matrix product (`product.py`) with several evaluators, whose replies are added up by somebody without a key.

    requester (keys)              evaluator i (matrix X_i, share b_i)              hub
    request i    ── ask ──▶       reply i = X_i·(a_i + b_i) - m_i, as a summand
                                  with a check               ── contribute ──▶    Σ reply i, word by word
    Σ X_i·(a_i + b_i) - Σ m_i   ◀─────────────────────────── finish_sum ──────────

Every reply has its own fresh zero and a mask that is uniform to requester and hub together, so the requester learns
the sum minus Σ m_i and nothing about a single one, also when it sees all of them. The masks come from seeds which the
evaluators share (`Seed`), so that some of them know Σ m_i.

The hub could add a ciphertext of its own, or drop one. Against that every summand carries the value of a polynomial
with its words as coefficients, at a point that the hub does not know, plus a one-time pad (Wegman, Carter, 1981); both
are linear, so the sum's check is that of the sum. Forging succeeds with probability at most words / q0 for either
prime, below 2^-80 for both together.
"""
from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import NoReturn

import numpy as np

from protocols.crypto.aggregate import HEADER_BYTES, MOST_SUMMANDS
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.layout import LayoutName, layout_of
from protocols.crypto.noise import DROPPED_BITS
from protocols.crypto.params import DEGREE, TAG_BYTES, wire_tag
from protocols.crypto.product import MatrixTiles, ReplyCoding, masked_replies, opened
from protocols.crypto.ring import RING, WORD, Array, reduce_words
from protocols.errors import MalformedMessage, TrustError

SEED_BYTES = 32
_LOW_BITS = 32  # of the low mixed-radix digit, 59 bits, that a short summand keeps


class Seed:
    """32 secret bytes that two or more parties share; gives uniform ring elements or words for every label.

    Prints as REDACTED and cannot be pickled.
    """

    def __init__(self, value: bytes):
        if len(value) != SEED_BYTES:
            raise MalformedMessage(f"expected a seed of {SEED_BYTES} bytes, got {len(value)}")
        self._value = bytes(value)

    def expand(self, label: str, n: int) -> Array:
        """(2, n) residues, uniform up to 2^-69, the same for the same label. SHAKE-256 (FIPS 202) as a PRF."""
        stream = hashlib.shake_256(b"sealscore-seed-1" + self._value + label.encode()).digest(32 * n)
        words = np.frombuffer(stream, "<u8").reshape(2, 2, n).astype(WORD)
        return np.stack([reduce_words(list(words[index]), [q])[0] for index, q in enumerate(RING.q)])

    def words(self, label: str, n: int) -> Array:
        """(n,) uint32, uniform modulo 2^32, the same for the same label and apart from `expand`; SHAKE-256 as a PRF."""
        stream = hashlib.shake_256(b"sealscore-seed-words-1" + self._value + label.encode()).digest(4 * n)
        return np.frombuffer(stream, "<u4").astype(np.uint32)

    def to_bytes(self) -> bytes:
        """For the vault and sealed messages only."""
        return self._value

    def __repr__(self) -> str:
        return "Seed(REDACTED)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a seed cannot be pickled")


def mask_sum(seeds: Iterable[Seed], label: str, n: int) -> Array:
    """Σ over the seeds, (2, n)."""
    total = RING.zeros(n)
    for seed in seeds:
        total = RING.add(total, seed.expand(label, n))
    return total


# ---------------------------------------------------------------- evaluator


def contribute(
    tiles: MatrixTiles, peer: PeerKeys, own_share: Array | None, request: bytes, coding: ReplyCoding, mask: Array,
    point: Seed, pad: Array,
) -> bytes:
    """One summand: `tiles` · (requester's share + own_share) - mask, with its check.

    `mask`: (2, rows), never used before; `point`: known to all evaluators and the requester, for one training; `pad`:
    (2, 1), from a seed shared with the requester and a label used once. Errors as in `product.answer`.
    """
    pieces = [part for pair in masked_replies(tiles, peer, own_share, request, mask) for part in pair]
    words = _to_words(np.concatenate(pieces, axis=1), coding)
    check = RING.add(_polynomial(words, point), pad)
    return b"".join([_tag(coding), check.astype("<u8").tobytes(), *(word.tobytes() for word in words)])


def _to_words(elements: Array, coding: ReplyCoding) -> list[Array]:
    """64-bit words, and for the short coding the 32-bit words after them."""
    if coding is ReplyCoding.FULL:
        return [elements[0].astype("<u8"), elements[1].astype("<u8")]
    low, high = RING.digits(elements)
    return [high.astype("<u8"), (low >> WORD(DROPPED_BITS)).astype("<u4")]


def _tag(coding: ReplyCoding) -> bytes:
    return wire_tag(f"summand {coding.name}")


# ---------------------------------------------------------------- requester


def sum_bytes(shape: tuple[int, int], layout: LayoutName, coding: ReplyCoding) -> int:
    """Exact length of a summand and of a sum."""
    plan = layout_of(shape, layout)
    return HEADER_BYTES + coding.value * (plan.replies * DEGREE + plan.rows)


def finish_sum(
    keys: KeyPair, data: bytes, shape: tuple[int, int], layout: LayoutName, coding: ReplyCoding, point: Seed,
    pads: list[Array],
) -> Array:
    """One's share (2, rows) of the sum of all products; `pads`: one per evaluator.

    TrustError when the check does not hold: what came is not the sum of what the evaluators sent.
    """
    if not 1 <= len(pads) <= MOST_SUMMANDS:
        raise ValueError(f"expected 1 to {MOST_SUMMANDS} evaluators, got {len(pads)}")
    if len(data) != sum_bytes(shape, layout, coding) or data[:TAG_BYTES] != _tag(coding):
        raise MalformedMessage(f"expected a sum of {sum_bytes(shape, layout, coding)} bytes, got {len(data)}")
    words = _from_bytes(memoryview(data)[HEADER_BYTES:], coding)
    expected = _polynomial(words, point)
    for pad in pads:
        expected = RING.add(expected, pad)
    given = reduce_words([np.frombuffer(data, "<u8", 2, TAG_BYTES).astype(WORD)], RING.q)
    if any(given[i, i] != expected[i, 0] for i in range(2)):
        raise TrustError("the sum is not that of the platforms' messages: the coordinator's hub added something of its "
                         "own or left something out; nothing was opened")
    return _split(keys, _elements(words, coding, len(pads)), shape, layout)


def _from_bytes(body: memoryview, coding: ReplyCoding) -> list[Array]:
    n = len(body) // coding.value
    second = "<u8" if coding is ReplyCoding.FULL else "<u4"
    return [np.frombuffer(body, "<u8", n), np.frombuffer(body, second, n, 8 * n)]


def _elements(words: list[Array], coding: ReplyCoding, summands: int) -> Array:
    """Words of a sum -> residues; each short summand counts with the middle of what it left out."""
    if coding is ReplyCoding.FULL:
        return np.stack([word.astype(WORD) % WORD(q) for word, q in zip(words, RING.q, strict=True)])
    low = (words[1].astype(WORD) << WORD(DROPPED_BITS)) + WORD(summands << (DROPPED_BITS - 1))
    high = words[0].astype(WORD) % WORD(RING.q[1])
    upper = RING.from_digits(np.zeros_like(high), high)
    return RING.add(upper, reduce_words([low], RING.q))


def _split(keys: KeyPair, elements: Array, shape: tuple[int, int], layout: LayoutName) -> Array:
    plan, at, seconds, firsts = layout_of(shape, layout), 0, [], []
    for block in range(plan.replies):
        rows = plan.block(block).stop - plan.block(block).start
        seconds.append(elements[:, at : at + DEGREE])
        firsts.append(elements[:, at + DEGREE : at + DEGREE + rows])
        at += DEGREE + rows
    return opened(keys, plan, seconds, firsts)


# ---------------------------------------------------------------- the check


def _polynomial(words: list[Array], point: Seed) -> Array:
    """Σ words[j]·x^(j+1) modulo q0 and q1, (2, 1); the two words of a short element count as high·2^32 + low."""
    if words[1].dtype.itemsize == 4:
        parts = [reduce_words([words[0].astype(WORD) >> WORD(_LOW_BITS),
                               words[0].astype(WORD) << WORD(_LOW_BITS) | words[1]], RING.q)]
    else:
        parts = [reduce_words([word.astype(WORD)], RING.q) for word in words]
    values = np.concatenate(parts, axis=1)
    products = RING.mul(values, _powers(point.expand("point", 1).tobytes(), values.shape[1]))
    return np.array([[_total(row) % q] for row, q in zip(products, RING.q, strict=True)], dtype=WORD)


def _total(row: Array) -> int:
    low, high = row & WORD(0xFFFFFFFF), row >> WORD(32)
    return int(low.sum()) + (int(high.sum()) << 32)


@lru_cache(maxsize=8)
def _powers(point: bytes, n: int) -> Array:
    """x, x², …, x^n modulo q0 and q1, (2, n), by doubling."""
    powers = np.frombuffer(point, WORD).reshape(2, 1)
    while powers.shape[1] < n:
        top = powers[:, -1:]
        powers = np.concatenate([powers, RING.mul(powers, np.repeat(top, powers.shape[1], axis=1))], axis=1)
    return powers[:, :n]
