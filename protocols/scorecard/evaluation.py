"""How well a score ranks and how well a probability is calibrated; numpy only.

Convention: label 1 is the event (default), a *higher* score means a *riskier* person. Equal scores are one threshold:
they never split between bins and count one half in the AUC. Every function takes (n,) labels and (n,) scores and raises
DataError when their shapes differ, a value is not finite or only one class is present.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocols.errors import DataError

MAX_POINTS = 200
CLIP = 1e-15


@dataclass(frozen=True)
class Metrics:
    """`log_loss` in nats; `gini` is 2·auc − 1."""

    auc: float
    ks: float
    gini: float
    log_loss: float


@dataclass(frozen=True)
class Uplift:
    """Difference of two AUCs on the same rows with its 95 % interval."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class CalibrationBin:
    """`predicted`: mean probability; `observed`: share of events."""

    bin: int
    count: int
    events: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class LiftBin:
    """Riskiest rows first. `captured`: share of all events in this bin and those before it."""

    bin: int
    count: int
    events: int
    event_rate: float
    lift: float
    captured: float
    cumulative_lift: float


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: probability that an event outscores a non-event, ties one half."""
    labels, scores = _checked(labels, scores)
    events = labels.sum()
    nonevents = len(labels) - events
    rank_sum = _midranks(scores)[labels == 1].sum()
    return float((rank_sum - events * (events + 1) / 2) / (events * nonevents))


def auc_uplift(labels: np.ndarray, scores: np.ndarray, baseline: np.ndarray) -> Uplift:
    """AUC of `scores` minus AUC of `baseline`, with the 95 % interval of DeLong et al. (1988) for paired rows.

    The variance uses placement values from mid-ranks (Sun and Xu 2014): n log n, ties included.
    """
    first, second = (_placements(*_checked(labels, values)) for values in (scores, baseline))
    events, nonevents = (a - b for a, b in zip(first, second, strict=True))
    variance = sum(part.var(ddof=1) / len(part) for part in (events, nonevents) if len(part) > 1)
    difference, half = float(events.mean()), 1.959964 * float(np.sqrt(variance))
    return Uplift(difference, difference - half, difference + half)


def _placements(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per event the share of non-events it outscores, per non-event the share of events that outscore it."""
    overall = _midranks(scores)
    events, nonevents = scores[labels == 1], scores[labels == 0]
    return ((overall[labels == 1] - _midranks(events)) / len(nonevents),
            1 - (overall[labels == 0] - _midranks(nonevents)) / len(events))


def gini(labels: np.ndarray, scores: np.ndarray) -> float:
    """Accuracy ratio 2·AUC − 1."""
    return 2 * auc(labels, scores) - 1


