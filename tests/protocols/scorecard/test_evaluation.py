"""The metrics against scikit-learn and by hand on small cases, ties included."""
from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from protocols.errors import DataError
from protocols.scorecard import evaluation as ev


@st.composite
def scored(draw):
    """Labels of both classes and scores on a coarse grid, so that ties are common."""
    n = draw(st.integers(2, 80))
    labels = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    labels[:2] = (0, 1)
    grid = draw(st.integers(1, 40))
    scores = np.array(draw(st.lists(st.integers(0, grid), min_size=n, max_size=n))) / grid
    return labels, scores


@settings(max_examples=60, deadline=None)
@given(scored())
def test_auc_ks_log_loss_equal_scikit_learn(case):
    labels, scores = case
    false_rate, true_rate, _ = sk.roc_curve(labels, scores)
    assert ev.auc(labels, scores) == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-12)
    assert ev.ks(labels, scores) == pytest.approx(np.abs(true_rate - false_rate).max(), abs=1e-12)
    inner = 0.01 + 0.98 * scores
    assert ev.log_loss(labels, inner) == pytest.approx(sk.log_loss(labels, inner), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(scored())
def test_curves_integrate_to_the_metrics(case):
    labels, scores = case
    roc = np.array(ev.roc_curve(labels, scores))
    assert np.trapezoid(roc[:, 1], roc[:, 0]) == pytest.approx(ev.auc(labels, scores), abs=1e-9)
    curve = np.array(ev.ks_curve(labels, scores))
    assert np.abs(curve[:, 1] - curve[:, 2]).max() == pytest.approx(ev.ks(labels, scores), abs=1e-12)
    assert (np.diff(roc, axis=0) >= 0).all() and (np.diff(curve, axis=0) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(scored(), st.integers(1, 12))
def test_tables_cover_every_row_once_and_never_split_ties(case, bins):
    labels, scores = case
    lift = ev.lift_table(labels, scores, bins)
    table = ev.calibration_table(labels, scores, bins)
    for rows in (lift, table):
        assert sum(row.count for row in rows) == len(labels)
        assert sum(row.events for row in rows) == labels.sum()
        assert all(1 <= row.bin <= bins for row in rows)
    assert lift[-1].captured == pytest.approx(1) and lift[-1].cumulative_lift == pytest.approx(1)
    assert len(lift) <= len(np.unique(scores)) and len(table) <= len(np.unique(scores))


@settings(max_examples=40, deadline=None)
@given(scored())
def test_uplift_is_the_difference_of_the_aucs(case):
    labels, scores = case
    other = np.roll(scores, 1)
    uplift = ev.auc_uplift(labels, scores, other)
    assert uplift.difference == pytest.approx(ev.auc(labels, scores) - ev.auc(labels, other), abs=1e-12)
    assert uplift.low <= uplift.difference <= uplift.high


def test_uplift_interval_has_the_width_of_repeated_samples():
    rng = np.random.default_rng(9)
    differences, widths = [], []
    for _ in range(300):
        labels = (rng.random(400) < 0.3).astype(int)
        shared = rng.normal(size=400) + 0.8 * labels
        better, worse = shared + 0.5 * labels + 0.5 * rng.normal(size=400), shared + 0.5 * rng.normal(size=400)
        uplift = ev.auc_uplift(labels, better, worse)
        differences.append(uplift.difference)
        widths.append((uplift.high - uplift.low) / 2)
    assert np.mean(widths) == pytest.approx(1.96 * np.std(differences), rel=0.12)


def test_uplift_of_equal_scores_is_exactly_zero():
    labels, scores = np.array([0, 1, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.2, 0.9])
    assert ev.auc_uplift(labels, scores, 2 * scores) == ev.Uplift(0.0, 0.0, 0.0)


def test_ties_by_hand():
    labels = np.array([0, 0, 1, 1])
    assert ev.auc(labels, np.zeros(4)) == 0.5 and ev.ks(labels, np.zeros(4)) == 0.0
    assert ev.auc(labels, np.array([0, 1, 1, 2])) == 0.875
    assert ev.roc_curve(labels, np.zeros(4)) == [[0.0, 0.0], [1.0, 1.0]]
    assert ev.gini(labels, np.array([0, 1, 2, 3])) == 1.0
    assert ev.ks(labels, np.array([3, 2, 1, 0])) == 1.0  # a perfect but reversed order separates as well


def test_a_group_of_a_lift_table_by_hand():
    labels = np.array([1, 1, 0, 1, 0, 0, 0, 0])
    first = ev.lift_table(labels, np.arange(8)[::-1], bins=4)[0]
    assert asdict(first) == {"bin": 1, "count": 2, "events": 2, "event_rate": 1.0, "lift": pytest.approx(8 / 3),
                             "captured": pytest.approx(2 / 3), "cumulative_lift": pytest.approx(8 / 3)}


def test_calibration_table_finds_a_wrong_probability():
    probabilities = np.repeat([0.1, 0.9], 50)
    labels = np.tile([0, 1], 50)
    low, high = ev.calibration_table(labels, probabilities, bins=2)
    assert (low.predicted, low.observed) == (pytest.approx(0.1), 0.5)
    assert (high.predicted, high.observed) == (pytest.approx(0.9), 0.5)


def test_long_curves_are_thinned_but_keep_the_ends_and_the_peak():
    rng = np.random.default_rng(3)
    scores = rng.normal(size=20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(2 - scores))).astype(int)
    roc, curve = ev.roc_curve(labels, scores), np.array(ev.ks_curve(labels, scores))
    assert len(roc) <= 200 and len(curve) <= 200
    assert roc[0] == [0, 0] and roc[-1] == [1, 1]
    assert np.abs(curve[:, 1] - curve[:, 2]).max() == pytest.approx(ev.ks(labels, scores), abs=1e-12)
    assert np.trapezoid(*np.array(roc).T[::-1]) == pytest.approx(ev.auc(labels, scores), abs=2e-3)


def test_psi():
    rng = np.random.default_rng(1)
    before, same, shifted = rng.normal(size=5000), rng.normal(size=7000), rng.normal(1, 1, size=5000)
    assert ev.psi(before, before) == 0
    assert ev.psi(before, same) < 0.02 < 0.5 < ev.psi(before, shifted)
    assert np.isfinite(ev.psi(before, before + 100))
    assert ev.psi(np.zeros(10), np.zeros(10)) == 0
    assert ev.psi(np.array([0.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0]), bins=2) == pytest.approx(0.25 * np.log(3))


@pytest.mark.parametrize("labels, scores, words", [
    ([1, 1, 1], [0.1, 0.2, 0.3], "all 3 labels are the same"),
    ([0, 0], [0.1, 0.2], "all 2 labels are the same"),
    ([0, 1], [0.1, 0.2, 0.3], "2 and 3"),
    ([0, 2], [0.1, 0.2], "labels 0"),
    ([0, 1], [0.1, float("nan")], "finite"),
    ([], [], "non-empty"),
])
@pytest.mark.parametrize("metric", [ev.auc, ev.ks, ev.gini, ev.log_loss, ev.evaluate, ev.roc_curve, ev.ks_curve,
                                    ev.calibration_table, ev.lift_table])
def test_refuses_what_has_no_answer(metric, labels, scores, words):
    with pytest.raises(DataError, match=words):
        metric(np.array(labels), np.array(scores))


@pytest.mark.parametrize("metric", [ev.log_loss, ev.evaluate, ev.calibration_table])
def test_refuses_scores_where_probabilities_belong(metric):
    with pytest.raises(DataError, match="probabilities"):
        metric(np.array([0, 1]), np.array([-0.5, 2.0]))


def test_refuses_useless_sizes():
    labels, scores = np.array([0, 1]), np.array([0.1, 0.2])
    with pytest.raises(DataError, match="bin"):
        ev.lift_table(labels, scores, bins=0)
    with pytest.raises(DataError, match="two points"):
        ev.roc_curve(labels, scores, max_points=1)
    with pytest.raises(DataError, match="non-empty"):
        ev.psi(np.array([]), scores)
