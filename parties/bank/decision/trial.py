"""The report of an experiment: each arm's shares and means with intervals, and the differences to the champion.

Only a person's first decision counts. Where a grey release changes the arms' shares, each stretch of constant shares is
a phase of its own: pooled, an arm that grew later would be compared with an earlier time. A share or mean over all
persons compares like with like, for the arms were drawn by lot; one over loans does not, for the arms may approve
different people, and is marked as conditional.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from parties.bank.decision import intervals
from parties.bank.decision.experiments import Experiment, Experiments, covers, expected_arm
from parties.bank.decision.intervals import Interval, Moments
from parties.bank.decision.values import Fen, Number, Person
from protocols.plan import Name
from protocols.strict import Strict

Metric = Literal["approved", "bad-of-loans", "limit-fen", "amount-fen", "daily-rate-of-loans"]
CONDITIONAL: frozenset[Metric] = frozenset({"bad-of-loans", "daily-rate-of-loans"})
SUSPECT_RATIO = 0.001
PER_BILLION = 10**9  # rates are added up as whole numbers of this part


class OutcomeRow(Strict):
    """One decision in an experiment. `bad` is None until the loan has had its time; money of a refusal is 0 or None."""

    person: Person
    arm: Name
    decided_on: date
    approved: bool
    bad: bool | None = None
    limit_fen: Fen | None = None
    amount_fen: Fen | None = None
    daily_rate: Annotated[Number, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _only_approved_have_results(self) -> Self:
        if not self.approved and (self.bad is not None or self.limit_fen or self.amount_fen or self.daily_rate):
            raise ValueError("only an approved application has a limit, an amount, a rate or a result")
        return self


class Estimate(Strict):
    """A share or a mean over `count` people or loans, with its interval; None where there are too few."""

    metric: Metric
    count: int
    value: Decimal | None
    low: Decimal | None
    high: Decimal | None


class ArmReport(Strict):
    """One arm in one phase; `expected_persons` is what its share says."""

    arm: Name
    persons: int
    expected_persons: Decimal
    estimates: tuple[Estimate, ...]


class Comparison(Strict):
    """Challenger less champion; `conclusion` says whether the interval lies on one side of zero."""

    arm: Name
    metric: Metric
    conditional: bool
    difference: Decimal
    low: Decimal
    high: Decimal
    conclusion: Literal["higher", "lower", "undecided"]


class PhaseReport(Strict):
    """A stretch of constant shares. A ratio below 0.001 means that something other than the lot chose the arms."""

    first: date
    last: date
    persons: int
    sample_ratio: Decimal
    suspect: bool
    arms: tuple[ArmReport, ...]
    comparisons: tuple[Comparison, ...]


class TrialReport(Strict):
    """The whole; it is `sound` when every row met the arm it should have and no phase is suspect."""

    experiment: Name
    about: str
    champion: Name
    confidence: Decimal
    confidence_each: Decimal
    planned_persons: int
    persons: int
    repeated: int
    misassigned: int
    outside: int
    phases: tuple[PhaseReport, ...]
    sound: bool
    complete: bool


@dataclass
class _Tally:
    """What an arm's people add up to: exact whole numbers."""

    persons: int = 0
    approved: int = 0
    matured: int = 0
    bad: int = 0
    limit: Moments = field(default_factory=Moments)
    amount: Moments = field(default_factory=Moments)
    rate: Moments = field(default_factory=Moments)

    def add(self, row: OutcomeRow) -> None:
        self.persons += 1
        self.approved += row.approved
        self.matured += row.bad is not None
        self.bad += row.bad is True
        self.limit = self.limit.plus(row.limit_fen or 0)
        self.amount = self.amount.plus(row.amount_fen or 0)
        if row.daily_rate is not None:
            self.rate = self.rate.plus(int(row.daily_rate * PER_BILLION))


def report(experiments: Experiments, experiment: Experiment, rows: Iterable[OutcomeRow],
           confidence: Decimal = Decimal("0.95")) -> TrialReport:
    """From outcome rows in any order. With several challengers each interval is widened (Bonferroni)."""
    all_rows = list(rows)
    firsts = _first_per_person(all_rows)
    inside = [r for r in firsts if experiment.first <= r.decided_on <= experiment.last
              and covers(experiments, experiment, r.person)]
    right = [r for r in inside if r.arm == expected_arm(experiment, r.person, r.decided_on)]
    each = 1 - (1 - confidence) / (len(experiment.arms) - 1)
    phases = tuple(_phase(experiment, first, last, right, float(each)) for first, last in _phases(experiment))
    sound = len(right) == len(firsts) and not any(p.suspect for p in phases)
    return TrialReport(
        experiment=experiment.name, about=experiment.about, champion=experiment.arms[0].name, confidence=confidence,
        confidence_each=_rounded(float(each)), planned_persons=experiment.planned_persons, persons=len(right),
        repeated=len(all_rows) - len(firsts), misassigned=len(inside) - len(right), outside=len(firsts) - len(inside),
        phases=phases, sound=sound, complete=len(right) >= experiment.planned_persons)


