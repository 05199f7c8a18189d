"""A column of a table as the protocols see it: values, missing rows, special codes. No I/O."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from protocols.errors import DataError

ColumnKind = Literal["number", "category"]
NO_CATEGORY = -1


@dataclass(frozen=True, eq=False, repr=False)
class ColumnData:
    """One column of n rows.

    values   number: float64 (n,), NaN where the row is missing or special;
             category: int32 (n,), index into `labels`, -1 where missing
    special  int8 (n,), 0 = ordinary, k = `special_codes[k - 1]` (numbers only)
    """

    kind: ColumnKind
    values: np.ndarray
    special: np.ndarray
    special_codes: tuple[str, ...] = ()
    labels: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or self.values.shape != self.special.shape:
            raise DataError(f"a column needs values and special codes of equal length, got {self.values.shape} "
                            f"and {self.special.shape}; build it from one table")

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"ColumnData({self.kind}, {len(self)} rows)"

    @property
    def missing(self) -> np.ndarray:
        """bool (n,): rows without any value, special codes excluded."""
        if self.kind == "category":
            return self.values == NO_CATEGORY
        return np.isnan(self.values) & (self.special == 0)

    @property
    def ordinary(self) -> np.ndarray:
        """bool (n,): rows with a value of their own."""
        return self.values != NO_CATEGORY if self.kind == "category" else ~np.isnan(self.values)

    def take(self, rows: np.ndarray) -> ColumnData:
        """The same column with the given rows, in their order; IndexError for one that is not there."""
        if rows.min(initial=0) < 0:  # numpy would count from the end
            raise IndexError("expected rows of the column, got a negative one")
        return ColumnData(self.kind, self.values[rows], self.special[rows], self.special_codes, self.labels)

    @classmethod
    def of_numbers(cls, values: np.ndarray) -> ColumnData:
        """A number column without special codes; NaN is missing."""
        values = np.asarray(values, dtype=np.float64)
        return cls("number", values, np.zeros(len(values), np.int8))

    @classmethod
    def of_labels(cls, cells: list[str | None]) -> ColumnData:
        """A category column; None is missing. Labels are sorted."""
        labels = tuple(sorted({cell for cell in cells if cell is not None}))
        index = {label: code for code, label in enumerate(labels)}
        codes = np.array([NO_CATEGORY if cell is None else index[cell] for cell in cells], dtype=np.int32)
        return cls("category", codes, np.zeros(len(codes), np.int8), (), labels)
