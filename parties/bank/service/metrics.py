"""Counters and latencies in Prometheus's text format 0.0.4. Labels come from closed sets: no person, no identifier."""
from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable

BOUNDS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "sealscore_bank"
Labels = tuple[tuple[str, str], ...]


class Histogram:
    """How many observations were at most each bound (seconds), and their sum."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds

    def lines(self, name: str) -> list[str]:
        """The histogram as Prometheus writes one: cumulative."""
        total, out = 0, []
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), self.counts, strict=True):
            total += count
            out.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*out, f"{name}_sum {self.sum_s:.6f}", f"{name}_count {total}"]


class Metrics:
    """What one process has done since it started."""

    def __init__(self) -> None:
        self._counters: dict[str, Counter[Labels]] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self.decision_s = Histogram()
        self.score_s = Histogram()

    def count(self, name: str, **labels: str) -> None:
        """Add one to a counter; `labels` values come from closed sets."""
        self._counters.setdefault(name, Counter())[tuple(sorted(labels.items()))] += 1

    def value(self, name: str, **labels: str) -> int:
        """A counter's value."""
        return self._counters.get(name, Counter())[tuple(sorted(labels.items()))]

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Something that is read when the metrics are."""
        self._gauges[name] = read

    def text(self) -> str:
        """The exposition."""
        lines: list[str] = []
        for name, counter in sorted(self._counters.items()):
            lines.append(f"# TYPE {PREFIX}_{name}_total counter")
            lines += [f"{PREFIX}_{name}_total{_braces(labels)} {count}" for labels, count in sorted(counter.items())]
        for name, read in sorted(self._gauges.items()):
            lines += [f"# TYPE {PREFIX}_{name} gauge", f"{PREFIX}_{name} {read():g}"]
        for name, histogram in (("decision_seconds", self.decision_s), ("score_seconds", self.score_s)):
            lines += [f"# TYPE {PREFIX}_{name} histogram", *histogram.lines(f"{PREFIX}_{name}")]
        return "\n".join(lines) + "\n"


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{key}="{value}"' for key, value in labels) + "}" if labels else ""
