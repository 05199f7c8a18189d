"""Parameters of the two encryption schemes, as plain numbers: nothing here imports SEAL.

The primes are written out because both parties must hold the same ring whatever library version they run;
`seal_objects` refuses to start when SEAL would choose others. README.md derives every figure.
"""
from __future__ import annotations

import hashlib
from dataclasses import dataclass

DEGREE = 8192
"""N: number of coefficients of a ring polynomial, Z[x]/(x^N + 1)."""

LARGEST_TOTAL_BITS = 218
"""Largest coefficient modulus, special prime included, with 128-bit security at N = 8192 and a ternary key
(HomomorphicEncryption.org standard, November 2018, table 1)."""

ENTRY_BITS = 20
"""Matrix entries are integers of absolute value below 2^ENTRY_BITS."""

ERROR_DEVIATION, ERROR_LIMIT = 3.2, 19.2
"""SEAL's error distribution: Gaussian of this standard deviation, cut at this absolute value (six deviations)."""


@dataclass(frozen=True)
class ParameterSet:
    """One RLWE parameter set: data primes, then the special prime that only key switching and public keys use.

    `plain_modulus` is what SEAL calls t; the matrix product only uses it to lift signed tile entries.
    """

    name: str
    data_primes: tuple[int, ...]
    special_prime: int
    plain_modulus: int

    def __post_init__(self) -> None:
        total = sum(prime.bit_length() for prime in self.primes)
        if total > LARGEST_TOTAL_BITS:
            raise ValueError(f"{self.name}: expected at most {LARGEST_TOTAL_BITS} bits of modulus, got {total}")
        if any(prime % (2 * DEGREE) != 1 for prime in self.primes):
            raise ValueError(f"{self.name}: expected primes congruent 1 modulo {2 * DEGREE}")

    @property
    def primes(self) -> tuple[int, ...]:
        return (*self.data_primes, self.special_prime)

    def describe(self) -> bytes:
        """Everything that must agree between the parties, as text."""
        return f"{self.name}:{DEGREE}:{self.primes}:{self.plain_modulus}".encode()


PRODUCT = ParameterSet(
    name="product",
    data_primes=(0x7fffffffffa4001, 0x7fffffffffcc001),
    special_prime=0xfffffffffffc001,
    plain_modulus=1 << 48,
)
"""Raw RLWE modulo Q = q0·q1 (118 bits). The special prime is as wide as the data primes: key switching then adds
only rounding-size noise, and expansion multiplies that noise by the matrix."""

SLOT_DATA_PRIMES = (0x3fffffffcc001, 0x3ffffffffc001, 0xfffffffd8001, 0xffffffffc001)
SLOT_SPECIAL_PRIME = 0x3e4001
SLOTS = tuple(
    ParameterSet(f"slots-{index}", SLOT_DATA_PRIMES, SLOT_SPECIAL_PRIME, prime)
    for index, prime in enumerate(PRODUCT.data_primes)
)
"""BFV with slots, one plaintext modulus per ring prime: exact products modulo each of them."""

SLOT_REPLY_PRIMES = SLOT_DATA_PRIMES[:2]
"""Replies are switched down to these two primes before they leave."""

FLOOD_BITS = 134
"""Replies of the element-wise product carry a uniform flood in [0, 2^FLOOD_BITS)."""


def wire_tag(kind: str) -> bytes:
    """First 16 bytes of every message of this folder: its kind and all parameters, hashed."""
    text = b"|".join([b"sealscore-crypto-1", kind.encode(), PRODUCT.describe(), *(s.describe() for s in SLOTS)])
    return hashlib.sha256(text).digest()[:16]


TAG_BYTES = 16
