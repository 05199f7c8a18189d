"""The bank's store under load: how many commits a second, and how long one decision waits at 300 a second.

What is written per decision is what the service writes: the record (12 steps, sealed), the answer under its idempotency
key, one consent used, one line of the access log, the quota of two partners.
"""
from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from parties.bank.decision.record import DecisionRecord, Step
from parties.bank.store import Reader, Store, Unit, migrate, open_store
from parties.bank.store.engines import engine_of
from protocols.crypto.box import Box
from tests.parties.bank.store.postgres import cluster
from tests.parties.bank.store.samples import person, record

SECONDS, RATE = float(os.environ.get("SEALSCORE_BENCH_SECONDS", "20")), 300
_NOW = datetime(2026, 3, 2, tzinfo=UTC)
_SERVICE = Reader("channel app", "channel", "application")


def measure() -> dict[str, Any]:
    """Both databases; PostgreSQL with fsync, where it is installed."""
    out: dict[str, Any] = {"load_average": os.getloadavg()[0], "record_bytes": len(_record("a").to_bytes())}
    with tempfile.TemporaryDirectory(dir=os.environ.get("SEALSCORE_BENCH_FOLDER")) as folder:
        out["fsync_ms"] = _fsync_ms(Path(folder))
        out["sqlite"] = _bench(f"sqlite:///{folder}/store.db")
    if (server := cluster(durable=True)) is not None:
        name = f"bench_{uuid.uuid4().hex}"
        server.execute(f"CREATE DATABASE {name}")
        out["postgresql"] = _bench(server.url(name))
    return out


def _bench(address: str) -> dict[str, Any]:
    engine = engine_of(address)
    migrate.upgrade(engine)
    engine.dispose()
    with open_store(address, box=Box(bytes(32))) as store:
        store.write(lambda u: [u.quotas.set(name, 10**13, _NOW) for name in ("own", "east")])
        sys.stderr.write(f"  {address.partition(':')[0]}: one after the other …\n")
        return {"one_after_the_other_per_s": _sequential(store), "as_fast_as_it_goes": _flood(store),
                "at_a_rate": _paced(store)}


def _sequential(store: Store) -> float:
    """Each waits for its commit: what the disk gives without groups."""
    begun, number = time.perf_counter(), 0
    while time.perf_counter() - begun < SECONDS / 4:
        store.write(_job(f"s-{number}"))
        number += 1
    return round(number / (time.perf_counter() - begun), 1)


def _flood(store: Store) -> dict[str, float]:
    """256 at a time."""
    slots, done = threading.Semaphore(256), []
    begun, cpu, number = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begun < SECONDS / 2:
        slots.acquire()
        future = store.submit(_job(f"f-{number}"))
        future.add_done_callback(lambda one: (done.append(one.exception()), slots.release()))
        number += 1
    while len(done) < number:
        time.sleep(0.001)
    elapsed = time.perf_counter() - begun
    return {"per_s": round(number / elapsed, 1), "cpu_ms_each": round((time.process_time() - cpu) * 1e3 / number, 3),
            "errors": sum(one is not None for one in done)}


def _paced(store: Store) -> dict[str, float]:
    """So many a second, evenly; latency from when each was due, so that a stall counts for all that it held up."""
    waits: list[float] = []
    errors: list[BaseException] = []
    begun, cpu, total = time.perf_counter(), time.process_time(), int(SECONDS * RATE)
    for number in range(total):
        due = begun + number / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        store.submit(_job(f"p-{number}")).add_done_callback(_noting(due, waits, errors))
    while len(waits) + len(errors) < total:
        time.sleep(0.001)
    used = (time.process_time() - cpu) * 1e3 / total
    p50, p99, worst = np.percentile(np.array(waits) * 1e3, [50, 99, 100]).round(2)
    return {"per_s": RATE, "p50_ms": float(p50), "p99_ms": float(p99), "max_ms": float(worst),
            "cpu_ms_each": round(used, 3), "errors": len(errors)}


def _noting(due: float, waits: list[float], errors: list[BaseException]) -> Callable[[Future], None]:
    def note(future: Future) -> None:
        failure = future.exception()
        errors.append(failure) if failure else waits.append(time.perf_counter() - due)
    return note


def _job(name: str) -> Callable[[Unit], bool]:
    made = _record(name)

    def job(unit: Unit) -> bool:
        who = made.context.person
        if not unit.idempotency.keep("channel", name, b"request", 201, b'{"outcome":"approved"}', _NOW, who).first:
            return False
        unit.consents.grant(name, who, "bureau-inquiry", _NOW, _NOW + timedelta(days=1))
        unit.consents.use(name, who, "bureau-inquiry", name, _NOW)
        unit.quotas.reserve(name, {"own": 150_000, "east": 350_000}, _NOW, _NOW + timedelta(days=7))
        unit.accesses.note(_SERVICE, "decide", _NOW, who, name)
        return unit.decisions.save(made)
    return job


def _record(name: str) -> DecisionRecord:
    steps = tuple(Step(name=f"step-{n}", version="1", inputs={f"input_{k}": str(k * n) for k in range(12)},
                       rule=f"rule-{n}", outcome={"pass": True, "value": n}, at=_NOW) for n in range(12))
    return record(name, person(hash(name) & (2**63 - 1)), _NOW, steps=steps)


def _fsync_ms(folder: Path) -> float:
    """The disk's own time for one small durable write, the median of 50."""
    times = []
    with (folder / "probe").open("wb") as file:
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begun)
    return round(float(np.median(times)) * 1e3, 2)
