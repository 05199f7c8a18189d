"""How a matrix-vector product is laid out in ring polynomials: pure arithmetic on shapes.

tile  any shape. A polynomial carries a block of `rows_per_tile` rows × `columns_per_tile` columns; row i of the
      product lands at coefficient i·c + c - 1 (Huang et al., "Cheetah", USENIX Security 2022, section 3.1).
dot   few rows, long rows. One polynomial per N columns; each dot product lands at coefficient 0 and all of them are
      packed into one reply with Galois keys (Chen, Dai, Kim, Song, "Efficient Homomorphic Conversion Between (Ring)
      LWE Ciphertexts", ACNS 2021, section 3).
fan   many rows, few columns. One upload, expanded by the evaluator into one constant per column (Angel, Chen, Laine,
      Setty, "PIR with Compressed Queries", IEEE S&P 2018, section 3.3); one reply per N rows.

"compact" means dot or fan, whichever suits the shape, and tile where neither does.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from protocols.crypto.params import DEGREE

LayoutName = Literal["tile", "compact"]
LARGEST_COMPACT = 1024
"""Dot products packed, or columns expanded, at most: bounds the evaluator's memory by 268 MB."""


@dataclass(frozen=True)
class Layout:
    """Polynomials of one product; `rows`, `columns` are the matrix's shape."""

    kind: Literal["tile", "dot", "fan"]
    rows: int
    columns: int
    columns_per_tile: int
    rows_per_tile: int

    @property
    def uploads(self) -> int:
        return -(-self.columns // self.columns_per_tile)

    @property
    def replies(self) -> int:
        return -(-self.rows // self.rows_per_tile)

    @property
    def levels(self) -> int:
        """log2 of the slots that packing or expansion provides."""
        return (min(self.rows, self.columns) - 1).bit_length()

    def chunk(self, upload: int) -> slice:
        """Entries of the vector that upload number `upload` carries, at coefficients 0, 1, …"""
        start = upload * self.columns_per_tile
        return slice(start, min(start + self.columns_per_tile, self.columns))

    def block(self, reply: int) -> slice:
        """Rows of the product that reply number `reply` carries."""
        start = reply * self.rows_per_tile
        return slice(start, min(start + self.rows_per_tile, self.rows))

    def positions(self, reply: int) -> np.ndarray:
        """Coefficients of the reply that hold those rows."""
        block = self.block(reply)
        index = np.arange(block.stop - block.start)
        if self.kind == "tile":
            return index * self.columns_per_tile + self.columns_per_tile - 1
        return index * (DEGREE >> self.levels) if self.kind == "dot" else index


def _tile_columns(rows: int, columns: int) -> int:
    """Columns per tile that give the fewest bytes: an upload counts 16 N, a reply 12 N."""
    widths = np.arange(1, min(columns, DEGREE) + 1)
    cost = 16 * -(-columns // widths) + 12 * -(-rows // (DEGREE // widths))
    best = int(widths[np.argmin(cost)])
    return -(-columns // -(-columns // best))


@lru_cache(maxsize=256)
def layout_of(shape: tuple[int, int], name: LayoutName) -> Layout:
    """The layout both sides derive from the agreed shape (rows, columns) and name; ValueError on another name."""
    rows, columns = shape
    if rows < 1 or columns < 1 or name not in ("tile", "compact"):
        raise ValueError(f"expected a shape of at least 1×1 and layout tile or compact, got {rows}×{columns}, {name}")
    if name == "compact" and min(shape) <= LARGEST_COMPACT:
        if columns > rows:
            return Layout("dot", rows, columns, columns_per_tile=DEGREE, rows_per_tile=rows)
        return Layout("fan", rows, columns, columns_per_tile=columns, rows_per_tile=DEGREE)
    width = _tile_columns(rows, columns)
    return Layout("tile", rows, columns, columns_per_tile=width, rows_per_tile=DEGREE // width)
