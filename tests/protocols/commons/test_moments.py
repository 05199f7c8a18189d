"""Moments from counts of levels and pairs: exact without noise, unbiased and as precise as stated with it."""
from __future__ import annotations

import numpy as np
import pytest

from protocols.binning.encoder import Encoder
from protocols.commons.moments import estimate, length, tables
from protocols.commons.privacy import moments_sensitivity
from protocols.errors import DataError
from protocols.scorecard.whitening import Whitening
from tests.protocols.commons.banks import customers

ROWS = 6000
COLUMNS = customers(1, ROWS)
ENCODER = Encoder.fit(COLUMNS, method="dummy")
MATRIX = ENCODER.transform(COLUMNS)
COVARIANCE = np.cov(MATRIX.T, bias=True)


def noisy(deviation: float, seed: int) -> np.ndarray:
    counts = tables(ENCODER, COLUMNS)
    return counts + np.rint(np.random.default_rng(seed).normal(size=len(counts)) * deviation).astype(np.int64)


def test_without_noise_they_are_those_of_the_rows() -> None:
    found = estimate(ENCODER, tables(ENCODER, COLUMNS), 0.0)
    assert found.rows == pytest.approx(ROWS) and not found.noise.any()
    assert np.allclose(found.mean, MATRIX.mean(axis=0), atol=1e-12)
    assert np.allclose(found.covariance, COVARIANCE, atol=1e-12)


def test_rows_are_counted_in_chunks_as_in_one() -> None:
    many = {name: data.take(np.arange(20_000) % ROWS) for name, data in COLUMNS.items()}
    halves = [{name: data.take(part) for name, data in many.items()}
              for part in (np.arange(9_000), np.arange(9_000, 20_000))]
    assert np.array_equal(tables(ENCODER, many), sum(tables(ENCODER, half) for half in halves))
    assert len(tables(ENCODER, many)) == length(ENCODER)


def test_one_row_moves_the_tables_by_the_sensitivity() -> None:
    whole = tables(ENCODER, COLUMNS)
    for row in (0, 17, 4999):
        rest = {name: data.take(np.delete(np.arange(ROWS), row)) for name, data in COLUMNS.items()}
        change = whole - tables(ENCODER, rest)
        assert (change**2).sum() == moments_sensitivity(len(ENCODER.columns))


def test_the_stated_noise_is_that_of_the_covariance_and_there_is_no_bias() -> None:
    errors = np.array([estimate(ENCODER, noisy(30.0, seed), 30.0).covariance - COVARIANCE for seed in range(120)])
    stated = estimate(ENCODER, noisy(30.0, 0), 30.0).noise
    across = stated > 0
    ratios = errors.std(axis=0)[across] / stated[across]
    assert abs(np.sqrt((ratios**2).mean()) - 1) < 0.05 and ratios.max() < 1.3
    assert np.abs(errors.mean(axis=0)[across] / stated[across]).max() < 5 / 120**0.5
    assert errors.std(axis=0)[~across].max() < stated[across].max()


def test_agreement_of_the_tables_lowers_the_noise() -> None:
    """Compared with pairs of features alone, each divided by the published number of rows."""
    raw, agreed = [], []
    for seed in range(40):
        counts = noisy(30.0, seed)
        agreed.append(np.abs(estimate(ENCODER, counts, 30.0).mean - MATRIX.mean(axis=0)))
        sizes = np.cumsum([0, *(len(column.bins) for column in ENCODER.columns)])
        keep = np.concatenate([start + np.array(column.feature_bins)
                               for start, column in zip(sizes, ENCODER.columns, strict=False)])
        raw.append(np.abs(counts[1 + keep] / counts[0] - MATRIX.mean(axis=0)))
    assert np.mean(agreed) < 0.75 * np.mean(raw)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(DataError, match="too few rows"):
        estimate(ENCODER, noisy(30.0, 1), 6000.0)


