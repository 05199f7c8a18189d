"""From a noisy histogram to an `Encoder`: the same numbers give the same bins, at whichever bank.

Every rule is processing of the published numbers (Dwork, Roth 2014, proposition 2.1), so it costs no privacy. Most of
the cells are empty and their noise adds up, so a cell of a number counts only where it, or a block of cells that it
lies in, stands out of the noise. Intervals are then cut at about equal running counts as in `binning/bins.py`, at
boundaries of cells; a boundary moves up to the next round number where only noise lies between.
"""
from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from protocols.binning.bins import (
    CATEGORY_CELLS,
    BinnedColumn,
    Group,
    assemble,
    category_cell,
    fold_small,
    interval_label,
    quantile_cuts,
)
from protocols.binning.columns import ColumnData
from protocols.binning.encoder import Coded, Encoder
from protocols.commons.cells import BOUNDARIES, DECADE_CELLS, NUMBER_CELLS, ROUND, codes_of, width
from protocols.commons.privacy import histogram_sensitivity, moments_sensitivity, noise_variance
from protocols.errors import ConfigError, DataError

BIN_DEVIATIONS = 3.0  # of a bin's noise: so far its noisy count is above the rows that it needs
CELL_DEVIATIONS = 5.0  # the same for a category's cell, one of thousands: 3e-7 of the empty ones get beyond
WORD_DEVIATIONS = 2.0  # what is below joins the base level without being named in it
BLOCKS = {1: 5.0, 15: 4.5, DECADE_CELLS: 4.0}
"""Cells per block, and the deviations of its noise beyond which a block is taken for populated: an empty column has one
such block of any size with probability 0.003."""


@dataclass(frozen=True)
class CommonSettings:
    """What all banks take from the plan. `rho`: total zCDP of what one bank shows of itself to all others."""

    bins: int = 5
    minimum_support: int = 20
    rho: float = 0.1

    def __post_init__(self) -> None:
        if not 2 <= self.bins <= 100 or self.minimum_support < 1:
            raise ConfigError(f"expected 2 to 100 bins and a minimum support of at least 1 row, got {self.bins} and "
                              f"{self.minimum_support}")
        if not 0 < self.rho < float("inf"):
            raise ConfigError(f"expected model.commons_rho above 0, got {self.rho}")

    def check(self, columns: int) -> None:
        """Raise ConfigError where `columns` columns would need more noise than can be drawn."""
        for sensitivity in (histogram_sensitivity(columns), moments_sensitivity(columns)):
            noise_variance(sensitivity, self.rho)

    def digest(self) -> bytes:
        """16 bytes that banks with the same settings have in common."""
        text = f"{self.bins} {self.minimum_support} {self.rho!r}"
        return hashlib.blake2b(text.encode(), digest_size=16, person=b"sealscore-common").digest()


@dataclass(frozen=True, eq=False, repr=False)
class _Noisy:
    """One column's published cells, float (cells,); `rows`: published number of rows; `noise`: deviation of a cell."""

    cells: np.ndarray
    rows: float
    noise: float
    support: int

    def too_few(self, count: float, cells: float, deviations: float = BIN_DEVIATIONS) -> bool:
        """Whether a sum over so many noisy cells may come from fewer rows than a bin needs."""
        return count < self.support + deviations * self.noise * cells**0.5


def common_encoder(
    columns: Mapping[str, ColumnData], counts: np.ndarray, noise: float, settings: CommonSettings
) -> Encoder:
    """`counts`: int64, the sum of all banks' `cells.histogram` with noise of deviation `noise` in each number.

    Of `columns` only names, kinds and special codes are used. Raises DataError when no column varies enough.
    """
    fitted, at = {}, 1
    for name, data in columns.items():
        part = counts[at : at + width(data)].astype(np.float64)
        at += width(data)
        noisy = _Noisy(part, float(counts[0]), noise, settings.minimum_support)
        fitted[name] = _fit(name, data, noisy, settings.bins)
    kept = tuple(column for column in fitted.values() if column is not None)
    if not kept:
        raise DataError(f"none of the {len(fitted)} columns has two levels with enough rows of all banks together to "
                        "stand out of the noise; expected more rows or a larger model.commons_rho")
    warnings = tuple(f"column {name!r} was dropped: fewer than two levels hold enough rows of all banks together"
                     for name, column in fitted.items() if column is None)
    return Encoder(method="dummy", minimum_support=settings.minimum_support, columns=kept, warnings=warnings)


def with_own_labels(encoder: Encoder, columns: Mapping[str, ColumnData]) -> Encoder:
    """The same routes with one's own labels in the names of category bins, for one's own eyes; rare labels left out."""
    return encoder.model_copy(update={"columns": tuple(_relabelled(coded, columns[coded.column], encoder)
                                                       for coded in encoder.columns)})


def _relabelled(coded: Coded, data: ColumnData, encoder: Encoder) -> Coded:
    if not (isinstance(coded, BinnedColumn) and coded.category_cells):
        return coded
    counts = np.bincount(data.values[data.ordinary], minlength=len(data.labels))
    known: dict[int, list[str]] = {}
    for label, count in zip(data.labels, counts.tolist(), strict=True):
        if count >= encoder.minimum_support:
            known.setdefault(category_cell(coded.column, label), []).append(label)
    bins = list(coded.bins)
    for cell, index in coded.category_cells.items():
        if cell in known and _cell_label(cell) in bins[index].label:
            named = bins[index].label.replace(_cell_label(cell), " or ".join(known[cell]))
            bins[index] = bins[index].model_copy(update={"label": named})
    return coded.model_copy(update={"bins": tuple(bins)})


