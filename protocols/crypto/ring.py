"""The ring Z_Q, Q = q0·q1, in which all shares live; numpy only.

An element is held by its residues modulo q0 and q1, so a vector of n elements is a uint64 array of shape (2, n)
with row i below q[i]. All operations are vectorised and exact. Signed integers mean their residue; "centred" is
the representative in (-Q/2, Q/2].

Products use Shoup's method for a public factor (D. Harvey, "Faster arithmetic for number-theoretic transforms",
2014, section 2) and a 64×64→128-bit product from 32-bit halves for two vectors.
"""
from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from protocols.crypto.params import PRODUCT
from protocols.errors import MalformedMessage

Array = np.ndarray
WORD = np.uint64
_LOW, _HALF = WORD(0xFFFFFFFF), WORD(32)


def mul_high(a: Array, b: Array) -> Array:
    """High 64 bits of the 128-bit products a·b; uint64, broadcasting."""
    b = np.asarray(b, dtype=WORD)
    a0, a1, b0, b1 = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    middle = a1 * b0 + ((a0 * b0) >> _HALF)
    carry = (middle & _LOW) + a0 * b1
    return a1 * b1 + (middle >> _HALF) + (carry >> _HALF)


def subtract_once(x: Array, q: Array | int) -> Array:
    """x mod q for x < 2q, without a branch on the values."""
    return np.minimum(x, x - np.asarray(q, dtype=WORD))


