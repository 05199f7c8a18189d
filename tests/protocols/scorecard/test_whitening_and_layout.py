"""Bounds that step size and truncation rest on hold, or the run is refused."""
from __future__ import annotations

import numpy as np
import pytest

from protocols.crypto.fixed_point import TruncationBudget
from protocols.errors import DataError, MalformedMessage, ProtocolError
from protocols.role import Message
from protocols.scorecard import layout
from protocols.scorecard.holdout import FeatureHoldout, LabelHoldout, coarse
from protocols.scorecard.whitening import Whitening


def columns(rows: int = 500, count: int = 6) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.normal(size=(rows, count)) @ rng.normal(size=(count, count)) + 5


def test_whitened_columns_are_uncorrelated_with_variance_one():
    white = Whitening.fit(columns()).transform(columns())
    assert np.allclose(white.T @ white / len(white), np.eye(6), atol=1e-8) and np.allclose(white.mean(0), 0, atol=1e-9)


def test_constant_zero_and_repeated_columns_are_dropped():
    base = columns(count=3)
    wide = np.hstack([base, np.zeros((500, 1)), np.full((500, 1), 7.0), base[:, :1]])
    assert Whitening.fit(wide).transform(wide).shape == (500, 3)


def test_nothing_that_varies_is_an_error():
    with pytest.raises(DataError, match="varies"):
        Whitening.fit(np.ones((100, 2)))


def test_a_flag_on_very_few_rows_is_refused():
    flag = np.zeros((200_000, 1))
    flag[0] = 1
    with pytest.raises(DataError, match="very few rows"):
        Whitening.fit(flag)


def test_coefficients_mean_the_same_before_and_after():
    raw = columns()
    fitted = Whitening.fit(raw)
    weights = np.arange(6.0)
    own, constant = fitted.coefficients(weights)
    assert np.allclose(raw @ own + constant, fitted.transform(raw) @ weights)
    again = Whitening.from_json(fitted.to_json())
    assert np.array_equal(again.transform(raw), fitted.transform(raw))


def test_equal_rows_in_another_order_give_the_same_map():
    raw = columns()
    assert np.allclose(Whitening.fit(raw[::-1]).rotation, Whitening.fit(raw).rotation, atol=1e-9)


@pytest.mark.parametrize("rows", [1_000, 30_000, 200_000, 1_000_000])
def test_the_layout_stays_within_the_failure_budget(rows: int):
    chosen = layout.choose(rows, 200, 12)
    budget = TruncationBudget()
    passes = 12 + layout.POWER_PASSES
    budget.spend(rows * passes, layout.FEATURE_BITS + chosen.point_bits + layout.SCORE_BOUND_BITS)
    assert budget.spent <= 2**-40 and 0 < chosen.score_shift < 64


def test_a_training_beyond_the_budget_is_refused():
    with pytest.raises(DataError, match="2\\^-40"):
        layout.choose(2**36, 500, 64)


@pytest.mark.parametrize("value", [3e-9, 0.7, 1 / 3, 2.0**-40])
def test_steps_are_five_bits_over_a_power_of_two(value: float):
    step = layout.scale(value)
    assert 16 <= step.constant <= 32 and abs(step.constant / 2.0**step.shift / value - 1) <= 1 / 32


def test_a_step_that_does_not_fit_is_refused():
    with pytest.raises(ProtocolError):
        layout.scale(2.0**-70)


@pytest.mark.parametrize("eigenvalue", [0.01, 0.1683, 0.25, 0.5])
def test_the_announced_bound_covers_the_eigenvalue_by_a_fifth(eigenvalue: float):
    bound = 2.0 ** (layout.eigenvalue_grid(eigenvalue) / 2)
    assert 1.2 * eigenvalue <= bound <= 1.2 * eigenvalue * 2**0.5 * 1.0001
    assert layout.learning_rate(layout.eigenvalue_grid(eigenvalue), 0.0) * bound < 1


def test_hold_out_scores_are_rounded_and_bounded():
    assert np.array_equal(coarse(np.array([0.0, 0.016, -1.0])), [0, 1, -32])
    for bad in (np.array([2000.0]), np.array([np.nan])):
        with pytest.raises(DataError, match="between"):
            coarse(bad)


def holdout(judge=lambda scores: True):
    parts = {"calibration": np.array([0.5, -0.25]), "test": np.array([1.0])}
    rows = {"calibration": 2, "test": 1}
    return FeatureHoldout("platform", "bank", ("platform",), parts), LabelHoldout(("platform",), rows, judge)


@pytest.mark.parametrize("kept", [True, False])
def test_the_verdict_reaches_the_platform(kept: bool):
    platform, bank = holdout(lambda scores: kept)
    messages = platform.start()
    assert [m.opening.kind for m in messages] == ["scores.calibration", "scores.test"]
    verdict = [out for m in messages for out in bank.handle(Message("platform", m.kind, m.payload))]
    platform.handle(Message("bank", verdict[0].kind, verdict[0].payload))
    assert platform.result() is kept and np.array_equal(bank.result()["calibration"], [0.5, -0.25])


@pytest.mark.parametrize("message", [
    Message("platform", "scores.test", b"\0\0"), Message("platform", "scores.calibration", b"\0" * 3),
    Message("platform", "verdict", b"\1"),
])
def test_hold_out_messages_out_of_turn_are_refused(message: Message):
    with pytest.raises(MalformedMessage):
        holdout()[1].handle(message)
