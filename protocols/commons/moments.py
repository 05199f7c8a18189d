"""Mean and covariance of all banks' encoded rows, from noisy counts of levels and of pairs of levels.

Counted are all levels, the base levels too: a row is in exactly one level of each column, so it adds 1 to the number of
rows, to one level per column and to one pair of levels per pair of columns, however many levels there are. The base
levels cost no noise, and make every table of pairs know its margins once more. What is counted thus several times is
brought into agreement by least squares (B. Barak et al., "Privacy, accuracy, and consistency too", PODS 2007): first
the number of rows, then the levels, then each table of pairs is moved to the nearest one with those margins. Within a
column there are no pairs, so the covariance of its levels follows from the levels alone.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from protocols.binning.columns import ColumnData
from protocols.binning.encoder import Encoder
from protocols.errors import DataError

_CHUNK_ROWS = 8192  # encoded at a time, as float32, exact up to 2^24
_LEAST_ROWS = 10.0  # deviations of the published number of rows


@dataclass(frozen=True, eq=False, repr=False)
class Moments:
    """Of the d encoded columns: mean (d,), covariance (d, d), and the deviation of each covariance's noise (d, d).

    `noise` is 0 within a column, whose covariance is nearly exact.
    """

    rows: float
    mean: np.ndarray
    covariance: np.ndarray
    noise: np.ndarray


def _sizes(encoder: Encoder) -> list[int]:
    return [len(column.bins) for column in encoder.columns]


def length(encoder: Encoder) -> int:
    """How many numbers `tables` has."""
    sizes = _sizes(encoder)
    return 1 + sum(sizes) + sum(a * b for a, b in combinations(sizes, 2))


def tables(encoder: Encoder, columns: Mapping[str, ColumnData]) -> np.ndarray:
    """int64 (length,): number of rows, counts of all levels, counts of pairs of levels of columns a < b, row by row."""
    sizes = _sizes(encoder)
    starts = np.cumsum([0, *sizes])
    levels = [start + column.assign(columns[column.column])
              for start, column in zip(starts, encoder.columns, strict=False)]
    rows, total = len(levels[0]), int(starts[-1])
    pairs = np.zeros((total, total), np.int64)
    for at in range(0, rows, _CHUNK_ROWS):
        pairs += _pairs([level[at : at + _CHUNK_ROWS] for level in levels], total)
    blocks = [slice(start, start + size) for start, size in zip(starts, sizes, strict=False)]
    parts = [pairs[a, b].ravel() for a, b in combinations(blocks, 2)]
    return np.concatenate([[rows], np.diag(pairs), *parts]).astype(np.int64)


def _pairs(levels: list[np.ndarray], total: int) -> np.ndarray:
    """int64 (total, total): in how many rows two levels meet."""
    hot = np.zeros((len(levels[0]), total), np.float32)
    for level in levels:
        hot[np.arange(len(level)), level] = 1
    return (hot.T @ hot).astype(np.int64)


def estimate(encoder: Encoder, counts: np.ndarray, noise: float) -> Moments:
    """`counts`: the sum of all banks' `tables` with noise of deviation `noise` in each number.

    Raises DataError where there are too few rows for the noise.
    """
    sizes = _sizes(encoder)
    levels, pairs = _split(counts.astype(np.float64), sizes)
    rows = _rows(float(counts[0]), levels, pairs)
    if rows < max(1.0, _LEAST_ROWS * noise):
        raise DataError("all banks together have too few rows for the noise in their common counts; expected more rows "
                        "or a larger model.commons_rho")
    margins = [_margin(index, levels, pairs, rows) for index in range(len(sizes))]
    keep = [np.array(column.feature_bins) for column in encoder.columns]
    shares = [margin / rows for margin in margins]
    mean = np.concatenate([share[kept] for share, kept in zip(shares, keep, strict=True)])
    covariance, deviation = _covariance(encoder, shares, pairs, rows, noise)
    return Moments(rows, mean, covariance, deviation)


def _split(counts: np.ndarray, sizes: list[int]) -> tuple[list[np.ndarray], dict[tuple[int, int], np.ndarray]]:
    """Levels of each column, and for each pair of columns (a, b) the table (levels of a, levels of b), both ways."""
    ends = 1 + np.cumsum([0, *sizes])
    levels = [counts[low:high] for low, high in zip(ends, ends[1:], strict=False)]
    pairs, at = {}, int(ends[-1])
    for a, b in combinations(range(len(sizes)), 2):
        pairs[a, b] = counts[at : at + sizes[a] * sizes[b]].reshape(sizes[a], sizes[b])
        pairs[b, a] = pairs[a, b].T
        at += sizes[a] * sizes[b]
    return levels, pairs


def _rows(counted: float, levels: list[np.ndarray], pairs: dict[tuple[int, int], np.ndarray]) -> float:
    """The number of rows: each sum over a table is one measurement, its noise that of as many cells."""
    tables = [np.array([counted]), *levels, *(table for (a, b), table in pairs.items() if a < b)]
    weights = np.array([1 / table.size for table in tables])
    return float(weights @ [table.sum() for table in tables] / weights.sum())


def _margin(a: int, levels: list[np.ndarray], pairs: dict[tuple[int, int], np.ndarray], rows: float) -> np.ndarray:
    """Counts of column a's levels that add up to `rows`, none below 1: its own count, and what each table says."""
    tables = [pairs[a, b] for b in range(len(levels)) if b != a]
    total = levels[a] + sum(table.sum(axis=1) / table.shape[1] for table in tables)
    counts = total / (1 + sum(1 / table.shape[1] for table in tables))
    counts = np.maximum(counts + (rows - counts.sum()) / len(counts), 1.0)
    return counts * (rows / counts.sum())


def _covariance(
    encoder: Encoder, shares: list[np.ndarray], pairs: dict[tuple[int, int], np.ndarray], rows: float, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of the features and the deviation of its noise, both (d, d)."""
    keep = [np.array(column.feature_bins) for column in encoder.columns]
    ends = np.cumsum([0, *map(len, keep)])
    blocks = [slice(low, high) for low, high in zip(ends, ends[1:], strict=False)]
    covariance, deviation = np.zeros((2, int(ends[-1]), int(ends[-1])))
    for a, share in enumerate(shares):
        own = share[keep[a]]
        covariance[blocks[a], blocks[a]] = np.diag(own) - np.outer(own, own)
    for a, b in combinations(range(len(shares)), 2):
        excess = _centred(pairs[a, b] / rows - np.outer(shares[a], shares[b]))[np.ix_(keep[a], keep[b])]
        covariance[blocks[a], blocks[b]], covariance[blocks[b], blocks[a]] = excess, excess.T
        size = noise / rows * ((1 - 1 / len(shares[a])) * (1 - 1 / len(shares[b]))) ** 0.5
        deviation[blocks[a], blocks[b]] = deviation[blocks[b], blocks[a]] = size
    return covariance, deviation


def _centred(table: np.ndarray) -> np.ndarray:
    """The nearest table whose rows and columns add up to zero."""
    return table - table.mean(axis=0) - table.mean(axis=1)[:, None] + table.mean()
