"""Reviews of limits on a store: never above a bound, never against the rule of three incomes, whole or not at all."""
from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.bank.decision.application import Bureau, Facts, Identity
from parties.bank.decision.context import BankOnly, Context, JointScore
from parties.bank.decision.lateness import Late
from parties.bank.decision.record import DecisionRecord, Step
from parties.bank.lending.book import Loans
from parties.bank.service import limit_reviews
from parties.bank.service.limit_reviews import SERVICE, LimitReviews, due, review, season, standing_of
from parties.bank.service.metrics import Metrics
from parties.bank.store import Reader, Store, Unit, open_store
from parties.bank.store.customers import LimitAccount
from parties.bank.store.tables import decisions
from tests.parties.bank.decision.cases import NOW, shipped
from tests.parties.bank.lending.loans import event
from tests.parties.bank.service.test_housekeeping import lend
from tests.parties.bank.store.templates import fresh_sqlite

DAY = timedelta(days=1)
THEN = NOW - 40 * DAY
AUDITOR = Reader("wu", "auditor", "spot check")
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(fresh_sqlite(tmp_path_factory.mktemp("reviews"))) as opened:
        yield opened


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Store]:
    """Nobody else in it."""
    with open_store(fresh_sqlite(tmp_path)) as opened:
        yield opened


def decided(person: str, **told: Any) -> DecisionRecord:
    """The record of a decision, approved by a joint score unless told otherwise."""
    at, path = told.get("at", THEN), told.get("path", "joint")
    bureau = Bureau(credit_lines_elsewhere_fen=told.get("elsewhere", 0), reported_at=told.get("reported_at", at),
                    annual_income_fen=told.get("income", 12 * 10**6))
    facts = Facts(application_id=f"a-{person[-40:]}-{next(_numbers)}", product="weilidai", amount_fen=500_000,
                  term_months=12, purpose="consumption", province="44", applied_at=at, bureau=bureau,
                  identity=Identity(real_name_verified=True, own_bank_card=True, age=30, student=False))
    joint = told.get("joint", "0.02")
    status = JointScore(status="answered", probability=joint) if joint else JointScore(status="unavailable")
    context = Context(now=at, person=person, score=status, bank_only=BankOnly(probability="0.03"))
    step = Step(name="platform", version="1", inputs={}, rule=None, outcome={"path": path}, at=at)
    return DecisionRecord(application=facts, context=context, rulebook="b" * 64, graph="champion", steps=(step,),
                          outcome=told.get("outcome", "approved"))


def customer(store: Store, limit_fen: int = 800_000, repaid: int = 2, overdue: int = 0, record: bool = True,
             **told: Any) -> str:
    """A customer from 40 days ago, idle since, who repaid two loans in time."""
    person = f"{next(_numbers):064x}"

    def job(unit: Unit) -> None:
        unit.customers.set_limit(person, limit_fen, "initial", "engine", THEN)
        unit.customers.repaid(person, [Late(overdue, THEN)], THEN, repaid)
        if record:
            unit.decisions.save(decided(person, **told))

    store.write(job)
    return person


def reviewed(store: Store, person: str, now=NOW):
    return store.write(lambda unit: review(unit, shipped(), person, now, SERVICE))


def account(store: Store, person: str):
    return store.read(lambda unit: unit.customers.get(person))


def changes(store: Store, person: str) -> list[tuple[str, int, int, str]]:
    found = store.read(lambda unit: unit.customers.changes(person))
    return [(one.what, one.before_fen, one.after_fen, one.reason) for one in found if one.at == NOW]


def test_good_repayment_raises_with_its_reason_and_leaves_a_trace(store: Store) -> None:
    person = customer(store)
    found = reviewed(store, person)
    reason = f"good-repayment, by decision {found.application_id}"
    assert changes(store, person) == [("review", 1_200_000, 1_200_000, reason), ("limit", 800_000, 1_200_000, reason)]
    assert (account(store, person).limit_fen, account(store, person).reviewed_at) == (1_200_000, NOW)
    lines = store.write(lambda unit: unit.accesses.of(AUDITOR, NOW, person))
    assert [(one.who, one.action, one.purpose) for one in lines] == [
        ("decision service", "limit review", "review of a limit"), ("decision service", "read", "review of a limit")]


