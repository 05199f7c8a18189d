"""Limits: never above a bound, never without a reason, raised only as the conditions say."""
from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.bank.decision import limits
from parties.bank.decision.limits import LimitChange, Standing
from tests.parties.bank.decision.figures import MONEY, probabilities, shares

POLICY, PRODUCT, CAP = MONEY.limits, MONEY.products.get("weilidai"), MONEY.products.single_customer_cap_fen
ON = date(2026, 11, 5)
GOOD = Standing(probability="0.02", annual_income_fen=12_000_000, limit_fen=800_000, loans_repaid=2,
                last_review=date(2026, 1, 31))
standings = st.builds(
    Standing, probability=probabilities, annual_income_fen=st.none() | st.integers(0, 10**9),
    credit_elsewhere_fen=st.integers(0, 3 * 10**9), limit_fen=st.integers(0, 2_000).map(lambda n: n * 10_000),
    loans_repaid=st.integers(0, 5), worst_overdue_days=st.sampled_from([0, 0, 0, 1, 6, 7, 29, 30, 90]),
    idle_days=st.none() | st.integers(0, 400), last_review=st.none() | st.dates(date(2025, 1, 1), ON),
    frozen=st.booleans())


def with_words(change: LimitChange) -> bool:
    words = next(r for r in POLICY.reasons if r.code == change.reason)
    return (change.zh, change.en) == (words.zh, words.en)


