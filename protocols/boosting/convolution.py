"""What bins add up to of public polynomials: products of indicators by float64 transforms, exact by rounding.

A row of the platform's matrix is a sum over chunks of (which of the chunk's rows are in the bin) times (the chunk's
pad, reflected), in Z[y]/(y^4096 + 1). Words are cut into balanced limbs of 27 bits, so a product with an indicator is
an integer below 2^46 for a million rows. A real polynomial modulo y^4096 + 1 folds to a complex one of 2048 points (the
right-angle convolution of Crandall and Fagin, Discrete weighted transforms and large-integer arithmetic, 1994); points
are multiplied one by one and added up over all chunks before anything is transformed back.

How far off a result is before it is rounded: with a million rows in one bin and pads as they are drawn a deviation of
2^-15.8, at most 2^-13.7 (measured, a test holds half of it below 2^-12); with pads of equal words 2^-5. Rounding fails
at 2^-1; what is off by more than 2^-4 is an error, never a result.
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from protocols.boosting.bins import Binned
from protocols.boosting.parameters import KEPT, PAD_DEGREE
from protocols.crypto.ring import WORD, Array, scale_mod, subtract_once

_HALF = PAD_DEGREE // 2
_LIMB = 27
_FARTHEST = 1 / 16
_TWIST = np.exp(1j * np.pi * np.arange(_HALF) / PAD_DEGREE)


def bin_sums(binned: Binned, factors: Array) -> Iterator[Array]:
    """For each column in turn (bins, 2, 4096): Σ over the rows of every bin of y^(row within its chunk) times the
    chunk's factor, modulo both primes; `factors`: (chunks, 2, 4096) residues."""
    made = np.stack([transformed(limbs_of(one)) for one in factors])
    whole = sum(_total(binned, at, factor) for at, factor in enumerate(made))
    for column, bins in zip(binned.columns, binned.counts, strict=True):
        sums = np.zeros((2 * len(KEPT), bins, _HALF), np.complex128)
        room = np.empty((2, bins, _HALF), np.complex128)
        for at, factor in enumerate(made):
            _add(sums[:, :-1], column[at * PAD_DEGREE:(at + 1) * PAD_DEGREE], factor, *room)
        sums[:, -1] = whole - sums[:, :-1].sum(axis=1)  # every row is in one of the bins
        yield residues_of(back(sums))


def _total(binned: Binned, at: int, factor: Array) -> Array:
    rows = min(PAD_DEGREE, len(binned.codes) - at * PAD_DEGREE)
    return factor * transformed((np.arange(PAD_DEGREE) < rows).astype(np.float64))


def _add(sums: Array, codes: Array, factor: Array, marked: Array, product: Array) -> None:
    """A chunk's part of the sums of all bins but the last: (limbs, bins - 1, 2048), with (limbs, 2048) of the chunk;
    `marked` and `product` (bins, 2048) are written over."""
    marked[:] = 0
    for first, weight in ((0, _TWIST), (_HALF, 1j * _TWIST)):
        half = codes[first:first + _HALF]
        marked[half, np.arange(len(half))] += weight[:len(half)]  # as `transformed` folds them
    points = np.fft.fft(marked[:-1], out=marked[:-1])
    for limb, one in zip(sums, factor, strict=True):
        np.multiply(points, one, out=product[:-1])
        limb += product[:-1]


def limbs_of(words: Array) -> Array:
    """(2, n) residues -> (4, n) float64: by prime the low and the high half of the centred residue, each in
    [-2^26, 2^26]."""
    made = []
    for row, prime in zip(words, KEPT, strict=True):
        value = row.astype(np.int64) - np.where(row > WORD(prime // 2), np.int64(prime), np.int64(0))
        low = (value + (1 << _LIMB - 1) & (1 << _LIMB) - 1) - (1 << _LIMB - 1)
        made += [low, (value - low) >> _LIMB]
    return np.stack(made).astype(np.float64)


def residues_of(limbs: Array) -> Array:
    """(4, m, n) integers -> (m, 2, n)."""
    low, high = ([np.mod(limbs[2 * row + half], np.int64(prime)).astype(WORD) for row, prime in enumerate(KEPT)]
                 for half in range(2))
    return np.stack([subtract_once(a + scale_mod(b, 1 << _LIMB, prime), prime)
                     for a, b, prime in zip(low, high, KEPT, strict=True)], axis=1)


def transformed(values: Array) -> Array:
    """(…, 4096) real -> (…, 2048) complex: products modulo y^4096 + 1 become products of points."""
    return np.fft.fft((values[..., :_HALF] + 1j * values[..., _HALF:]) * _TWIST)


def back(points: Array) -> Array:
    """(…, 2048) complex -> (…, 4096) int64; RuntimeError for what is too far from integers to be rounded."""
    folded = np.fft.ifft(points) * _TWIST.conj()
    values = np.concatenate([folded.real, folded.imag], axis=-1)
    rounded = np.rint(values)
    if np.abs(values - rounded).max() > _FARTHEST:
        raise RuntimeError(f"expected products within {_FARTHEST} of integers, got others; take fewer rows")
    return rounded.astype(np.int64)