def scale_mod(a: Array, factor: int, q: int) -> Array:
    """a·factor mod q for any uint64 a, a public factor and q < 2^63 (Shoup)."""
    factor %= q
    quotient = mul_high(a, WORD((factor << 64) // q))
    return subtract_once(a * WORD(factor) - quotient * WORD(q), q)


def multiply_mod(a: Array, b: Array, q: int) -> Array:
    """Element-wise a·b mod q for two vectors."""
    return subtract_once(scale_mod(mul_high(a, b), 1 << 64, q) + (a * b) % WORD(q), q)


def reduce_words(words: Sequence[Array], primes: Sequence[int]) -> Array:
    """Unsigned integers given as 64-bit words, most significant first -> residues (len(primes), n)."""
    rows = []
    for q in primes:
        row = words[0] % WORD(q)
        for word in words[1:]:
            row = subtract_once(scale_mod(row, 1 << 64, q) + word % WORD(q), q)
        rows.append(row)
    return np.stack(rows)


def uniform_bits(n: int, bits: int, primes: Sequence[int]) -> Array:
    """n integers uniform in [0, 2^bits) from the operating system's generator, as residues (len(primes), n)."""
    count = -(-bits // 64)
    words = list(np.frombuffer(os.urandom(8 * count * n), dtype="<u8").reshape(count, n).astype(WORD))
    words[0] = words[0] >> WORD(64 * count - bits)
    return reduce_words(words, primes)


class Ring:
    """Z_Q with Q = q[0]·q[1], two primes below 2^60. Immutable.

    Every method takes and returns arrays of shape (2, n); none changes its arguments.
    """

    def __init__(self, q: tuple[int, int]):
        self.q = (int(q[0]), int(q[1]))
        self.modulus = self.q[0] * self.q[1]
        self._column = np.array(self.q, dtype=WORD)[:, None]
        self._inverse = pow(self.q[0], -1, self.q[1])

    def add(self, a: Array, b: Array) -> Array:
        return subtract_once(a + b, self._column)

    def sub(self, a: Array, b: Array) -> Array:
        return subtract_once(a + (self._column - b), self._column)

    def neg(self, a: Array) -> Array:
        return subtract_once(self._column - a, self._column)

    def zeros(self, n: int) -> Array:
        return np.zeros((2, n), dtype=WORD)

    def encode(self, values: Array) -> Array:
        """int64 array (n,) -> residues."""
        values = np.asarray(values)
        if values.ndim != 1 or values.dtype != np.int64:
            raise ValueError(f"expected an int64 vector, got {values.dtype} of shape {values.shape}")
        return np.stack([np.mod(values, np.int64(q)).astype(WORD) for q in self.q])

    def encode_ints(self, values: Sequence[int]) -> Array:
        """Python integers of any size and sign -> residues."""
        return np.array([[int(v) % q for v in values] for q in self.q], dtype=WORD).reshape(2, len(values))

    def to_ints(self, a: Array) -> list[int]:
        """Centred representatives, exact."""
        low, high = self.digits(a)
        plain = [int(x) + self.q[0] * int(y) for x, y in zip(low, high, strict=True)]
        return [x - self.modulus if x > self.modulus // 2 else x for x in plain]

    def to_float(self, a: Array) -> Array:
        """Centred representatives as float64, relative error at most 2^-51."""
        low, high = self.digits(a)
        middle = WORD(self.q[1] // 2)
        negative = (high > middle) | ((high == middle) & (low > WORD(self.q[0] // 2)))
        low, high = self.digits(np.where(negative, self.neg(a), a))
        size = high.astype(np.float64) * float(self.q[0]) + low.astype(np.float64)
        return np.where(negative, -size, size)

    def mul(self, a: Array, b: Array) -> Array:
        """Element-wise product."""
        return np.stack([multiply_mod(a[i], b[i], q) for i, q in enumerate(self.q)])

    def mul_public(self, a: Array, c: int) -> Array:
        """a·c for one public integer c of any size and sign."""
        return np.stack([scale_mod(a[i], int(c), q) for i, q in enumerate(self.q)])

    def total(self, a: Array) -> Array:
        """(2, 1): the sum of all elements, fewer than 2^32 of them; halves of 32 bits cannot overflow a word."""
        low, high = (a & _LOW).sum(axis=1), (a >> _HALF).sum(axis=1)
        sums = [((int(h) << 32) + int(x)) % q for x, h, q in zip(low, high, self.q, strict=True)]
        return np.array(sums, dtype=WORD)[:, None]

    def digits(self, a: Array) -> tuple[Array, Array]:
        """Mixed radix (Garner): x = low + q0·high with low < q0 and high < q1."""
        difference = subtract_once(a[1] + (WORD(self.q[1]) - a[0] % WORD(self.q[1])), self.q[1])
        return a[0], scale_mod(difference, self._inverse, self.q[1])

    def from_digits(self, low: Array, high: Array) -> Array:
        """Inverse of `digits`."""
        upper = scale_mod(high, self.q[0], self.q[1])
        return np.stack([low, subtract_once(upper + low % WORD(self.q[1]), self.q[1])])

    def truncate(self, a: Array, bits: int, *, second: bool) -> Array:
        """Local share of x / 2^bits (0 < bits < 118); exactly one of the two parties passes second=True.

        The shared result is floor(x / 2^bits) or one more, except with probability 2|x|/Q per element, when it is
        off by about Q / 2^bits: account for it with `fixed_point.TruncationBudget`. The shares must be uniform: the
        pair (x, 0) with negative x always fails. Sound for two parties only (Mohassel, Zhang: SecureML, 2017,
        section 4.1).
        """
        if not 0 < bits < self.modulus.bit_length():
            raise ValueError(f"expected 0 < bits < {self.modulus.bit_length()}, got {bits}")
        shifted = self._shift(self.neg(a) if second else a, bits)
        return self.neg(shifted) if second else shifted

    def _shift(self, a: Array, bits: int) -> Array:
        """floor(x / 2^bits) of the representative in [0, Q)."""
        digit, m = self.digits(a)
        product = m * WORD(self.q[0])
        low = product + digit
        high = mul_high(m, WORD(self.q[0])) + (low < product).astype(WORD)
        if bits >= 64:
            return reduce_words([high >> WORD(bits - 64)], self.q)
        return reduce_words([high >> WORD(bits), (low >> WORD(bits)) | (high << WORD(64 - bits))], self.q)

    def random(self, n: int) -> Array:
        """n elements uniform in Z_Q up to 2^-69 per residue; operating system's generator, never from a seed."""
        return np.stack([uniform_bits(n, 128, [q])[0] for q in self.q])

    def random_below_bits(self, n: int, bits: int) -> Array:
        """n integers uniform in [0, 2^bits), 0 < bits < 118: floods."""
        if not 0 < bits < self.modulus.bit_length():
            raise ValueError(f"expected 0 < bits < {self.modulus.bit_length()}, got {bits}")
        return uniform_bits(n, bits, self.q)

    def to_bytes(self, a: Array) -> bytes:
        """16 bytes per element: all residues modulo q0, then all modulo q1, little-endian words."""
        return np.ascontiguousarray(a, dtype="<u8").tobytes()

    def from_bytes(self, data: bytes, n: int) -> Array:
        """Strict inverse of `to_bytes`; MalformedMessage on another length or a residue that is not below its prime."""
        if len(data) != 16 * n:
            raise MalformedMessage(f"expected {16 * n} bytes for {n} ring elements, got {len(data)}")
        a = np.frombuffer(data, dtype="<u8").reshape(2, n).astype(WORD)
        if (a >= self._column).any():
            raise MalformedMessage("expected residues below their primes; the peer runs other parameters")
        return a


RING = Ring(PRODUCT.data_primes)
