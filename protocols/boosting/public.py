"""What both sides compute for themselves from a seed that neither chose alone."""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from protocols.boosting.parameters import KEPT, KEY_DEGREE, PAD_DEGREE, PRIMES
from protocols.boosting.sampling import SEED_BYTES, expanded
from protocols.crypto.ring import Array


@dataclass(frozen=True, repr=False)
class Public:
    """Public polynomials of one training over `rows` rows; `seed`: 32 bytes that both parties contributed to."""

    seed: bytes
    rows: int

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES or self.rows < 1:
            raise ValueError(f"expected a seed of {SEED_BYTES} bytes and at least a row")

    @property
    def chunks(self) -> int:
        """Polynomials of degree 4096 that the rows fill."""
        return -(-self.rows // PAD_DEGREE)

    @cached_property
    def pads(self) -> Array:
        """(chunks, 2, 4096): the public factor of each chunk of rows."""
        made = expanded(self.seed, "pads", self.chunks * PAD_DEGREE, KEPT)
        return np.moveaxis(made.reshape(2, self.chunks, PAD_DEGREE), 1, 0)

    @cached_property
    def key(self) -> Array:
        """(4, 8192): the public factor of every encrypted secret."""
        return expanded(self.seed, "key", KEY_DEGREE, PRIMES)

    @cached_property
    def zero(self) -> Array:
        """(2, 8192): the public factor of what hides the platform's matrix."""
        return expanded(self.seed, "zero", KEY_DEGREE, KEPT)
