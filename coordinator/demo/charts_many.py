"""Charts of several parties side by side: AUC of each bank under each model, and what every party added."""
from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from coordinator.demo.charts import ticks

WIDTH, LEFT, RIGHT = 960, 150, 40
ROW, TOP = 46, 14
LINE, GAP = 26, 14  # of the contributions: per measurement, and between parties

MINUS = "\u2212"

Mark = tuple[str, str, float]  # style, name, value


def ladder(banks: Sequence[tuple[str, Sequence[Mark]]]) -> Markup:
    """One rail per bank with a marker per model, on a common scale of AUC."""
    values = [value for _, marks in banks for _, _, value in marks]
    step = ticks(max(values) - min(values) + 0.01)[1]
    first, last = math.floor((min(values) - 0.005) / step), math.ceil((max(values) + 0.005) / step)
    steps = [number * step for number in range(first, last + 1)]
    scale = _Scale(steps[0], steps[-1])
    height = TOP + ROW * len(banks)
    parts = [scale.grid(height, [(at, f"{at:.{_digits(step)}f}") for at in steps])]
    for number, (name, marks) in enumerate(banks):
        y = TOP + ROW * (number + 0.5)
        ends = [scale.x(value) for _, _, value in marks]
        parts.append(Markup('<text class="note" x="0" y="{}" dy=".35em">{}</text>').format(f"{y:.1f}", name))
        parts.append(Markup('<line class="rail" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
            f"{min(ends):.1f}", f"{max(ends):.1f}", y=f"{y:.1f}"))
        parts += [_marker(scale.x(value), y, style, f"{name}, {model}: AUC {value:.4f}")
                  for style, model, value in _oracle_first(marks)]
    told = "; ".join(f"{name}: " + ", ".join(f"{model} {value:.3f}" for _, model, value in marks)
                     for name, marks in banks)
    return _svg("ladder", "AUC of each bank under each model", told, height + 34, parts)


def _digits(step: float) -> int:
    return max(2, math.ceil(-math.log10(step) - 1e-9))


def _oracle_first(marks: Sequence[Mark]) -> list[Mark]:
    """The ring of the oracle is drawn below the others."""
    return sorted(marks, key=lambda mark: mark[0] != "oracle")


def _marker(x: float, y: float, style: str, label: str) -> Markup:
    return Markup('<circle class="marker {}" cx="{}" cy="{}" r="9"><title>{}</title></circle>').format(
        style, f"{x:.1f}", f"{y:.1f}", label)


def contributions(rows: Sequence[dict]) -> Markup:
    """Differences of AUC with 95 % intervals, grouped by party; rows as in metrics.json with a `style`."""
    low, high = min(0.0, *(row["low"] for row in rows)), max(0.0, *(row["high"] for row in rows))
    step = ticks(high - low, 6)[1]
    first, last = math.floor(low / step - 1e-9), math.ceil(high / step + 1e-9)
    scale = _Scale(first * step, last * step, left=250)
    places, height = _places(rows)
    marks = [(i * step, f"{i * step:+.{_digits(step)}f}".replace("-", MINUS) if i else "0")
             for i in range(first, last + 1)]
    parts = [scale.grid(height, marks),
             Markup('<line class="zero" x1="{x}" x2="{x}" y1="0" y2="{h}"/>').format(x=f"{scale.x(0):.1f}", h=height)]
    seen: set[str] = set()
    for row, y in zip(rows, places, strict=True):
        name = "" if row["party"] in seen else row["party"]
        seen.add(row["party"])
        parts.append(_whisker(row, name, y, scale))
    told = "; ".join(f"{r['party']} at {r['at']}: {r['difference']:+.3f}" for r in rows)
    return _svg("contributions", "What each party added to the AUC", told, height + 34, parts)


def _places(rows: Sequence[dict]) -> tuple[list[float], float]:
    """The middle of each row, with a gap between parties, and the height of all."""
    places, y = [], float(TOP)
    for number, row in enumerate(rows):
        if number and row["party"] != rows[number - 1]["party"]:
            y += GAP
        places.append(y + LINE / 2)
        y += LINE
    return places, y


def _whisker(row: dict, name: str, y: float, scale: _Scale) -> Markup:
    where = "all banks" if row["at"] == "all" else f"at {row['at']}"
    label = f"{row['party']} {where}: {row['difference']:+.4f} (95 % {row['low']:+.4f} to {row['high']:+.4f})"
    radius, small = (6.5, "") if row["at"] == "all" else (4.5, " small")
    return Markup(
        '<text class="note" x="0" y="{y}" dy=".35em">{name}</text>'
        '<text class="tick" x="{edge}" y="{y}" dy=".35em" text-anchor="end">{where}</text>'
        '<line class="whisker added-{style}" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'
        '<circle class="dot added-{style}{small}" cx="{x}" cy="{y}" r="{r}"><title>{label}</title></circle>'
    ).format(y=f"{y:.1f}", name=name, where=where, edge=f"{scale.left - 16:.1f}", style=row["style"], small=small,
             r=radius, label=label, low=f"{scale.x(row['low']):.1f}", high=f"{scale.x(row['high']):.1f}",
             x=f"{scale.x(row['difference']):.1f}")


class _Scale:
    """A horizontal axis between `left` and the right margin."""

    def __init__(self, low: float, high: float, left: float = LEFT):
        self.low, self.high, self.left = low, high, left

    def x(self, value: float) -> float:
        """Pixels of a value."""
        return self.left + (WIDTH - RIGHT - self.left) * (value - self.low) / (self.high - self.low)

    def grid(self, height: float, marks: Sequence[tuple[float, str]]) -> Markup:
        """Vertical lines with labels below."""
        line = Markup('<line class="grid" x1="{x}" x2="{x}" y1="0" y2="{h}"/>'
                      '<text class="tick" x="{x}" y="{t}" text-anchor="middle">{label}</text>')
        return Markup("").join(line.format(x=f"{self.x(value):.1f}", h=f"{height:.1f}", t=f"{height + 20:.1f}",
                                           label=label) for value, label in marks)


def _svg(name: str, title: str, description: str, height: float, parts: Sequence[Markup]) -> Markup:
    head = Markup('<svg class="wide" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{n}-t {n}-d">'
                  '<title id="{n}-t">{t}</title><desc id="{n}-d">{d}</desc>')
    return (head.format(w=WIDTH, h=f"{height:.0f}", n=name, t=title, d=description)
            + Markup("").join(parts) + Markup("</svg>"))
