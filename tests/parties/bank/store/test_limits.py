"""Limits and quotas are never exceeded, from however many threads, stores and processes."""
from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.bank.decision.context import History, Quota
from parties.bank.decision.lateness import Late
from parties.bank.store import Conflict, LimitExceeded, Store, Unknown, open_store
from protocols.errors import UsageError
from tests.parties.bank.store.concurrently import at_once
from tests.parties.bank.store.samples import DAY, NOW, person
from tests.parties.bank.store.templates import fresh_sqlite

pytestmark = pytest.mark.slow  # processes, servers or many threads at once

ME = person(7)


def limit(store: Store, fen: int, who: str = ME) -> None:
    store.write(lambda u: u.customers.set_limit(who, fen, "initial", "engine", NOW))


def reserve(store: Store, fen: int, who: str = ME, at=NOW) -> None:
    store.write(lambda u: u.customers.reserve(who, fen, at))


def account(store: Store):
    return store.read(lambda u: u.customers.get(ME))


def test_drawing_stops_at_the_limit_to_the_fen(store: Store) -> None:
    limit(store, 1000)
    reserve(store, 999)
    with pytest.raises(LimitExceeded, match="2 fen are more than the 1 fen"):
        reserve(store, 2)
    reserve(store, 1)
    store.write(lambda u: u.customers.release(ME, 400, NOW))
    reserve(store, 400)
    assert account(store).outstanding_fen == 1000


def test_nothing_is_drawn_without_an_account_or_while_frozen(store: Store) -> None:
    with pytest.raises(LimitExceeded, match="no limit account"):
        reserve(store, 1)
    limit(store, 1000)
    store.write(lambda u: u.customers.freeze(ME, "device change", "risk", NOW))
    with pytest.raises(LimitExceeded, match="frozen"):
        reserve(store, 1)
    store.write(lambda u: u.customers.unfreeze(ME, "verified", "risk", NOW))
    reserve(store, 1)


def test_a_temporary_raise_ends_by_itself(store: Store) -> None:
    limit(store, 1000)
    store.write(lambda u: u.customers.raise_until(ME, 500, NOW + DAY, "spring festival", "engine", NOW))
    reserve(store, 1500)
    store.write(lambda u: u.customers.release(ME, 500, NOW))
    with pytest.raises(LimitExceeded):
        reserve(store, 1, at=NOW + DAY)
    reserve(store, 500, at=NOW + DAY / 2)


def test_a_cut_below_what_is_drawn_only_stops_drawing(store: Store) -> None:
    limit(store, 1000)
    reserve(store, 800)
    limit(store, 500)
    with pytest.raises(LimitExceeded, match="0 fen that the limit has left"):
        reserve(store, 1)
    store.write(lambda u: u.customers.release(ME, 301, NOW))
    reserve(store, 1)


@pytest.mark.parametrize("fen", [0, -1, True, 1.5, 10**14, None])
def test_amounts_are_whole_fen(store: Store, fen) -> None:
    limit(store, 1000)
    for job in (lambda u: u.customers.reserve(ME, fen, NOW), lambda u: u.customers.release(ME, fen, NOW)):
        with pytest.raises(UsageError, match="whole amount"):
            store.write(job)


def test_more_than_is_drawn_cannot_be_given_back(store: Store) -> None:
    limit(store, 1000)
    reserve(store, 10)
    with pytest.raises(Conflict):
        store.write(lambda u: u.customers.release(ME, 11, NOW))
    assert account(store).outstanding_fen == 10


def test_every_change_has_its_reason(store: Store) -> None:
    limit(store, 1000)
    store.write(lambda u: u.customers.raise_until(ME, 500, NOW + DAY, "spring festival", "engine", NOW))
    store.write(lambda u: u.customers.freeze(ME, "lost phone", "li.wei", NOW))
    store.write(lambda u: u.customers.reviewed(ME, "six months", "engine", NOW))
    changes = store.read(lambda u: u.customers.changes(ME))
    assert [(one.what, one.before_fen, one.after_fen, one.reason, one.changed_by) for one in reversed(changes)] == [
        ("limit", 0, 1000, "initial", "engine"), ("temporary", 1000, 1500, "spring festival", "engine"),
        ("freeze", 1000, 1000, "lost phone", "li.wei"), ("review", 1000, 1000, "six months", "engine")]
    with pytest.raises(UsageError, match="reason"):
        store.write(lambda u: u.customers.set_limit(ME, 1, " ", "engine", NOW))
    assert account(store).limit_fen == 1000


