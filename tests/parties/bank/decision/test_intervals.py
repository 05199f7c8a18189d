"""Intervals against scipy and against published figures, and how often they hold the truth."""
from __future__ import annotations

import math
import random
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from parties.bank.decision import intervals
from parties.bank.decision.intervals import Moments

values = st.lists(st.integers(0, 10**6), min_size=2, max_size=40)


def moments(numbers: list[int]) -> Moments:
    found = Moments()
    for number in numbers:
        found = found.plus(number)
    return found


@given(st.floats(1, 1e5), st.sampled_from([0.9, 0.95, 0.975, 0.995, 0.9999]))
def test_student(freedom: float, probability: float) -> None:
    expected = stats.t.ppf(probability, freedom)
    assert intervals.student_quantile(probability, freedom) == pytest.approx(expected, rel=1e-7)


@given(st.floats(0.3, 1e4), st.floats(0.3, 1e4), st.floats(0, 1))
def test_the_incomplete_beta_function(a: float, b: float, x: float) -> None:
    assert intervals.incomplete_beta(a, b, x) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-9)


@given(st.floats(0, 900), st.integers(1, 12))
def test_chi_squared(statistic: float, freedom: int) -> None:
    assert intervals.chi_squared_tail(statistic, freedom) == pytest.approx(
        stats.chi2.sf(statistic, freedom), rel=1e-9, abs=1e-300)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=6).filter(any))
def test_the_sample_ratio(observed: list[int]) -> None:
    assert intervals.sample_ratio(observed, [sum(observed) / len(observed)] * len(observed)) == pytest.approx(
        stats.chisquare(observed).pvalue, rel=1e-9, abs=1e-300)


@given(st.integers(1, 5000), st.data(), st.sampled_from([0.9, 0.95, 0.99]))
def test_wilson(count: int, data: st.DataObject, level: float) -> None:
    events = data.draw(st.integers(0, count))
    found = stats.binomtest(events, count).proportion_ci(level, method="wilson")
    assert intervals.wilson(events, count, level) == pytest.approx((found.low, found.high), abs=1e-12)


@pytest.mark.parametrize(("one", "other", "low", "high"), [
    ((56, 70), (48, 80), 0.0524, 0.3339),
    ((9, 10), (3, 10), 0.1705, 0.8090),
    ((10, 10), (0, 20), 0.6791, 1.0000),
    ((10, 10), (0, 10), 0.6075, 1.0000),
])
def test_newcombe_on_the_examples_of_its_paper(one, other, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17:873-890, table II, method 10."""
    assert intervals.newcombe(*one, *other, 0.95) == pytest.approx((low, high), abs=5e-5)


@given(values, values, st.sampled_from([0.9, 0.95, 0.99]))
def test_welch(one: list[int], other: list[int], level: float) -> None:
    if len(set(one)) == 1 and len(set(other)) == 1:
        assert len(set(intervals.welch(moments(one), moments(other), level))) == 1
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy's, where one sample is constant
        found = stats.ttest_ind(one, other, equal_var=False).confidence_interval(level)
    assert intervals.welch(moments(one), moments(other), level) == pytest.approx(tuple(found), rel=1e-6, abs=1e-3)


@given(values, st.sampled_from([0.9, 0.95]))
def test_means(numbers: list[int], level: float) -> None:
    low, high = intervals.mean_interval(moments(numbers), level)
    mean = sum(numbers) / len(numbers)
    if len(set(numbers)) == 1:
        assert low == high == mean
        return
    expected = stats.t.interval(level, len(numbers) - 1, mean, stats.sem(numbers))
    assert (low, high) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(values)
def test_moments_do_not_depend_on_order(numbers: list[int]) -> None:
    assert moments(numbers) == moments(sorted(numbers)) == moments(numbers[::-1])


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """1,000 trials of 300 against 150 people at 4 and 6 %: 95 % within four standard errors."""
    drawn = random.Random(5)
    held = 0
    for _ in range(1000):
        one, other = (sum(drawn.random() < p for _ in range(n)) for p, n in ((0.04, 300), (0.06, 150)))
        low, high = intervals.newcombe(one, 300, other, 150, 0.95)
        held += low <= -0.02 <= high
    assert abs(held / 1000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 1000)
