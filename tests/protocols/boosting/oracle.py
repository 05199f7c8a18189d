"""Pooled plaintext: holds every party's bins and answers whatever a grower wants."""
from __future__ import annotations

import numpy as np

from protocols.boosting.candidates import Candidate
from protocols.boosting.grower import Grower, Sides, Sums
from protocols.boosting.model import PlacedSplit, Trees


class Oracle:
    """`codes` (n, columns): the bin of every row in every candidate column."""

    def __init__(self, codes: np.ndarray, columns: tuple[Candidate, ...]):
        self.codes, self.columns = codes, columns
        self._place = {(one.party, one.column): at for at, one in enumerate(columns)}

    def sums(self, vectors: np.ndarray) -> np.ndarray:
        """(m, n) -> (m, bins of all columns) int64."""
        parts = [np.stack([np.bincount(self.codes[:, at], vector.astype(float), column.bins) for vector in vectors])
                 for at, column in enumerate(self.columns)]
        return np.concatenate(parts, axis=1).astype(np.int64)

    def side(self, split: PlacedSplit) -> np.ndarray:
        """(n,) bool."""
        at = self._place[split.party, split.column]
        column, codes = self.columns[at], self.codes[:, at]
        missing = (codes == column.bins - 1) & column.has_missing
        return np.where(missing, split.missing_left, codes <= split.bin)

    def sides(self, splits: tuple[PlacedSplit, ...]) -> np.ndarray:
        """(splits, n) bool."""
        return np.array([self.side(split) for split in splits], dtype=bool).reshape(len(splits), len(self.codes))

    def answer(self, grower: Grower) -> bool:
        """One step of the training; False when it has ended."""
        wanted = grower.wanted()
        if isinstance(wanted, Sums):
            grower.take_sums(self.sums(wanted.vectors))
        elif isinstance(wanted, Sides):
            grower.take_sides(self.sides(wanted.splits))
        return wanted is not None

    def train(self, grower: Grower) -> Trees:
        """The whole training."""
        while self.answer(grower):
            pass
        return grower.model()
