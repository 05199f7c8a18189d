"""Risk signals: what they do is in limits.toml, they act once, and whoever reports one hears what followed."""
from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.bank.service import messages as m
from parties.bank.service import officers_pb2 as pb
from parties.bank.service.grpc_officers import OFFICERS
from parties.bank.service.grpc_shapes import written
from parties.bank.service.limit_reviews import SERVICE, review
from parties.bank.service.limit_signals import Reported, act
from parties.bank.store import Reader, Store, Unit, open_store
from tests.parties.bank.decision.cases import NOW, shipped
from tests.parties.bank.service.support import bearer, token_of
from tests.parties.bank.service.test_grpc_loans import caller, grpc, refused
from tests.parties.bank.store.conftest import url  # noqa: F401 - a fixture
from tests.parties.bank.store.templates import fresh_sqlite

ME, OTHER = "7" * 64, "8" * 64
DAY = timedelta(days=1)
OFFICER = Reader("li", "officer", "risk signal")
CODES = [one.code for one in shipped().limits.signals]


def opened(store: Store, fen: int = 800_000, who: str = ME) -> None:
    store.write(lambda unit: unit.customers.set_limit(who, fen, "initial", "engine", NOW - 40 * DAY))


def acted(store: Store, signal: str, reference: str = "case-7", at=NOW, who: str = ME):
    return store.write(lambda unit: act(unit, shipped(), Reported(who, reference, signal), at, OFFICER, "officer:li"))


def report(signal: str = "fraud-alert", reference: str = "case-7") -> dict[str, str]:
    return {"reference": reference, "signal": signal}


def test_a_signal_freezes_once_over_http_and_grpc(service, client, file):
    officer, call = bearer(file, "officer", "li"), caller(service, OFFICERS)
    opened(service.store)

    async def steps():
        async with client() as http:
            replies = [await http.post(f"/v1/persons/{ME}/signals", json=report(), headers=officer) for _ in range(2)]
            over_grpc = await call("ReportSignal", pb.SignalReport(person=ME, **report()), token_of(file, "officer"))
            return replies, over_grpc

    replies, over_grpc = asyncio.run(steps())
    assert [one.status_code for one in replies] == [200, 200] and replies[0].content == replies[1].content
    assert over_grpc == written(replies[0].content, pb.SignalActed)
    told = m.SignalActed.model_validate_json(replies[0].content)
    assert (told.change, told.reason, told.before_fen, told.after_fen) == ("frozen", "fraud-alert", 800_000, 800_000)
    assert told.en == "A fraud alert on the account" and told.zh
    account, changes = service.store.read(lambda unit: (unit.customers.get(ME), unit.customers.changes(ME)))
    assert account.frozen and [(one.what, one.reason, one.changed_by) for one in changes][:-1] == [
        ("freeze", "fraud-alert, signal case-7", "officer:li")]
    lines = service.store.write(lambda unit: unit.accesses.of(OFFICER, NOW, ME))
    assert [(one.who, one.role, one.action, one.purpose) for one in lines] == [
        (who, "officer", "limit signal", "risk signal fraud-alert, case-7") for who in ("app", "li", "li")]
    assert service.metrics.value("limit_signals", result="frozen") == 1


def test_what_is_refused_changes_nothing(service, client, file):
    call, officer = caller(service, OFFICERS), token_of(file, "officer")
    opened(service.store)
    acted(service.store, "income-lost")
    before = service.store.read(lambda unit: (unit.customers.get(ME), unit.customers.changes(ME)))
    refusals = [
        ({}, ME, None, 401, grpc.StatusCode.UNAUTHENTICATED, "token"),
        ({}, ME, "channel", 403, grpc.StatusCode.PERMISSION_DENIED, "officer"),
        ({}, ME, "auditor", 403, grpc.StatusCode.PERMISSION_DENIED, "officer"),
        ({}, ME, "operator", 403, grpc.StatusCode.PERMISSION_DENIED, "officer"),
        ({}, OTHER, "officer", 404, grpc.StatusCode.NOT_FOUND, "no limit account"),
        ({"reference": "case-7"}, ME, "officer", 409, grpc.StatusCode.FAILED_PRECONDITION, "another signal"),
        ({"signal": "unheard-of"}, ME, "officer", 422, grpc.StatusCode.INVALID_ARGUMENT, "fraud-alert, device-gang"),
        ({"signal": "Fraud!"}, ME, "officer", 422, grpc.StatusCode.INVALID_ARGUMENT, "signal"),
        ({"signal": ""}, ME, "officer", 422, grpc.StatusCode.INVALID_ARGUMENT, "signal"),
        ({"reference": "a b"}, ME, "officer", 422, grpc.StatusCode.INVALID_ARGUMENT, "reference"),
        ({}, "7" * 63, "officer", 422, grpc.StatusCode.INVALID_ARGUMENT, "person"),
    ]

    async def steps():
        async with client() as http:
            for changes, whom, role, status, code, word in refusals:
                body = report(reference="case-8") | changes
                headers = {} if role is None else bearer(file, role)
                reply = await http.post(f"/v1/persons/{whom}/signals", json=body, headers=headers)
                assert (reply.status_code, word in reply.json()["detail"]) == (status, True), reply.text
                asked = pb.SignalReport(person=whom, **body)
                await refused(call("ReportSignal", asked, None if role is None else token_of(file, role)), code, word)
            await refused(call("ReportSignal", b"\xff" * 9, officer), grpc.StatusCode.INVALID_ARGUMENT, "SignalReport")
            more = await http.post(f"/v1/persons/{ME}/signals", json=report() | {"x": 1},
                                   headers=bearer(file, "officer"))
            assert more.status_code == 422

    asyncio.run(steps())
    assert service.store.read(lambda unit: (unit.customers.get(ME), unit.customers.changes(ME))) == before