def _cell_label(cell: int) -> str:
    return f"category #{cell:04d}"


# ---------------------------------------------------------------- one column


def _fit(name: str, data: ColumnData, noisy: _Noisy, bins: int) -> BinnedColumn | None:
    if data.kind == "category":
        edges, levels = (), _category_levels(noisy)
    else:
        edges, levels = _number_levels(data, noisy, bins)
    for level in levels:  # what is noise only is not worth a word in the base level's name
        if level.group.count < WORD_DEVIATIONS * noisy.noise * level.cells**0.5:
            level.group.count = 0
    cells = {id(level.group): level.cells for level in levels}

    def too_small(group: Group) -> bool:
        return noisy.too_few(group.count, cells[id(group)])

    kept = fold_small([level.group for level in levels], too_small)
    if len(kept) < 2 or too_small(kept[0]):
        return None
    for group in kept:
        group.count = int(round(group.count))
    return assemble(name, data.kind, edges, kept)


@dataclass(frozen=True)
class _Level:
    """A level and over how many noisy cells its count was added up."""

    group: Group
    cells: float


def _category_levels(noisy: _Noisy) -> list[_Level]:
    """A level per cell with enough rows; what is left of the number of rows is "other"."""
    missing = noisy.cells[CATEGORY_CELLS]
    kept = [cell for cell in range(CATEGORY_CELLS) if not noisy.too_few(noisy.cells[cell], 1, CELL_DEVIATIONS)]
    levels = [_Level(Group(_cell_label(cell), "category", noisy.cells[cell], [("cell", cell)]), 1) for cell in kept]
    left = noisy.rows - missing - sum(noisy.cells[cell] for cell in kept)
    return [*levels, _Level(Group("other", "other", left, [("other", "")]), 2 + len(kept)),
            _Level(Group("missing", "missing", missing, [("missing", "")]), 1)]


def _number_levels(data: ColumnData, noisy: _Noisy, bins: int) -> tuple[tuple[float, ...], list[_Level]]:
    """Inner edges, and levels for the intervals between them, for missing and for special codes."""
    populated = _populated(noisy.cells[:NUMBER_CELLS], noisy.noise)
    cells = np.where(populated, noisy.cells[:NUMBER_CELLS], 0.0)
    cuts = [_round_cut(cut, cells, populated, noisy.noise) for cut in quantile_cuts(_running(cells), bins)]
    cuts = _merge_small(cuts, cells, populated, noisy)
    edges = tuple(float(BOUNDARIES[cut]) for cut in cuts)
    bounds = [None, *edges, None]
    levels = [_Level(Group(interval_label(*bounds[i : i + 2]), "interval", count, [("interval", i)]), width)
              for i, (count, width) in enumerate(_intervals(cuts, cells, populated))]
    levels.append(_Level(Group("missing", "missing", noisy.cells[NUMBER_CELLS], [("missing", "")]), 1))
    for code, count in zip(codes_of(data), noisy.cells[NUMBER_CELLS + 1 :], strict=True):
        levels.append(_Level(Group(f"special {code}", "special", count, [("special", code)]), 1))
    return edges, levels


def _populated(cells: np.ndarray, noise: float) -> np.ndarray:
    """bool (NUMBER_CELLS,): cells in a block, of one of the sizes, whose sum stands out of its noise."""
    populated = np.zeros(len(cells), bool)
    for size, deviations in BLOCKS.items():
        starts = np.arange(0, len(cells), size)
        sums = np.add.reduceat(cells, starts)
        populated |= np.repeat(sums > deviations * noise * size**0.5, size)[: len(cells)]
    return populated


def _running(cells: np.ndarray) -> np.ndarray:
    """Running counts made to rise, halfway between the largest so far and the smallest to come."""
    ends = np.cumsum(cells)
    rising = (np.maximum.accumulate(ends) + np.minimum.accumulate(ends[::-1])[::-1]) / 2
    return np.maximum(rising, 0.0)


def _round_cut(cut: int, cells: np.ndarray, populated: np.ndarray, noise: float) -> int:
    """The boundary after cell `cut`, or the last round one above it as long as nothing but noise lies between."""
    passed = np.abs(np.cumsum(cells[cut + 1 : -1]))
    above = passed <= BIN_DEVIATIONS * noise * np.cumsum(populated[cut + 1 : -1]) ** 0.5
    end = cut + (len(above) if above.all() else int(np.argmin(above)))
    rounded = cut + np.flatnonzero(ROUND[cut : end + 1])
    return int(rounded[-1]) if len(rounded) else end


def _intervals(cuts: list[int], cells: np.ndarray, populated: np.ndarray) -> list[tuple[float, float]]:
    """(noisy count, number of noisy cells) of each interval; `cuts`: indices of boundaries."""
    bounds = [0, *(cut + 1 for cut in cuts), len(cells)]
    return [(float(cells[low:high].sum()), float(populated[low:high].sum())) for low, high in pairwise(bounds)]


def _merge_small(cuts: list[int], cells: np.ndarray, populated: np.ndarray, noisy: _Noisy) -> list[int]:
    """Drop cuts until every interval holds enough rows; the smallest that does not joins its smaller neighbour."""
    cuts = sorted(set(cuts))
    while cuts:
        intervals = _intervals(cuts, cells, populated)
        small = [index for index, interval in enumerate(intervals) if noisy.too_few(*interval)]
        if not small:
            break
        index = min(small, key=lambda i: intervals[i][0])
        left = index > 0 and (index == len(cuts) or intervals[index - 1][0] <= intervals[index + 1][0])
        del cuts[index - 1 if left else index]
    return cuts
