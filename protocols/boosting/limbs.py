"""Exact products of matrices modulo a prime of up to 54 bits, by float64 products of 18-bit limbs.

A float64 product sums integers exactly below 2^53: limbs of 18 bits leave 2^17 summands. BLAS does that twenty times
faster than integer arithmetic of numpy does.
"""
from __future__ import annotations

import numpy as np

from protocols.crypto.ring import WORD, Array, scale_mod, subtract_once

LIMB = 18
LIMBS = 3
MOST_TERMS = 1 << (53 - 2 * LIMB - 2)
_MASK = WORD((1 << LIMB) - 1)


def limbs_of(words: Array) -> Array:
    """uint64 words below 2^54 -> (3, …) float64 limbs, the lowest first."""
    return np.stack([((words >> WORD(LIMB * at)) & _MASK).astype(np.float64) for at in range(LIMBS)])


def times(left: Array, right: Array, prime: int) -> Array:
    """(a, b)·(b, c) modulo the prime, from limbs (3, a, b) and (3, b, c); ValueError for more than 2^15 terms."""
    if left.shape[2] != right.shape[1] or left.shape[2] > MOST_TERMS:
        raise ValueError(f"expected products of at most {MOST_TERMS} terms, got {left.shape} times {right.shape}")
    sums = _sums(left, right)
    total = np.zeros(sums[0].shape, WORD)
    for one in reversed(sums):
        total = subtract_once(scale_mod(total, 1 << LIMB, prime) + one.astype(WORD) % WORD(prime), prime)
    return total


def _sums(left: Array, right: Array) -> list[Array]:
    """Sums of all products of limbs that have the same weight."""
    rows, columns = left.shape[1], right.shape[2]
    every = left.reshape(LIMBS * rows, -1) @ np.concatenate(list(right), axis=1)
    every = every.reshape(LIMBS, rows, LIMBS, columns)
    return [sum(every[i, :, at - i] for i in range(LIMBS) if 0 <= at - i < LIMBS) for at in range(2 * LIMBS - 1)]


def times_ternary(left: Array, right: Array, prime: int) -> Array:
    """(a, b)·(b, c) modulo the prime, of words (a, b) below 2^54 and float64 entries -1, 0, 1."""
    low, high = ((left >> WORD(27 * at)) & WORD((1 << 27) - 1) for at in range(2))
    parts = [np.mod((part.astype(np.float64) @ right).astype(np.int64), np.int64(prime)).astype(WORD)
             for part in (low, high)]
    return subtract_once(parts[0] + scale_mod(parts[1], 1 << 27, prime), prime)