def most(standing: Standing) -> int:
    """The bounds written out: product, cap, half a year's income, three incomes less the credit elsewhere."""
    income = standing.annual_income_fen
    if income is None:
        return 500_000
    return max(0, min(PRODUCT.maximum_fen, CAP, income // 2, 3 * income - standing.credit_elsewhere_fen))


@given(standings, shares)
def test_a_first_limit_is_within_every_bound(standing: Standing, factor: Decimal) -> None:
    change = limits.initial(POLICY, PRODUCT, CAP, standing, factor)
    assert with_words(change)
    if change.kind == "initial":
        assert PRODUCT.minimum_fen <= change.after_fen <= min(most(standing), int(1_500_000 * factor))
        assert change.after_fen % POLICY.step_fen == 0
        assert change.after_fen <= min(b.fen for b in change.bounds) < change.after_fen + POLICY.step_fen
    else:
        assert change.kind == "refused" and change.after_fen == 0


@given(standings, probabilities)
def test_more_risk_never_gets_a_higher_first_limit(standing: Standing, other: Decimal) -> None:
    low, high = sorted((standing.probability, other))
    safe, risky = (limits.initial(POLICY, PRODUCT, CAP, standing.model_copy(update={"probability": p}))
                   for p in (low, high))
    assert safe.after_fen >= risky.after_fen


def test_first_limits_of_the_domain() -> None:
    rich = Standing(probability="0", annual_income_fen=100_000_000)
    assert limits.initial(POLICY, PRODUCT, CAP, rich).after_fen == 1_500_000
    worst = rich.model_copy(update={"probability": Decimal("0.15")})
    assert limits.initial(POLICY, PRODUCT, CAP, worst).after_fen == 50_000
    beyond = rich.model_copy(update={"probability": Decimal("0.1501")})
    assert limits.initial(POLICY, PRODUCT, CAP, beyond).reason == "risk-above-limit-table"
    indebted = rich.model_copy(update={"credit_elsewhere_fen": 300_000_000})
    assert limits.initial(POLICY, PRODUCT, CAP, indebted).reason == "limit-below-product-minimum"


@given(standings)
def test_a_review_raises_only_as_the_conditions_say(standing: Standing) -> None:
    change = limits.review(POLICY, PRODUCT, CAP, standing, ON)
    assert with_words(change) and change.before_fen == standing.limit_fen
    if change.after_fen > change.before_fen:
        income = standing.annual_income_fen
        assert change.kind == "raised" and not standing.frozen
        assert standing.loans_repaid >= 2 and standing.worst_overdue_days == 0
        assert standing.probability <= Decimal("0.06") and standing.credit_elsewhere_fen <= 3 * income
        assert limits.review_due(POLICY, standing, ON) is not None
        assert change.after_fen <= min(most(standing), standing.limit_fen * 3 // 2)
    if standing.worst_overdue_days >= 30 and not standing.frozen:
        assert change.kind == "frozen"
    elif not standing.frozen and (standing.worst_overdue_days >= 7 or standing.probability > Decimal("0.15")):
        assert change.kind == "cut" and change.after_fen <= standing.limit_fen // 2


@pytest.mark.parametrize(("changes", "kind", "reason", "after"), [
    ({}, "raised", "good-repayment", 1_200_000),
    ({"credit_elsewhere_fen": 36_000_000}, "unchanged", "at-the-highest-limit", 800_000),
    ({"credit_elsewhere_fen": 36_000_001}, "unchanged", "credit-elsewhere-too-high", 800_000),
    ({"annual_income_fen": None}, "unchanged", "income-unknown", 800_000),
    ({"loans_repaid": 1}, "unchanged", "repayments-too-few", 800_000),
    ({"worst_overdue_days": 1}, "unchanged", "repayment-late", 800_000),
    ({"probability": Decimal("0.0601")}, "unchanged", "risk-too-high-for-raise", 800_000),
    ({"last_review": ON}, "unchanged", "review-not-due", 800_000),
    ({"frozen": True}, "unchanged", "account-frozen", 800_000),
    ({"worst_overdue_days": 7}, "cut", "overdue-history", 400_000),
    ({"probability": Decimal("0.1501"), "last_review": ON}, "cut", "risk-higher", 400_000),
    ({"worst_overdue_days": 30}, "frozen", "overdue-long", 800_000),
    ({"worst_overdue_days": 90, "new_overdue_days": 6, "late_on": ON}, "unchanged", "repayment-late", 800_000),
    ({"worst_overdue_days": 90, "new_overdue_days": 7, "late_on": ON}, "cut", "overdue-history", 400_000),
    ({"worst_overdue_days": 90, "new_overdue_days": 30, "late_on": ON}, "frozen", "overdue-long", 800_000),
    ({"worst_overdue_days": 90, "new_overdue_days": 0, "late_on": date(2024, 11, 6)}, "unchanged", "repayment-late",
     800_000),
    ({"worst_overdue_days": 90, "new_overdue_days": 0, "late_on": date(2024, 11, 5)}, "raised", "good-repayment",
     1_200_000),
])
def test_reviews(changes: dict, kind: str, reason: str, after: int) -> None:
    change = limits.review(POLICY, PRODUCT, CAP, GOOD.model_copy(update=changes), ON)
    assert (change.kind, change.reason, change.after_fen) == (kind, reason, after)


@pytest.mark.parametrize(("last", "idle", "on", "due"), [
    (None, None, ON, "half-year"),
    (date(2026, 8, 31), None, date(2027, 2, 27), None),
    (date(2026, 8, 31), None, date(2027, 2, 28), "half-year"),
    (date(2026, 10, 6), 30, ON, "idle"),
    (date(2026, 10, 6), 29, ON, None),
    (date(2026, 10, 7), 300, ON, None),
])
def test_reviews_are_due_after_half_a_year_or_thirty_idle_days(last, idle, on, due) -> None:
    standing = GOOD.model_copy(update={"last_review": last, "idle_days": idle})
    assert limits.review_due(POLICY, standing, on) == due


@given(standings, st.dates(date(2026, 10, 1), date(2026, 12, 31)))
def test_a_seasonal_raise_ends_by_itself(standing: Standing, on: date) -> None:
    change = limits.seasonal(POLICY, PRODUCT, CAP, standing, on)
    assert with_words(change) and change.after_fen == standing.limit_fen
    assert (change.extra_fen > 0) == (change.kind == "seasonal") == (change.until is not None)
    if change.kind != "seasonal":
        return
    assert date(2026, 11, 1) <= on <= date(2026, 11, 11) and change.until == date(2026, 11, 30)
    assert change.after_fen + change.extra_fen <= min(most(standing), standing.limit_fen * 12 // 10)
    assert standing.credit_elsewhere_fen <= 3 * standing.annual_income_fen and not standing.frozen
    granted = (change.after_fen, 0, False)
    extra = (change.extra_fen, change.until)
    assert limits.available(*granted, change.until, *extra) == change.after_fen + change.extra_fen
    assert limits.available(*granted, change.until + timedelta(1), *extra) == change.after_fen


@pytest.mark.parametrize(("changes", "on", "reason", "extra"), [
    ({}, ON, "seasonal", 160_000), ({}, date(2026, 11, 12), "no-season", 0),
    ({"frozen": True}, ON, "account-frozen", 0),
    ({"worst_overdue_days": 1}, ON, "repayment-late", 0), ({"annual_income_fen": None}, ON, "income-unknown", 0),
    ({"credit_elsewhere_fen": 36_000_001}, ON, "credit-elsewhere-too-high", 0),
    ({"limit_fen": 6_000_000}, ON, "at-the-highest-limit", 0),
])
def test_seasonal_raises(changes: dict, on: date, reason: str, extra: int) -> None:
    change = limits.seasonal(POLICY, PRODUCT, CAP, GOOD.model_copy(update=changes), on)
    assert (change.reason, change.extra_fen) == (reason, extra)


@given(standings, st.sampled_from([s.code for s in POLICY.signals]))
def test_signals_never_raise(standing: Standing, signal: str) -> None:
    change = limits.act(POLICY, standing, signal)
    assert change.reason == signal and with_words(change)
    assert change.kind == "frozen" or (change.kind == "cut" and change.after_fen <= standing.limit_fen)
    assert limits.act(POLICY, standing, "unheard-of") is None


def test_a_freeze_is_thawed_by_review_alone() -> None:
    frozen = GOOD.model_copy(update={"frozen": True})
    assert limits.thaw(POLICY, frozen, ON).kind == "thawed"
    assert limits.thaw(POLICY, GOOD, ON).reason == "not-frozen"
    late = frozen.model_copy(update={"worst_overdue_days": 30, "new_overdue_days": 0})
    for late_on, reason in ((None, "overdue-long"), (date(2024, 11, 6), "overdue-long"),
                            (date(2024, 11, 5), "cleared-by-review")):
        assert limits.thaw(POLICY, late.model_copy(update={"late_on": late_on}), ON).reason == reason


def test_without_a_window_lateness_is_never_forgotten() -> None:
    policy = POLICY.model_copy(update={"overdue_window_months": None})
    late = GOOD.model_copy(update={"worst_overdue_days": 30, "new_overdue_days": 0, "late_on": date(2001, 1, 1)})
    assert limits.review(policy, PRODUCT, CAP, late, ON).reason == "repayment-late"
    assert limits.seasonal(policy, PRODUCT, CAP, late, ON).reason == "repayment-late"
    assert limits.thaw(policy, late.model_copy(update={"frozen": True}), ON).reason == "overdue-long"


def test_a_standing_without_the_new_fields_is_written_as_before() -> None:
    assert not {"new_overdue_days", "late_on"} & set(GOOD.model_dump(mode="json"))


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.booleans(), st.integers(0, 10**6))
def test_available_is_never_negative(limit: int, outstanding: int, frozen: bool, extra: int) -> None:
    free = limits.available(limit, outstanding, frozen, ON, extra, ON)
    assert 0 <= free <= limit + extra and (free == 0 or (not frozen and free + outstanding == limit + extra))


def test_a_reason_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="no words for the reason 'whim'"):
        limits.freeze(POLICY, GOOD, "whim")


@given(standings)
def test_a_review_without_a_score_raises_nothing(standing: Standing) -> None:
    change = limits.review_unscored(POLICY, standing)
    assert with_words(change) and change.after_fen <= standing.limit_fen
    assert change.kind in ("unchanged", "cut", "frozen") and (change.kind == "unchanged" or not standing.frozen)


@given(st.dates(date(2025, 1, 1), date(2027, 12, 31)))
def test_whoever_is_found_by_the_half_year_is_due(on: date) -> None:
    last = limits.reviewed_before(POLICY, on)
    assert limits.review_due(POLICY, GOOD.model_copy(update={"last_review": last}), on) == "half-year"


def test_a_file_from_before_a_reason_has_its_words_and_figure() -> None:
    later = {one.code for one in limits.LATER}
    kept = {name: value for name, value in POLICY.model_dump().items() if name != "review_facts_days"}
    old = limits.LimitPolicy(**kept | {"reasons": tuple(r for r in POLICY.reasons if r.code not in later)})
    assert old.review_facts_days == POLICY.review_facts_days
    for one in limits.LATER:
        assert one in POLICY.reasons
    assert limits.review_unscored(old, GOOD) == limits.review_unscored(POLICY, GOOD)
