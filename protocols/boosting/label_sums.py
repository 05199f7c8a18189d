"""The bank's side of hidden sums: vectors that only it knows, summed over bins that only the platform knows.

    once       seed, rows          ◀── veil: the platform's matrix under its own one-time secrets
    ahead      one-time secrets  ── encrypted under keys used once ──▶
                                   ◀── shares of the corrections
    then       step·v + pad      ───▶   summed over every bin, less its share, flooded
                                   ◀──  opened: Σ v of every bin, and no more up to the stated distance

A secret serves one vector: two under one secret give their difference away. Whoever keeps the state writes down that a
secret is used before it is.
"""
from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from protocols.boosting.limbs import times_ternary
from protocols.boosting.parameters import KEPT, KEY_DEGREE, PAD_DEGREE, PRIMES, SCALE, Room
from protocols.boosting.pieces import shares_of
from protocols.boosting.polynomials import Factor, Pair, interleaved, pairs, signed, spread, summed
from protocols.boosting.public import Public
from protocols.boosting.residues import SHARES, turned, unpaired
from protocols.boosting.sampling import errors, ternary
from protocols.crypto import seal_objects as so
from protocols.crypto.opening import open_shares
from protocols.crypto.ring import WORD, Array, scale_mod, subtract_once
from protocols.errors import MalformedMessage

_FULL = np.array(PRIMES, dtype=WORD)[:, None]
SHARE_BYTES = sum(so.residue_widths(KEPT))
SECRET_BYTES = KEY_DEGREE * (sum(so.residue_widths(PRIMES)) + SHARE_BYTES)
_PIECE = 64  # polynomials of the veil that are worked on at a time


class Veil:
    """The platform's matrix as it is hidden: (polynomials, 2, 8192), for `rows` bins."""

    def __init__(self, words: Array, rows: int):
        self.words, self.rows = words, rows

    @classmethod
    def from_bytes(cls, data: bytes, rows: int) -> Veil:
        """MalformedMessage on another length or residues that are not below their primes."""
        count = -(-rows // 2)
        size = SHARE_BYTES * KEY_DEGREE
        if len(data) != count * size:
            raise MalformedMessage(f"expected {count * size} bytes of a hidden matrix, got {len(data)}")
        view = memoryview(data)
        return cls(np.stack([so.unpack_residues(view[at * size:(at + 1) * size], KEPT, KEY_DEGREE)
                             for at in range(count)]), rows)


@dataclass(repr=False)
class Secrets:
    """One-time secrets of one request, (m, 4096), and the keys they were encrypted under, (m, 8192); int8."""

    pads: Array
    keys: Array

    @classmethod
    def fresh(cls, count: int) -> Secrets:
        """From the operating system's generator."""
        return cls(ternary(count * PAD_DEGREE).reshape(count, -1), ternary(count * KEY_DEGREE).reshape(count, -1))

    def __reduce__(self):
        raise TypeError("Secrets are neither pickled nor copied")


def request(public: Public, secrets: Secrets) -> bytes:
    """The secrets encrypted: per secret 28 bytes of its encryption and 14 of a zero's for each of 8192 coefficients."""
    keyed, zero = Factor(public.key), Factor(public.zero)
    pieces = []
    for at in range(0, len(secrets.keys), 2):
        keys = secrets.keys[at:at + 2]
        hidden = keyed.times(signed(keys)), zero.times(signed(keys, KEPT))
        for number in range(len(keys)):
            pieces.append(so.pack_residues(_encrypted(secrets.pads[at + number], hidden[0][number]), PRIMES))
            pieces.append(so.pack_residues(SHARES.sub(signed(errors(KEY_DEGREE), KEPT), hidden[1][number]), KEPT))
    return b"".join(pieces)


def _encrypted(pad: Array, product: Array) -> Array:
    """error + p2·p3·pad - key·public, (4, 8192)."""
    words = subtract_once(signed(errors(KEY_DEGREE)) + (_FULL - product), _FULL)
    for row, prime in enumerate(KEPT):
        scaled = np.array([(SCALE[0] * SCALE[1] * value) % prime for value in (-1, 0, 1)], dtype=WORD)
        words[row, :PAD_DEGREE] = subtract_once(words[row, :PAD_DEGREE] + scaled[pad + 1], prime)
    return words


def corrections(veil: Veil, secrets: Secrets, reply: bytes) -> Array:
    """(m, 2, rows): the bank's share of what each secret's pads add to every bin; MalformedMessage for other bytes."""
    told, keys = shares_of(reply, len(secrets.keys), veil.rows, "corrections"), secrets.keys.astype(np.float64)
    columns = turned(keys, -keys)
    own = np.empty((2, len(veil.words), columns.shape[1]), WORD)
    for at in range(0, len(veil.words), _PIECE):
        for row, prime in enumerate(KEPT):
            own[row, at:at + _PIECE] = times_ternary(veil.words[at:at + _PIECE, row], columns, prime)
    return np.stack([SHARES.add(*both) for both in zip(unpaired(own, veil.rows), told, strict=True)])


class Masks:
    """Hides vectors over the rows of a training."""

    def __init__(self, public: Public):
        self._rows = public.rows
        even = np.concatenate([public.pads, public.pads[:public.chunks % 2]])  # a last single one goes twice
        self._factors = [Factor(interleaved(one, other)) for one, other in zip(even[::2], even[1::2], strict=True)]

    def hidden(self, vectors: Iterable[Array], pads: Array, room: Room) -> Iterator[bytes]:
        """Each of the vectors (rows,), int64, under its one-time secret (m, 4096): step·v + pad, 14 bytes a row."""
        coming = iter(vectors)
        for at in range(0, len(pads), 2):
            masks = self._masks(pads[at:at + 2])[:len(pads) - at]
            for vector, mask in zip(itertools.islice(coming, len(masks)), masks, strict=True):
                step = np.stack([scale_mod(row, room.step, prime)
                                 for row, prime in zip(SHARES.encode(vector), KEPT, strict=True)])
                noise = SHARES.encode(errors(self._rows))
                yield so.pack_residues(SHARES.add(SHARES.add(step, noise), mask), KEPT)

    def _masks(self, pads: Array) -> list[Array]:
        """(2, rows) for each of one or two secrets."""
        (words,) = pairs(spread(signed(pads, KEPT)))
        both = Pair(words)
        products = [summed([(both, factor)]) for factor in self._factors]
        joined = [np.concatenate([part for one in products for part in (one[m, :, ::2], one[m, :, 1::2])], axis=1)
                  for m in range(2)]
        return [one[:, :self._rows] for one in joined]


def opened(reply: bytes, correction: Array, room: Room) -> Array:
    """(rows,) int64: the sums of every bin, exact while the room's bounds hold. MalformedMessage for another length."""
    rows = correction.shape[1]
    if len(reply) != SHARE_BYTES * rows:
        raise MalformedMessage(f"expected {SHARE_BYTES * rows} bytes of sums, got {len(reply)}")
    masked, step = so.unpack_residues(memoryview(reply), KEPT, rows), room.step
    sums = open_shares("tree.sums", masked, SHARES.neg(correction), ring=SHARES).integers()
    return np.array([(2 * value + step) // (2 * step) for value in sums], dtype=np.int64)
