"""The only way from shares to plaintext.

A test of the source forbids `Ring.to_ints` and `Ring.to_float` everywhere else in protocols and parties, so whoever
reads an opened value names its kind here, and every kind is a row of `protocols/openings.py`.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from protocols.crypto.ring import RING, Ring
from protocols.openings import kind_of


@dataclass(frozen=True, repr=False)
class Opened:
    """Numbers modulo a ring's modulus that are shares no more, (2, n)."""

    residues: np.ndarray
    ring: Ring = RING

    def integers(self) -> list[int]:
        """Centred representatives, exact."""
        return self.ring.to_ints(self.residues)

    def floats(self, fraction_bits: int = 0) -> np.ndarray:
        """float64 (n,): centred representatives divided by 2^fraction_bits, relative error at most 2^-51."""
        return self.ring.to_float(self.residues) / 2.0**fraction_bits


def open_shares(kind: str, *shares: np.ndarray, ring: Ring = RING) -> Opened:
    """The sum of all shares, each (2, n), as an opening of `kind`; PolicyRefused for a kind that is not declared."""
    kind_of(kind)
    return Opened(reduce(ring.add, shares), ring)
