"""The sampler follows the discrete Gaussian: exact in law, the same for the same seed."""
from __future__ import annotations

import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.commons.discrete_gaussian import Randomness, _flips, discrete_gaussian
from protocols.commons.privacy import (
    Variance,
    epsilon,
    histogram_sensitivity,
    moments_sensitivity,
    noise_variance,
)
from protocols.crypto.ring import WORD
from protocols.errors import ConfigError

DRAWS = 100_000


def source(label: str) -> Randomness:
    return Randomness(bytes(range(32)), label)


def chi_square(observed: np.ndarray, expected: np.ndarray) -> float:
    """Deviations by which the statistic lies above its mean."""
    enough = expected >= 10
    statistic = ((observed[enough] - expected[enough]) ** 2 / expected[enough]).sum()
    freedom = int(enough.sum()) - 1
    return (statistic - freedom) / (2 * freedom) ** 0.5


@pytest.mark.parametrize("variance", [Variance(1, 1), Variance(1, 3), Variance(7, 1), Variance(130, 1)])
def test_frequencies_are_those_of_the_definition(variance: Variance) -> None:
    drawn = discrete_gaussian(source("law"), DRAWS, variance)
    values = np.arange(-80, 81)
    weights = np.exp(-(values**2) / (2 * float(variance)))
    observed = np.array([(drawn == value).sum() for value in values])
    assert observed.sum() == DRAWS and chi_square(observed, DRAWS * weights / weights.sum()) < 4


@pytest.mark.parametrize("numerator", [790, 2**20 + 1, 2**26])
def test_mean_variance_and_fourth_moment(numerator: int) -> None:
    drawn = discrete_gaussian(source("moments"), DRAWS, Variance(numerator, 1)) / numerator**0.5
    assert abs(drawn.mean()) < 4 / DRAWS**0.5 and abs((drawn**2).mean() - 1) < 4 * (2 / DRAWS) ** 0.5
    assert abs((drawn**4).mean() - 3) < 4 * (96 / DRAWS) ** 0.5 and abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.02


@pytest.mark.parametrize("odds", [(0, 1), (1, 1), (1, 2), (3, 7), (2**40 - 1, 2**40)])
def test_a_coin_falls_well_with_probability_exp(odds: tuple[int, int]) -> None:
    fell = _flips(source("coins"), np.full(DRAWS, odds[0], WORD), np.full(DRAWS, odds[1], WORD))
    chance = np.exp(-odds[0] / odds[1])
    assert abs(fell.mean() - chance) <= 4.5 * (chance * (1 - chance) / DRAWS) ** 0.5


def test_integers_below_a_bound_are_uniform_and_below_it() -> None:
    drawn = source("uniform").below(np.full(DRAWS, 37, WORD))
    assert chi_square(np.bincount(drawn.astype(int), minlength=37), np.full(37, DRAWS / 37)) < 4
    huge = source("huge").below(np.full(DRAWS, 2**63 + 1, WORD))
    assert huge.max() <= 2**63 and abs((huge >= WORD(2**62)).mean() - 0.5) < 0.01


def test_seed_and_label_decide_and_nothing_is_printed() -> None:
    first = discrete_gaussian(source("a"), 500, Variance(50, 1))
    assert np.array_equal(first, discrete_gaussian(source("a"), 500, Variance(50, 1)))
    assert not np.array_equal(first, discrete_gaussian(source("b"), 500, Variance(50, 1)))
    assert not np.array_equal(first, discrete_gaussian(Randomness(bytes(32), "a"), 500, Variance(50, 1)))
    assert "REDACTED" in repr(source("a")) and len(discrete_gaussian(source("a"), 0, Variance(1, 1))) == 0
    with pytest.raises(TypeError):
        pickle.dumps(source("a"))
    with pytest.raises(ValueError, match="32 bytes"):
        Randomness(b"short", "a")


@settings(max_examples=60, deadline=None)
@given(sensitivity=st.integers(1, 50_000), rho=st.floats(0.01, 1e7))
def test_the_noise_is_never_smaller_than_promised(sensitivity: int, rho: float) -> None:
    try:
        variance = noise_variance(sensitivity, rho)
    except ConfigError:
        assert sensitivity / rho > 2**25
        return
    spent = Fraction(sensitivity) / (2 * Fraction(variance.numerator, variance.denominator))
    assert spent <= Fraction(rho) / 2 and 1 in (variance.numerator, variance.denominator)


def test_what_would_drown_everything_is_refused() -> None:
    with pytest.raises(ConfigError, match="commons_rho of at least"):
        noise_variance(79, 1e-7)


def test_the_figures_of_the_readme() -> None:
    assert histogram_sensitivity(12) == 13 and moments_sensitivity(12) == 79
    assert noise_variance(13, 0.1) == Variance(130, 1) and noise_variance(79, 0.1) == Variance(790, 1)
    assert epsilon(0.1) == pytest.approx(2.451, abs=1e-3)
