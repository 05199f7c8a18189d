"""What the bank's module reads of a row beside its embedding."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocols.errors import DataError


@dataclass(frozen=True, repr=False)
class BankRows:
    """What the bank has of n rows: `labels` (n,) 0/1; `numeric` (n, d) standardised; `categories` (n, c), whole numbers
    from 0 below `levels[column]`. d and c may be 0."""

    labels: np.ndarray
    numeric: np.ndarray
    categories: np.ndarray
    levels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        shapes = {len(self.labels), len(self.numeric), len(self.categories)}
        if len(shapes) != 1 or self.categories.shape[1] != len(self.levels):
            raise DataError("expected labels, numeric and categorical columns of the same rows, and a number of levels "
                            f"for each categorical column, got {len(self.levels)} for {self.categories.shape[1]}")
        if self.levels and ((self.categories < 0) | (self.categories >= np.array(self.levels))).any():
            raise DataError("expected levels numbered from 0 in every categorical column, got others")
        if not np.isin(self.labels, (0, 1)).all():
            raise DataError("expected labels of 0 and 1, got others")