def test_a_review_happens_once(store: Store) -> None:
    person = customer(store)
    assert reviewed(store, person).change.kind == "raised"
    assert reviewed(store, person) is None and reviewed(store, person, NOW + 29 * DAY) is None
    assert account(store, person).limit_fen == 1_200_000
    assert reviewed(store, "f" * 64) is None  # nobody


@pytest.mark.parametrize("told", [
    {"record": False}, {"at": NOW - 181 * DAY}, {"path": None}, {"joint": None}], ids=lambda told: next(iter(told)))
def test_without_recent_facts_nothing_changes_and_the_review_says_so(store: Store, told: dict) -> None:
    person = customer(store, **told)
    found = reviewed(store, person)
    assert (found.change.kind, found.change.reason) == ("unchanged", "facts-missing")
    assert changes(store, person) == [("review", 800_000, 800_000, "facts-missing")]


def test_the_banks_own_loans_freeze_and_cut_without_any_other_facts(store: Store) -> None:
    late, later = customer(store, overdue=7, record=False), customer(store, overdue=30, record=False)
    assert reviewed(store, late).change.kind == "cut" and account(store, late).limit_fen == 400_000
    assert reviewed(store, later).change.kind == "frozen" and account(store, later).frozen


def test_one_lateness_cuts_once(store: Store) -> None:
    person = customer(store, overdue=10)
    assert reviewed(store, person).change.reason == "overdue-history"
    again = reviewed(store, person, NOW + 31 * DAY).change
    assert (again.kind, again.reason) == ("unchanged", "repayment-late")
    later = NOW + 40 * DAY
    store.write(lambda unit: unit.customers.repaid(person, [Late(7, later)], later))
    found = reviewed(store, person, later + 31 * DAY).change
    assert (found.kind, found.before_fen, found.after_fen) == ("cut", 400_000, 200_000)


def test_days_late_of_a_running_loan_count_once(own: Store) -> None:
    person, begun = "1" * 64, NOW - 60 * DAY

    def standing(day: int) -> tuple[int, int]:
        found = own.read(lambda unit: standing_of(unit, shipped(), unit.customers.get(person), begun + day * DAY))
        assert found.late_on == shipped().business_date(begun + day * DAY)
        return found.worst_overdue_days, found.new_overdue_days

    own.write(lambda unit: lend(unit, person, begun))
    due = own.write(lambda unit: Loans(unit).get("l-1", AUDITOR, NOW)).at(begun + 40 * DAY)
    paying = event("repay", begun + 40 * DAY, due.payable.total_fen)
    own.write(lambda unit: Loans(unit).act("l-1", paying))
    worst = standing(70)[0]
    assert 7 <= due.days_past_due <= worst < 30 and standing(70) == (worst, worst)  # the next instalment is late by now
    assert reviewed(own, person, begun + 70 * DAY).change.reason == "overdue-history"
    assert (standing(71)[1], standing(76)[1]) == (1, 6)  # still late: only days that nobody has looked at yet
    assert reviewed(own, person, begun + 101 * DAY).change.kind == "frozen"


def test_a_running_loan_that_is_late_counts(own: Store) -> None:
    person = "1" * 64
    own.write(lambda unit: lend(unit, person, NOW - 100 * DAY))
    own.write(lambda unit: unit.decisions.save(decided(person)))
    assert reviewed(own, person).change.kind == "frozen"


def test_who_switched_off_has_no_record_read(store: Store) -> None:
    person = customer(store)
    store.write(lambda unit: unit.consents.switch_off(person, "app", THEN))
    assert reviewed(store, person).change.reason == "facts-missing"
    lines = store.write(lambda unit: unit.accesses.of(AUDITOR, NOW, person))
    assert [one.action for one in lines] == ["limit review"]


