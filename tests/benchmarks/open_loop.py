"""Requests at a fixed rate, whatever becomes of those before: latencies count from when a request was due.

A closed loop waits for an answer before it asks again, so a stall of the server delays the questions and hides itself
("coordinated omission"). Here every request has its time in advance; what a stall makes late is late in the table.
"""
from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Send = Callable[[int], Awaitable[str]]
"""Number of a request -> its outcome in a word, "ok" for an answered one. Exceptions are outcomes too."""

OK = "ok"
PERCENTILES = (50.0, 95.0, 99.0, 99.9)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Samples:
    """Of one run: seconds from due to answered of every request, `lag` from due to sent, outcomes."""

    latencies: list[float] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    wall_s: float = 0.0


def due_times(rate: float, seconds: float, *, poisson: bool, seed: int = 1) -> Iterator[float]:
    """Seconds from the start: evenly spaced, or as independent applicants come."""
    draw, at = random.Random(seed), 0.0
    while at < seconds:
        yield at
        at += draw.expovariate(rate) if poisson else 1 / rate


async def drive(send: Send, due: Iterator[float]) -> Samples:
    """Send each request when it is due and wait for all answers."""
    samples, running = Samples(), set[asyncio.Task[None]]()
    start = time.perf_counter() + 0.05
    for number, at in enumerate(due):
        if (left := start + at - time.perf_counter()) > 0:
            await asyncio.sleep(left)
        task = asyncio.create_task(_one(send, number, start + at, samples))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    samples.wall_s = time.perf_counter() - start
    return samples


async def _one(send: Send, number: int, due: float, samples: Samples) -> None:
    samples.lag.append(time.perf_counter() - due)
    try:
        outcome = await send(number)
    except Exception as fault:  # noqa: BLE001 - whatever a target raises is one more outcome in the table
        outcome = type(fault).__name__
    samples.outcomes[outcome] += 1
    samples.latencies.append(time.perf_counter() - due)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed; nan of none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


class Watch:
    """Memory and CPU time of processes, their children among them, while a run goes on; a sample a second."""

    def __init__(self, processes: dict[str, int]):
        self._processes = processes
        self.megabytes: dict[str, list[float]] = {name: [] for name in processes}
        self._cpu_before = {name: cpu_seconds(pid) for name, pid in processes.items()}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(1.0)

    def sample(self) -> None:
        """Once."""
        for name, pid in self._processes.items():
            self.megabytes[name].append(sum(map(own_megabytes, _family(pid))))

    def cpu(self) -> dict[str, float]:
        """Seconds since the beginning."""
        return {name: cpu_seconds(pid) - self._cpu_before[name] for name, pid in self._processes.items()}


def _family(pid: int) -> list[int]:
    """A process and all below it, such as workers that it forked; of this one, whose children are what it measures,
    itself alone."""
    if pid == os.getpid():
        return [pid]
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in map(int, children) for one in _family(child))]


def own_megabytes(pid: int) -> float:
    """Resident memory now; of a page that several processes share each has its part."""
    fields = Path(f"/proc/{pid}/smaps_rollup").read_text().split("\nPss:")[1].split()
    return int(fields[0]) * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads, and of the processes below."""
    return sum(map(_own_cpu_seconds, _family(pid)))


def _own_cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


async def measured(send: Send, due: Iterator[float], processes: dict[str, int]) -> dict[str, Any]:
    """Drive and watch; what the table shows."""
    watch = Watch(processes)
    watching = asyncio.create_task(watch.run())
    try:
        samples = await drive(send, due)
    finally:
        watching.cancel()
    watch.sample()
    return report(samples, watch)


def report(samples: Samples, watch: Watch) -> dict[str, Any]:
    """Plain numbers: milliseconds, megabytes, seconds."""
    count = len(samples.latencies)
    errors = {name: times for name, times in sorted(samples.outcomes.items()) if name != OK}
    return {
        "requests": count, "seconds": round(samples.wall_s, 2), "rate_per_s": round(count / samples.wall_s, 1),
        "errors": errors, "load_average": os.getloadavg()[0],
        "latency_ms": _milliseconds(samples.latencies), "sent_late_ms": _milliseconds(samples.lag),
        "processes": {name: _process(name, watch, count) for name in watch.megabytes},
    }


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    told = {f"p{percent:g}": round(percentile(seconds, percent) * 1000, 1) for percent in PERCENTILES}
    return told | {"max": round(max(seconds, default=math.nan) * 1000, 1)}


def _process(name: str, watch: Watch, count: int) -> dict[str, float]:
    resident = watch.megabytes[name]
    quarter = max(1, len(resident) // 4)
    return {"cpu_ms_per_request": round(watch.cpu()[name] * 1000 / max(count, 1), 2),
            "rss_mb_first_quarter": round(sum(resident[:quarter]) / quarter, 1),
            "rss_mb_last_quarter": round(sum(resident[-quarter:]) / quarter, 1), "rss_mb_max": round(max(resident), 1)}


def table(title: str, told: dict[str, Any]) -> str:
    """For people."""
    latency = "  ".join(f"{name} {value:g}" for name, value in told["latency_ms"].items())
    late = told["sent_late_ms"]
    errors = ", ".join(f"{name}: {times}" for name, times in told["errors"].items()) or "none"
    lines = [f"{title}: {told['requests']} requests in {told['seconds']} s ({told['rate_per_s']}/s)",
             f"  latency, ms     {latency}", f"  sent late, ms   p99 {late['p99']:g}  max {late['max']:g}",
             f"  errors          {errors}", f"  load average    {told['load_average']:.1f}"]
    lines += [f"  {name:<16} {one['cpu_ms_per_request']} ms of CPU per request, memory {one['rss_mb_first_quarter']} "
              f"-> {one['rss_mb_last_quarter']} MB, max {one['rss_mb_max']}" for name, one in told["processes"].items()]
    return "\n".join(lines)
