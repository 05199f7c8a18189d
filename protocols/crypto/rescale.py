"""Between a ring modulo q = p0·p1 and one modulo q·d, d = p2·p3: the same integers with more residues, and division.

Residue number systems as in Bajard, Eynard, Hasan, Zucca: A Full RNS Variant of FV Like Somewhat Homomorphic Encryption
Schemes, 2016, sections 3.1 and 3.2; exact here, since two residues are put together by mixed radix.
"""
from __future__ import annotations

import numpy as np

from protocols.crypto.ring import WORD, Array, Ring, scale_mod, subtract_once


def lifted(a: Array, ring: Ring, more: tuple[int, ...]) -> Array:
    """(2 + len(more), n): residues of the centred integers whose residues modulo the ring's primes are `a`, (2, n)."""
    low, high = ring.digits(a)
    middle = [WORD(part) for part in divmod(ring.modulus // 2, ring.q[0])]
    negative = ((high > middle[0]) | ((high == middle[0]) & (low > middle[1]))).astype(WORD)
    rows = [subtract_once(_mod(low, high, ring.q[0], prime) + negative * WORD(prime - ring.modulus % prime), prime)
            for prime in more]
    return np.concatenate([a, np.stack(rows)])


def divided(a: Array, ring: Ring, by: Ring) -> Array:
    """(2, n): integers given by residues modulo the primes of `ring` and `by`, (4, n), divided by the modulus of `by`
    and rounded to the nearest, modulo that of `ring`."""
    primes = (*ring.q, *by.q)
    half = np.array([by.modulus // 2 % prime for prime in primes], dtype=WORD)[:, None]
    moved = subtract_once(a + half, np.array(primes, dtype=WORD)[:, None])
    low, high = by.digits(moved[2:])
    rows = []
    for row, prime in zip(moved[:2], ring.q, strict=True):
        whole = subtract_once(row + (WORD(prime) - _mod(low, high, by.q[0], prime)), prime)
        rows.append(scale_mod(whole, pow(by.modulus, -1, prime), prime))
    return np.stack(rows)


def _mod(low: Array, high: Array, radix: int, prime: int) -> Array:
    """low + radix·high modulo a prime."""
    return subtract_once(low % WORD(prime) + scale_mod(high, radix, prime), prime)
