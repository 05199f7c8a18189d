"""The exact solution in a subspace is the ridge regression on the joint columns, restricted to it."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.scorecard import logistic, subspace
from tests.protocols.scorecard.problems import problem


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(200, 800), bank=st.integers(1, 4), platform=st.integers(1, 5),
       l2=st.sampled_from([0.0, 0.001, 0.1]), seed=st.integers(0, 2**20))
def test_with_all_directions_it_is_the_joint_fit(rows, bank, platform, l2, seed) -> None:
    task = problem(rows, bank, platform, l2=l2, seed=seed)
    directions = np.random.default_rng(seed).normal(size=(platform, platform))
    found = subspace.solve(task.bank, task.platform @ directions, task.labels, l2)
    pooled = logistic.fit(np.hstack([task.bank, task.platform]), task.labels, l2)
    assert np.abs(found.own - np.r_[pooled.intercept, pooled.coefficients[:bank]]).max() < 1e-4
    assert np.abs(directions @ found.mix - pooled.coefficients[bank:]).max() < 1e-4
    expected = found.own[0] + task.bank @ found.own[1:] + task.platform @ (directions @ found.mix)
    assert np.abs(found.scores - expected).max() < 1e-9


@pytest.mark.parametrize("spoil", [lambda u: np.zeros_like(u), lambda u: u, lambda u: 2.0**-17 * np.ones_like(u)])
def test_a_direction_that_adds_nothing_gets_no_weight(spoil) -> None:
    task = problem(400, 2, 3)
    image = task.platform @ np.array([0.3, -0.2, 0.1])
    one = subspace.solve(task.bank, image[:, None], task.labels, task.l2)
    both = subspace.solve(task.bank, np.column_stack([image, spoil(image)]), task.labels, task.l2)
    assert both.mix[1] == 0 and both.mix[0] == pytest.approx(one.mix[0], rel=1e-6)
