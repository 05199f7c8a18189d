"""Group commit: every job by itself, together on the disk, and nobody answered early or twice."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from sqlalchemy import event

from parties.bank.store import Busy, Store, Unreachable, open_store, writer
from parties.bank.store.engines import engine_of
from parties.bank.store.writer import Writer
from tests.parties.bank.store.samples import NOW, OFFICER, person, record

pytestmark = pytest.mark.slow  # processes, servers or many threads at once

ME = person(1)


class Held:
    """Keeps every thread of a writer busy until it is let go, so that what comes meanwhile makes one batch."""

    def __init__(self, store: Store):
        self._go = threading.Event()
        self._futures = [self._hold(store) for _ in store._writer._threads]

    def _hold(self, store: Store) -> Future:
        begun = threading.Event()
        future = store.submit(lambda unit: begun.set() or self._go.wait(30))
        begun.wait(30)
        return future

    def let_go(self) -> None:
        self._go.set()
        for future in self._futures:
            future.result(30)


def test_jobs_that_wait_share_a_commit_and_one_failure_takes_no_other_with_it(store: Store) -> None:
    commits: list[int] = []
    event.listen(store._engine, "commit", lambda connection: commits.append(1))
    held = Held(store)
    futures = [store.submit(_job(number)) for number in range(40)]
    held.let_go()
    for number, future in enumerate(futures):
        if number % 10 == 3:
            assert isinstance(future.exception(30), ZeroDivisionError)
        else:
            assert future.result(30) is True
    kept = store.read(lambda u: [line.application_id for line in u.decisions.each(NOW, NOW.replace(year=2027))])
    assert sorted(kept) == sorted(f"a-{number}" for number in range(40) if number % 10 != 3)
    assert len(commits) < 40


def _job(number: int) -> Callable[[Any], bool]:
    def job(unit: Any) -> bool:
        new = unit.decisions.save(record(f"a-{number}"))
        return new if number % 10 != 3 else bool(1 // 0)
    return job


def test_what_is_answered_is_seen_by_others(url: str) -> None:
    with open_store(url) as one, open_store(url) as other:
        for number in range(20):
            one.write(lambda u, n=number: u.decisions.save(record(f"a-{n}")))
            assert other.read(lambda u, n=number: u.decisions.standing(f"a-{n}")) is not None


def test_a_cancelled_job_does_not_run(store: Store) -> None:
    held = Held(store)
    future = store.submit(lambda u: u.decisions.save(record()))
    assert future.cancel() is True
    held.let_go()
    store.write(lambda u: None)
    assert store.read(lambda u: u.decisions.standing("a-1")) is None


def test_a_full_queue_refuses(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(store)
    monkeypatch.setattr(writer, "WAITING", 3)
    futures = [store.submit(lambda u: 7) for _ in range(3)]
    with pytest.raises(Busy, match="3 writes wait"):
        store.submit(lambda u: 8)
    held.let_go()
    assert [future.result(30) for future in futures] == [7, 7, 7]


def test_closing_finishes_what_was_submitted_and_takes_no_more(url: str) -> None:
    store = open_store(url)
    futures = [store.submit(_job(number)) for number in range(0, 10, 4)]
    store.close()
    assert all(future.result(0) for future in futures)
    with pytest.raises(Busy, match="closed"):
        store.submit(lambda u: None)


def test_a_database_that_fails_is_told_and_the_writer_goes_on(url: str) -> None:
    engine = engine_of(url)
    one = Writer(engine, 1)
    with pytest.raises(Unreachable, match="nothing of it was kept"):
        one.submit(lambda connection: connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")).result(30)
    assert one.submit(lambda connection: connection.exec_driver_sql("SELECT 3").scalar_one()).result(30) == 3
    one.close()
    engine.dispose()


def test_a_commit_that_fails_is_not_known_to_be_kept(url: str) -> None:
    """The answer says so, and the job is not run again: it might happen twice."""
    engine, runs, failing = engine_of(url), [], [True]

    def fail(connection: Any) -> None:
        if failing:
            failing.clear()
            raise OSError("the cable was pulled")

    event.listen(engine, "commit", fail)
    one = Writer(engine, 1)
    with pytest.raises(Unreachable, match="is not known"):
        one.submit(lambda connection: runs.append(1)).result(30)
    assert one.submit(lambda connection: len(runs)).result(30) == 1
    one.close()
    engine.dispose()


def test_a_deadlock_is_settled_by_running_the_loser_again(store: Store) -> None:
    """Two jobs that lock two people in opposite order: on PostgreSQL one of them loses and runs again."""
    for number in (1, 2):
        store.write(lambda u, n=number: u.customers.set_limit(person(n), 1000, "initial", "engine", NOW))
    begun, runs = [threading.Event(), threading.Event()], []

    def draw(unit: Any, number: int) -> None:
        runs.append(number)
        unit.customers.reserve(person(1 + number), 10, NOW)
        begun[number].set()
        begun[1 - number].wait(0.5)  # on SQLite in vain: its one writer does not begin the other
        unit.customers.reserve(person(2 - number), 10, NOW)

    one = store.submit(lambda unit: draw(unit, 0))
    while not runs:
        begun[0].wait(0.01)
    other = store.submit(lambda unit: draw(unit, 1))
    one.result(60), other.result(60)
    assert [store.read(lambda u, n=n: u.customers.get(person(n))).outstanding_fen for n in (1, 2)] == [20, 20]
    assert len(runs) == (2 if store._engine.dialect.name == "sqlite" else 3)


_VICTIM = """
import json, sys, threading
from parties.bank.store import open_store
from tests.parties.bank.store.samples import NOW, person, record

