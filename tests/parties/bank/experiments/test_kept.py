"""The report from the bank's store: the same as from a file, nobody restricted, results only when they are due."""
from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.bank.cli import main
from parties.bank.decision.experiments import Experiments
from parties.bank.decision.record import DecisionRecord, Offer
from parties.bank.decision.rulebook import Rulebook
from parties.bank.decision.trial import OutcomeRow, report
from parties.bank.experiments.kept import Kept, report_kept
from parties.bank.lending.agreement import LendingPolicy
from parties.bank.lending.book import Loan, Loans, Notary
from parties.bank.lending.events import replayed
from parties.bank.lending.results import results, turned_bad
from parties.bank.lending.statement import standing
from parties.bank.service.assembly import Service
from parties.bank.store import Reader, open_store
from parties.bank.store.settings import Retention
from protocols.crypto.identity import IdentityKey
from tests.parties.bank.decision.test_trial import outcomes
from tests.parties.bank.lending.loans import START, event, terms
from tests.parties.bank.service.support import bearer, make_home, make_service
from tests.parties.bank.store.samples import record
from tests.parties.bank.store.templates import fresh_sqlite

AUDITOR = Reader("wu", "auditor", "quarterly look")
POLICY = LendingPolicy()
TOML = """
[salts]
decision = "group-salt"

[[experiments]]
name = "release"
group = "decision"
about = "a grey release"
salt = "release-salt"
first = 2026-01-01
last = 2026-06-30
slice = ["0.6", "1"]
planned_persons = 1000
arms = [{ name = "before", share = "0.95" }, { name = "after", share = "0.05" }]
growth = [{ first = 2026-02-01, share = "0.2" }, { first = 2026-03-01, share = "1" }]
"""
KNOWN = Experiments.from_toml_text(TOML)
RELEASE = KNOWN.experiments[0]
ROWS = outcomes("release", 400)
NOON = timedelta(hours=4)  # in Asia/Shanghai