def test_history_is_what_a_decision_sees(store: Store) -> None:
    assert store.read(lambda u: u.customers.history(ME, NOW)) == History()
    limit(store, 1000)
    reserve(store, 300)
    store.write(lambda u: u.customers.repaid(ME, [Late(4, NOW)], NOW))
    store.write(lambda u: u.customers.repaid(ME, [Late(2, NOW)], NOW))
    store.write(lambda u: u.customers.reviewed(ME, "six months", "engine", NOW))
    assert store.read(lambda u: u.customers.history(ME, NOW + 9.5 * DAY)) == History(
        existing_limit_fen=1000, outstanding_fen=300, loans_repaid=2, worst_overdue_days=4, idle_days=9,
        last_review=NOW, new_overdue_days=0, late_at=NOW)


def test_lateness_counts_until_a_review_has_seen_it(store: Store) -> None:
    def repaid(*late: Late) -> None:
        store.write(lambda u: u.customers.repaid(ME, late, max(one.at for one in late)))

    def known() -> tuple[int, int]:
        return account(store).new_overdue_days, account(store).worst_overdue_days

    limit(store, 1000)
    assert known() == (0, 0) and store.read(lambda u: u.customers.history(ME, NOW)).new_overdue_days is None
    repaid(Late(20, NOW))
    repaid(Late(3, NOW + DAY))
    assert known() == (20, 20)
    store.write(lambda u: u.customers.reviewed(ME, "six months", "engine", NOW + 10 * DAY))
    assert known() == (0, 20)
    repaid(Late(9, NOW + 9 * DAY))  # a loan that ended after the review, late before it
    assert known() == (0, 20) and account(store).late_at == NOW + 9 * DAY
    repaid(Late(9, NOW + 12 * DAY))  # the review saw seven days of it
    assert known() == (2, 20)
    repaid(Late(5, NOW + 30 * DAY))
    repaid(Late(4, NOW + 40 * DAY))
    assert known() == (5, 20) and account(store).late_at == NOW + 40 * DAY


def test_reviews_are_due_by_age_or_idleness(store: Store) -> None:
    for number in range(3):
        limit(store, 1000, person(number))
    reserve(store, 1, person(1), NOW + 100 * DAY)
    store.write(lambda u: u.customers.reviewed(person(2), "review", "engine", NOW + 50 * DAY))
    due = store.read(lambda u: u.customers.due(NOW + DAY, NOW - DAY))
    assert due == [person(0), person(1)]
    assert store.read(lambda u: u.customers.due(NOW - DAY, NOW + DAY)) == [person(0)]
    assert store.read(lambda u: u.customers.due(NOW - DAY, NOW - DAY)) == []


def test_concurrent_draws_never_exceed_the_limit(url: str) -> None:
    with open_store(url) as store:
        limit(store, 1000)
    results = at_once(url, 4, 25, lambda unit, worker, n:
                      unit.customers.reserve(ME, 7 + worker + n, NOW) or 7 + worker + n)
    drawn = sum(one for one in results if isinstance(one, int))
    assert all(isinstance(one, int | LimitExceeded) for one in results) and len(results) == 100
    with open_store(url) as store:
        assert account(store).outstanding_fen == drawn <= 1000
        assert drawn > 1000 - 35  # whoever was refused wanted more than was left


_PROCESS = """
import json, sys
from tests.parties.bank.store.samples import NOW
from parties.bank.store import LimitExceeded, open_store
url, who, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
drawn = {"limit": 0, "own": 0, "partner": 0}
with open_store(url) as store:
    sys.stdin.readline()
    for n in range(15):
        fen = 1 + (seed * 31 + n * 17) % 60
        try:
            store.write(lambda u: u.customers.reserve(who, fen, NOW))
            drawn["limit"] += fen
        except LimitExceeded:
            drawn["limit"] += 0
        shares = {"own": fen, "partner": 2 * fen} if seed % 2 else {"partner": 2 * fen, "own": fen}
        try:
            store.write(lambda u: u.quotas.reserve(f"{seed}-{n}", shares, NOW, None))
            drawn = drawn | {name: drawn[name] + part for name, part in shares.items()}
        except LimitExceeded:
            drawn["own"] += 0
print(json.dumps(drawn))
"""