store, first = open_store(sys.argv[1]), int(sys.argv[2])
lock = threading.Lock()

def save(unit, name):
    new = unit.decisions.save(record(name, person(1)))
    if new:
        unit.customers.reserve(person(1), 1, NOW)
    return new

def work(thread):
    for n in range(100000):
        name = f"a-{first}-{thread}-{n}"
        new = store.write(lambda unit: save(unit, name))
        with lock:
            sys.stdout.write(json.dumps([name, new]) + "\\n")
            sys.stdout.flush()

for thread in range(4):
    threading.Thread(target=work, args=(thread,), daemon=True).start()
threading.Event().wait()
"""


def test_a_killed_process_loses_nothing_that_it_acknowledged_and_does_nothing_twice(url: str) -> None:
    """Kill -9 amid writes, several times. (That survives a kill; a power cut needs the syncs of test_migrations.)"""
    with open_store(url) as store:
        store.write(lambda u: u.customers.set_limit(ME, 10**9, "initial", "engine", NOW))
    told: list[list] = []
    for start in range(2):
        told += _killed(url, start, 60)
    told += _killed(url, 1, 60)  # the same applications again: a client that got no answer asks again
    with open_store(url) as store:
        lines = store.read(lambda u: {one.application_id for one in u.decisions.each(NOW, NOW.replace(year=2027))})
        first_time = [name for name, new in told if new]
        assert {name for name, _ in told} <= lines
        assert len(first_time) == len(set(first_time)) >= 120
        assert store.read(lambda u: u.customers.get(ME)).outstanding_fen == len(lines)
        for name in first_time[-5:]:
            assert store.write(lambda u, n=name: u.decisions.read(n, OFFICER, NOW)) == record(name, ME).to_bytes()


def _killed(url: str, start: int, answers: int) -> list[list]:
    """What a process acknowledged before it was killed, at least so many answers."""
    process = subprocess.Popen([sys.executable, "-c", _VICTIM, url, str(start)], stdout=subprocess.PIPE)
    told = [json.loads(process.stdout.readline()) for _ in range(answers)]
    os.kill(process.pid, signal.SIGKILL)
    rest = process.communicate(timeout=30)[0]
    return told + [json.loads(line) for line in rest.split(b"\n")[:-1]]