def test_a_record_that_was_changed_raises_nothing_and_stops_no_review(store: Store) -> None:
    person = customer(store)
    change = decisions.update().where(decisions.c.person == person).values(record=b"\x00damaged")
    store.write(lambda unit: unit.connection.execute(change))
    assert reviewed(store, person).change.reason == "facts-missing"


@pytest.mark.parametrize("outcome", ["declined", "referred", "deferred"])
def test_nothing_is_raised_after_an_application_that_was_not_approved(store: Store, outcome: str) -> None:
    found = reviewed(store, customer(store, outcome=outcome))
    assert (found.change.kind, found.change.reason) == ("unchanged", "last-application-not-approved")


def test_the_banks_own_score_counts_where_the_graph_went_by_it(store: Store) -> None:
    person = customer(store, path="bank-only", joint="0.5")
    assert reviewed(store, person).change.kind == "raised"
    assert reviewed(store, customer(store, joint="0.5")).change.reason == "risk-higher"


def test_a_cut_ends_a_temporary_raise_and_a_raise_keeps_it_within_the_bounds(store: Store) -> None:
    lowered, raised = customer(store, joint="0.5"), customer(store, limit_fen=1_600_000, income=4 * 10**6)
    for person in (lowered, raised):
        store.write(lambda unit, whom=person: unit.customers.raise_until(
            whom, 300_000, NOW + DAY, "seasonal", "engine", THEN))
        reviewed(store, person)
    assert account(store, lowered).limit_at(NOW) == 400_000
    assert (account(store, raised).limit_fen, account(store, raised).limit_at(NOW)) == (2_000_000, 2_000_000)


GOOD = {
    "limit_fen": st.integers(10, 150).map(lambda n: n * 10_000), "extra": st.integers(0, 100).map(lambda n: n * 10_000),
    "repaid": st.integers(2, 4), "overdue": st.just(0), "frozen": st.just(False),
    "joint": st.sampled_from(["0", "0.02", "0.06"]), "income": st.integers(10**6, 10**8),
    "incomes": st.sampled_from(["0", "0.5", "2.5", "2.9", "3"]), "outcome": st.just("approved"),
    "age": st.sampled_from([0, 30, 180]),
}
BAD = {
    "limit_fen": st.just(0), "repaid": st.integers(0, 1), "overdue": st.sampled_from([1, 7, 30]),
    "frozen": st.just(True), "joint": st.sampled_from(["0.0601", "0.15", "0.1501"]), "income": st.none() | st.just(0),
    "incomes": st.sampled_from(["3.0001", "4"]), "outcome": st.sampled_from(["declined", "referred"]),
    "age": st.just(181),
}


@pytest.mark.parametrize("wrong", [None, *BAD])
def test_no_review_raises_above_a_bound_or_thaws(store: Store, wrong: str | None) -> None:
    """Drawn customers, good in all but one respect."""
    kinds = Counter()

    @settings(max_examples=40 if wrong is None else 12, deadline=None)
    @given(st.fixed_dictionaries(GOOD | ({wrong: BAD[wrong]} if wrong else {})))
    def holds(told: dict[str, Any]) -> None:
        kinds[_check(store, **told)] += 1

    holds()
    assert (kinds["raised"] > 3) == (wrong is None)


def _check(store: Store, extra: int, frozen: bool, age: int, incomes: str, **told: Any) -> str:
    told["elsewhere"] = int((told["income"] or 10**7) * Decimal(incomes))
    person = customer(store, at=NOW - age * DAY, **told)
    if extra:
        store.write(lambda unit: unit.customers.raise_until(person, extra, NOW + DAY, "seasonal", "engine", THEN))
    if frozen:
        store.write(lambda unit: unit.customers.freeze(person, "fraud-alert", "risk", THEN))
    before = account(store, person)
    change, after = reviewed(store, person).change, account(store, person)
    assert after.reviewed_at == NOW and changes(store, person)[0][3].startswith(change.reason)
    assert after.frozen or not frozen
    if after.limit_fen > before.limit_fen:
        assert not frozen and told["outcome"] == "approved" and age <= 180
        _check_raise(before, after, told)
    else:
        assert after.limit_at(NOW) <= before.limit_at(NOW)
    assert reviewed(store, person) is None
    return change.kind


