"""How much noise a round needs, and what it is worth: zero-concentrated differential privacy.

M. Bun, T. Steinke, "Concentrated Differential Privacy", TCC 2016: definition 1.1, lemma 2.3 (adaptive composition adds
up), proposition 1.3 (conversion). Discrete noise: Canonne, Kamath, Steinke 2020, theorem 14.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from protocols.errors import ConfigError

ROUNDS = 2  # histogram and moments get the same share
DELTA = 1e-6
_LARGEST = 2**26  # variance; integers of the sampler stay below 2^63
_FINEST = 2**20


@dataclass(frozen=True)
class Variance:
    """numerator/denominator, one of the two being 1."""

    numerator: int
    denominator: int

    def __float__(self) -> float:
        return self.numerator / self.denominator


def noise_variance(squared_sensitivity: int, rho: float, rounds: int = ROUNDS, setting: str = "commons_rho"
                   ) -> Variance:
    """Variance of the noise of one round, `squared_sensitivity` / (2·rho/rounds), rounded up.

    `rho`: of all rounds together. Raises ConfigError where the noise would have a deviation above 8,192 rows.
    """
    exact = Fraction(squared_sensitivity) * rounds / (2 * Fraction(rho))
    if exact > _LARGEST:
        raise ConfigError(f"expected model.{setting} of at least {squared_sensitivity * rounds / (2 * _LARGEST):.2g} "
                          f"for these columns, got {rho:g}; raise it or take fewer columns")
    if exact >= 1:
        return Variance(math.ceil(exact), 1)
    return Variance(1, min(math.floor(1 / exact), _FINEST))


def histogram_sensitivity(columns: int) -> int:
    """Squared L2 distance of two histograms that differ by one row: one cell per column, and the number of rows."""
    return columns + 1


def moments_sensitivity(columns: int) -> int:
    """The same for the moments: the number of rows, one level per column, one pair of levels per pair of columns."""
    return 1 + columns * (columns + 1) // 2


def epsilon(rho: float, delta: float = DELTA) -> float:
    """rho-zCDP gives (epsilon, delta)-differential privacy with epsilon = rho + 2·sqrt(rho·ln(1/delta))."""
    return rho + 2 * math.sqrt(rho * math.log(1 / delta))
