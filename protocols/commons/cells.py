"""The cells in which rows are counted before any bin exists. They depend on the columns' declarations, never on data.

    number    one cell per value rounded towards zero to two significant digits, between 10^-6 and 10^12 in size, for
              both signs; one cell for what is smaller, and what is larger counts into the last one. Then one cell for
              missing and one per special code.
    category  CATEGORY_CELLS cells by hash of the label, one for missing

A column declared alike at all banks has the same cells at all banks; `declaration` is what they compare.
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np

from protocols.binning.bins import CATEGORY_CELLS, category_cell
from protocols.binning.columns import ColumnData

DECADES = (-6, 12)
DIGEST_BYTES = 16
_MANTISSAS = range(10, 100)


def _boundaries() -> np.ndarray:
    """Where cells of numbers begin, rising; a cell holds its lower boundary. From text, so that 0.29 is 0.29."""
    powers = range(DECADES[0] - 1, DECADES[1] - 1)
    positive = [float(f"{mantissa}e{power}") for power in powers for mantissa in _MANTISSAS]
    positive.append(float(f"1e{DECADES[1]}"))
    return np.array([-value for value in reversed(positive)] + positive)


BOUNDARIES = _boundaries()
NUMBER_CELLS = len(BOUNDARIES) + 1
DECADE_CELLS = len(_MANTISSAS)
ROUND = np.array([float(f"{abs(value):.0e}") == abs(value) for value in BOUNDARIES])
"""Which boundaries are written with one significant digit."""


def codes_of(data: ColumnData) -> list[str]:
    """A column's special codes in the order of their cells, whatever the order of the configuration."""
    return sorted(data.special_codes)


def width(data: ColumnData) -> int:
    """How many cells a column has."""
    return CATEGORY_CELLS + 1 if data.kind == "category" else NUMBER_CELLS + 1 + len(data.special_codes)


def histogram_length(columns: Mapping[str, ColumnData]) -> int:
    """How many numbers `histogram` has."""
    return 1 + sum(width(data) for data in columns.values())


def histogram(columns: Mapping[str, ColumnData]) -> np.ndarray:
    """int64: the number of rows, then the counts of all columns' cells in order. One row counts once per column."""
    rows = len(next(iter(columns.values())))
    counts = [np.bincount(_cells(name, data), minlength=width(data)) for name, data in columns.items()]
    return np.concatenate([[rows], *counts]).astype(np.int64)


def _cells(name: str, data: ColumnData) -> np.ndarray:
    """int64 (n,): the cell of each row."""
    if data.kind == "category":
        routes = [category_cell(name, label) for label in data.labels]
        return np.array([*routes, CATEGORY_CELLS])[data.values]  # -1, missing, is the last
    order = codes_of(data)
    after = [NUMBER_CELLS, *(NUMBER_CELLS + 1 + order.index(code) for code in data.special_codes)]
    values = np.searchsorted(BOUNDARIES, data.values, side="right")
    return np.where(data.ordinary, values, np.array(after)[data.special])


def declaration(name: str, data: ColumnData) -> bytes:
    """DIGEST_BYTES that two banks have in common when a column means the same cells at both."""
    text = json.dumps([name, data.kind, codes_of(data)], ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES, person=b"sealscore-column").digest()