def largest_and_smallest(whitening: Whitening) -> tuple[float, float]:
    values = np.linalg.eigvalsh(whitening.rotation.T @ COVARIANCE @ whitening.rotation)
    return values[-1], values[0]


def test_whitening_by_exact_moments_is_whitening_by_the_rows() -> None:
    found = estimate(ENCODER, tables(ENCODER, COLUMNS), 0.0)
    whitening = Whitening.from_moments(found.mean, found.covariance, found.noise)
    assert np.allclose(np.cov(whitening.transform(MATRIX).T, bias=True), np.eye(MATRIX.shape[1]), atol=1e-6)
    assert Whitening.from_json(whitening.to_json()).rotation.shape == whitening.rotation.shape


@pytest.mark.parametrize("deviation", [5.0, 20.0, 60.0])
def test_with_noise_no_direction_is_lost_and_none_gets_much_too_large(deviation: float) -> None:
    for seed in range(5):
        found = estimate(ENCODER, noisy(deviation, seed), deviation)
        whitening = Whitening.from_moments(found.mean, found.covariance, found.noise)
        largest, smallest = largest_and_smallest(whitening)
        assert whitening.rotation.shape[1] == MATRIX.shape[1]
        assert largest < 1.6 and largest / smallest < 8
        assert np.abs(whitening.transform(MATRIX)).max() < 30
        coefficients, constant = whitening.coefficients(np.ones(MATRIX.shape[1]))
        assert np.allclose(MATRIX @ coefficients + constant, whitening.transform(MATRIX).sum(axis=1))


def test_the_last_bits_of_one_banks_arithmetic_do_not_turn_the_basis() -> None:
    found = estimate(ENCODER, noisy(20.0, 1), 20.0)
    first = Whitening.from_moments(found.mean, found.covariance, found.noise)
    other = Whitening.from_moments(found.mean, found.covariance * (1 + 2e-16) + 1e-17, found.noise)
    assert np.allclose(first.rotation, other.rotation, atol=1e-9)
    equal = np.diag([0.2, 0.2, 0.2]) - 0.04  # three equal eigenvalues but one: eigenvectors would be arbitrary
    nearly = equal + 1e-15 * np.array([[0, 1, 0], [1, 0, -1], [0, -1, 0]])
    roots = [Whitening.from_moments(np.zeros(3), matrix, 0.0).rotation for matrix in (equal, nearly)]
    assert np.allclose(*roots, atol=1e-12)


def test_one_deviation_for_all_entries_does_as_well_when_nothing_else_is_known() -> None:
    found = estimate(ENCODER, noisy(20.0, 1), 20.0)
    whitening = Whitening.from_moments(found.mean, found.covariance, float(found.noise.max()))
    largest, smallest = largest_and_smallest(whitening)
    assert largest < 1.3 and largest / smallest < 8


def test_columns_that_say_the_same_stay_harmless() -> None:
    missing = np.arange(ROWS) % 10 == 0
    shared = COLUMNS | {name: type(data)(data.kind, np.where(missing, np.nan, data.values), data.special * ~missing,
                                         data.special_codes)
                        for name, data in COLUMNS.items() if name in ("score", "inquiries", "change")}
    encoder = Encoder.fit(shared, method="dummy")
    counts = tables(encoder, shared)
    drawn = np.rint(np.random.default_rng(1).normal(size=len(counts)) * 20).astype(np.int64)
    found = estimate(encoder, counts + drawn, 20.0)
    white = Whitening.from_moments(found.mean, found.covariance, found.noise).transform(encoder.transform(shared))
    values = np.linalg.eigvalsh(np.cov(white.T, bias=True))
    assert values[-1] < 1.6 and abs(values[1]) < 1e-9 and values[2] > 0.1


def test_nothing_that_varies_is_an_error() -> None:
    with pytest.raises(DataError, match="varies"):
        Whitening.from_moments(np.zeros(2), np.zeros((2, 2)), 0.0)
