"""The report of an experiment: what it counts, what it leaves out, and what makes it unsound."""
from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.bank.decision.experiments import assign
from parties.bank.decision.trial import OutcomeRow, TrialReport, report
from tests.parties.bank.decision.figures import person
from tests.parties.bank.decision.test_experiments import BOTH

MODEL, RELEASE = BOTH.get("model"), BOTH.get("release")


def row(number: int, arm: str, on: date, approved: bool, bad: bool | None = False) -> OutcomeRow:
    money = {"bad": bad, "limit_fen": 1_000_000, "amount_fen": 500_000, "daily_rate": "0.00035"} if approved else {}
    return OutcomeRow(person=person(number), arm=arm, decided_on=on, approved=approved, **money)


def outcomes(name: str, count: int, seed: int = 1, effect: float = 0.0) -> list[OutcomeRow]:
    """People of an experiment, each in the arm that the hash gives; challengers approve `effect` more."""
    drawn, found = random.Random(seed), []
    for number in range(count):
        on = MODEL.first + timedelta(drawn.randrange((MODEL.last - MODEL.first).days + 1))
        met = assign(person(number), BOTH, on)
        if met.experiment == name:
            approved = drawn.random() < 0.5 + (effect if met.graph else 0)
            found.append(row(number, met.arm, on, approved, drawn.random() < 0.1))
    return found


def find(result: TrialReport, arm: str, metric: str):
    return next(c for c in result.phases[-1].comparisons if (c.arm, c.metric) == (arm, metric))


@given(st.randoms(use_true_random=False))
@settings(max_examples=5)
def test_the_order_of_rows_does_not_matter(chance: random.Random) -> None:
    rows = outcomes("model", 150)
    expected = report(BOTH, MODEL, rows)
    chance.shuffle(rows)
    assert report(BOTH, MODEL, rows) == expected


def test_what_is_counted_adds_up() -> None:
    rows = outcomes("model", 1000)
    result = report(BOTH, MODEL, rows)
    (phase,) = result.phases
    assert result.sound and result.persons == phase.persons == len(rows) == sum(a.persons for a in phase.arms)
    assert sum(a.expected_persons for a in phase.arms) == pytest.approx(len(rows))
    for arm in phase.arms:
        mine = [r for r in rows if r.arm == arm.arm]
        found = {e.metric: e for e in arm.estimates}
        loans = [r for r in mine if r.approved]
        assert float(found["approved"].value) == pytest.approx(len(loans) / len(mine), abs=1e-6)
        assert found["bad-of-loans"].count == len(loans)
        assert float(found["limit-fen"].value) == pytest.approx(1_000_000 * len(loans) / len(mine), abs=1e-3)
        assert found["daily-rate-of-loans"].value == Decimal("0.00035")
        assert all(e.low <= e.value <= e.high for e in arm.estimates)
    assert result.complete == (len(rows) >= 1000)


def test_an_effect_is_found_and_none_is_not_invented() -> None:
    better = report(BOTH, MODEL, outcomes("model", 1500, effect=0.2))
    assert find(better, "new-a", "approved").conclusion == find(better, "new-b", "approved").conclusion == "higher"
    assert not find(better, "new-a", "approved").conditional and find(better, "new-a", "bad-of-loans").conditional
    same = [report(BOTH, MODEL, outcomes("model", 250, seed)) for seed in range(20)]
    assert [find(r, "new-a", "approved").conclusion for r in same].count("undecided") >= 17  # 19.5 expected


def test_several_challengers_widen_the_intervals() -> None:
    assert report(BOTH, MODEL, outcomes("model", 100)).confidence_each == Decimal("0.975")
    assert report(BOTH, RELEASE, outcomes("release", 100)).confidence_each == Decimal("0.95")


def test_a_grey_release_has_phases() -> None:
    result = report(BOTH, RELEASE, outcomes("release", 1500))
    assert [(p.first, p.last) for p in result.phases] == [
        (date(2026, 1, 1), date(2026, 1, 31)), (date(2026, 2, 1), date(2026, 2, 28)),
        (date(2026, 3, 1), date(2026, 6, 30))]
    assert result.sound and sum(p.persons for p in result.phases) == result.persons
    assert result.phases[0].arms[1].persons < result.phases[1].arms[1].persons
    assert result.phases[2].comparisons == () and result.phases[2].sample_ratio == 1  # nobody is left to compare with


def test_a_later_decision_does_not_count() -> None:
    rows = outcomes("model", 300)
    first = min(rows, key=lambda r: r.decided_on)
    again = row(0, first.arm, first.decided_on + timedelta(1), not first.approved).model_copy(
        update={"person": first.person})
    result = report(BOTH, MODEL, [again, *rows])
    assert result.repeated == 1 and result.sound
    assert result.phases == report(BOTH, MODEL, rows).phases


def test_a_wrong_arm_or_a_stranger_makes_it_unsound() -> None:
    rows = outcomes("model", 300)
    other = next(r for r in rows if r.arm == "old").model_copy(update={"arm": "new-a"})
    swapped = [other if r.person == other.person else r for r in rows]
    result = report(BOTH, MODEL, swapped)
    assert (result.misassigned, result.outside, result.sound) == (1, 0, False)
    stranger = outcomes("release", 300)[0]
    late = rows[0].model_copy(update={"decided_on": date(2026, 7, 1)})
    result = report(BOTH, MODEL, [late, stranger, *rows[1:]])
    assert (result.misassigned, result.outside, result.sound) == (0, 2, False)


def test_lost_rows_of_an_arm_are_noticed() -> None:
    """A challenger whose timeouts left no outcome: each row is right, but their number is not."""
    rows = [r for place, r in enumerate(outcomes("model", 1500)) if r.arm != "new-a" or place % 2]
    result = report(BOTH, MODEL, rows)
    assert result.misassigned == 0 and result.phases[0].suspect and not result.sound


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_rows_have_no_interval_rather_than_a_wrong_one(count: int) -> None:
    result = report(BOTH, MODEL, outcomes("model", 50)[:count])
    assert result.persons == count
    for estimate in (e for arm in result.phases[0].arms for e in arm.estimates if e.count == 0):
        assert estimate.value is None and estimate.low is None


@pytest.mark.parametrize("changes", [{"bad": True}, {"limit_fen": 1}, {"amount_fen": 1}, {"daily_rate": "0.0003"},
                                     {"person": "somebody"}, {"daily_rate": 0.0003}, {"limit_fen": True}])
def test_a_refusal_has_no_results(changes: dict) -> None:
    with pytest.raises(ValueError, match="validation error"):
        OutcomeRow.model_validate({"person": person(1), "arm": "old", "decided_on": date(2026, 1, 1),
                                   "approved": False} | changes)
