"""What a boosted model is asked for, and how large the sums of its quantised gradients can get."""
from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from protocols.strict import Strict

ROWS_PER_BIN = 20
MOST_DEPTH = 8


class Goss(Strict):
    """Gradient-based one-side sampling (Ke et al. 2017, Algorithm 2): shares of the training rows."""

    top: float = Field(ge=0.01, lt=1, description="rows with the largest gradients, all taken")
    other: float = Field(ge=0.01, lt=1, description="drawn from the rest, and amplified")

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        if self.top + self.other > 1:
            raise ValueError(f"top + other must be at most 1, got {self.top + self.other:g}")
        return self

    @property
    def amplification(self) -> float:
        """Weight of a row that was drawn from the rest."""
        return (1 - self.top) / self.other


class BoostingSettings(Strict):
    """Logistic loss, histograms, depth-wise growth."""

    trees: int = Field(100, ge=1, le=500)
    depth: int = Field(4, ge=1, le=MOST_DEPTH, description="splits between the root and a leaf, at most")
    learning_rate: float = Field(0.1, gt=0, le=1)
    bins: int = Field(32, ge=2, le=64, description="of a column at most, the one of missing values included")
    l2: float = Field(1.0, ge=0, le=1000, description="ridge on leaf values")
    gamma: float = Field(0.0, ge=0, le=1e6, description="gain a split needs")
    minimum_child_weight: float = Field(1.0, ge=0, le=1e6, description="sum of hessians either side of a split needs")
    minimum_node_rows: int = Field(0, ge=0, description="rows a node needs for its sums to be opened; 0: 20 a bin")
    column_share: float = Field(1.0, gt=0, le=1, description="columns that compete in a tree")
    row_share: float = Field(1.0, gt=0, le=1, description="training rows that a tree is grown from")
    goss: Goss | None = None
    class_weight: float = Field(1.0, ge=0.01, le=100, description="of events; of the others it is 1")
    early_stopping_rounds: int | None = Field(None, ge=1, le=500, description="trees without a better validation loss")
    validation_share: float = Field(0.15, gt=0, lt=0.5, description="training rows that only say when to stop early")
    gradient_bits: int = Field(8, ge=4, le=12, description="fractional bits of a quantised gradient")
    hessian_bits: int = Field(8, ge=4, le=12, description="fractional bits of a quantised hessian")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.minimum_node_rows and self.minimum_node_rows < ROWS_PER_BIN * self.bins:
            raise ValueError(f"minimum_node_rows must be 0 or at least {ROWS_PER_BIN} for each of {self.bins} bins, "
                             f"got {self.minimum_node_rows}; raise it or ask for fewer bins")
        if self.goss and self.row_share < 1:
            raise ValueError("goss draws rows itself; leave row_share at 1")
        return self

    @property
    def node_rows(self) -> int:
        """Rows a node needs before its sums may be opened."""
        return max(self.minimum_node_rows, ROWS_PER_BIN * self.bins)

    @property
    def most_splits(self) -> int:
        """Of all trees."""
        return self.trees * (2 ** self.depth - 1)

    @property
    def sampled(self) -> bool:
        """Whether trees differ in the rows or columns they see."""
        return self.goss is not None or self.row_share < 1 or self.column_share < 1


def quantised(values: np.ndarray, bits: int) -> np.ndarray:
    """Numbers as int64 multiples of 2^-bits, halves to even."""
    return np.rint(np.ldexp(values, bits)).astype(np.int64)


def widths(settings: BoostingSettings, largest: int) -> tuple[int, int]:
    """Bits, sign included, of a sum of gradients and of one of hessians over `largest` rows: |g| <= w, 0 <= h <= w/4,
    where w is the heaviest row's weight."""
    amplified = settings.goss.amplification if settings.goss else 1.0  # never less, for top + other is at most 1
    weight = max(1.0, settings.class_weight) * amplified
    most = (quantised(np.array(weight), settings.gradient_bits), quantised(np.array(weight / 4), settings.hessian_bits))
    gradient, hessian = ((largest * int(one)).bit_length() + 1 for one in most)
    return gradient, hessian
