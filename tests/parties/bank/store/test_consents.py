"""One consent is one use; nothing is scored after the switch-off was answered."""
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.bank.store import Conflict, Store, Unit, Unknown, open_store
from protocols.errors import PolicyRefused, UsageError
from tests.parties.bank.store.concurrently import at_once
from tests.parties.bank.store.samples import DAY, NOW, person
from tests.parties.bank.store.templates import fresh_sqlite

ME, OTHER = person(1), person(2)


def grant(store: Store, reference: str = "c-1", uses: int = 1, who: str = ME) -> bool:
    return store.write(lambda u: u.consents.grant(reference, who, "bureau-inquiry", NOW, NOW + DAY, uses))


def use(store: Store, application: str = "a-1", reference: str = "c-1", who: str = ME, purpose: str = "bureau-inquiry",
        at=NOW) -> str:
    return store.write(lambda u: u.consents.use(reference, who, purpose, application, at))


def test_a_consent_is_used_once_and_again_by_the_same_application_only(store: Store) -> None:
    assert grant(store) is True
    assert [use(store), use(store), use(store, "a-2")] == ["valid", "valid", "used"]
    assert store.read(lambda u: u.consents.of(ME))[0].uses == 1


def test_a_consent_of_several_uses_counts_applications(store: Store) -> None:
    grant(store, uses=2)
    assert [use(store, name) for name in ("a-1", "a-1", "a-2", "a-1", "a-3")] == \
        ["valid", "valid", "valid", "valid", "used"]
    assert store.read(lambda u: u.consents.of(ME))[0].uses == 2


@pytest.mark.parametrize("changes,status", [
    ({"who": OTHER}, "unknown"), ({"purpose": "marketing"}, "unknown"), ({"reference": "c-2"}, "unknown"),
    ({"at": NOW + DAY}, "expired"), ({"at": NOW - DAY}, "expired")])
def test_a_consent_serves_its_person_purpose_and_time_only(store: Store, changes: dict, status: str) -> None:
    grant(store)
    assert use(store, **changes) == status
    assert store.read(lambda u: u.consents.of(ME))[0].uses == 0


def test_a_reference_stands_for_one_consent(store: Store) -> None:
    assert [grant(store), grant(store)] == [True, False]
    with pytest.raises(Conflict):
        grant(store, who=OTHER)
    with pytest.raises(Conflict):
        grant(store, uses=2)
    with pytest.raises(UsageError, match="ends after it begins"):
        store.write(lambda u: u.consents.grant("c-2", ME, "p", NOW, NOW))


def test_a_withdrawn_consent_is_off(store: Store) -> None:
    grant(store)
    with pytest.raises(Unknown):
        store.write(lambda u: u.consents.withdraw("c-1", OTHER, NOW))
    assert store.write(lambda u: u.consents.withdraw("c-1", ME, NOW)) is True
    assert store.write(lambda u: u.consents.withdraw("c-1", ME, NOW)) is False
    assert use(store) == "off"


def test_switching_off_withdraws_everything_and_switching_on_revives_nothing(store: Store) -> None:
    grant(store, "c-1")
    grant(store, "c-2")
    grant(store, "c-3", who=OTHER)
    assert store.write(lambda u: u.consents.switch_off(ME, "channel", NOW)) == ("c-1", "c-2")
    assert store.read(lambda u: u.consents.is_off(ME)) is True
    assert use(store) == "off"
    with pytest.raises(PolicyRefused, match="switched financial services off"):
        grant(store, "c-4")
    store.write(lambda u: u.consents.switch_on(ME, "channel", NOW))
    assert (use(store), use(store, reference="c-3", who=OTHER)) == ("off", "valid")
    assert grant(store, "c-4") is True and use(store, reference="c-4") == "valid"


