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
        """Each column's codes, contiguous, as narrow as they came."""
        return [np.ascontiguousarray(self.codes[:, f]) for f in range(len(self.counts))]

    @cached_property
    def largest(self) -> int:
        """Rows of the fullest bin."""
        return max(int(np.bincount(column).max()) for column in self.columns)

    def sums(self, words: Array) -> Array:
        """(2, n) residues modulo q -> (2, rows) of their sums over each bin; exact for up to 2^26 rows."""
        halves = [row >> WORD(_HALF * at) & WORD((1 << _HALF) - 1) for row in words for at in range(2)]
        parts = self._weighed(halves).astype(WORD)
        return np.stack([self._joined(*parts[2 * at:2 * at + 2], prime) for at, prime in enumerate(KEPT)])

    @staticmethod
    def _joined(low: Array, high: Array, prime: int) -> Array:
        return subtract_once(low % WORD(prime) + scale_mod(high % WORD(prime), 1 << _HALF, prime), prime)

    def plain_sums(self, values: Array) -> Array:
        """(n,) integers -> (rows,) int64 sums over each bin; exact while they stay below 2^53."""
        return self._weighed([values])[0].astype(np.int64)

    @cached_property
    def _pairs(self) -> list[tuple[Array, int, int]]:
        """Bins of two columns as one number, and how many each has; a last single column goes with one of one bin."""
        columns, counts = [*self.columns, np.uint8(0)], [*self.counts, 1]
        return [(_both(*columns[at:at + 2], counts[at + 1], counts[at]), *counts[at:at + 2])
                for at in range(0, len(self.counts), 2)]

    def _weighed(self, weights: list[Array]) -> Array:
        """m weights (n,) -> (m, rows) float64: one pass over the rows for two columns, by pairs of their bins."""
        floats = [one.astype(np.float64) for one in weights]
        found = []
        for codes, first, second in self._pairs:
            places = codes.astype(np.intp)  # once, or every pass would
            sums = np.stack([np.bincount(places, one, first * second) for one in floats]).reshape(-1, first, second)
            found += [sums.sum(axis=2), sums.sum(axis=1)]
        return np.concatenate(found, axis=1)[:, :self.rows]


def _both(first: Array, second: Array, seconds: int, firsts: int) -> Array:
    return first.astype(np.min_scalar_type(firsts * seconds)) * seconds + second
