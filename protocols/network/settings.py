"""The settings of a training: pure, since plans hold them, and whoever reads plans may reach no keys.

What follows from them is in `precision` and `partition`.
"""
from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from protocols.commons.privacy import epsilon
from protocols.strict import Strict

RATE_BITS = 5
NOISE_GRID_BITS = 10  # noise is a multiple of 2^-10
LARGEST_NOISE = 8.0
MOST_UNITS = 64


class NetworkSettings(Strict):
    """The settings of one training; public to both sides."""

    width: int = Field(2, ge=1, le=64, description="numbers in the embedding of a row")
    activation: Literal["none", "square"] = Field("none", description="square: each number is a sum of z and ±z² over "
                                                  "some units z, which stay shared (strict)")
    units: int = Field(2, ge=2, le=16, description="units behind each number, with square only")
    epochs: int = Field(5, ge=1, le=100)
    batch_rows: int = Field(512, ge=1, le=65536, description="rows of a mini-batch, at most")
    validation_share: float = Field(0.15, gt=0, lt=0.5, description="training rows that only decide when to stop")
    patience: int = Field(2, ge=1, description="epochs without a better validation loss before the training ends")
    seed: int = Field(0, ge=0, lt=2**31, description="of the partition into batches and of the bank's module")
    source_rate: float = Field(0.25, gt=2.0**-24, le=4.0, description="learning rate of the source layer; taken at "
                               "five binary digits")
    source_momentum: int = Field(12, ge=0, le=15, description="sixteenths of the last step that the next one keeps")
    learning_rate: float = Field(0.01, gt=0, le=1.0, description="Adam's, of the bank's module")
    weight_decay: float = Field(0.0, ge=0, le=1.0, description="Adam's, of the bank's module")
    hidden: tuple[int, ...] = Field((16,), description="units of the hidden layers of the bank's module")
    embedding_size: int = Field(3, ge=1, le=64, description="numbers for one level of a categorical column")
    noise: float = Field(0.0, ge=0, le=LARGEST_NOISE, description="standard deviation of the noise that the platform "
                         "adds to every number it opens of training rows; 0: none")
    noise_distance: float = Field(1.0, gt=0, description="how far two embeddings of one row may be apart for the "
                                  "stated epsilon to hold")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.numbers > MOST_UNITS:
            raise ValueError(f"expected width times units of at most {MOST_UNITS}, got {self.numbers}")
        return self

    @property
    def strict(self) -> bool:
        """Whether what the source layer makes stays shared."""
        return self.activation == "square"

    @property
    def numbers(self) -> int:
        """Columns of the source layer's weights."""
        return self.width * self.units if self.strict else self.width

    @property
    def kind(self) -> str:
        """The opening by which the bank gets what its module reads of a row."""
        return "activations" if self.strict else "embeddings"

    @property
    def openings_per_row(self) -> int:
        """Numbers opened about each training row, at most."""
        return self.epochs * self.width

    @property
    def rate(self) -> tuple[int, int]:
        """(c, k): the source layer's learning rate as c / 2^k with 16 <= c < 32, k >= 0."""
        k = max(0, RATE_BITS - 1 - math.floor(math.log2(self.source_rate)))
        return max(1, round(self.source_rate * 2.0**k)), k

    @property
    def epsilon(self) -> float:
        """At delta = 1e-6, infinite without noise: README.md, "Noise", says of what exactly."""
        if self.noise == 0:
            return math.inf
        distance = self.noise_distance + math.sqrt(self.width) * 2.0**-NOISE_GRID_BITS
        return epsilon(self.epochs * (distance / self.noise) ** 2 / 2)
