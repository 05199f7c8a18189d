"""Draws, gradients and the loss."""
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from protocols.boosting.gradients import base_margin, draw, loss, probabilities, quantised_gradients
from protocols.boosting.settings import BoostingSettings

PINNED = [28, 40, 47, 51, 95, 99]


@pytest.mark.parametrize("weight", [1.0, 0.2, 30.0])
def test_the_loss_weighs_events_as_training_does(weight):
    rng = np.random.default_rng(0)
    margins, labels = rng.normal(size=500), rng.integers(0, 2, 500)
    theirs = log_loss(labels, probabilities(margins), sample_weight=np.where(labels == 1, weight, 1.0))
    assert loss(margins, labels, weight) == pytest.approx(theirs, rel=1e-12)


def test_extreme_margins_overflow_nothing():
    margins = np.array([-1e4, -710.0, 0.0, 710.0, 1e4])
    assert probabilities(margins).tolist() == [0.0, pytest.approx(0.0, abs=1e-300), 0.5, 1.0, 1.0]
    assert loss(margins, np.array([1, 1, 0, 0, 0]), 1.0) == pytest.approx((2e4 + 1420 + math.log(2)) / 5)


@hypothesis_settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.floats(0, 1), st.binary(max_size=8))
def test_draws_take_each_number_once(size, share, seed):
    among = np.arange(size) * 3
    drawn = draw(among, round(share * size), seed, "rows")
    assert len(drawn) == round(share * size) and (np.diff(drawn) > 0).all() and np.isin(drawn, among).all()
    assert (draw(among, len(drawn), seed, "rows") == drawn).all()


def test_draws_are_the_same_everywhere_and_differ_by_seed_and_purpose():
    assert draw(np.arange(100), 6, b"seed", "rows").tolist() == PINNED
    others = {tuple(draw(np.arange(100), 6, *one)) for one in ((b"seed", "goss"), (b"seed2", "rows"), (b"", "rows"))}
    assert len({*others, tuple(PINNED)}) == 4


def test_gradients_are_those_of_the_weighted_loss():
    labels, margins = np.array([0, 1, 0, 1]), np.array([0.0, 0.0, 2.0, -1.0])
    settings = BoostingSettings(class_weight=3.0, hessian_bits=10)
    found = quantised_gradients(margins, labels, np.array([True, True, True, False]), settings, b"")
    p = 1 / (1 + math.exp(-2))
    assert found[0].tolist() == [128, -384, round(256 * p), 0]
    assert found[1].tolist() == [256, 768, round(1024 * p * (1 - p)), 0]
    assert base_margin(labels, 3.0) == math.log(3)
