"""Assignment: fixed by hash alone, in the shares that are set, nobody in two experiments, nobody handed back."""
from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.bank.decision.experiments import Assignment, Experiments, assign, covers, expected_arm, point
from parties.bank.decision.intervals import sample_ratio
from protocols.errors import ConfigError
from tests.parties.bank.decision.figures import person

TEXT = """
[salts]
decision = "group-salt"

[[experiments]]
name = "model"
group = "decision"
about = "a new model"
salt = "model-salt"
first = 2026-01-01
last = 2026-06-30
slice = ["0", "0.6"]
planned_persons = 1000
arms = [{ name = "old", share = "0.5" }, { name = "new-a", share = "0.3", graph = "a" },
        { name = "new-b", share = "0.2", graph = "b" }]

[[experiments]]
name = "release"
group = "decision"
about = "a grey release"
salt = "release-salt"
first = 2026-01-01
last = 2026-06-30
slice = ["0.6", "1"]
planned_persons = 1000
arms = [{ name = "before", share = "0.95" }, { name = "after", share = "0.05", graph = "c" }]
growth = [{ first = 2026-02-01, share = "0.2" }, { first = 2026-03-01, share = "1" }]
"""
BOTH = Experiments.from_toml_text(TEXT)
DAYS = st.dates(date(2026, 1, 1), date(2026, 6, 30))
persons = st.integers(0, 10**6).map(person)


@given(persons, DAYS)
def test_everybody_is_in_exactly_one_experiment(who: str, on: date) -> None:
    found = assign(who, BOTH, on)
    assert found == assign(who, BOTH, on)
    assert [e.name for e in BOTH.experiments if covers(BOTH, e, who)] == [found.experiment]
    experiment = BOTH.get(found.experiment)
    assert found.arm == expected_arm(experiment, who, on)
    assert found.graph == next(a.graph for a in experiment.arms if a.name == found.arm)


@given(persons, DAYS, DAYS)
def test_a_grey_release_hands_nobody_back(who: str, one: date, other: date) -> None:
    release = BOTH.get("release")
    if expected_arm(release, who, min(one, other)) == "after":
        assert expected_arm(release, who, max(one, other)) == "after"
    assert expected_arm(release, who, date(2026, 3, 1)) == "after"


def test_the_shares_come_out() -> None:
    counts = Counter(assign(person(i), BOTH, date(2026, 2, 1)).arm for i in range(8_000))
    shares = {"old": .3, "new-a": .18, "new-b": .12, "before": .32, "after": .08}
    assert sample_ratio([counts[a] for a in shares], [8_000 * s for s in shares.values()]) > 1e-4


def test_arms_do_not_depend_on_the_place_in_the_group() -> None:
    """Who is low in the slice must not be in one arm rather than another."""
    people = [who for who in map(person, range(8_000)) if covers(BOTH, BOTH.get("model"), who)]
    low = sorted(people, key=lambda who: point("group-salt", who))[:len(people) // 2]
    old = sum(expected_arm(BOTH.get("model"), who, date(2026, 1, 1)) == "old" for who in low)
    assert sample_ratio([old, len(low) - old], [len(low) / 2] * 2) > 1e-4


def test_points_are_pinned() -> None:
    """A change here would move everybody to another arm in the middle of an experiment."""
    assert point("model-salt", person(1)) == 0xb4d0365c4cefb536  # by sha256sum
    assert assign(person(1), BOTH, date(2026, 1, 1)) == Assignment(experiment="release", arm="before")


def test_outside_its_dates_and_groups_nothing_runs() -> None:
    assert assign(person(1), BOTH, date(2025, 12, 31)) is None
    assert assign(person(1), BOTH, date(2026, 7, 1)) is None
    assert assign(person(1), BOTH, date(2026, 1, 1), group="pricing") is None
    assert assign(person(1), Experiments(), date(2026, 1, 1)) is None
    half = Experiments(salts=BOTH.salts, experiments=(BOTH.get("model"),))
    assert {assign(person(i), half, date(2026, 1, 1)) is None for i in range(20)} == {True, False}


@given(st.integers(0, 1000), persons)
def test_a_share_is_a_place_on_the_line(thousandths: int, who: str) -> None:
    share = Decimal(thousandths).scaleb(-3)
    arms = [{"name": "rest", "share": 1 - share}, {"name": "this", "share": share}]
    experiment = BOTH.get("model").model_validate(BOTH.get("model").model_dump() | {"arms": arms})
    assert (expected_arm(experiment, who, date(2026, 1, 1)) == "this") == (
        point("model-salt", who) * 1000 < thousandths * 2**64)


@pytest.mark.parametrize(("old", "new", "sentence"), [
    ('share = "0.3"', 'share = "0.31"', "sum to 1"),
    ('slice = ["0", "0.6"]', 'slice = ["0", "0.61"]', "share dates and people"),
    ('slice = ["0", "0.6"]', 'slice = ["0.6", "0.6"]', "non-empty"),
    ('name = "after"', 'name = "old"', "old is named twice"),
    ('decision = "group-salt"', 'pricing = "group-salt"', "salts has no decision"),
    ('salt = "release-salt"', 'salt = "model-salt"', "model-salt is named twice"),
    ("first = 2026-02-01", "first = 2026-01-01", "go on in dates"),
    ('share = "0.2" }, { first', 'share = "0.04" }, { first', "never shrink"),
    ("last = 2026-06-30", "last = 2025-06-30", "first is after last"),
])
def test_contradictions_are_refused(old: str, new: str, sentence: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigError, match=sentence):
        Experiments.from_toml_text(TEXT.replace(old, new, 1))


def test_growth_needs_two_arms() -> None:
    grown = TEXT.replace('slice = ["0", "0.6"]', 'slice = ["0", "0.6"]\ngrowth = [{ first = 2026-02-01, share = "1" }]')
    with pytest.raises(ConfigError, match="exactly two arms"):
        Experiments.from_toml_text(grown)
