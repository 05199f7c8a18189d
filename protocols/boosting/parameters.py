"""Numbers of the one-time hints behind a histogram, and how much room they leave for hiding. Nothing here imports SEAL.

Two rings. Rows travel under *pads* in Z_q[y]/(y^4096 + 1), q = p0·p1, about 2^108: a pad is a public polynomial times a
one-time ternary secret, plus an error. What takes the pads out of a histogram is computed once per secret under *keys*
in Z_Q[x]/(x^8192 + 1), Q = p0·p1·p2·p3. Both are within the 128-bit row of the HomomorphicEncryption.org standard
(November 2018, table 1, ternary secrets, deviation 3.2): 109 bits at 4096 and 218 at 8192.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

from protocols.errors import ConfigError

PAD_DEGREE, KEY_DEGREE = 4096, 8192
PRIMES = (0x3fffffffe64001, 0x3fffffffe7c001, 0x3fffffffeb8001, 0x3fffffffef8001)
KEPT, SCALE = PRIMES[:2], PRIMES[2:]
"""A share is kept modulo q = p0·p1; a message under a key is scaled by p2·p3, which a reply is divided by."""
Q = KEPT[0] * KEPT[1]
DEVIATION = 3.2
CUT = 9.0
"""Deviations after which the errors of a pad are cut off."""
TAIL, TAIL_LOG2 = 10.0, -71.0
"""A sum of many errors exceeds ten deviations with probability below 2·exp(-50) < 2^-71."""
_MOST_BITS = {PAD_DEGREE: 109, KEY_DEGREE: 218}
_KEY_ERROR = (DEVIATION * math.sqrt(KEY_DEGREE / 12)
              + math.sqrt(KEY_DEGREE * 2 / 3 / 12)
              + DEVIATION * math.sqrt(2 * KEY_DEGREE * 2 / 3))
KEY_ERROR = math.ceil(TAIL * _KEY_ERROR)
"""Most that the share of a correction is off by (up to a probability of 2^-71): the error of a key's encryption times a
polynomial with centred coefficients modulo q, divided by p2·p3; the rounding of that division times a key; the fresh
zero."""
LARGEST_DISTANCE = -40.0
"""log2 of the statistical distance that a whole training may have in all."""


def check() -> None:
    """ValueError unless the moduli are within the standard's table; run by a test."""
    for degree, primes in ((PAD_DEGREE, KEPT), (KEY_DEGREE, PRIMES)):
        bits = math.log2(math.prod(primes))
        if bits > _MOST_BITS[degree] or any(prime % (2 * KEY_DEGREE) != 1 for prime in primes):
            raise ValueError(f"expected primes of at most {_MOST_BITS[degree]} bits in all, got {bits:.1f}")


@dataclass(frozen=True)
class Room:
    """What one opened sum of `width` bits, sign included, over at most `rows` rows has room for."""

    width: int
    rows: int

    @property
    def step(self) -> int:
        """Distance of two neighbouring sums modulo q."""
        return Q >> self.width

    @property
    def error(self) -> int:
        """Most that an opened sum is off by before it is flooded, up to a probability of 2^-70."""
        return KEY_ERROR + math.ceil(TAIL * DEVIATION * math.sqrt(self.rows))

    @property
    def flood_bits(self) -> int:
        """A flood is uniform in [-2^bits, 2^bits)."""
        return (self.step // 2 - self.error).bit_length() - 1

    def distance(self, openings: int) -> float:
        """log2 of the statistical distance of so many openings from openings of the exact sums alone.

        A uniform flood of 2·2^b values, shifted by e, is at distance e/(2·2^b) from itself; an error beyond its bound
        counts in full; openings add up.
        """
        return math.log2(self.error / 2.0 ** (self.flood_bits + 1) + 2 * 2.0**TAIL_LOG2) + math.log2(max(openings, 1))


def room(width: int, rows: int, openings: int) -> Room:
    """The room of a training that opens so many sums; ConfigError when it hides less than 2^-40 in all."""
    made = Room(width, rows)
    if made.step // 2 <= 2 * made.error or made.distance(openings) > LARGEST_DISTANCE:
        told = "nothing" if made.step // 2 <= 2 * made.error else f"2^{made.distance(openings):.0f}"
        raise ConfigError(f"expected a training whose opened sums hide all else up to 2^{LARGEST_DISTANCE:.0f}, got "
                          f"{told} for {openings} sums of {width} bits; take fewer trees, bins, levels or bits")
    return made