def _first_per_person(rows: Sequence[OutcomeRow]) -> list[OutcomeRow]:
    """Of several decisions of a day the one that stands first."""
    firsts: dict[str, OutcomeRow] = {}
    for row in rows:
        known = firsts.get(row.person)
        if known is None or row.decided_on < known.decided_on:
            firsts[row.person] = row
    return list(firsts.values())


def _phases(experiment: Experiment) -> list[tuple[date, date]]:
    starts = [experiment.first, *(g.first for g in experiment.growth if g.first <= experiment.last)]
    ends = [*(date.fromordinal(s.toordinal() - 1) for s in starts[1:]), experiment.last]
    return list(zip(starts, ends, strict=True))


def _phase(experiment: Experiment, first: date, last: date, rows: Sequence[OutcomeRow], level: float) -> PhaseReport:
    tallies = {arm.name: _Tally() for arm in experiment.arms}
    for row in rows:
        if first <= row.decided_on <= last:
            tallies[row.arm].add(row)
    persons = sum(t.persons for t in tallies.values())
    expected = [float(share) * persons for share in experiment.shares(first)]
    ratio = _ratio([t.persons for t in tallies.values()], expected)
    champion = tallies[experiment.arms[0].name]
    return PhaseReport(
        first=first, last=last, persons=persons, sample_ratio=_rounded(ratio), suspect=ratio < SUSPECT_RATIO,
        arms=tuple(ArmReport(arm=name, persons=t.persons, expected_persons=_rounded(e), estimates=_estimates(t, level))
                   for (name, t), e in zip(tallies.items(), expected, strict=True)),
        comparisons=tuple(c for arm in experiment.arms[1:]
                          for c in _comparisons(arm.name, tallies[arm.name], champion, level)))


def _ratio(observed: list[int], expected: list[float]) -> float:
    """Arms of share 0 can have nobody: rows that claim otherwise were misassigned and are gone before."""
    pairs = [(o, e) for o, e in zip(observed, expected, strict=True) if e > 0]
    return intervals.sample_ratio([o for o, _ in pairs], [e for _, e in pairs]) if len(pairs) > 1 else 1.0


def _shares(tally: _Tally) -> dict[Metric, tuple[int, int]]:
    return {"approved": (tally.approved, tally.persons), "bad-of-loans": (tally.bad, tally.matured)}


def _means(tally: _Tally) -> dict[Metric, tuple[Moments, int]]:
    """Moments, and what they are divided by to be in the metric's unit."""
    return {"limit-fen": (tally.limit, 1), "amount-fen": (tally.amount, 1),
            "daily-rate-of-loans": (tally.rate, PER_BILLION)}


def _estimates(tally: _Tally, level: float) -> tuple[Estimate, ...]:
    shares = [_estimate(metric, count, 1, 1, lambda e=events, n=count: e / n, lambda e=events, n=count:
                        intervals.wilson(e, n, level)) for metric, (events, count) in _shares(tally).items()]
    means = [_estimate(metric, m.count, 2, unit, lambda m=m: m.mean, lambda m=m: intervals.mean_interval(m, level))
             for metric, (m, unit) in _means(tally).items()]
    return (*shares, *means)


def _estimate(metric: Metric, count: int, needed: int, unit: int, value: Callable[[], float],
              interval: Callable[[], Interval]) -> Estimate:
    if count < needed:
        return Estimate(metric=metric, count=count, value=None, low=None, high=None)
    low, high = interval()
    return Estimate(metric=metric, count=count, value=_rounded(value(), unit), low=_rounded(low, unit),
                    high=_rounded(high, unit))


def _comparisons(arm: str, tally: _Tally, base: _Tally, level: float) -> list[Comparison]:
    found = []
    for metric, (events, count) in _shares(tally).items():
        base_events, base_count = _shares(base)[metric]
        if count and base_count:
            found.append(_comparison(arm, metric, events / count - base_events / base_count,
                                     intervals.newcombe(events, count, base_events, base_count, level), 1))
    for metric, (sample, unit) in _means(tally).items():
        other = _means(base)[metric][0]
        if sample.count > 1 and other.count > 1:
            found.append(_comparison(arm, metric, sample.mean - other.mean,
                                     intervals.welch(sample, other, level), unit))
    return found


def _comparison(arm: str, metric: Metric, difference: float, interval: Interval, unit: int) -> Comparison:
    low, high = interval
    conclusion = "higher" if low > 0 else "lower" if high < 0 else "undecided"
    return Comparison(arm=arm, metric=metric, conditional=metric in CONDITIONAL, difference=_rounded(difference, unit),
                      low=_rounded(low, unit), high=_rounded(high, unit), conclusion=conclusion)


def _rounded(value: float, unit: int = 1) -> Decimal:
    """Six places, nine for rates; later digits of a float may differ between machines."""
    return Decimal(f"{value / unit:.9f}" if unit == PER_BILLION else f"{value:.6f}") + 0
