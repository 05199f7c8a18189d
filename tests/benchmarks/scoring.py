"""Joint scoring over real processes: the platform's `scoring serve`, a bank's client here, mutual TLS on loopback.

Open loop: requests leave at fixed times whatever became of those before, and a latency counts from the time at which
the request was due, so a stall shows in every request that it delayed.
"""
from __future__ import annotations

import asyncio
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from parties.bank.scoring.client import JointScorer
from parties.bank.scoring.transport import DirectTransport
from tests.scoring.asking import Asking, scorer
from tests.scoring.conftest import made_ready
from tests.scoring.homes import MODEL, make_homes
from tests.scoring.processes import platform_process

RATES = (60, 200)
SECONDS = float(os.environ.get("SEALSCORE_BENCH_SECONDS", "20"))
PEOPLE = 3000
BAR_P99_MS = 20.0
TICKS = os.sysconf("SC_CLK_TCK")


def measure() -> dict[str, Any]:
    """Latency table by requests a second."""
    with tempfile.TemporaryDirectory() as folder:
        homes = made_ready(make_homes(Path(folder), PEOPLE, policy="maximum_scores_per_person_per_day = 1000000",
                                      scoring="scores_per_s = 2000"))
        with platform_process(homes) as (process, address):
            found = asyncio.run(_all(Asking(homes), address, homes.bank, process.pid))
    return found | {"bar_p99_ms_at_60": BAR_P99_MS, "load_average": round(os.getloadavg()[0], 1)}


async def _all(asking: Asking, address: str, home: Path, pid: int) -> dict[str, Any]:
    async with scorer(asking, DirectTransport(address, home)) as client:
        await asyncio.gather(*(_one(client, asking, n, time.perf_counter()) for n in range(64)))  # warm
        return {f"{rate}_per_s": await _rate(client, asking, rate, pid) for rate in RATES}


async def _rate(client: JointScorer, asking: Asking, rate: int, pid: int) -> dict[str, Any]:
    """Open loop at `rate` for SECONDS."""
    platform_s, bank_s = _cpu_s(pid), time.process_time()
    start, tasks = time.perf_counter() + 0.05, []
    for number in range(int(rate * SECONDS)):
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(_one(client, asking, number % PEOPLE, due)))
    answers = await asyncio.gather(*tasks)
    took = np.array([ms for _, ms in answers])
    statuses = [status for status, _ in answers]
    percentiles = {f"p{p}": round(float(np.percentile(took, p)), 1) for p in (50, 95, 99)}
    return {"requests": len(took), "errors": sum(status != "answered" for status in statuses), **percentiles,
            "max": round(float(took.max()), 1),
            "platform_cpu_ms_each": round((_cpu_s(pid) - platform_s) / len(took) * 1000, 2),
            "bank_cpu_ms_each": round((time.process_time() - bank_s) / len(took) * 1000, 2),
            "platform_rss_mb": _rss_mb(pid), "bank_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


async def _one(client: JointScorer, asking: Asking, number: int, due: float) -> tuple[str, float]:
    """(status, milliseconds since it was due), the bank's own part and the consent's signature included."""
    asking.model.own.score({"inquiries": "3", "income": "5000", "employment": "clerk"})
    answer = await client.score(asking.ask(number), MODEL, 2.0)
    return answer.status, (time.perf_counter() - due) * 1000


def _cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICKS


def _rss_mb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) // 1024
