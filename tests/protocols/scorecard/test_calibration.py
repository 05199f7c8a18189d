from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import DataError, MalformedMessage
from protocols.scorecard.calibration import Calibration, calibrate
from protocols.scorecard.evaluation import auc, log_loss


@settings(max_examples=10, deadline=None)
@given(st.floats(0.2, 5), st.floats(-3, 3), st.integers(0, 2**32 - 1))
def test_recovers_the_distortion_of_a_good_score(slope, intercept, seed):
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(-1, 1.5, size=20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-log_odds))).astype(int)
    fitted = calibrate((log_odds - intercept) / slope, labels)
    assert fitted.slope == pytest.approx(slope, rel=0.1)
    assert fitted.intercept == pytest.approx(intercept, abs=0.2)
    assert fitted.increasing


def test_keeps_the_order_and_matches_the_mean():
    rng = np.random.default_rng(4)
    z = rng.normal(5, 30, size=3000)
    labels = (rng.random(3000) < 1 / (1 + np.exp(-z / 20))).astype(int)
    fitted = calibrate(z, labels)
    probabilities = fitted.probability(z)
    assert auc(labels, probabilities) == pytest.approx(auc(labels, z), abs=1e-12)
    assert probabilities.mean() == pytest.approx(labels.mean(), abs=1e-3)
    assert log_loss(labels, probabilities) < log_loss(labels, np.full(3000, labels.mean()))


def test_separated_scores_stay_finite_by_smoothed_targets():
    z = np.arange(20.0)
    fitted = calibrate(z, (z > 9).astype(int))
    probabilities = fitted.probability(z)
    assert 0 < fitted.slope < 5 and probabilities.min() > 0.001 and probabilities.max() < 0.999


def test_reversed_scores_are_reported():
    z = np.arange(100.0)
    assert not calibrate(z, (z < 50).astype(int)).increasing


def test_scale_of_the_score_does_not_matter():
    rng = np.random.default_rng(8)
    z = rng.normal(size=500)
    labels = (z + rng.normal(size=500) > 1).astype(int)
    base = calibrate(z, labels).probability(z)
    for factor, shift in ((1e-6, 0.0), (1e6, 0.0), (1.0, 1e4)):
        moved = z * factor + shift
        assert calibrate(moved, labels).probability(moved) == pytest.approx(base, abs=1e-6)


@pytest.mark.parametrize("z, labels, words", [
    ([1.0, 2.0], [1, 1], "both present"),
    ([1.0, 2.0], [0, 3], "labels 0 and 1"),
    ([1.0, 1.0, 1.0], [0, 1, 0], "differ"),
    ([1.0, float("inf")], [0, 1], "finite"),
    ([1.0], [0, 1], "shapes"),
])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_refuses_what_cannot_be_calibrated(z, labels, words):
    with pytest.raises(DataError, match=words):
        calibrate(np.array(z), np.array(labels))


def test_json_round_trip_and_strict_reading():
    fitted = Calibration(-0.25, 1.5)
    assert Calibration.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
    for bad in ({"slope": 1.0}, {"slope": 1.0, "intercept": 0.0, "more": 1}, {"slope": "1", "intercept": 0.0},
                {"slope": True, "intercept": 0.0}, {"slope": float("nan"), "intercept": 0.0}, [0.0, 1.0]):
        with pytest.raises(MalformedMessage, match="calibration"):
            Calibration.from_json(bad)