def ks(labels: np.ndarray, scores: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance between the score distributions of events and non-events, in [0, 1]."""
    false_rate, true_rate, _ = _cumulative(*_checked(labels, scores))
    return float(np.abs(true_rate - false_rate).max())


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean −log likelihood in nats; probabilities are clipped to [1e-15, 1 − 1e-15]."""
    labels, probabilities = _checked(labels, probabilities)
    _check_probabilities(probabilities)
    p = np.clip(probabilities, CLIP, 1 - CLIP)
    return float(-np.mean(labels * np.log(p) + (1 - labels) * np.log1p(-p)))


def evaluate(labels: np.ndarray, probabilities: np.ndarray) -> Metrics:
    """All four headline figures of a probability."""
    area = auc(labels, probabilities)
    return Metrics(auc=area, ks=ks(labels, probabilities), gini=2 * area - 1, log_loss=log_loss(labels, probabilities))


def roc_curve(labels: np.ndarray, scores: np.ndarray, max_points: int = MAX_POINTS) -> list[list[float]]:
    """[[false-positive rate, true-positive rate], ...] from (0, 0) to (1, 1), at most `max_points` of them."""
    false_rate, true_rate, _ = _cumulative(*_checked(labels, scores))
    keep = _thin(_corners(false_rate, true_rate), max_points)
    return np.column_stack([false_rate, true_rate])[keep].tolist()


def ks_curve(labels: np.ndarray, scores: np.ndarray, max_points: int = MAX_POINTS) -> list[list[float]]:
    """[[share of rows, share of events, share of non-events], ...], riskiest first; the largest gap is always kept."""
    false_rate, true_rate, share = _cumulative(*_checked(labels, scores))
    peak = int(np.abs(true_rate - false_rate).argmax())
    keep = np.union1d(_thin(np.arange(len(share)), max_points - 1), [peak])
    return np.column_stack([share, true_rate, false_rate])[keep].tolist()


def calibration_table(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> list[CalibrationBin]:
    """Rows in `bins` groups of about equal size by rising probability; groups that ties leave empty are absent."""
    labels, probabilities = _checked(labels, probabilities)
    _check_probabilities(probabilities)
    groups = _groups(probabilities, bins)
    return [CalibrationBin(bin=int(g) + 1, count=int(rows.sum()), events=int(labels[rows].sum()),
                           predicted=float(probabilities[rows].mean()), observed=float(labels[rows].mean()))
            for g in np.unique(groups) for rows in [groups == g]]


def lift_table(labels: np.ndarray, scores: np.ndarray, bins: int = 10) -> list[LiftBin]:
    """Rows in `bins` groups of about equal size by falling score; groups that ties leave empty are absent."""
    labels, scores = _checked(labels, scores)
    base, total = float(labels.mean()), float(labels.sum())
    groups = _groups(-scores, bins)
    table: list[LiftBin] = []
    seen_rows = seen_events = 0
    for g in np.unique(groups):
        inside = labels[groups == g]
        events = int(inside.sum())
        seen_rows, seen_events = seen_rows + len(inside), seen_events + events
        table.append(LiftBin(bin=int(g) + 1, count=len(inside), events=events, event_rate=float(inside.mean()),
                             lift=float(inside.mean()) / base, captured=seen_events / total,
                             cumulative_lift=seen_events / seen_rows / base))
    return table


def psi(expected: np.ndarray, actual: np.ndarray, bins: int = 10) -> float:
    """Population stability index Σ (a − e)·ln(a/e) over quantile bins of `expected`.

    Each bin counts at least half a row, so that an empty bin gives a large finite number. Below 0.1 is usually read as
    stable, above 0.25 as shifted. The two samples may differ in length. Raises DataError for an empty sample.
    """
    expected, actual = _finite(expected, "expected scores"), _finite(actual, "actual scores")
    edges = np.unique(np.quantile(expected, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    before, after = (_shares(np.searchsorted(edges, sample, side="left"), len(edges) + 1)
                     for sample in (expected, actual))
    return float(np.sum((after - before) * np.log(after / before)))


def _shares(groups: np.ndarray, size: int) -> np.ndarray:
    return np.maximum(np.bincount(groups, minlength=size), 0.5) / len(groups)


def _finite(values: np.ndarray, what: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise DataError(f"the {what} must be a non-empty vector of finite numbers; got shape {values.shape}; "
                        "check the model and the slice")
    return values


def _checked(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = _finite(labels, "labels"), _finite(scores, "scores")
    if labels.shape != scores.shape:
        raise DataError(f"an evaluation expects as many labels as scores; got {len(labels)} and {len(scores)}; "
                        "pass the same slice of both")
    if not np.isin(labels, (0.0, 1.0)).all():
        raise DataError("an evaluation expects labels 0 (no event) and 1 (event); recode the label column")
    if not 0 < labels.sum() < len(labels):
        raise DataError(f"an evaluation needs events and non-events; all {len(labels)} labels are the same; "
                        "enlarge the slice")
    return labels, scores


def _check_probabilities(probabilities: np.ndarray) -> None:
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise DataError("an evaluation expects probabilities in [0, 1]; apply the calibration to the scores first")


def _midranks(scores: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal scores share the mean of theirs."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def _groups(values: np.ndarray, bins: int) -> np.ndarray:
    """Group 0..bins−1 per row by rising value; by mid-rank, so equal values share a group."""
    if bins < 1:
        raise DataError(f"a table needs at least one bin; got {bins}; use 10")
    return np.minimum(((_midranks(values) - 0.5) * bins / len(values)).astype(np.int64), bins - 1)


def _cumulative(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False-positive rate, true-positive rate and share of rows at or above each distinct score, from 0 to 1."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    true_count = np.cumsum(labels[order])[ends]
    rows = ends + 1.0
    events = labels.sum()
    curves = ((rows - true_count) / (len(labels) - events), true_count / events, rows / len(labels))
    return tuple(np.concatenate([[0.0], curve]) for curve in curves)  # type: ignore[return-value]


def _corners(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Indices of the points where the direction changes; what lies between them is on a straight line."""
    turn = np.abs(np.diff(x)[:-1] * np.diff(y)[1:] - np.diff(x)[1:] * np.diff(y)[:-1]) > 1e-15
    return np.concatenate([[0], np.flatnonzero(turn) + 1, [len(x) - 1]])


def _thin(indices: np.ndarray, max_points: int) -> np.ndarray:
    """At most `max_points` of the indices, evenly spread, the first and the last included."""
    if max_points < 2:
        raise DataError(f"a curve needs at least two points; got max_points {max_points}; use 200")
    if len(indices) <= max_points:
        return indices
    return indices[np.unique(np.linspace(0, len(indices) - 1, max_points).round().astype(np.int64))]
