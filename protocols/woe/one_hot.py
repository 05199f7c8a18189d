"""The platform's matrix: one row per bin, 1 where a person falls into it. Made tile by tile, never as a whole."""
from __future__ import annotations

import numpy as np
import tenseal.sealapi as seal

from protocols.crypto.layout import layout_of
from protocols.crypto.product import MatrixTiles
from protocols.woe.messages import LAYOUT


class _OneHot:
    """Blocks of the (bins, rows) matrix on demand. `assigned`: int32 (rows, columns), rising ranges of bins per column,
    -1 where a person is in none."""

    def __init__(self, assigned: np.ndarray):
        self._assigned = assigned
        self._first = np.where(assigned >= 0, assigned, np.iinfo(np.int32).max).min(axis=0)
        self._last = assigned.max(axis=0)

    def __getitem__(self, part: tuple[slice, slice]) -> np.ndarray:
        """int8 (bins, rows) of a range of bins and a range of rows."""
        bins, rows = part
        touched = (self._first < bins.stop) & (self._last >= bins.start)
        assigned = self._assigned[rows, touched]
        out = np.zeros((bins.stop - bins.start, len(assigned)), np.int8)
        person, column = np.nonzero((assigned >= bins.start) & (assigned < bins.stop))
        out[assigned[person, column] - bins.start, person] = 1
        return out


class OneHotTiles(MatrixTiles):
    """As `MatrixTiles` of a 0/1 matrix (bins, rows), in 4 bytes per row and column; every tile is used once.

    `assigned`: int32 (rows, columns), the bin of each row in each column, numbered through all columns, or -1.
    """

    def __init__(self, assigned: np.ndarray, bins: int):
        if assigned.ndim != 2 or assigned.min() < -1 or assigned.max() >= bins:
            raise ValueError(f"expected (rows, columns) bins from -1 to {bins - 1}, got shape {assigned.shape}")
        self.layout = layout_of((bins, len(assigned)), LAYOUT)
        self._one_hot = _OneHot(assigned)

    @property
    def shape(self) -> tuple[int, int]:
        """(bins, rows)."""
        return self.layout.rows, self.layout.columns

    def tile(self, block: int, term: int) -> seal.Plaintext | None:
        """Polynomial that multiplies operand number `term` in result number `block`; None when it is zero."""
        return self._transform(self.layout.polynomial(self._one_hot, block, term))
