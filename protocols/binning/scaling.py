"""The encoding `numeric`: a number clipped to its usual range and standardised, with 0/1 indicators beside it."""
from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from protocols.binning.columns import ColumnData

CLIP_QUANTILES = (0.005, 0.995)
Finite = Annotated[float, Field(allow_inf_nan=False)]


class ScaledColumn(BaseModel):
    """x -> (clip(x, low, high) - mean) / scale, and 0, the mean, where the row is missing or special.

    `missing` and `special` count the training rows behind each indicator; an indicator with too few rows is left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    coding: Literal["scaled"] = "scaled"
    column: str
    kind: Literal["number"] = "number"
    count: int = Field(ge=0)
    low: Finite
    high: Finite
    mean: Finite
    scale: Finite = Field(gt=0)
    missing: int | None = None
    special: dict[str, int] = {}

    @model_validator(mode="after")
    def _check_range(self) -> ScaledColumn:
        if not self.low < self.high:
            raise ValueError(f"column {self.column!r}: low must lie below high")
        return self

    def expand(self, data: ColumnData) -> np.ndarray:
        """float64 (n, 1 + indicators)."""
        scaled = (np.clip(data.values, self.low, self.high) - self.mean) / self.scale
        features = [np.where(data.ordinary, scaled, 0.0)]
        if self.missing is not None:
            features.append(data.missing.astype(np.float64))
        for code in self.special:
            index = data.special_codes.index(code) + 1 if code in data.special_codes else -1
            features.append((data.special == index).astype(np.float64))
        return np.column_stack(features)

    @property
    def feature_labels(self) -> list[tuple[str, str]]:
        """(label, kind) of each encoded feature."""
        missing = [("missing", "missing")] if self.missing is not None else []
        return [("per standard deviation", "scaled"), *missing, *((f"special {c}", "special") for c in self.special)]


def fit_scaling(name: str, data: ColumnData, minimum_support: int) -> ScaledColumn | None:
    """Range and moments of the training rows, or None when fewer than `minimum_support` rows differ from the mode."""
    values = data.values[data.ordinary]
    if len(values) == 0 or len(values) - np.unique(values, return_counts=True)[1].max() < minimum_support:
        return None
    low, high = np.quantile(values, CLIP_QUANTILES)
    if not low < high:  # a rare flag: nearly all rows share one value
        low, high = values.min(), values.max()
    clipped = np.clip(values, low, high)
    counts = {code: int((data.special == k).sum()) for k, code in enumerate(data.special_codes, start=1)}
    missing = int(data.missing.sum())
    return ScaledColumn(
        column=name, count=len(values), low=float(low), high=float(high), mean=float(clipped.mean()),
        scale=float(clipped.std()), missing=missing if missing >= minimum_support else None,
        special={code: count for code, count in counts.items() if count >= minimum_support},
    )