def test_states_tell_without_using(store: Store) -> None:
    for reference in ("c-1", "c-2", "c-3"):
        grant(store, reference)
    use(store, reference="c-1")
    store.write(lambda u: u.consents.withdraw("c-2", ME, NOW))
    wanted = [("c-3", "bureau-inquiry"), ("c-2", "bureau-inquiry"), ("c-1", "bureau-inquiry"), ("c-1", "marketing"),
              ("nothing", "bureau-inquiry")]
    states = store.read(lambda u: u.consents.states(wanted, ME, NOW))
    assert [one.status for one in states] == ["valid", "off", "used", "unknown", "unknown"]
    assert store.read(lambda u: u.consents.states([], ME, NOW)) == ()


def test_many_at_once_use_a_consent_no_more_often_than_it_says(url: str) -> None:
    with_one = _raced(url, "c-1", 1)
    assert with_one.count("valid") == 1 and with_one.count("used") == len(with_one) - 1
    assert _raced(url, "c-5", 5).count("valid") == 5


def _raced(url: str, reference: str, uses: int) -> list[str]:
    with open_store(url) as store:
        grant(store, reference, uses)
    return at_once(url, 4, 5, lambda unit, worker, n: unit.consents.use(reference, ME, "bureau-inquiry",
                                                                        f"{reference}-{worker}-{n}", NOW))


def test_no_use_is_counted_after_the_switch_off_was_answered(url: str) -> None:
    """Uses and the switch race on several connections; whatever came after the switch-off found it."""
    with open_store(url) as store:
        grant(store, "c-1", 1000)

    def job(unit, worker: int, n: int):
        if (worker, n) == (0, 3):
            return ("off", unit.consents.switch_off(ME, "channel", NOW))
        return ("use", unit.consents.use("c-1", ME, "bureau-inquiry", f"a-{worker}-{n}", NOW))

    at_once(url, 4, 8, job)
    with open_store(url) as store:
        counted = store.read(lambda u: u.consents.of(ME))[0].uses
        assert use(store, "late") == "off"
        assert store.read(lambda u: u.consents.of(ME))[0].uses == counted


@settings(max_examples=15)
@given(maximum=st.integers(1, 4), tries=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=15))
def test_uses_follow_the_plain_model(tmp_path_factory: pytest.TempPathFactory, maximum: int, tries: list) -> None:
    """Against sets: an application in the set, or one more if there is room, before the end."""
    url = fresh_sqlite(tmp_path_factory.mktemp("model"))
    used: set[int] = set()
    with open_store(url) as store:
        grant(store, "c-1", maximum)
        for application, days in tries:
            found = use(store, f"a-{application}", at=NOW + days * DAY)
            if days >= 1:
                assert found == "expired"
            elif application in used or len(used) < maximum:
                used.add(application)
                assert found == "valid"
            else:
                assert found == "used"


def test_the_platform_hears_of_what_was_withdrawn_in_its_order(store: Store) -> None:
    grant(store, "w-1")
    store.write(lambda u: u.consents.withdraw("w-1", ME, NOW))
    store.write(lambda u: u.consents.withdraw("w-1", ME, NOW + DAY))  # again: nothing new to tell
    store.write(lambda u: u.consents.switch_off(ME, "app", NOW + DAY))
    told = []
    while (one := store.read(lambda u: u.withdrawals.first())) is not None:
        told.append((one.person, one.reference, one.at, store.read(lambda u: u.withdrawals.count())))
        store.write(lambda u, one=one: u.withdrawals.done(one))
        store.write(lambda u, one=one: u.withdrawals.done(one))
    assert told == [(ME, "w-1", NOW, 2), (ME, None, NOW + DAY, 1)]


def test_a_withdrawal_that_fails_is_not_told(store: Store) -> None:
    grant(store, "w-1")

    def both(unit):
        unit.consents.withdraw("w-1", ME, NOW)
        unit.consents.withdraw("unknown", ME, NOW)

    with pytest.raises(Unknown):
        store.write(both)
    assert store.read(lambda u: u.withdrawals.count()) == 0


# several at once: what a decision does

PURPOSES = ("bureau-inquiry", "joint-scoring")


