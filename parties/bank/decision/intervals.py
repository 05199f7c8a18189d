"""Confidence intervals by formula: shares (Wilson, Newcombe), means (Welch), and a test of the ratio of a sample."""
from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

Interval = tuple[float, float]


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of squares of whole numbers: exact, so that the order of adding does not matter."""

    count: int = 0
    total: int = 0
    squares: int = 0

    def plus(self, value: int) -> Moments:
        """With one more value."""
        return Moments(self.count + 1, self.total + value, self.squares + value * value)

    @property
    def mean(self) -> float:
        return self.total / self.count

    @property
    def variance_of_mean(self) -> float:
        """Sample variance over the count; needs two values."""
        spread = self.squares * self.count - self.total * self.total
        return spread / (self.count * self.count * (self.count - 1))


def normal_quantile(level: float) -> float:
    """z of a two-sided interval: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(events: int, count: int, level: float) -> Interval:
    """Interval of a share (Wilson 1927): stays in [0, 1] for few rows and for no events."""
    z = normal_quantile(level)
    centre = (events + z * z / 2) / (count + z * z)
    half = z / (count + z * z) * math.sqrt(events * (count - events) / count + z * z / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def newcombe(events: int, count: int, base_events: int, base_count: int, level: float) -> Interval:
    """Interval of the difference of two shares, from their Wilson intervals (Newcombe 1998, method 10)."""
    share, base = events / count, base_events / base_count
    low, high = wilson(events, count, level)
    base_low, base_high = wilson(base_events, base_count, level)
    return (share - base - math.hypot(share - low, base_high - base),
            share - base + math.hypot(high - share, base - base_low))


def mean_interval(sample: Moments, level: float) -> Interval:
    """Student's interval of a mean of at least two values."""
    half = student_quantile((1 + level) / 2, sample.count - 1) * math.sqrt(sample.variance_of_mean)
    return sample.mean - half, sample.mean + half


def welch(sample: Moments, base: Moments, level: float) -> Interval:
    """Interval of the difference of two means of at least two values each, variances apart (Welch 1947)."""
    a, b = sample.variance_of_mean, base.variance_of_mean
    difference = sample.mean - base.mean
    if a + b == 0:
        return difference, difference
    freedom = (a + b) ** 2 / (a * a / (sample.count - 1) + b * b / (base.count - 1))
    half = student_quantile((1 + level) / 2, freedom) * math.sqrt(a + b)
    return difference - half, difference + half


def student_quantile(probability: float, freedom: float) -> float:
    """t with P(T <= t) = probability, for probabilities from one half and at least one degree of freedom.

    Newton's method from the normal quantile: the distribution is concave there and the root further right, so that the
    iterates rise to it.
    """
    if freedom > 1e6:
        return NormalDist().inv_cdf(probability)  # differs by less than 1e-5
    t = NormalDist().inv_cdf(probability)
    for _ in range(200):
        step = (probability - student_cdf(t, freedom)) / _student_density(t, freedom)
        t += step
        if step <= 1e-12 * t:
            break
    return t


def _student_density(t: float, freedom: float) -> float:
    scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    return math.exp(scale - (freedom + 1) / 2 * math.log1p(t * t / freedom))


def student_cdf(t: float, freedom: float) -> float:
    """P(T <= t) for t >= 0, by the incomplete beta function (Abramowitz and Stegun 26.7.1)."""
    return 1 - incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised I_x(a, b), by its continued fraction (Abramowitz and Stegun 26.5.8) on the side where it is fast."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) / (a * _beta_fraction(a, b, x))


def _beta_fraction(a: float, b: float, x: float) -> float:
    """1 + d1/(1 + d2/(1 + …)) from the bottom up, with more terms than it needs below x = (a + 1)/(a + b + 2)."""
    terms = 64 + 4 * math.isqrt(int(max(a, b)) + 1)
    fraction = 1.0
    for m in range(terms, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m - 1) * (a + b + m - 1) * x / ((a + 2 * m - 2) * (a + 2 * m - 1))
        fraction = 1 + odd / (1 + even / fraction)
    return fraction


def chi_squared_tail(statistic: float, freedom: int) -> float:
    """P(X² >= statistic), by the finite sums for whole degrees of freedom (Abramowitz and Stegun 26.4.4, 26.4.5)."""
    half = statistic / 2
    order, tail = (0.5, math.erfc(math.sqrt(half))) if freedom % 2 else (1.0, math.exp(-half))
    while order < freedom / 2:
        tail += math.exp(order * math.log(half) - half - math.lgamma(order + 1)) if half > 0 else 0.0
        order += 1
    return min(1.0, tail)


def sample_ratio(observed: list[int], expected: list[float]) -> float:
    """Probability of a split at least so far from the expected one (Pearson's chi-squared); all expected > 0."""
    statistic = sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True))
    return chi_squared_tail(statistic, len(observed) - 1)
