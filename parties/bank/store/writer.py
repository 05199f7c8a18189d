"""Group commit: whatever waits goes into one transaction, and nobody is answered before it is on the disk.

While one transaction is written to the disk, or another process has its turn, the next jobs queue up, so a batch grows
with the load and nothing waits for company. Each job is kept whole or not at all: one that fails leaves no trace and
takes no other with it. SQLite has one writer; PostgreSQL has several, whose transactions may meet in a deadlock: the
job that lost runs again by itself.
"""
from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from parties.bank.store.errors import Busy, Unreachable
from parties.bank.store.turns import turns_of
from protocols.errors import SealscoreError

BATCH = 64  # jobs of one transaction
WAITING = 8192  # jobs that may wait; more are refused
_TRIES = 6
_PAUSE_S = 0.01
_SERIALISATION, _DEADLOCK = "40001", "40P01"  # PostgreSQL, Appendix A

Job = Callable[[Connection], Any]


@dataclass(eq=False)
class _Waiting:
    job: Job
    future: Future
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Threads that run jobs in transactions. A job may run again, so it does nothing but use its connection."""

    def __init__(self, engine: Engine, threads: int):
        self._engine, self._turns = engine, turns_of(engine)
        self._queue: queue.Queue[_Waiting | None] = queue.Queue()
        self._lock = threading.Lock()  # between the last submission and the stop
        self._open = True
        self._threads = [threading.Thread(target=self._work, name=f"store-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> Future:
        """The job's result once its transaction is durable; Busy when too many wait or the store was closed."""
        waiting = _Waiting(job, Future())
        with self._lock:
            if not self._open:
                raise Busy("the store was closed; start the process again")
            if self._queue.qsize() >= WAITING:
                raise Busy(f"{WAITING} writes wait for the store already; try again in a second")
            self._queue.put(waiting)
        return waiting.future

    def close(self) -> None:
        """Finish what was submitted, then stop."""
        with self._lock:
            self._open = False
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._turns.close()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            self._settle(*self._first_try(first))

    def _first_try(self, first: _Waiting) -> tuple[list[_Waiting], list[_Waiting]]:
        """What waits by the time it is this process's turn, run; and what of it must be run again."""
        with self._turns.take():
            batch = [one for one in self._batch(first) if one.future.set_running_or_notify_cancel()]
            return batch, self._attempt(batch) if batch else []

    def _batch(self, first: _Waiting) -> list[_Waiting]:
        batch = [first]
        while len(batch) < BATCH:
            try:
                one = self._queue.get_nowait()
            except queue.Empty:
                break
            if one is None:  # the stop of a thread: for whoever asks next
                self._queue.put(None)
                break
            batch.append(one)
        return batch

    def _settle(self, batch: list[_Waiting], again: list[_Waiting]) -> None:
        """Answer; whatever lost against others runs again by itself first."""
        _answer([one for one in batch if one not in again])
        for one in again:
            for attempt in range(1, _TRIES):
                time.sleep(_PAUSE_S * attempt)
                if not self._attempt([one]):
                    break
            _answer([one])

    def _attempt(self, batch: list[_Waiting]) -> list[_Waiting]:
        """One transaction; the jobs to be run again. Each other job has its result or its error."""
        stage = _Stage()
        try:
            with self._engine.connect() as connection:
                return [] if _together(connection, batch, stage) else _transact(connection, batch, stage)
        except Exception as fault:  # noqa: BLE001 - whoever waits must hear of it
            return _undone(batch, fault, stage.committing)


@dataclass
class _Stage:
    """How far a transaction came: from the commit on it is not known whether it is kept."""

    committing: bool = False


def _together(connection: Connection, batch: list[_Waiting], stage: _Stage) -> bool:
    """Run a batch without savepoints, two statements a job, and commit; False, with nothing kept, if a job failed."""
    try:
        with connection.begin() as transaction:
            for one in batch:
                one.result, one.error = one.job(connection), None
            stage.committing = True
            transaction.commit()
            return True
    except BaseException as fault:
        gone = isinstance(fault, DBAPIError) and fault.connection_invalidated
        if stage.committing or gone or not isinstance(fault, Exception):
            connection.invalidate()
            raise
        return False


def _transact(connection: Connection, batch: list[_Waiting], stage: _Stage) -> list[_Waiting]:
    """Run a batch and commit. A connection that failed is thrown away: a transaction may hang in it."""
    try:
        with connection.begin() as transaction:
            again = [one for one in batch if not _run(connection, one)]
            stage.committing = True
            transaction.commit()
            return again
    except BaseException:
        connection.invalidate()
        raise


def _run(connection: Connection, one: _Waiting) -> bool:
    """Run a job inside its savepoint; False if it lost against another transaction and must run again."""
    connection.exec_driver_sql("SAVEPOINT job")
    one.result, one.error = None, None
    try:
        one.result = one.job(connection)
    except Exception as fault:  # noqa: BLE001 - handed to whoever submitted the job
        if isinstance(fault, DBAPIError) and fault.connection_invalidated:
            raise
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT job")
        one.error = _told(fault)
        return not _lost(fault)
    connection.exec_driver_sql("RELEASE SAVEPOINT job")
    return True


def _undone(batch: list[_Waiting], fault: Exception, committing: bool) -> list[_Waiting]:
    """The whole transaction failed: what may be tried again without doing anything twice."""
    for one in batch:
        one.result, one.error = None, _told(fault, committing)
    return batch if _lost(fault) and not committing else []


def _lost(fault: Exception) -> bool:
    """Whether the database undid this in favour of another transaction."""
    return isinstance(fault, DBAPIError) and (
        getattr(fault.orig, "sqlstate", None) in (_SERIALISATION, _DEADLOCK)
        or getattr(fault.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY"))


def _told(fault: Exception, committing: bool = False) -> Exception:
    """What the submitter hears; a database's own text may hold values and stays here."""
    if not isinstance(fault, DBAPIError):
        return fault if isinstance(fault, SealscoreError) or not committing else _unknown(fault)
    if committing:
        return _unknown(fault)
    kind = getattr(fault.orig, "sqlite_errorname", None) or getattr(fault.orig, "sqlstate", None) or ""
    return Unreachable(f"the store refused a write ({type(fault.orig).__name__} {kind}); nothing of it was kept, see "
                       "that the database runs and its disk has room")


def _unknown(fault: Exception) -> Unreachable:
    return Unreachable(f"the store failed while it committed ({type(fault).__name__}); whether the write was kept is "
                       "not known, repeat it with the same reference")


def _answer(batch: list[_Waiting]) -> None:
    for one in batch:
        if one.error is None:
            one.future.set_result(one.result)
        else:
            one.future.set_exception(one.error)