def decided(number: int, row: OutcomeRow) -> DecisionRecord:
    """The record that this row of outcomes is of."""
    day = row.decided_on
    base = record(f"a-{number}", row.person, datetime(day.year, day.month, day.day, tzinfo=UTC) + NOON)
    offer = None if not row.approved else Offer(
        limit_fen=row.limit_fen or 0, amount_fen=row.amount_fen or 0, daily_rate=row.daily_rate or Decimal(0),
        term_months=12, annual_cost=Decimal("0.2"), installments=(), funding=())
    return base.model_copy(update={"context": base.context.model_copy(update={"arm": row.arm}), "offer": offer,
                                   "outcome": "approved" if row.approved else "declined"})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node whose rulebook has the experiment, and whose store has decided on everybody in it."""
    file = make_home(tmp_path_factory.mktemp("kept") / "bank")
    (file.parent / "rulebook" / "experiments.toml").write_text(TOML, encoding="utf-8")
    service = make_service(file, None)
    records = [decided(number, row) for number, row in enumerate(ROWS)]
    service.store.write(lambda unit: [unit.decisions.save(one) for one in records])
    service.store.close()
    return file


@pytest.fixture
def service(home: Path):
    made = make_service(home, None)
    yield made
    made.store.close()


def rows_without_results() -> list[OutcomeRow]:
    return [row.model_copy(update={"bad": None, "limit_fen": row.limit_fen or 0, "amount_fen": row.amount_fen or 0,
                                   "daily_rate": row.daily_rate or Decimal(0)} if row.approved else {}) for row in ROWS]


def get(service: Service, path: str, headers: dict[str, str], **params: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(service.app(), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://bank") as http:
            return await http.get(path, params={"purpose": "quarterly look"} | params, headers=headers)

    return asyncio.run(ask())


def test_file_store_and_http_give_the_same_report(home, service, capsys):
    expected = report(KNOWN, RELEASE, rows_without_results(), Decimal("0.9")).model_dump(mode="json")
    assert expected["persons"] == len(ROWS) and expected["sound"]
    reply = get(service, "/v1/experiments/release", bearer(home, "auditor", "wu"), confidence="0.9")
    assert reply.status_code == 200, reply.text
    approved = sum(row.approved for row in ROWS)
    assert reply.json() == {"report": expected, "left_out": 0, "loans": approved, "results_known": 0,
                            "performance_days": 365, "bad_from_days": 90}
    command = ["experiments", "report", "--store", str(home), "--name", "release", "--confidence", "0.9"]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == reply.json()
    assert main(command) == 0
    lines = capsys.readouterr().out
    assert "not known yet of any approved applications; bad is 90 days past due within 365 days" in lines


def test_who_may_look_and_what_the_access_log_has(home, service):
    seen = lambda: service.store.write(  # noqa: E731
        lambda unit: [one for one in unit.accesses.of(AUDITOR, START) if one.action == "experiment"])
    before = len(seen())
    path = "/v1/experiments/release"
    assert get(service, path, bearer(home, "channel")).status_code == 403
    assert get(service, path, bearer(home, "operator")).status_code == 403
    assert get(service, path, {}).status_code == 401
    assert get(service, path, bearer(home, "officer"), purpose="").status_code == 422
    assert get(service, path, bearer(home, "officer"), confidence="0.5").status_code == 422
    unknown = get(service, "/v1/experiments/nothing", bearer(home, "officer"))
    assert unknown.status_code == 404 and "has: release" in unknown.json()["detail"]
    assert len(seen()) == before
    assert get(service, path, bearer(home, "officer", "li"), purpose="spot check").status_code == 200
    newest, *rest = seen()
    assert len(rest) == before
    assert (newest.who, newest.role, newest.purpose, newest.count) == ("li", "officer", "spot check", len(ROWS))


def test_an_experiment_nobody_has_or_two_sources_are_refused(home, capsys):
    assert main(["experiments", "report", "--store", str(home), "--name", "nothing"]) == 2
    assert "it has: release" in capsys.readouterr().err
    for wrong in (["--store", str(home), "x.csv"], ["x.csv"], [], ["--experiments", "x.toml"]):
        assert main(["experiments", "report", "--name", "release", *wrong]) == 2
        assert "either a CSV" in capsys.readouterr().err


def test_people_who_asked_for_deletion_are_left_out(tmp_path):
    rulebook = Rulebook.load(make_home(tmp_path / "bank").parent / "rulebook")
    rulebook.experiments = KNOWN
    late = START + timedelta(days=300)
    with open_store(fresh_sqlite(tmp_path)) as store:
        for number, row in enumerate(ROWS[:20]):
            store.write(lambda unit, number=number, row=row: unit.decisions.save(decided(number, row)))
        store.write(lambda unit: unit.deletions.ask(ROWS[0].person, "app", START, Retention()))
        store.write(lambda unit: unit.deletions.run(AUDITOR, late, Retention()))
        made = report_kept(Kept(store, rulebook, POLICY), RELEASE, AUDITOR, late, Decimal("0.95"))
        assert (made.left_out, made.report.persons) == (1, 19)
        store.write(lambda unit: unit.deletions.run(AUDITOR, late + timedelta(days=4000), Retention()))
        store.write(lambda unit: unit.deletions.sweep(late + timedelta(days=4000), Retention()))
        made = report_kept(Kept(store, rulebook, POLICY), RELEASE, AUDITOR, late, Decimal("0.95"))
        assert (made.left_out, made.report.persons, made.loans) == (20, 0, 0)


payments = st.lists(st.tuples(st.integers(1, 420), st.integers(1, 300_000)), max_size=8).map(sorted)


def loan_of(paid: list[tuple[int, int]]) -> Loan:
    """A loan drawn at START and paid on these days as far as it is owed."""
    agreed, events = terms(), [event("accept", START), event("draw", START, 1_000_000)]
    for number, (day, fen) in enumerate(paid):
        at = START + timedelta(days=day, seconds=number)
        owed = standing(agreed, events, at).owed.total_fen
        if owed:
            events.append(event("repay", at, min(fen, owed), f"p-{number}"))
    account, movements = replayed(agreed, events)
    return Loan(account, movements)


@given(payments, st.integers(1, 120), st.integers(30, 200))
@settings(max_examples=10)
def test_a_loan_is_bad_if_it_ever_was_so_late_within_its_window(paid, bad_from, window):
    loan = loan_of(paid)
    policy = LendingPolicy(bad_from_days=bad_from, performance_days=window)
    end = START + timedelta(days=window)
    assert turned_bad(loan, policy, end - timedelta(seconds=1)) is None
    moments = [START + timedelta(days=day) for day in range(1, window + 1)]
    moments += [one.at for one in loan.events[2:] if one.at < end]
    ever = max(standing(loan.terms, loan.events, at).days_past_due for at in moments)
    for now in (end, end + timedelta(days=1000)):  # what happens later changes nothing
        assert turned_bad(loan, policy, now) == (ever >= bad_from)


def test_results_come_from_the_loan_book(tmp_path):
    late = START + timedelta(days=366)

    def move(unit, number: int, kind: str, at: datetime, fen: int) -> None:
        Loans(unit, Notary("bank", IdentityKey.generate())).act(f"l-{number}", event(kind, at, fen, f"{kind}-{number}"))

    def opened(unit, number: int) -> None:
        unit.customers.set_limit(f"{number:064x}", 10**6, "approved", "engine", START)
        Loans(unit).accept(terms(loan_id=f"l-{number}", application_id=f"a-{number}", person=f"{number:064x}"),
                           event("accept", START))

    with open_store(fresh_sqlite(tmp_path)) as store:
        store.write(lambda unit: [unit.quotas.set(one, 10**9, START) for one in ("own", "city")])
        for number in range(4):  # 0 never drawn, 1 never paid, 2 paid off, 3 cancelled
            store.write(lambda unit, number=number: opened(unit, number))
        for number in (1, 2, 3):
            store.write(lambda unit, number=number: move(unit, number, "draw", START, 1_000_000))
        owed = store.write(lambda unit: Loans(unit).get("l-2", AUDITOR, START)).at(START + timedelta(days=2))
        store.write(lambda unit: move(unit, 2, "repay", START + timedelta(days=2), owed.owed.total_fen))
        store.write(lambda unit: move(unit, 3, "cancel", START + timedelta(hours=1), 1_000_000))
        names = [f"a-{number}" for number in range(600)]
        told = [store.read(lambda unit, at=at: results(Loans(unit), names, POLICY, at)) for at in (late, START)]
    assert told == [{"a-1": True, "a-2": False}, {}]