def _check_raise(before: LimitAccount, after: LimitAccount, told: dict[str, Any]) -> None:
    income, elsewhere, rules = told["income"], told["elsewhere"], shipped().products
    assert elsewhere <= 3 * income and told["repaid"] >= 2 and not told["overdue"]
    highest = min(rules.get("weilidai").maximum_fen, rules.single_customer_cap_fen, income // 2, 3 * income - elsewhere)
    assert after.limit_fen <= min(highest, int(before.limit_fen * Decimal("1.5")))
    assert after.limit_at(NOW) <= highest


def test_a_review_that_fails_leaves_nothing_and_is_due_again(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    person = customer(own)

    def gone(*_: object) -> None:
        raise OSError("the process died here")

    with monkeypatch.context() as broken:
        broken.setattr("parties.bank.store.customers.Customers.reviewed", gone)
        with pytest.raises(OSError):
            reviewed(own, person)
    assert account(own, person).limit_fen == 800_000 and changes(own, person) == []
    assert own.write(lambda unit: unit.accesses.of(AUDITOR, NOW, person)) == []
    assert own.read(lambda unit: due(unit, shipped(), NOW)) == [person]
    assert reviewed(own, person).change.kind == "raised"


def test_due_is_half_a_year_or_thirty_idle_days_to_the_day(own: Store) -> None:
    idle, busy = customer(own, record=False), customer(own, record=False)
    own.write(lambda unit: unit.customers.set_limit(busy, 900_000, "initial", "engine", THEN))
    own.write(lambda unit: unit.customers.repaid(busy, (), NOW, 0))
    at = lambda now: own.read(lambda unit: due(unit, shipped(), now))  # noqa: E731
    assert at(THEN + 29 * DAY) == [] and at(THEN + 30 * DAY) == [idle]
    assert reviewed(own, busy, THEN + 60 * DAY) is None
    for now in (THEN + 30 * DAY, THEN + 31 * DAY, THEN + 190 * DAY, THEN + 400 * DAY):
        assert all(reviewed(own, one, now) is not None for one in at(now))  # whoever is found is due
        assert at(now) == []


def test_the_service_reviews_in_rounds_and_rests(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_reviews, "MOST", 2)
    monkeypatch.setattr(limit_reviews.due, "__defaults__", (2,))
    people, metrics, times = [customer(own) for _ in range(5)], Metrics(), [NOW] * 3 + [NOW + timedelta(minutes=59)]
    clock = iter(times)
    reviews = LimitReviews(own, shipped(), metrics, lambda: next(clock))

    async def rounds() -> list[int]:
        return [await reviews.run() for _ in times]

    assert asyncio.run(rounds()) == [2, 2, 1, 0]
    assert {account(own, person).limit_fen for person in people} == {1_200_000}
    assert metrics.value("limit_reviews", result="raised") == 5


def test_a_season_raises_for_a_time_and_says_why_not(store: Store) -> None:
    festival = NOW.replace(year=2026, month=11, day=5)
    person = customer(store, at=festival - DAY)
    change = store.write(lambda unit: season(unit, shipped(), person, festival, SERVICE))
    assert (change.kind, change.extra_fen) == ("seasonal", 160_000)
    held = account(store, person)
    assert held.limit_at(festival) == 960_000 and held.limit_at(festival + 30 * DAY) == 800_000
    declined = customer(store, at=festival - DAY, outcome="declined")
    for whom, now, reason in ((person, NOW, "no-season"), (declined, festival, "last-application-not-approved"),
                              (customer(store, record=False), festival, "facts-missing")):
        told = store.write(lambda unit, who=whom, at=now: season(unit, shipped(), who, at, SERVICE))
        assert (told.kind, told.reason) == ("unchanged", reason)
