"""What a deletion leaves: nothing, or what the law holds, restricted; and nobody waits for ever."""
from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from parties.bank.store import Conflict, Reader, Store, Unknown
from parties.bank.store.decisions import LEGAL
from parties.bank.store.settings import Retention
from parties.bank.store.signals import KeptSignal
from parties.bank.store.tables import METADATA
from protocols.errors import PolicyRefused
from tests.parties.bank.store.samples import DAY, NOW, OFFICER, person, record

ME, OTHER = person(1), person(2)
KEPT = Retention(deletion_days=15, decision_years=5, access_years=6, answer_days=7)
SOME = Retention(deletion_days=0, decision_years=0)
TIMER = Reader("timer", "operator", "deletions that are due")
LATER, YEARS = NOW + 16 * DAY, NOW + timedelta(days=5 * 366 + 1)


@pytest.fixture
def full(store: Store) -> Store:
    """Both people have a row in every table that knows people."""
    for number, who in enumerate((ME, OTHER)):
        store.write(lambda u, n=number, w=who: _fill(u, n, w))
    return store


def _fill(unit, number: int, who: str) -> None:
    unit.decisions.save(record(f"a-{number}", who))
    unit.idempotency.keep("channel", f"k-{number}", b"ask", 201, b"answer", NOW, who)
    unit.reviews.ask(f"a-{number}", "please look again", NOW)
    unit.consents.grant(f"c-{number}", who, "bureau-inquiry", NOW, NOW + DAY)
    unit.consents.use(f"c-{number}", who, "bureau-inquiry", f"a-{number}", NOW)
    unit.customers.set_limit(who, 1000, "initial", "engine", NOW)
    unit.signals.keep(KeptSignal(who, "case-7", "fraud-alert", "officer:li", NOW, "frozen", 1000, 1000, "fraud-alert",
                                 "预警", "an alert"))


def ask(store: Store, who: str = ME, kept: Retention = KEPT):
    return store.write(lambda u: u.deletions.ask(who, "channel", NOW, kept))


def run(store: Store, at, kept: Retention = KEPT):
    return store.write(lambda u: u.deletions.run(TIMER, at, kept))


def mentions(store: Store, who: str) -> set[str]:
    """Tables in which a person stands."""
    def look(unit) -> set[str]:
        return {table.name for table in METADATA.sorted_tables if "person" in table.c
                and unit.connection.execute(select(func.count()).where(table.c.person == who)).scalar_one()}
    return store.read(look)


def test_asking_stops_scoring_at_once_and_again_changes_nothing(full: Store) -> None:
    one, withdrawn = ask(full)
    assert (one.state, one.due_at, withdrawn) == ("waiting", NOW + 15 * DAY, ("c-0",))
    assert full.read(lambda u: u.consents.is_off(ME)) is True
    again, _ = ask(full)
    assert again.number == one.number
    assert run(full, NOW + 14 * DAY) == []


def test_records_within_their_retention_stay_for_the_law_only(full: Store) -> None:
    ask(full)
    [one] = run(full, LATER)
    assert one.state == "restricted" and "retention of decision records until 2031-03-" in one.held_by
    assert mentions(full, ME) == {"decisions", "accesses", "deletions"}
    assert mentions(full, OTHER) >= {"decisions", "consents", "customers", "reviews", "idempotency", "limit_changes",
                                     "signals"}
    with pytest.raises(PolicyRefused, match="legal-hold"):
        full.write(lambda u: u.decisions.read("a-0", OFFICER, LATER))
    court = Reader("li.wei", "risk-officer", LEGAL)
    assert full.write(lambda u: u.decisions.read("a-0", court, LATER)) == record("a-0", ME).to_bytes()
    assert full.write(lambda u: u.decisions.read("a-1", OFFICER, LATER)) == record("a-1", OTHER).to_bytes()


def test_when_the_retention_ends_nobody_is_left(full: Store) -> None:
    ask(full)
    run(full, LATER)
    assert run(full, YEARS - 3 * DAY) == []
    [one] = run(full, YEARS)
    assert (one.state, one.person, one.due_at, one.held_by) == ("done", None, None, None)
    assert mentions(full, ME) == {"accesses"}
    line = full.read(lambda u: u.decisions.standing("a-0"))
    assert line is not None and (line.person, line.outcome, line.erased_at) == (None, "declined", YEARS)
    with pytest.raises(Unknown, match="erased"):
        full.write(lambda u: u.decisions.read("a-0", Reader("x", "y", LEGAL), YEARS))
    assert run(full, YEARS) == []


