"""A party's own table as columns that trees can split: numbers in bins, and a yes-or-no column for each level.

    number    bins of its values (quantiles of the training rows) and one for rows without a value, if they are many
    level     of a category, of a special code of a number, or a category's missing cell: 1 for its rows, 0 for others

A code that all rows without a value have is what the number's bin of missing values says already.
Levels with fewer than `minimum_support` training rows have no column: such rows are 0 in all of the others. Nothing of
this leaves the party but the numbers of bins (`messages.Shape`).
"""
from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np
from pydantic import Field, FiniteFloat

from protocols.binning.bins import interval_edges
from protocols.binning.columns import ColumnData
from protocols.boosting.halves import Edges
from protocols.boosting.messages import Column
from protocols.errors import DataError
from protocols.strict import Strict

Direction = Literal[-1, 1]
ONE = (0.5,)  # the edge between no and yes
Kind = Literal["number", "level", "special", "missing"]


class TreeColumn(Strict):
    """One column that competes for splits. `column`: of the table; `kind`: a number, or whose rows are 1: those of a
    `level` (a label or a special code), or the missing ones of a category."""

    column: str
    kind: Kind = "number"
    level: str = ""
    edges: tuple[FiniteFloat, ...] = ()
    has_missing: bool = False
    monotone: Literal[-1, 0, 1] = 0

    @property
    def name(self) -> str:
        """The column, and for its level column=level."""
        told = {"number": "", "missing": " missing"}
        return self.column + told.get(self.kind, f"={self.level}")

    @property
    def told(self) -> Column:
        """What the bank is told of it."""
        return Column(len(self.edges) + 1 + self.has_missing, self.monotone, self.has_missing)

    def values(self, data: ColumnData) -> np.ndarray:
        """(n,) float64, NaN where a number is missing or special."""
        if self.kind == "number":
            return data.values
        if self.kind == "missing":
            return data.missing.astype(np.float64)
        names, cells = (data.special_codes, data.special - 1) if self.kind == "special" else (data.labels, data.values)
        found = cells == names.index(self.level) if self.level in names else np.zeros(len(data), bool)
        return found.astype(np.float64)

    def codes(self, values: np.ndarray) -> np.ndarray:
        """(n,) uint8 bins of values, missing ones in the last."""
        codes = np.searchsorted(np.array(self.edges), values, side="right")
        return np.where(np.isnan(values), self.told.bins - 1, codes).astype(np.uint8)

    def spread(self, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Values of the people who are `known`, bool (n,), among all n: of the others everything is missing."""
        spread = np.full(len(known), {"number": np.nan, "missing": 1.0}.get(self.kind, 0.0))
        spread[known] = values
        return spread


class TreeColumns(Strict):
    """All columns of a party; `fit` makes them."""

    coding: Literal["trees"] = "trees"
    columns: tuple[TreeColumn, ...] = Field(min_length=1)
    warnings: tuple[str, ...] = ()

    @classmethod
    def fit(cls, columns: Mapping[str, ColumnData], bins: int, minimum_support: int, unknown: int = 0,
            monotone: Mapping[str, Direction] | None = None) -> TreeColumns:
        """From the training rows; `unknown` more of them are of people without columns here. `monotone`: the sign of
        the slope of the score by a number. DataError when no column varies or a direction is not a number's."""
        monotone = monotone or {}
        wrong = sorted(name for name in monotone if name not in columns or columns[name].kind != "number")
        if wrong:
            raise DataError(f"expected a direction for columns of numbers only, got one for {', '.join(wrong)}")
        found = {name: _fitted(name, data, bins, minimum_support, unknown, monotone.get(name, 0))
                 for name, data in columns.items()}
        kept = tuple(one for made in found.values() for one in made)
        if not kept:
            raise DataError(f"none of the {len(columns)} columns has two bins with {minimum_support} rows each; "
                            "expected at least one column that varies")
        return cls(columns=kept, warnings=tuple(
            f"column {name!r} was dropped: fewer than two bins hold {minimum_support} training rows each"
            for name, made in found.items() if not made))

    @property
    def told(self) -> tuple[Column, ...]:
        """What the bank is told of each."""
        return tuple(one.told for one in self.columns)

    @property
    def edges(self) -> Edges:
        """By number a column's name and edges, for the halves of a model."""
        return {number: (one.name, one.edges) for number, one in enumerate(self.columns)}

    def codes(self, columns: Mapping[str, ColumnData], known: np.ndarray) -> np.ndarray:
        """(n, columns) uint8 bins; `columns` hold the rows that are `known`, bool (n,)."""
        return np.stack([one.codes(values) for one, values in zip(
            self.columns, self.values(columns, known).values(), strict=True)], axis=1)

    def values(self, columns: Mapping[str, ColumnData], known: np.ndarray, names: Collection[str] | None = None
               ) -> dict[str, np.ndarray]:
        """By name (n,) float64, of all columns or those in `names`; a person who is not `known` has nothing but
        missing values."""
        return {one.name: one.spread(one.values(_of(columns, one.column)), known) for one in self.columns
                if names is None or one.name in names}


def _of(columns: Mapping[str, ColumnData], name: str) -> ColumnData:
    if name not in columns:
        raise DataError(f"column {name!r} is missing; the model was trained with it")
    return columns[name]


def _fitted(name: str, data: ColumnData, bins: int, minimum_support: int, unknown: int, monotone: int
            ) -> list[TreeColumn]:
    if data.kind == "category":
        return _levels(name, data, minimum_support, unknown)
    rows, absent = len(data) + unknown, int(np.isnan(data.values).sum()) + unknown
    has_missing = absent >= minimum_support
    edges = interval_edges(data.values[data.ordinary], bins - has_missing, minimum_support)
    varies = bool(edges) or _splits(absent, rows, minimum_support)
    number = [TreeColumn(column=name, edges=edges, has_missing=has_missing, monotone=monotone)] if varies else []
    counts = [int((data.special == place).sum()) for place in range(1, len(data.special_codes) + 1)]
    return number + [TreeColumn(column=name, kind="special", level=code, edges=ONE)
                     for code, count in zip(data.special_codes, counts, strict=True)
                     if count < absent and _splits(count, rows, minimum_support)]  # else the missing bin says the same


def _levels(name: str, data: ColumnData, minimum_support: int, unknown: int) -> list[TreeColumn]:
    rows, missing = len(data) + unknown, int(data.missing.sum()) + unknown
    counts = np.bincount(data.values[data.ordinary], minlength=len(data.labels)).tolist()
    large = {label: count for label, count in zip(data.labels, counts, strict=True)
             if _splits(count, rows, minimum_support)}
    if len(large) == 2 and sum(large.values()) == rows:
        large.popitem()  # the other one says the same
    made = [TreeColumn(column=name, kind="level", level=label, edges=ONE) for label in large]
    return made + [TreeColumn(column=name, kind="missing", edges=ONE)] * _splits(missing, rows, minimum_support)


def _splits(count: int, rows: int, minimum_support: int) -> bool:
    """Whether a level has enough rows, and leaves enough."""
    return minimum_support <= count <= rows - minimum_support
