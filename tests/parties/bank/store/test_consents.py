"""One consent is one use; nothing is scored after the switch-off was answered."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.bank.store import Conflict, Store, Unknown, open_store
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