def test_without_retention_all_goes_at_once(full: Store) -> None:
    ask(full, kept=SOME)
    assert [one.state for one in run(full, NOW + DAY, SOME)] == ["done"]
    assert mentions(full, ME) == {"accesses"}


def test_a_loan_and_a_hold_keep_everything_until_they_end(full: Store) -> None:
    full.write(lambda u: u.customers.reserve(ME, 10, NOW))
    full.write(lambda u: u.deletions.hold(ME, "dispute-17", "complaint", "li.wei", NOW, LATER + 2 * DAY))
    before = mentions(full, ME) | {"deletions", "switches", "holds", "withdrawals"}
    ask(full)
    [one] = run(full, LATER)
    assert (one.state, one.held_by) == ("held", "a loan that is not repaid, hold dispute-17")
    assert run(full, LATER) == []  # not again today: it would keep others waiting
    full.write(lambda u: u.customers.release(ME, 10, LATER))
    [one] = run(full, LATER + DAY)
    assert (one.held_by, mentions(full, ME)) == ("hold dispute-17", before)
    assert [one.state for one in run(full, LATER + 2 * DAY)] == ["restricted"]


def test_a_hold_has_one_name_and_is_released_by_it(full: Store) -> None:
    full.write(lambda u: u.deletions.hold(ME, "dispute", "complaint", "li.wei", NOW))
    with pytest.raises(Conflict):
        full.write(lambda u: u.deletions.hold(ME, "dispute", "another", "li.wei", NOW))
    with pytest.raises(Unknown):
        full.write(lambda u: u.deletions.release(OTHER, "dispute"))
    full.write(lambda u: u.deletions.release(ME, "dispute"))
    assert full.read(lambda u: u.deletions.of(ME)) == []


def test_a_request_is_taken_back_before_it_is_carried_out_only(full: Store) -> None:
    with pytest.raises(Unknown):
        full.write(lambda u: u.deletions.cancel(ME, NOW))
    ask(full)
    full.write(lambda u: u.deletions.cancel(ME, NOW))
    assert run(full, LATER) == []
    assert ask(full)[0].state == "waiting"
    run(full, LATER)
    with pytest.raises(Unknown):
        full.write(lambda u: u.deletions.cancel(ME, LATER))


def test_who_comes_back_is_a_new_customer(full: Store) -> None:
    """Decisions after the deletion are neither restricted nor erased with the old ones."""
    ask(full)
    run(full, LATER)
    full.write(lambda u: u.decisions.save(record("a-9", ME, LATER + DAY)))
    full.write(lambda u: u.customers.set_limit(ME, 1000, "initial", "engine", LATER + DAY))
    run(full, YEARS)
    assert full.write(lambda u: u.decisions.read("a-9", OFFICER, YEARS)) == record("a-9", ME, LATER + DAY).to_bytes()
    assert full.read(lambda u: u.decisions.standing("a-0")).person is None
    assert "customers" in mentions(full, ME)


def test_the_queue_is_worked_off_whatever_its_length(store: Store) -> None:
    for number in range(45):
        ask(store, person(number))
    seen = 0
    while batch := run(store, LATER):
        seen += len(batch)
    assert seen == 45
    assert store.write(lambda u: u.deletions.queue(OFFICER, LATER)) == []


def test_a_sweep_deletes_what_is_older_than_its_time_of_whom_nothing_holds(full: Store) -> None:
    owing = person(3)
    full.write(lambda u: _fill(u, 3, owing))
    full.write(lambda u: u.customers.reserve(owing, 10, NOW))
    full.write(lambda u: u.deletions.hold(OTHER, "dispute", "complaint", "li.wei", NOW))
    full.write(lambda u: u.decisions.page(OFFICER, NOW))
    early = full.write(lambda u: u.deletions.sweep(NOW + 8 * DAY, KEPT))
    assert (early.records, early.answers, early.accesses) == (0, 3, 0)
    late = full.write(lambda u: u.deletions.sweep(YEARS, KEPT))
    assert (late.records, late.accesses) == (1, 0)
    assert full.read(lambda u: u.decisions.standing("a-0")).person is None
    assert [full.read(lambda u, n=n: u.decisions.standing(n)).person for n in ("a-1", "a-3")] == [OTHER, owing]
    assert full.write(lambda u: u.deletions.sweep(YEARS + 400 * DAY, KEPT)).accesses == 1
