"""Draw-downs and payments at once, from threads, stores and processes, never exceed a limit, a quota or a debt."""
from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parties.bank.lending.book import Loan, Loans
from parties.bank.lending.errors import LoanRefused
from parties.bank.store import Store, migrate, open_store
from parties.bank.store.engines import engine_of
from tests.parties.bank.lending.drawing import DRAW, NOTARY, draw_all
from tests.parties.bank.lending.loans import START, event, terms

pytestmark = pytest.mark.slow  # processes, servers or many threads at once

PERSON, LIMIT = "0" * 64, 1_000_000
ROOT = Path(__file__).parents[4]
WORKER = """
import sys
from tests.parties.bank.lending.drawing import draw_all
print(draw_all(sys.argv[1], range(int(sys.argv[2]), int(sys.argv[3]))))
"""


def prepare(store: Store, loans: int, limit: int = LIMIT, quota: int = 10**9) -> None:
    """A person with a limit and so many accepted loans."""
    def job(unit):
        unit.customers.set_limit(PERSON, limit, "approved", "engine", START)
        for partner in ("own", "city"):
            unit.quotas.set(partner, quota, START)
        for number in range(loans):
            agreed = terms(loan_id=f"l-{number}", application_id=f"a-{number}")
            Loans(unit).accept(agreed, event("accept", START))
    store.write(job)


@functools.cache
def upgraded() -> bytes:
    """An empty SQLite store."""
    with tempfile.TemporaryDirectory() as folder:
        engine = engine_of(f"sqlite:///{folder}/store.db")
        migrate.upgrade(engine)
        engine.dispose()
        return (Path(folder) / "store.db").read_bytes()


def at_once(*work: Callable[[], object]) -> list[object]:
    """Results of all, run in threads that start together."""
    barrier, results = threading.Barrier(len(work)), []

    def run(job: Callable[[], object]) -> None:
        barrier.wait(60)
        results.append(job())

    threads = [threading.Thread(target=run, args=(job,)) for job in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(results) == len(work), "a thread failed"
    return results


def check(address: str, drawn: int, fen: int, limit: int) -> None:
    """The person, the partners and the loans say the same, and nothing is above the limit."""
    with open_store(address) as store:
        account = store.read(lambda unit: unit.customers.get(PERSON))
        books = store.read(lambda unit: Loans(unit).partners())
        quotas = store.read(lambda unit: unit.quotas.all())
    assert account.outstanding_fen == drawn * fen <= limit
    assert sum(book.outstanding_fen for book in books.values()) == drawn * fen
    assert sum(quota.reserved_fen for quota in quotas.values()) == drawn * fen


def test_draw_downs_from_several_stores_at_once_stop_at_the_limit(url):
    with open_store(url) as store:
        prepare(store, 12)
    drawn = sum(at_once(*(lambda k=k: draw_all(url, range(4 * k, 4 * k + 4)) for k in range(3))))
    assert drawn == LIMIT // DRAW
    check(url, drawn, DRAW, LIMIT)


def test_draw_downs_from_several_processes_at_once_stop_at_the_limit(url):
    with open_store(url) as store:
        prepare(store, 12)
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, url, str(6 * k), str(6 * k + 6)], cwd=ROOT,
                                stdout=subprocess.PIPE, text=True) for k in range(2)]
    outputs = [worker.communicate(timeout=200)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sum(int(output) for output in outputs) == LIMIT // DRAW
    check(url, LIMIT // DRAW, DRAW, LIMIT)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 3_000_000), fen=st.integers(1, 1_000_000), loans=st.integers(1, 8))
def test_whatever_the_limit(tmp_path_factory, limit, fen, loans):
    path = tmp_path_factory.mktemp("store") / "store.db"
    path.write_bytes(upgraded())
    address = f"sqlite:///{path}"
    with open_store(address) as store:
        prepare(store, loans, limit)
    half = loans // 2
    drawn = sum(at_once(lambda: draw_all(address, range(half), fen),
                        lambda: draw_all(address, range(half, loans), fen)))
    assert drawn == min(loans, limit // fen)
    check(address, drawn, fen, limit)


def test_quotas_stop_draw_downs_at_once(url):
    """The partner pays 70 %: 91,000 fen of each; 500,000 fen are enough for five."""
    with open_store(url) as store:
        prepare(store, 8, limit=10**9, quota=500_000)
    assert sum(at_once(*(lambda k=k: draw_all(url, range(4 * k, 4 * k + 4)) for k in range(2)))) == 5
    check(url, 5, DRAW, 10**9)


def test_one_loan_is_drawn_once_and_repaid_once(url):
    """The same loan from several stores: one draw-down, and payments that together are what was owed."""
    with open_store(url) as store:
        prepare(store, 1)
    later = START + timedelta(days=10)

    def act(kind: str, fen: int, reference: str) -> Loan | None:
        with open_store(url) as own:
            try:
                one = event(kind, START if kind == "draw" else later, fen, reference)
                return own.write(lambda unit: Loans(unit, NOTARY).act("l-0", one))
            except LoanRefused:
                return None

    drawn = at_once(*(lambda k=k: act("draw", 900_000, f"draw-{k}") for k in range(3)))
    assert sum(loan is not None for loan in drawn) == 1
    owed = 900_000 + 3_600
    paid = at_once(*(lambda k=k: act("repay", owed // 2, f"pay-{k}") for k in range(3)),
                   *(lambda: act("repay", owed // 2, "pay-0") for _ in range(2)))
    assert {loan.account.status for loan in paid if loan} <= {"active", "repaid"}
    check(url, 0, DRAW, LIMIT)


