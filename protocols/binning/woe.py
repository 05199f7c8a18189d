"""The encoding `woe`: every bin of a column stands for its weight of evidence, one number per column.

    weight of bin b = ln( (events_b + 1/2) / Σ (events + 1/2) ) - ln( (others_b + 1/2) / Σ (others + 1/2) )

An event is a default, so a positive weight means more defaults than on average. The information value of a column is
Σ (share of events - share of others) · weight (Siddiqi, *Credit Risk Scorecards*, chapter 6; the halves keep bins
without events finite).
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from protocols.binning.bins import BinnedColumn
from protocols.binning.columns import ColumnData

WOE_LABEL = "weight of evidence"


class WoeColumn(BaseModel):
    """Bins of one column and `events`, the training rows with label 1 in each, as they were told (noised ones may be
    negative)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coding: Literal["woe"] = "woe"
    bins: BinnedColumn
    events: tuple[int, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _one_each(self) -> WoeColumn:
        if len(self.events) != len(self.bins.bins):
            raise ValueError(f"column {self.column!r}: {len(self.bins.bins)} bins need as many event counts")
        return self

    @property
    def column(self) -> str:
        """Name of the column."""
        return self.bins.column

    @property
    def kind(self) -> str:
        """number or category."""
        return self.bins.kind

    def _shares(self) -> tuple[np.ndarray, np.ndarray]:
        """(bins,) each: smoothed shares of all events and of all others."""
        rows = np.array([level.count for level in self.bins.bins], dtype=np.float64)
        events = np.clip(np.array(self.events, dtype=np.float64), 0, rows) + 0.5
        others = rows + 1 - events
        return events / events.sum(), others / others.sum()

    @property
    def weights(self) -> np.ndarray:
        """float64 (bins,): weight of evidence, above 0 where events are frequent."""
        events, others = self._shares()
        return np.log(events) - np.log(others)

    @property
    def information_value(self) -> float:
        """How well the column alone tells events from others, at least 0."""
        events, others = self._shares()
        return float(((events - others) * self.weights).sum())

    def expand(self, data: ColumnData) -> np.ndarray:
        """float64 (n, 1): the weight of each row's bin."""
        return self.weights[self.bins.assign(data)][:, None]

    @property
    def feature_labels(self) -> list[tuple[str, str]]:
        """(label, kind) of the one encoded feature."""
        return [(WOE_LABEL, "woe")]

    def levels(self, values: Sequence[float]) -> list[tuple[str, int, float]]:
        """(label, training rows, log-odds) of each bin, for the column's one coefficient."""
        (coefficient,) = values
        return [(level.label, level.count, coefficient * weight)
                for level, weight in zip(self.bins.bins, self.weights.tolist(), strict=True)]


def assigned(columns: Sequence[BinnedColumn], data: Mapping[str, ColumnData]) -> np.ndarray:
    """int32 (n, columns): the bin of each row in each column, bins numbered through all columns."""
    starts = np.cumsum([0, *(len(column.bins) for column in columns)])
    return np.column_stack([start + column.assign(data[column.column])
                            for start, column in zip(starts, columns, strict=False)]).astype(np.int32)


def weighted(columns: Sequence[BinnedColumn], events: np.ndarray) -> tuple[WoeColumn, ...]:
    """`events`: int64, counts of all bins of all columns, in the numbers of `assigned`."""
    ends = np.cumsum([len(column.bins) for column in columns])
    return tuple(WoeColumn(bins=column, events=tuple(part.tolist()))
                 for column, part in zip(columns, np.split(np.asarray(events), ends[:-1]), strict=True))