def test_consents_are_taken_together_each_once(store: Store) -> None:
    grant(store, "c-1")
    grant(store, "c-2", uses=2)
    grant(store, "c-3", who=OTHER)
    asked = [("c-1", "bureau-inquiry"), ("c-2", "bureau-inquiry"), ("c-1", "bureau-inquiry"), ("c-3", "bureau-inquiry"),
             ("c-2", "joint-scoring"), ("c-4", "bureau-inquiry")]
    for _ in range(2):  # the same application again uses nothing up
        taken = store.write(lambda u: u.consents.take(asked, ME, "a-1", NOW))
        assert [status for status, _ in taken] == ["valid", "valid", "valid", "unknown", "unknown", "unknown"]
        assert [held and held.reference for _, held in taken] == ["c-1", "c-2", "c-1", None, None, None]
        assert {one.reference: one.uses for one in store.read(lambda u: u.consents.of(ME))} == {"c-1": 1, "c-2": 1}
    taken = store.write(lambda u: u.consents.take(asked[:2], ME, "a-2", NOW))
    assert [status for status, _ in taken] == ["used", "valid"]
    assert store.read(lambda u: u.consents.of(OTHER))[0].uses == 0


def test_nothing_is_taken_of_who_switched_off(store: Store) -> None:
    grant(store, "c-1")
    store.write(lambda u: u.consents.take([("c-1", "bureau-inquiry")], ME, "a-1", NOW))
    store.write(lambda u: u.consents.switch_off(ME, "channel", NOW))
    for application in ("a-1", "a-2"):  # not even the one that had used it
        assert store.write(lambda u, a=application: u.consents.take([("c-1", "bureau-inquiry")], ME, a, NOW)) == \
            [("off", None)]
    assert store.write(lambda u: u.consents.take([], ME, "a-1", NOW)) == []


@settings(max_examples=15)
@given(grants=st.lists(st.tuples(st.integers(1, 2), st.sampled_from(PURPOSES), st.booleans()), max_size=4),
       rounds=st.lists(st.tuples(st.integers(0, 2), st.lists(
           st.tuples(st.integers(0, 4), st.sampled_from(PURPOSES)), max_size=5)), max_size=5))
def test_together_is_as_one_by_one(tmp_path_factory: pytest.TempPathFactory, grants: list, rounds: list) -> None:
    urls = [fresh_sqlite(tmp_path_factory.mktemp(name)) for name in ("one", "many")]
    with open_store(urls[0]) as one, open_store(urls[1]) as many:
        for store in (one, many):
            for number, (uses, purpose, mine) in enumerate(grants):
                store.write(lambda u, n=number, p=purpose, w=ME if mine else OTHER, m=uses: u.consents.grant(
                    f"c-{n}", w, p, NOW, NOW + DAY, m))
        for application, told in rounds:
            asked, name = [(f"c-{number}", purpose) for number, purpose in told], f"a-{application}"
            single = [one.write(lambda u, r=r, p=p, a=name: u.consents.use(r, ME, p, a, NOW)) for r, p in asked]
            together = many.write(lambda u, q=asked, a=name: u.consents.take(q, ME, a, NOW))
            assert [status for status, _ in together] == single
        assert one.read(lambda u: u.consents.of(ME)) == many.read(lambda u: u.consents.of(ME))


def test_a_decision_takes_its_consents_in_one_statement(tmp_path: Path) -> None:
    statements: list[str] = []

    def job(unit: Unit) -> None:
        unit.connection.connection.driver_connection.set_trace_callback(statements.append)
        unit.consents.take([("c-1", "bureau-inquiry"), ("c-2", "bureau-inquiry")], ME, "a-1", NOW)
        unit.connection.connection.driver_connection.set_trace_callback(None)

    with open_store(fresh_sqlite(tmp_path)) as store:
        grant(store, "c-1")
        grant(store, "c-2")
        store.write(job)
    assert [text.split()[0] for text in statements] == ["UPDATE", "INSERT", "INSERT"]
