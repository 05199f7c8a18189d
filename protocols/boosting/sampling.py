"""Randomness of the pads and keys: public polynomials from a seed, secrets and errors from the operating system."""
from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from decimal import Decimal, localcontext
from functools import cache

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from protocols.boosting.parameters import CUT, DEVIATION
from protocols.crypto.ring import WORD, Array, reduce_words

SEED_BYTES = 32


def expanded(seed: bytes, label: str, count: int, primes: Sequence[int]) -> Array:
    """(len(primes), count) residues that anybody gets from the seed: a ChaCha20 stream (RFC 8439) under a key for this
    label, 128 bits a residue, so each is uniform up to 2^-74."""
    key = hashlib.sha256(b"sealscore boosting public polynomial v1|" + label.encode() + b"|" + seed).digest()
    stream = Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor()
    rows = []
    for prime in primes:
        words = np.frombuffer(stream.update(bytes(16 * count)), "<u8").reshape(2, count).astype(WORD)
        rows.append(reduce_words(list(words), [prime])[0])
    return np.stack(rows)


def ternary(count: int) -> Array:
    """int8 entries uniform in -1, 0, 1."""
    made = np.empty(0, np.uint8)
    while len(made) < count:
        drawn = np.frombuffer(os.urandom(count + 64), np.uint8)
        made = np.concatenate([made, drawn[drawn < 255]])  # 255 is a multiple of 3
    return (made[:count] % 3).astype(np.int8) - 1


def errors(count: int) -> Array:
    """int64, the discrete Gaussian of deviation 3.2 cut at nine deviations, by inversion of its distribution function
    to 2^-64 (Peikert: An Efficient and Parallel Gaussian Sampler for Lattices, 2010, section 4.1)."""
    drawn = np.frombuffer(os.urandom(8 * count), "<u8")
    return np.searchsorted(_distribution(), drawn, side="right") - int(CUT * DEVIATION)


@cache
def _distribution() -> Array:
    """P(X <= x)·2^64 for all x of the support but the last."""
    most = int(CUT * DEVIATION)
    with localcontext(prec=60):
        weights = [(-Decimal(x * x) / (2 * Decimal(str(DEVIATION)) ** 2)).exp() for x in range(-most, most + 1)]
        total, sums = sum(weights), []
        for weight in weights[:-1]:
            sums.append(weight + (sums[-1] if sums else 0))
        return np.array([int(one / total * 2**64) for one in sums], dtype=WORD)
