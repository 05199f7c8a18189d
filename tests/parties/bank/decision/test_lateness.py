"""Late days after a look, against counting them one by one."""
from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from parties.bank.decision.lateness import Late, last, worst, worst_since

NOON, DAY = datetime(2026, 3, 2, 12, tzinfo=UTC), timedelta(days=1)
late = st.builds(Late, st.integers(0, 400), st.integers(-400, 400).map(lambda n: NOON + n * DAY))


@given(late, st.integers(-500, 500))
def test_each_day_after_a_look_counts_once(one: Late, looked: int) -> None:
    days = [one.at - n * DAY for n in range(one.days)]
    seen = NOON + looked * DAY
    assert one.since(seen) == sum(day > seen for day in days) and one.since(None) == one.days


@given(late, st.integers(0, 86_399), st.integers(1, 86_399))
def test_a_look_before_the_first_late_day_takes_none_away(one: Late, early: int, gap: int) -> None:
    """Whatever the hours are: days past due are of the calendar, looks are at moments."""
    looked = one.at - one.days * DAY - timedelta(seconds=early - gap if early > gap else 0)
    assert one.since(looked) == one.days


@given(st.lists(late, max_size=5), st.integers(-500, 500))
def test_of_several_the_worst_counts(several: list[Late], looked: int) -> None:
    seen = NOON + looked * DAY
    assert worst_since(several, seen) == max([0, *(one.since(seen) for one in several)]) <= worst(several)
    at = last(several)
    assert (at is None) == (worst(several) == 0)
    assert at is None or (worst_since(several, at) == 0 and Late(1, at).at in [one.at for one in several if one.days])
