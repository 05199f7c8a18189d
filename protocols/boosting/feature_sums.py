"""The platform's side of hidden sums (`label_sums.py` has the picture): it knows bins, and sees uniform words only.

Its matrix of corrections, M, has a row for each bin: what the pads of the bin's rows add up to, as a function of the
one-time secret. The bank needs shares of M·secret, so M travels once, as the second half of encryptions of zero
(`veil`), and every request is answered by inner products whose result is masked.
"""
from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from protocols.boosting.bins import Binned
from protocols.boosting.convolution import bin_sums
from protocols.boosting.label_sums import SECRET_BYTES, SHARE_BYTES
from protocols.boosting.limbs import limbs_of, times, times_ternary
from protocols.boosting.parameters import KEPT, KEY_DEGREE, PAD_DEGREE, PRIMES, Room
from protocols.boosting.polynomials import Factor, signed
from protocols.boosting.public import Public
from protocols.boosting.residues import SHARES, lifted, paired_rows, scaled_down, turned, unpaired
from protocols.boosting.sampling import errors, ternary
from protocols.crypto import seal_objects as so
from protocols.crypto.ring import WORD, Array
from protocols.errors import MalformedMessage

_PIECE = 64  # polynomials that are worked on at a time


class Corrections:
    """The matrix of one training, and what hides it: made once, kept in memory. Never printed or copied."""

    def __init__(self, binned: Binned, public: Public, veils: Array | None = None):
        """`veils`: those of the same training after a crash, (polynomials, 8192) of -1, 0, 1; None draws fresh ones."""
        self.rows = binned.rows
        count = -(-self.rows // 2)
        self.veils = ternary(count * KEY_DEGREE).reshape(-1, KEY_DEGREE) if veils is None else veils
        self._binned, self._public = binned, public

    @cached_property
    def _polynomials(self) -> Array:
        """Made when they are first needed: after a crash secrets that were answered serve without them."""
        return paired_rows(_matrix(self._binned, self._public))

    def veil(self) -> Iterator[bytes]:
        """Per polynomial its product with the public key part, divided by p2·p3, plus veil·zero + error."""
        key, zero = Factor(self._public.key), Factor(self._public.zero)
        for at in range(0, len(self._polynomials), 2):
            two = self._polynomials[at:at + 2]
            products = key.times(lifted(two))
            veils = zero.times(signed(self.veils[at:at + 2], KEPT))
            for product, veil in zip(products, veils, strict=True):
                noise = signed(errors(KEY_DEGREE), KEPT)
                yield so.pack_residues(SHARES.add(SHARES.add(scaled_down(product), veil), noise), KEPT)

    def answer(self, request: bytes) -> tuple[bytes, Array]:
        """The bank's masked inner products with M, 14 bytes for each secret and bin, and one's own share (m, 2, rows),
        uniform and drawn anew in every call. A request is answered once: keep the bytes for a repeated one."""
        keyed, zeros = _unpacked(request)
        sums = np.empty((2, len(self._polynomials), 2 * len(keyed)), WORD)
        columns = _columns(keyed, PRIMES)
        beside = [_columns(zeros, KEPT, limbs=False)[row].T for row in range(2)]
        for at in range(0, len(self._polynomials), _PIECE):
            sums[:, at:at + _PIECE] = self._piece(slice(at, at + _PIECE), columns, beside)
        exact = unpaired(sums, self.rows)
        own = [SHARES.random(self.rows) for _ in exact]
        replies = [so.pack_residues(SHARES.sub(one, mask), KEPT) for one, mask in zip(exact, own, strict=True)]
        return b"".join(replies), np.stack(own)

    def _piece(self, which: slice, columns: list[Array], beside: list[Array]) -> Array:
        words = lifted(self._polynomials[which])
        raw = np.stack([times(limbs_of(words[:, row]), columns[row], prime) for row, prime in enumerate(PRIMES)])
        divided = scaled_down(raw.reshape(4, -1)).reshape(2, *raw.shape[1:])
        veils = self.veils[which].astype(np.float64).T
        hidden = np.stack([times_ternary(beside[row], veils, prime).T for row, prime in enumerate(KEPT)])
        return SHARES.add(divided.reshape(2, -1), hidden.reshape(2, -1)).reshape(divided.shape)

    def __repr__(self) -> str:
        return f"Corrections(rows={self.rows}, REDACTED)"

    def __reduce__(self):
        raise TypeError("Corrections are neither pickled nor copied; make them again from the table")


def summed_bins(binned: Binned, hidden: bytes, share: Array, room: Room, wanted: Array) -> bytes:
    """Sums of a hidden vector over the bins of `wanted` (rows,) bool, less one's own share, plus a flood: 14 bytes a
    bin."""
    rows = len(binned.codes)
    if len(hidden) != SHARE_BYTES * rows:
        raise MalformedMessage(f"expected {SHARE_BYTES * rows} bytes of a hidden vector, got {len(hidden)}")
    words = so.unpack_residues(memoryview(hidden), KEPT, rows)
    count = int(wanted.sum())
    flood = SHARES.sub(SHARES.random_below_bits(count, room.flood_bits + 1),
                       SHARES.encode_ints([1 << room.flood_bits] * count))
    return so.pack_residues(SHARES.add(SHARES.sub(binned.sums(words), share)[:, wanted], flood), KEPT)


def _matrix(binned: Binned, public: Public) -> Array:
    """(rows, 2, 4096): Σ of the pads' coefficients of every row of a bin, as a function of the secret's."""
    made = np.empty((binned.rows, 2, PAD_DEGREE), WORD)
    at, factors = 0, np.stack([_reflected(pad) for pad in public.pads])
    for sums in bin_sums(binned, factors):
        made[at:at + len(sums)] = sums
        at += len(sums)
    return made


def _reflected(pad: Array) -> Array:
    """a(1/y): with it a product of an indicator has the coefficients of the secret."""
    primes = np.array(KEPT, dtype=WORD)[:, None]
    tail = primes - pad[:, :0:-1]
    return np.concatenate([pad[:, :1], np.where(tail == primes, WORD(0), tail)], axis=1)


def _unpacked(request: bytes) -> tuple[Array, Array]:
    """(m, 4, 8192) encryptions and (m, 2, 8192) zeros."""
    if not request or len(request) % SECRET_BYTES:
        raise MalformedMessage(f"expected a multiple of {SECRET_BYTES} bytes of secrets, got {len(request)}")
    view, first = memoryview(request), SECRET_BYTES - SHARE_BYTES * KEY_DEGREE
    pieces = [view[at:at + SECRET_BYTES] for at in range(0, len(request), SECRET_BYTES)]
    return (np.stack([so.unpack_residues(one[:first], PRIMES, KEY_DEGREE) for one in pieces]),
            np.stack([so.unpack_residues(one[first:], KEPT, KEY_DEGREE) for one in pieces]))


def _columns(words: Array, primes: tuple[int, ...], limbs: bool = True) -> list[Array]:
    """By prime the columns for inner products, as limbs or as words."""
    made = []
    for row, prime in enumerate(primes):
        negated = np.where(words[:, row] == 0, WORD(0), WORD(prime) - words[:, row])
        columns = turned(words[:, row], negated)
        made.append(limbs_of(columns) if limbs else columns)
    return made
