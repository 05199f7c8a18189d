"""From shares modulo q = p0·p1 to Q = p0·p1·p2·p3 and back, and how single coefficients of a product are read.

A product's coefficients 4095 and 8191 are two inner products: of the words of one polynomial with those of the other,
turned (`turned`). So two rows of a correction stand in one polynomial, reversed (`paired_rows`).
"""
from __future__ import annotations

import numpy as np

from protocols.boosting.parameters import KEPT, KEY_DEGREE, PAD_DEGREE, PRIMES, SCALE, Q
from protocols.crypto.ring import WORD, Array, Ring, scale_mod, subtract_once

SHARES = Ring(KEPT)
_SCALES = Ring(SCALE)
_SCALE = SCALE[0] * SCALE[1]


def lifted(words: Array) -> Array:
    """(…, 2, n) residues of centred integers modulo q -> (…, 4, n) residues of the same integers modulo Q."""
    flat = np.moveaxis(words, -2, 0)
    low, high = SHARES.digits(flat.reshape(2, -1))
    middle = [WORD(part) for part in divmod(Q // 2, KEPT[0])]
    negative = ((high > middle[0]) | ((high == middle[0]) & (low > middle[1]))).astype(WORD)
    more = [subtract_once(_digits_mod(low, high, prime) + negative * WORD(prime - Q % prime), prime) for prime in SCALE]
    made = np.concatenate([flat.reshape(2, -1), np.stack(more)])
    return np.moveaxis(made.reshape(4, *flat.shape[1:]), 0, -2)


def _digits_mod(low: Array, high: Array, prime: int) -> Array:
    return subtract_once(low % WORD(prime) + scale_mod(high, KEPT[0], prime), prime)


def scaled_down(words: Array) -> Array:
    """(4, n) residues modulo Q -> (2, n) of the integers divided by p2·p3 and rounded, modulo q."""
    half = np.array([_SCALE // 2 % prime for prime in PRIMES], dtype=WORD)[:, None]
    moved = subtract_once(words + half, np.array(PRIMES, dtype=WORD)[:, None])
    low, high = _SCALES.digits(moved[2:])
    rows = []
    for row, prime in zip(moved[:2], KEPT, strict=True):
        rest = subtract_once(low % WORD(prime) + scale_mod(high, SCALE[0], prime), prime)
        whole = subtract_once(row + (WORD(prime) - rest), prime)
        rows.append(scale_mod(whole, pow(_SCALE, -1, prime), prime))
    return np.stack(rows)


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
