"""Counters and latencies in Prometheus's text format 0.0.4. Labels come from closed sets: no person, no identifier.

Of a service of several processes each posts its figures on a board once a second, and whichever is asked adds them up.
"""
from __future__ import annotations

import asyncio
import itertools
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping

from parties.bank.service.board import Board

BOUNDS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "sealscore_bank"
POST_S = 1.0
Figures = dict[str, dict[str, dict[str, float]]]  # kind -> name -> labels, or part of a histogram -> value


class Histogram:
    """How many observations were at most each bound (seconds), and their sum."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds

    def cumulative(self) -> dict[str, float]:
        """Its samples as Prometheus has them."""
        bounds = (*map(str, BOUNDS_S), "+Inf")
        buckets = {f'_bucket{{le="{bound}"}}': count
                   for bound, count in zip(bounds, itertools.accumulate(self.counts), strict=True)}
        return {**buckets, "_sum": self.sum_s, "_count": sum(self.counts)}


class Metrics:
    """What one process has done since it started; with a board, `text` is of all that post there."""

    def __init__(self, board: Board | None = None, slot: int = 0) -> None:
        self._board, self._slot = board, slot
        self._counters: dict[str, Counter[str]] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self.decision_s = Histogram()
        self.score_s = Histogram()

    def count(self, name: str, **labels: str) -> None:
        """Add one to a counter; `labels` values come from closed sets."""
        self._counters.setdefault(name, Counter())[_braces(labels)] += 1

    def value(self, name: str, **labels: str) -> int:
        """A counter's value in this process."""
        return self._counters.get(name, Counter())[_braces(labels)]

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Something that is read when the metrics are."""
        self._gauges[name] = read

    async def post(self) -> None:
        """Keep this process's figures on the board up to date, until cancelled."""
        while self._board is not None:
            self._board.post(self._slot, json.dumps(self._figures()).encode())
            await asyncio.sleep(POST_S)

    def text(self) -> str:
        """The exposition."""
        figures = self._figures()
        for slot in range(0 if self._board is None else self._board.slots):
            posted = None if slot == self._slot else self._board.read(slot)
            if posted is not None:
                _add(figures, json.loads(posted))
        return _exposition(figures)

    def _figures(self) -> Figures:
        histograms = {"decision_seconds": self.decision_s, "score_seconds": self.score_s}
        return {"counter": {name: dict(counter) for name, counter in self._counters.items()},
                "gauge": {name: {"": read()} for name, read in self._gauges.items()},
                "histogram": {name: one.cumulative() for name, one in histograms.items()}}


def _add(figures: Figures, more: Figures) -> None:
    for kind, families in more.items():
        for name, samples in families.items():
            own = figures[kind].setdefault(name, {})
            for sample, value in samples.items():
                own[sample] = own.get(sample, 0) + value


def _exposition(figures: Figures) -> str:
    lines: list[str] = []
    for kind, families in figures.items():
        for name, samples in sorted(families.items()):
            full = f"{PREFIX}_{name}" + ("_total" if kind == "counter" else "")
            ordered = samples.items() if kind == "histogram" else sorted(samples.items())
            lines += [f"# TYPE {full} {kind}", *(f"{full}{sample} {_number(value)}" for sample, value in ordered)]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6f}"


def _braces(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "}" if labels else ""
