"""What the bank's module reads of a row beside its embedding."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocols.errors import DataError

Shape = tuple[int, tuple[int, ...]]
"""Of the bank's own columns: how many are numeric, and the levels of each categorical one."""


@dataclass(frozen=True, repr=False)
class BankColumns:
    """The bank's own columns of n rows: `numeric` (n, d) standardised; `categories` (n, c), whole numbers from 0 below
    `levels[column]`. d and c may be 0."""

    numeric: np.ndarray
    categories: np.ndarray
    levels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.numeric) != len(self.categories) or self.categories.shape[1] != len(self.levels):
            raise DataError("expected numeric and categorical columns of the same rows, and a number of levels "
                            f"for each categorical column, got {len(self.levels)} for {self.categories.shape[1]}")
        if self.levels and ((self.categories < 0) | (self.categories >= np.array(self.levels))).any():
            raise DataError("expected levels numbered from 0 in every categorical column, got others")

    @property
    def shape(self) -> Shape:
        """Numeric columns, and levels of the categorical ones."""
        return self.numeric.shape[1], tuple(self.levels)


@dataclass(frozen=True, repr=False)
class BankRows:
    """The same with `labels` (n,) 0/1: what a training takes."""

    labels: np.ndarray
    numeric: np.ndarray
    categories: np.ndarray
    levels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.columns.numeric):
            raise DataError(f"expected labels and columns of the same rows, got {len(self.labels)} labels for "
                            f"{len(self.numeric)} rows")
        if not np.isin(self.labels, (0, 1)).all():
            raise DataError("expected labels of 0 and 1, got others")

    @property
    def columns(self) -> BankColumns:
        """Without the labels; DataError where they do not fit together."""
        return BankColumns(self.numeric, self.categories, self.levels)
