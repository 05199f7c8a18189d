"""The fit against scikit-learn on drawn shapes, and the cases in which Newton's method usually breaks."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from protocols.errors import DataError
from protocols.scorecard import logistic


def sample(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, d))
    z = features @ rng.normal(size=d) * 0.5 - 1
    labels = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(int)
    labels[:2] = (0, 1)
    return features, labels


@settings(max_examples=15, deadline=None)
@given(st.integers(50, 400), st.integers(1, 12), st.sampled_from([1e-4, 1e-2, 1.0]), st.integers(0, 2**32 - 1))
def test_equals_scikit_learn(n, d, l2, seed):
    features, labels = sample(n, d, seed)
    ours = logistic.fit(features, labels, l2)
    theirs = LogisticRegression(C=1 / (l2 * n), tol=1e-12, max_iter=5000, solver="newton-cholesky")
    theirs.fit(features, labels)
    assert ours.converged
    assert ours.coefficients == pytest.approx(theirs.coef_[0], abs=1e-4)
    assert ours.intercept == pytest.approx(theirs.intercept_[0], abs=1e-4)
    assert ours.probability(features) == pytest.approx(theirs.predict_proba(features)[:, 1], abs=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.integers(30, 300), st.integers(1, 8), st.sampled_from([0.0, 1e-3, 0.1]), st.integers(0, 2**32 - 1))
def test_gradient_vanishes_at_the_fit(n, d, l2, seed):
    features, labels = sample(n, d, seed)
    fitted = logistic.fit(features, labels, l2)
    assert fitted.converged or l2 == 0.0  # a few rows that a line separates have no fit without a ridge
    if not fitted.converged:
        return
    residual = fitted.probability(features) - labels
    gradient = features.T @ residual / n + l2 * fitted.coefficients
    assert abs(residual.mean()) < 1e-7 and np.abs(gradient).max() < 1e-7


def test_blocks_do_not_change_the_fit(monkeypatch):
    features, labels = sample(1000, 5, 0)
    whole = logistic.fit(features, labels, 0.01)
    monkeypatch.setattr(logistic, "BLOCK_ROWS", 77)
    assert logistic.fit(features, labels, 0.01).coefficients == pytest.approx(whole.coefficients, abs=1e-9)


@pytest.mark.parametrize("l2", [0.0, 1e-6, 0.1])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_separated_rows_end_with_a_finite_fit_in_the_right_order(l2, scale):
    features = np.arange(40.0)[:, None] * scale
    labels = (features[:, 0] >= 20 * scale).astype(int)
    fitted = logistic.fit(features, labels, l2)
    assert np.isfinite(fitted.coefficients).all() and fitted.coefficients[0] > 0
    assert fitted.iterations < 100
    if l2 == 0:
        assert ((fitted.score(features) > 0) == labels).all()


def test_collinear_and_constant_columns_share_the_same_prediction():
    features, labels = sample(500, 4, 2)
    plain = logistic.fit(features, labels, 0.0)
    wide = np.column_stack([features, features[:, 0], features.sum(axis=1), np.zeros(500)])
    fitted = logistic.fit(wide, labels, 0.0)
    assert fitted.converged and fitted.score(wide) == pytest.approx(plain.score(features), abs=1e-6)


def test_no_columns_gives_the_base_rate():
    fitted = logistic.fit(np.empty((8, 0)), np.array([1, 0, 0, 0, 0, 0, 0, 0]), 0.1)
    assert fitted.converged and fitted.probability(np.empty((2, 0))) == pytest.approx([0.125, 0.125])


def test_penalty_leaves_the_intercept_free():
    features, labels = sample(400, 3, 5)
    fitted = logistic.fit(features, labels, 1e6)
    assert fitted.coefficients == pytest.approx(np.zeros(3), abs=1e-5)
    assert fitted.probability(features).mean() == pytest.approx(labels.mean(), abs=1e-9)


def test_sigmoid_at_the_edges():
    assert logistic.sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
    assert logistic.cross_entropy(np.array([800.0, -800.0]), np.array([0.0, 0.0])) == 400.0


@pytest.mark.parametrize("features, labels, l2, words", [
    (np.zeros((3, 1)), [1, 1, 1], 0.0, "all 3 labels"),
    (np.zeros((3, 1)), [0, 1], 0.0, "shapes"),
    (np.zeros(3), [0, 1, 1], 0.0, "shapes"),
    (np.zeros((0, 2)), [], 0.0, "shapes"),
    (np.full((2, 1), np.nan), [0, 1], 0.0, "finite"),
    (np.zeros((2, 1)), [0, 0.5], 0.0, "labels 0"),
    (np.zeros((2, 1)), [0, 1], -1.0, "penalty"),
    (np.zeros((2, 1)), [0, 1], float("nan"), "penalty"),
])
def test_refuses_what_cannot_be_fitted(features, labels, l2, words):
    with pytest.raises(DataError, match=words):
        logistic.fit(features, np.array(labels), l2)