def test_concurrent_processes_exceed_neither_limit_nor_quota(url: str) -> None:
    with open_store(url) as store:
        limit(store, 600)
        store.write(lambda u: u.quotas.set("own", 2000, NOW))
        store.write(lambda u: u.quotas.set("partner", 1200, NOW))
    processes = [subprocess.Popen([sys.executable, "-c", _PROCESS, url, ME, str(seed)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True) for seed in range(3)]
    told = [json.loads(process.communicate("go\n", timeout=120)[0]) for process in processes]
    with open_store(url) as store:
        assert account(store).outstanding_fen == sum(one["limit"] for one in told) <= 600
        quotas = store.read(lambda u: u.quotas.all())
        for partner, most in (("own", 2000), ("partner", 1200)):
            assert quotas[partner].reserved_fen == sum(one[partner] for one in told) <= most
        assert quotas["partner"].reserved_fen > 1200 - 120


# quotas


@pytest.fixture
def partners(store: Store) -> Store:
    store.write(lambda u: u.quotas.set("own", 1000, NOW))
    store.write(lambda u: u.quotas.set("east", 700, NOW, cap_fen=500))
    return store


def reserved(store: Store) -> dict[str, int]:
    return {name: quota.reserved_fen for name, quota in store.read(lambda u: u.quotas.all()).items()}


def test_quotas_are_reserved_all_at_once_or_not_at_all(partners: Store) -> None:
    take = partners.write
    assert take(lambda u: u.quotas.reserve("a-1", {"own": 300, "east": 400}, NOW, None)) is True
    assert take(lambda u: u.quotas.reserve("a-1", {"east": 400, "own": 300}, NOW, None)) is False
    with pytest.raises(LimitExceeded, match="partner own cannot take 701 fen: 700 fen are free"):
        take(lambda u: u.quotas.reserve("a-2", {"own": 701, "east": 100}, NOW, None))
    with pytest.raises(LimitExceeded, match="no quota is set"):
        take(lambda u: u.quotas.reserve("a-2", {"own": 1, "west": 1}, NOW, None))
    with pytest.raises(Conflict, match="other shares"):
        take(lambda u: u.quotas.reserve("a-1", {"own": 300}, NOW, None))
    assert reserved(partners) == {"own": 300, "east": 400}


def test_a_reservation_that_stands_is_found_when_nothing_is_left(partners: Store) -> None:
    """It is looked up only where nothing could be taken."""
    shares = {"east": 500, "own": 1000}
    assert partners.write(lambda u: u.quotas.reserve("a-1", shares, NOW, None)) is True
    assert partners.write(lambda u: u.quotas.reserve("a-1", shares, NOW, None)) is False
    with pytest.raises(Conflict, match="other shares"):
        partners.write(lambda u: u.quotas.reserve("a-1", {"own": 1}, NOW, None))
    assert reserved(partners) == {"own": 1000, "east": 500}


@pytest.mark.parametrize("first,then", [({"own": 5}, {"own": 5, "east": 7}), ({"own": 5, "east": 7}, {"own": 5}),
                                        ({"own": 5}, {"east": 5}), ({"own": 5}, {"own": 6})])
def test_a_reference_stands_for_one_set_of_shares(partners: Store, first: dict, then: dict) -> None:
    partners.write(lambda u: u.quotas.reserve("a-1", first, NOW, None))
    with pytest.raises(Conflict, match="other shares"):
        partners.write(lambda u: u.quotas.reserve("a-1", then, NOW, None))
    assert reserved(partners) == {"own": 0, "east": 0} | first
    assert partners.read(lambda u: u.quotas.of("a-1")) == first


def test_a_caller_that_catches_the_refusal_keeps_nothing_of_it(partners: Store) -> None:
    """The fallback after a refusal runs in the same transaction."""
    def route(unit) -> bool:
        try:
            return unit.quotas.reserve("a-1", {"east": 100, "own": 1001}, NOW, None)
        except LimitExceeded:
            return unit.quotas.reserve("a-1", {"own": 50}, NOW, None)

    assert partners.write(route) is True
    assert reserved(partners) == {"own": 50, "east": 0}


def test_a_partner_takes_no_more_than_its_cap(partners: Store) -> None:
    partners.write(lambda u: u.quotas.reserve("a-1", {"east": 500}, NOW, None))
    with pytest.raises(LimitExceeded):
        partners.write(lambda u: u.quotas.reserve("a-2", {"east": 1}, NOW, None))
    free = partners.read(lambda u: u.quotas.free({"own", "east", "nobody"}))
    assert free == {"own": Quota(free_fen=1000, used_fen=0), "east": Quota(free_fen=0, used_fen=500)}
    assert partners.read(lambda u: u.quotas.free({"own"})).keys() == {"own"}
    partners.write(lambda u: u.quotas.set("own", 1000, NOW, cap_fen=0))  # it lends too much elsewhere
    assert partners.read(lambda u: u.quotas.free({"own"})) == {"own": Quota(free_fen=0, used_fen=0)}
    with pytest.raises(LimitExceeded, match="own cannot take 1 fen: 0 fen are free"):
        partners.write(lambda u: u.quotas.reserve("a-2", {"own": 1}, NOW, None))


def test_a_lapsed_reservation_is_given_back_and_a_confirmed_one_is_not(partners: Store) -> None:
    for name in ("a-1", "a-2"):
        partners.write(lambda u, n=name: u.quotas.reserve(n, {"own": 100}, NOW, NOW + DAY))
    partners.write(lambda u: u.quotas.confirm("a-2", NOW))
    assert partners.write(lambda u: u.quotas.lapse(NOW + DAY)) == ["a-1"]
    assert partners.write(lambda u: u.quotas.lapse(NOW + DAY)) == []
    assert reserved(partners)["own"] == 100
    with pytest.raises(Unknown, match="lapsed"):
        partners.write(lambda u: u.quotas.confirm("a-1", NOW + DAY))
    with pytest.raises(Conflict, match="given back"):
        partners.write(lambda u: u.quotas.reserve("a-1", {"own": 100}, NOW, None))


def test_parts_are_released_as_principal_is_repaid(partners: Store) -> None:
    partners.write(lambda u: u.quotas.reserve("a-1", {"own": 30, "east": 70}, NOW, None))
    partners.write(lambda u: u.quotas.release("a-1", {"own": 3, "east": 7}))
    assert partners.read(lambda u: u.quotas.of("a-1")) == {"own": 27, "east": 63}
    with pytest.raises(Conflict, match="more than"):
        partners.write(lambda u: u.quotas.release("a-1", {"own": 1, "east": 64}))
    assert reserved(partners) == {"own": 27, "east": 63}
    partners.write(lambda u: u.quotas.release("a-1"))
    partners.write(lambda u: u.quotas.release("a-1"))
    assert reserved(partners) == {"own": 0, "east": 0}


@settings(max_examples=10)
@given(data=st.data(), quota=st.integers(0, 300), cap=st.integers(0, 300))
def test_what_is_reserved_follows_the_plain_model(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject,
                                                  quota: int, cap: int) -> None:
    url = fresh_sqlite(tmp_path_factory.mktemp("quotas"))
    held: dict[str, int] = {}
    with open_store(url) as store:
        store.write(lambda u: u.quotas.set("p", quota, NOW, cap))
        for n in range(data.draw(st.integers(0, 12))):
            fen = data.draw(st.integers(1, 120))
            fits = sum(held.values()) + fen <= min(quota, cap)
            try:
                store.write(lambda u, n=n, f=fen: u.quotas.reserve(f"a-{n}", {"p": f}, NOW, None))
                held[f"a-{n}"] = fen
                assert fits
            except LimitExceeded:
                assert not fits
            if held and data.draw(st.booleans()):
                gone = data.draw(st.sampled_from(sorted(held)))
                store.write(lambda u, g=gone: u.quotas.release(g))
                del held[gone]
            assert reserved(store) == {"p": sum(held.values())}
