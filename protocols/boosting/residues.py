"""The ring of shares, its larger sister modulo Q, and how single coefficients of a product are read.

A product's coefficients 4095 and 8191 are two inner products: of the words of one polynomial with those of the other,
turned (`turned`). So two rows of a correction stand in one polynomial, reversed (`paired_rows`).
"""
from __future__ import annotations

import numpy as np

from protocols.boosting.parameters import KEPT, KEY_DEGREE, PAD_DEGREE, SCALE
from protocols.crypto import rescale
from protocols.crypto.ring import Array, Ring

SHARES = Ring(KEPT)
_SCALES = Ring(SCALE)


def lifted(words: Array) -> Array:
    """(m, 2, n) residues of centred integers modulo q -> (m, 4, n) residues of the same integers modulo Q."""
    flat = np.moveaxis(words, 1, 0)
    made = rescale.lifted(flat.reshape(2, -1), SHARES, SCALE)
    return np.moveaxis(made.reshape(4, *flat.shape[1:]), 0, 1)


def scaled_down(words: Array) -> Array:
    """(4, n) residues modulo Q -> (2, n) of the integers divided by p2·p3 and rounded, modulo q."""
    return rescale.divided(words, SHARES, _SCALES)


def paired_rows(rows: Array) -> Array:
    """(m, 2, 4096) rows -> (ceil(m / 2), 2, 8192) polynomials whose products with another of degree 4096 have the rows'
    inner products at coefficients 4095 and 8191."""
    even = rows if len(rows) % 2 == 0 else np.concatenate([rows, np.zeros_like(rows[:1])])
    back = even[:, :, ::-1]
    return np.ascontiguousarray(np.concatenate([back[::2], back[1::2]], axis=2))


def turned(words: Array, negated: Array) -> Array:
    """(8192, 2·m): columns whose inner products with a polynomial's words are coefficients 4095 and 8191 of its
    products with `words` (m, 8192); `negated`: their negatives."""
    first = np.concatenate([words[:, PAD_DEGREE - 1::-1], negated[:, KEY_DEGREE - 1:PAD_DEGREE - 1:-1]], axis=1)
    return np.ascontiguousarray(np.stack([first, words[:, ::-1]], axis=1).reshape(2 * len(words), KEY_DEGREE).T)


def unpaired(values: Array, rows: int) -> Array:
    """What `turned` gave, (2, ceil(rows / 2), 2·m) by prime -> (m, 2, rows)."""
    split = values.reshape(2, values.shape[1], -1, 2)
    return np.ascontiguousarray(np.moveaxis(split, 2, 0).reshape(split.shape[2], 2, -1)[:, :, :rows])
