"""A shared vector whose upload serves many small products: made ready once, then one multiplication for each.

The upload has one polynomial per entry ("column" layout), which suits products of thousands of rows. For a few rows the
evaluator adds them up, entry j turned by X^j: an encryption of the whole vector in one polynomial, as an upload in the
"row" layout would have been (Huang et al., "Cheetah", USENIX Security 2022, section 3.1). Nothing is sent for it, and
its second polynomial is a sum of turned expansions of seeds, so nobody chose it. Its error is the sum of those of D
uploads: the deviation of a product's error is larger by √D than the formula of README.md for a tile of these rows.
"""
from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from protocols.crypto import noise, product
from protocols.crypto import seal_objects as so
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.layout import LayoutName, layout_of
from protocols.crypto.noise import Energy, energy_of
from protocols.crypto.params import DEGREE
from protocols.crypto.product import MatrixTiles, ReplyCoding
from protocols.crypto.ring import RING, WORD, Array

LAYOUT: LayoutName = "row"
CODING = ReplyCoding.FULL
_FEW_ROWS = 16
_LIMB_BITS, _LIMB = 20, WORD((1 << 20) - 1)


class PreparedVector:
    """Operand of the evaluator. `own_share`: (2, D); `request`: of `product.ask` for D columns, "column" layout."""

    def __init__(self, peer: PeerKeys, own_share: Array, request: bytes):
        self._peer, self.columns = peer, own_share.shape[1]
        layout_of((1, self.columns), LAYOUT)  # ValueError when a row does not fit a polynomial
        evaluator = so.product_scheme().evaluator
        pieces = product.loaded(layout_of((1, self.columns), "column"), own_share, request)
        self._operand = pieces[0]
        for place, piece in enumerate(pieces[1:], start=1):
            evaluator.add_inplace(self._operand, product.shifted(piece, place))
        evaluator.transform_to_ntt_inplace(self._operand)

    def answer(self, matrix: Array) -> tuple[bytes, Array]:
        """Reply and own share (2, m) of matrix (m, D) times the vector: a fresh zero and a fresh mask in every call."""
        if matrix.ndim != 2 or matrix.shape[1] != self.columns:
            raise ValueError(f"expected rows of {self.columns} entries, got a matrix of shape {matrix.shape}")
        tiles = MatrixTiles(matrix, layout=LAYOUT, cache_bytes=0)
        return product.answer_with(tiles, self._peer, [self._operand], CODING)

    def stock(self, count: int) -> None:
        """Make fresh zeros ahead until `count` are there; each serves once and never leaves memory."""
        self._peer.stock(count)

    def __repr__(self) -> str:
        return f"PreparedVector({self.columns} entries, REDACTED)"

    def __reduce__(self):
        raise TypeError("a PreparedVector is neither pickled nor copied; make it again from its upload")


def reply_bytes(rows: int, columns: int) -> int:
    """Exact length of a reply."""
    return product.reply_bytes((rows, columns), LAYOUT, CODING)


def finish(keys: KeyPair, reply: bytes, rows: int, columns: int) -> Array:
    """The requester's share (2, rows); MalformedMessage as in `product.finish`, whose result this is.

    Few coefficients of c1·s are added up one by one, without a transform: 1 ms instead of 5 for eight of them.
    """
    if rows > _FEW_ROWS:
        return product.finish(keys, reply, (rows, columns), LAYOUT, CODING)
    plan = layout_of((rows, columns), LAYOUT)
    seconds, firsts = product.parsed(reply, (rows, columns), LAYOUT, CODING)
    product.refuse_transparent(seconds)
    parts = [RING.add(first, _coefficients(keys, second, plan.positions(block)))
             for block, (second, first) in enumerate(zip(seconds, firsts, strict=True))]
    return np.concatenate(parts, axis=1)


def _coefficients(keys: KeyPair, polynomial: Array, places: Array) -> Array:
    """(2, m): these coefficients of polynomial·s modulo x^N + 1, exact.

    Coefficient k is the sum of polynomial[i]·s[k - i], where s[-j] = -s[N - j]. s is ternary and a residue is cut into
    three limbs of 20 bits, so every sum is below 2^33 and float64 holds it.
    """
    turned = sliding_window_view(keys.turned_secret[::-1], DEGREE)[DEGREE - 1 - places]
    shifts = range(0, 60, _LIMB_BITS)
    limbs = np.stack([(row >> WORD(shift)) & _LIMB for row in polynomial for shift in shifts], axis=1)
    sums = (turned @ limbs.astype(np.float64)).astype(np.int64).reshape(len(places), 2, len(shifts))
    return np.array([[sum(int(limb) << shift for limb, shift in zip(sums[row, at], shifts, strict=True)) % q
                      for row in range(len(places))] for at, q in enumerate(RING.q)], dtype=WORD)


def error_bits(matrix: Array) -> float:
    """log2 of the bound on |error| of this matrix's products."""
    plan = layout_of(matrix.shape, LAYOUT)
    one_upload = energy_of(plan, matrix)
    return noise.error_bits(plan, Energy(plan.columns * one_upload.squares), False)
