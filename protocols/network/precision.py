"""How fine numbers are: fractional bits within the budget of truncations, and the width of the flood."""
from __future__ import annotations

import math
from dataclasses import dataclass

from protocols.crypto.fixed_point import TruncationBudget
from protocols.errors import ConfigError, ProtocolError
from protocols.network.settings import NOISE_GRID_BITS, NetworkSettings
from protocols.scorecard.layout import FEATURE_BITS
from protocols.scorecard.opened import FLOOD_BITS, VECTOR_BITS

COLUMN_BOUND_BITS = 8  # |x| < 2^8, of whitened columns
CLIP_BITS = 3  # a row's gradient by its embedding is clipped to 2^3 in each entry: logistic loss rarely comes near
MOMENTUM_BITS = 4
MOST_GRADIENT_BITS, LEAST_GRADIENT_BITS = 44, 28
FORWARD_BITS = 28  # of the weights as a strict forward pass multiplies them
UNIT_BITS = 16  # of a unit z, once truncated
UNIT_BOUND_BITS = 6  # |z| < 2^6, of a unit of a strict layer
SLOPE_BITS = 6  # |1 + 2z| < 2^6, in the mean over a batch
LARGEST_WIDTH = 1024  # of columns times width: released weights are so many hints about the bank's key


def flood_bits(settings: NetworkSettings) -> int:
    """Width of the uniform flood on an opened number at scale 2^104; under noise one step of the noise, which makes the
    sum of both a function of the number alone whatever lies between the steps."""
    return FLOOD_BITS if settings.noise == 0 else VECTOR_BITS + FEATURE_BITS - NOISE_GRID_BITS


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
        bound += SLOPE_BITS if settings.strict else 0
        count = batches * settings.epochs * columns * settings.numbers
        for bits in range(MOST_GRADIENT_BITS, LEAST_GRADIENT_BITS - 1, -2):
            scales = cls(bits, bits + settings.rate[1])
            strict = _strict(batches, columns, settings, scales) if settings.strict else []
            if _affordable([(count, bound + bits), *strict]):
                return scales
        raise ConfigError(f"expected fewer truncations than {count} in one training; take fewer epochs, columns or "
                          "batches")


def _strict(batches: int, columns: int, settings: NetworkSettings, scales: Scales) -> list[tuple[int, int]]:
    """(count, bits of the magnitude) of what a strict layer truncates besides: weights before each pass, units of
    training and validation rows (fewer than the former), and gradients by units."""
    rows = batches * settings.batch_rows * settings.numbers * settings.epochs
    weights = (batches + 1) * settings.epochs * columns * settings.numbers
    return [(weights, UNIT_BOUND_BITS + scales.weight),
            (2 * rows, UNIT_BOUND_BITS + FEATURE_BITS + FORWARD_BITS),
            (rows, CLIP_BITS + UNIT_BOUND_BITS + 2 + scales.residual + UNIT_BITS)]


def _affordable(truncations: list[tuple[int, int]]) -> bool:
    budget = TruncationBudget()
    try:
        for count, magnitude_bits in truncations:
            budget.spend(count, magnitude_bits)
    except ProtocolError:
        return False
    return True
