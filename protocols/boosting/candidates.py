"""The columns that compete for splits, and where each one's bins stand in a row of sums."""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from protocols.errors import DataError


@dataclass(frozen=True)
class Candidate:
    """A party's column by number: `bins` in order of its values, the last one for missing values if it `has_missing`;
    `monotone` is the sign that the score's slope must have, 0 for any."""

    party: str
    column: int
    bins: int
    monotone: int = 0
    has_missing: bool = False

    def __post_init__(self) -> None:
        if self.bins < 1 or self.monotone not in (-1, 0, 1) or self.column < 0:
            raise ValueError(f"expected a column with bins and a monotone sign of -1, 0 or 1, got {self}")

    @property
    def values(self) -> int:
        """Bins of values."""
        return self.bins - self.has_missing


@dataclass(frozen=True)
class Candidates:
    """All candidates, in the order in which their bins stand in a row of sums; the order also breaks ties."""

    columns: tuple[Candidate, ...]

    def check(self, most: int) -> None:
        """DataError unless there is a column, each is named once, and none has more than `most` bins."""
        if not self.columns:
            raise DataError("expected at least one column for boosted trees, got none; name columns in the plan")
        if len({(c.party, c.column) for c in self.columns}) != len(self.columns):
            raise DataError("expected every candidate column once, got one twice; number each party's columns")
        wide = sum(c.bins > most for c in self.columns)
        if wide:
            raise DataError(f"expected at most {most} bins of a column, missing values included, got more in {wide} "
                            "columns; bin them more coarsely or raise the setting bins")

    @cached_property
    def starts(self) -> np.ndarray:
        """(columns + 1,) where each column's bins begin; the last entry is the length of a row of sums."""
        return np.concatenate([[0], np.cumsum([c.bins for c in self.columns])]).astype(np.int64)

    @property
    def total(self) -> int:
        """Bins of all columns together."""
        return int(self.starts[-1])

    def parts(self, sums: np.ndarray) -> list[np.ndarray]:
        """(..., total) -> for each column (..., its bins)."""
        return [sums[..., a:b] for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)]
