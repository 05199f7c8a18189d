"""Columns as bins, and their sums: rows of an indicator matrix that only the platform knows."""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from protocols.boosting.parameters import KEPT
from protocols.crypto.ring import WORD, Array, scale_mod, subtract_once

_HALF = 27


@dataclass(frozen=True)
class Binned:
    """`codes`: (n, columns) unsigned bins, column f below `counts[f]`."""

    codes: Array
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.codes.shape[1] != len(self.counts) or not len(self.codes):
            raise ValueError(f"expected codes of {len(self.counts)} columns, got {self.codes.shape}")
        if any(int(self.codes[:, f].max()) >= count for f, count in enumerate(self.counts)):
            raise ValueError("expected every code below its column's number of bins")

    @property
    def rows(self) -> int:
        """Bins of all columns together: rows of the indicator matrix."""
        return sum(self.counts)

    @cached_property
    def columns(self) -> list[Array]:
        """Each column's codes, contiguous."""
        return [np.ascontiguousarray(self.codes[:, f]).astype(np.intp) for f in range(len(self.counts))]

    @cached_property
    def largest(self) -> int:
        """Rows of the fullest bin."""
        return max(int(np.bincount(column).max()) for column in self.columns)

    def sums(self, words: Array) -> Array:
        """(2, n) residues modulo q -> (2, rows) of their sums over each bin; exact for up to 2^26 rows."""
        return np.stack([self._sums(row, prime) for row, prime in zip(words, KEPT, strict=True)])

    def _sums(self, row: Array, prime: int) -> Array:
        low, high = (self._weighed(row >> WORD(_HALF * at) & WORD((1 << _HALF) - 1)).astype(WORD) % WORD(prime)
                     for at in range(2))
        return subtract_once(low + scale_mod(high, 1 << _HALF, prime), prime)

    def plain_sums(self, values: Array) -> Array:
        """(n,) integers -> (rows,) int64 sums over each bin; exact while they stay below 2^53."""
        return self._weighed(values).astype(np.int64)

    def _weighed(self, values: Array) -> Array:
        weights = values.astype(np.float64)
        return np.concatenate([np.bincount(column, weights, count)
                               for column, count in zip(self.columns, self.counts, strict=True)])
