"""What both sides agree on before a network is trained, and what follows from it. Nothing here imports torch."""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from protocols.commons.privacy import epsilon
from protocols.crypto.fixed_point import TruncationBudget
from protocols.errors import ConfigError, ProtocolError
from protocols.scorecard.layout import FEATURE_BITS
from protocols.scorecard.opened import FLOOD_BITS, VECTOR_BITS
from protocols.strict import Strict

COLUMN_BOUND_BITS = 8  # |x| < 2^8, of whitened columns
CLIP_BITS = 3  # a row's gradient by its embedding is clipped to 2^3 in each entry: logistic loss rarely comes near
MOMENTUM_BITS = 4
RATE_BITS = 5
MOST_GRADIENT_BITS, LEAST_GRADIENT_BITS = 44, 28
NOISE_GRID_BITS = 10  # noise is a multiple of 2^-10
LARGEST_NOISE = 8.0
LARGEST_WIDTH = 1024  # of columns times width: released weights are so many hints about the bank's key


class NetworkSettings(Strict):
    """The settings of one training; public to both sides."""

    width: int = Field(2, ge=1, le=64, description="numbers in the embedding of a row")
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
                         "adds to every number it opens; 0: none")
    noise_distance: float = Field(1.0, gt=0, description="how far two embeddings of one row may be apart for the "
                                  "stated epsilon to hold")
    release: Literal["owner", "shared"] = "shared"

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
    def flood_bits(self) -> int:
        """Width of the uniform flood on an opened number at scale 2^104; under noise one step of the noise, which makes
        the sum of both a function of the number alone whatever lies between the steps."""
        return FLOOD_BITS if self.noise == 0 else VECTOR_BITS + FEATURE_BITS - NOISE_GRID_BITS

    @property
    def epsilon(self) -> float:
        """At delta = 1e-6, infinite without noise: README.md, "Noise", says of what exactly."""
        if self.noise == 0:
            return math.inf
        distance = self.noise_distance + math.sqrt(self.width) * 2.0**-NOISE_GRID_BITS
        return epsilon(self.epochs * (distance / self.noise) ** 2 / 2)


@dataclass(frozen=True)
class NetworkConfig:
    """What a role is given beside its data. The checks raise PolicyRefused.

    `check_openings(numbers per row, columns)`: the platform's; `check_rows(rows, coefficients)`: of released weights.
    """

    bank: str
    platform: str
    settings: NetworkSettings
    check_openings: Callable[[int, int], None]
    check_rows: Callable[[int, int], None]
    cache_bytes: int = 1 << 26


@dataclass(frozen=True, repr=False)
class Partition:
    """Row numbers: disjoint batches, the same in every epoch, and the rows that only decide when to stop."""

    batches: tuple[np.ndarray, ...]
    validation: np.ndarray

    @property
    def turns(self) -> int:
        """Forward passes of one epoch."""
        return len(self.batches) + 1

    def rows(self, turn: int) -> np.ndarray:
        """Of one forward pass; the last one is the validation rows'."""
        return self.batches[turn] if turn < len(self.batches) else self.validation


def partition(rows: int, settings: NetworkSettings) -> Partition:
    """Drawn once from the seed; ConfigError when a part would be empty. Batches differ by one row at most."""
    held = round(rows * settings.validation_share)
    if held < 1 or rows - held < 1:
        raise ConfigError(f"expected rows for training and for validation, got {rows} in all; bring more rows")
    order = np.random.default_rng(settings.seed).permutation(rows)
    count = -(-(rows - held) // settings.batch_rows)
    return Partition(tuple(np.array_split(order[held:], count)), order[:held])


@dataclass(frozen=True)
class Scales:
    """Fractional bits: of the velocity and the gradients X^T G; of G; of the weights, which are never truncated."""

    gradient: int
    weight: int

    @property
    def residual(self) -> int:
        """Of G, the bank's gradient by the embeddings."""
        return self.gradient - FEATURE_BITS

    @classmethod
    def of(cls, batches: int, columns: int, settings: NetworkSettings) -> Scales:
        """The finest whose truncations stay below 2^-40 for a whole training; ConfigError when none does."""
        kept = max(settings.source_momentum, 1) << MOMENTUM_BITS
        bound = COLUMN_BOUND_BITS + CLIP_BITS + math.ceil(math.log2(kept / (16 - settings.source_momentum)))
        count = batches * settings.epochs * columns * settings.width
        for bits in range(MOST_GRADIENT_BITS, LEAST_GRADIENT_BITS - 1, -2):
            if _affordable(count, bound + bits):
                return cls(bits, bits + settings.rate[1])
        raise ConfigError(f"expected fewer truncations than {count} in one training; take fewer epochs, columns or "
                          "batches")


def _affordable(count: int, magnitude_bits: int) -> bool:
    try:
        TruncationBudget().spend(count, magnitude_bits)
    except ProtocolError:
        return False
    return True