def test_a_cut_ends_a_temporary_raise_and_is_no_review(tmp_path):
    with open_store(fresh_sqlite(tmp_path)) as store:
        opened(store)
        until, granted = NOW + 9 * DAY, NOW - DAY
        store.write(lambda unit: unit.customers.raise_until(ME, 160_000, until, "seasonal", "engine", granted))
        kept, first = acted(store, "inquiries-surge")
        assert (first, kept.kind, kept.before_fen, kept.after_fen) == (True, "cut", 800_000, 560_000)
        account = store.read(lambda unit: unit.customers.get(ME))
        assert account.limit_at(NOW) == 560_000 and account.reviewed_at is None
        assert store.write(lambda unit: review(unit, shipped(), ME, NOW, SERVICE)) is not None  # still due


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CODES), st.integers(1, 4)), max_size=8), st.integers(0, 90))
def test_signals_only_lower_and_each_reference_acts_once(tmp_path_factory, drawn, units):
    policy, expected, frozen = {one.code: one for one in shipped().limits.signals}, units * 10_000, False
    seen: dict[tuple[str, int], object] = {}
    with open_store(fresh_sqlite(tmp_path_factory.mktemp("signals"))) as store:
        opened(store, expected)
        for code, number in drawn:
            kept, first = acted(store, code, f"{code}.{number}")
            assert first == ((code, number) not in seen) and seen.setdefault((code, number), kept) == kept
            if first and policy[code].action == "cut":
                expected = int(expected * policy[code].keeps) // 10_000 * 10_000
            frozen = frozen or policy[code].action == "freeze"
            account = store.read(lambda unit: unit.customers.get(ME))
            assert (account.limit_fen, account.frozen) == (expected, frozen)


def test_a_signal_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    def gone(*_: object) -> None:
        raise OSError("the process died here")

    with open_store(fresh_sqlite(tmp_path)) as store:
        opened(store)
        with monkeypatch.context() as broken:
            broken.setattr("parties.bank.store.customers.Customers.freeze", gone)
            with pytest.raises(OSError):
                acted(store, "fraud-alert")
        assert not store.read(lambda unit: unit.customers.get(ME)).frozen
        assert acted(store, "fraud-alert")[1] is True
        assert store.read(lambda unit: unit.customers.get(ME)).frozen


def test_what_followed_is_told_again_when_the_rulebook_has_other_words(tmp_path):
    with open_store(fresh_sqlite(tmp_path)) as store:
        opened(store)
        kept, _ = acted(store, "income-lost")
        rules = shipped()
        empty = rules.limits.model_copy(update={"signals": ()})
        other = type("Later", (), {"limits": empty})()
        one = Reported(ME, "case-7", "income-lost")
        assert store.write(lambda unit: act(unit, other, one, NOW + DAY, OFFICER, "officer:wu")) == (kept, False)


@pytest.mark.slow
def test_the_same_signal_from_many_sides_at_once_acts_once(url):  # noqa: F811
    """Two stores as two processes would have them; each cut halves, so a second one would be seen."""
    with open_store(url) as one, open_store(url) as two:
        opened(one, 6_400_000)

        def job(unit: Unit, reference: str):
            return act(unit, shipped(), Reported(ME, reference, "income-lost"), NOW, OFFICER, "officer:li")

        with ThreadPoolExecutor(16) as pool:
            done = [pool.submit(store.write, lambda unit, r=f"case-{n}": job(unit, r))
                    for n in range(4) for store in (one, two) * 4]
            told = [each.result() for each in done]
        assert sum(first for _, first in told) == 4
        assert len({(kept.reference, kept.before_fen, kept.after_fen) for kept, _ in told}) == 4
        assert one.read(lambda unit: unit.customers.get(ME)).limit_fen == 400_000
