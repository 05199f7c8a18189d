"""How a matrix-vector product is laid out in ring polynomials: pure arithmetic on shapes.

tile  any shape. A polynomial carries a block of `rows_per_tile` rows × `columns_per_tile` columns; row i of the
      product lands at coefficient i·c + c - 1 (Huang et al., "Cheetah", USENIX Security 2022, section 3.1).
dot   few rows, long rows. One polynomial per N/f columns of f rows; their dot products land at coefficients 0, N/f, …
      and all of them are packed into one reply with Galois keys (Chen, Dai, Kim, Song, "Efficient Homomorphic
      Conversion Between (Ring) LWE Ciphertexts", ACNS 2021, section 3).
fan   many rows, few columns. One upload, expanded by the evaluator into one polynomial per f columns (Angel, Chen,
      Laine, Setty, "PIR with Compressed Queries", IEEE S&P 2018, section 3.3); one reply per N/f rows.

The fold f = 1, 2, 4 or 8 trades key switches, which packing and expansion need, for uploads or replies. "compact"
means dot or fan, whichever suits the shape, with the cheapest fold, and tile where neither does. "dot1" to "dot8" name
the fold: matrices with equally many rows then have replies that can be added up, however long the rows are.

"column" is a tile one column wide: one upload per column, whatever the number of rows, so that uploads made once serve
any matrix of these columns; one reply per N rows, the fewest there can be.

"row" is a tile of whole rows: one polynomial for the vector and one reply per N/columns rows, the fastest for few rows.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from protocols.crypto.params import DEGREE

LayoutName = Literal["tile", "column", "row", "compact", "dot1", "dot2", "dot4", "dot8"]
LARGEST_COMPACT = 1024
"""Dot products packed, or columns expanded, at most: bounds the evaluator's memory by 268 MB."""
FOLDS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Layout:
    """Polynomials of one product; `rows`, `columns` are the matrix's shape."""

    kind: Literal["tile", "dot", "fan"]
    rows: int
    columns: int
    columns_per_tile: int
    rows_per_tile: int
    fold: int = 1

    @property
    def uploads(self) -> int:
        return -(-self.columns // self.columns_per_tile)

    @property
    def replies(self) -> int:
        return -(-self.rows // self.rows_per_tile)

    @property
    def items(self) -> int:
        """Ciphertexts that are packed (dot) or come out of expansion (fan)."""
        return -(-min(self.rows, self.columns) // self.fold)

    @property
    def levels(self) -> int:
        """log2 of the slots that packing or expansion provides."""
        return (self.items - 1).bit_length()

    def chunk(self, upload: int) -> slice:
        """Entries of the vector that upload number `upload` carries."""
        start = upload * self.columns_per_tile
        return slice(start, min(start + self.columns_per_tile, self.columns))

    def places(self, upload: int) -> np.ndarray:
        """Coefficients of the upload that hold those entries."""
        chunk = self.chunk(upload)
        index = np.arange(chunk.stop - chunk.start)
        if self.kind != "fan":
            return index
        return (index // self.items << self.levels) + index % self.items

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
        if self.kind == "dot":
            width = DEGREE // self.fold
            return index % self.fold * width + index // self.fold * (width >> self.levels)
        return self._spread(index)

    def _spread(self, index: np.ndarray) -> np.ndarray:
        """fan: rows in runs of 2^levels, each followed by room for the products of the other columns of a fold."""
        run = 1 << self.levels
        return index // run * run * self.fold + index % run

    def polynomial(self, matrix: np.ndarray, block: int, term: int) -> np.ndarray:
        """Signed coefficients, int64 (N,), of what multiplies operand number `term` in result number `block`."""
        return {"tile": self._tile, "dot": self._dot, "fan": self._fan}[self.kind](matrix, block, term)

    def _tile(self, matrix: np.ndarray, block: int, term: int) -> np.ndarray:
        part = matrix[self.block(block), self.chunk(term)]
        full = np.zeros((self.rows_per_tile, self.columns_per_tile), np.int64)
        full[: part.shape[0], : part.shape[1]] = part
        out = np.zeros(DEGREE, np.int64)
        out[: full.size] = full[:, ::-1].ravel()
        return out

    def _dot(self, matrix: np.ndarray, block: int, term: int) -> np.ndarray:
        """Entry j of folded row a at exponent a·N/f - j."""
        out, chunk = np.zeros(DEGREE, np.int64), self.chunk(term)
        for part, row in enumerate(matrix[block * self.fold : (block + 1) * self.fold, chunk]):
            _put(out, part * (DEGREE // self.fold) - np.arange(len(row)), row)
        return out

    def _fan(self, matrix: np.ndarray, block: int, term: int) -> np.ndarray:
        """Row r of folded column a at exponent position(r) - a·2^levels."""
        out, rows, positions = np.zeros(DEGREE, np.int64), matrix[self.block(block)], self.positions(block)
        for part, column in enumerate(range(term, self.columns, self.items)):
            _put(out, positions - (part << self.levels), rows[:, column])
        return out


def _put(out: np.ndarray, exponents: np.ndarray, values: np.ndarray) -> None:
    """Set coefficients; X^-k is -X^(N-k)."""
    out[exponents % DEGREE] = np.where(exponents < 0, -values.astype(np.int64), values)


def _whole_rows(rows: int, columns: int) -> Layout:
    if columns > DEGREE:
        raise ValueError(f"expected at most {DEGREE} columns in one polynomial, got {columns}")
    return Layout("tile", rows, columns, columns_per_tile=columns, rows_per_tile=DEGREE // columns)


_SWITCH_COST, _REPLY_COST, _UPLOAD_COST = 4, 10, 8
"""Relative costs, bytes included, of one item of packing or expansion (key switch, transforms), of a reply (fresh
zero, mask, decryption) and of an upload."""


def _compact(rows: int, columns: int, fold: int) -> Layout:
    width = DEGREE // fold
    if columns > rows:
        return _dot(rows, columns, fold)
    return Layout("fan", rows, columns, columns_per_tile=columns, rows_per_tile=width, fold=fold)


def _dot(rows: int, columns: int, fold: int) -> Layout:
    if rows > LARGEST_COMPACT:
        raise ValueError(f"expected at most {LARGEST_COMPACT} dot products in one reply, got {rows}")
    return Layout("dot", rows, columns, columns_per_tile=DEGREE // fold, rows_per_tile=rows, fold=fold)


def _compact_cost(plan: Layout) -> int:
    return _SWITCH_COST * plan.items + _REPLY_COST * plan.replies + _UPLOAD_COST * plan.uploads


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
    if rows < 1 or columns < 1 or name not in get_args(LayoutName):
        raise ValueError(f"expected a shape of at least 1×1 and a layout's name, got {rows}×{columns}, {name}")
    if name.startswith("dot"):
        return _dot(rows, columns, int(name[3:]))
    if name == "column":
        return Layout("tile", rows, columns, columns_per_tile=1, rows_per_tile=DEGREE)
    if name == "row":
        return _whole_rows(rows, columns)
    if name == "compact" and min(shape) <= LARGEST_COMPACT:
        return min((_compact(rows, columns, fold) for fold in FOLDS), key=_compact_cost)
    width = _tile_columns(rows, columns)
    return Layout("tile", rows, columns, columns_per_tile=width, rows_per_tile=DEGREE // width)
