"""Small SVG charts for the report: no script, no font, no request; colours come from the page's style sheet.

Every chart carries a title and a description for screen readers and tells its series apart by dash as well as colour.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

WIDTH, HEIGHT = 520, 400
LEFT, RIGHT, TOP, BOTTOM = 58, 24, 14, 50

Point = Sequence[float]


def percent(value: float) -> str:
    """0.0825 -> 8.3 %, 0.4 -> 40 %: one decimal below ten per cent unless it is zero."""
    text = f"{100 * value:.1f}" if abs(value) < 0.0995 else f"{100 * value:.0f}"
    return f"{text.removesuffix('.0')}\u202f%"


@dataclass
class Chart:
    """A pair of linear axes; data coordinates in, one `<svg>` out."""

    name: str
    title: str
    description: str
    x_max: float = 1.0
    y_max: float = 1.0
    parts: list[Markup] = field(default_factory=list)

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / self.x_max

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.y_max

    def add(self, template: str, **values: object) -> None:
        """Append markup; floats are rounded to a tenth of a pixel, everything else is escaped."""
        shown = {k: f"{v:.1f}" if isinstance(v, float) else escape(str(v)) for k, v in values.items()}
        self.parts.append(Markup(template.format(**shown)))  # every value was escaped above

    def axes(self, x_label: str, y_label: str, x_ticks: Sequence[float], y_ticks: Sequence[float],
             show: Callable[[float], str] = percent) -> None:
        for tick in y_ticks:
            self.add('<line class="grid" x1="{a}" x2="{b}" y1="{y}" y2="{y}"/><text class="tick" x="{t}" y="{y}" '
                     'dy=".35em" text-anchor="end">{label}</text>',
                     a=float(LEFT), b=float(WIDTH - RIGHT), y=self.y(tick), t=LEFT - 8.0, label=show(tick))
        for tick in x_ticks:
            self.add('<text class="tick" x="{x}" y="{y}" text-anchor="middle">{label}</text>',
                     x=self.x(tick), y=HEIGHT - BOTTOM + 18.0, label=show(tick))
        self.labels(x_label, y_label)

    def labels(self, x_label: str, y_label: str) -> None:
        self.add('<line class="axis" x1="{a}" x2="{b}" y1="{y}" y2="{y}"/>',
                 a=float(LEFT), b=float(WIDTH - RIGHT), y=self.y(0.0))
        self.add('<text class="label" x="{x}" y="{y}" text-anchor="middle">{label}</text>',
                 x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8.0, label=x_label)
        self.add('<text class="label" transform="translate(13 {y}) rotate(-90)" text-anchor="middle">{label}</text>',
                 y=(TOP + HEIGHT - BOTTOM) / 2, label=y_label)

    def line(self, points: Sequence[Point], style: str) -> None:
        path = "M" + "L".join(f"{self.x(p[0]):.1f} {self.y(p[1]):.1f}" for p in points)
        self.add('<path class="line {style}" d="{path}"/>', style=style, path=path)

    def segment(self, start: Point, end: Point, style: str) -> None:
        self.add('<line class="{style}" x1="{a}" y1="{b}" x2="{c}" y2="{d}"/>', style=style,
                 a=self.x(start[0]), b=self.y(start[1]), c=self.x(end[0]), d=self.y(end[1]))

    def text(self, at: Point, text: str, style: str, anchor: str = "start", dx: float = 0.0, dy: float = 0.0) -> None:
        self.add('<text class="{style}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>', style=style,
                 x=self.x(at[0]) + dx, y=self.y(at[1]) + dy, anchor=anchor, text=text)

    def svg(self) -> Markup:
        head = Markup('<svg viewBox="0 0 {w} {h}" role="img" aria-labelledby="{n}-t {n}-d">'
                      '<title id="{n}-t">{t}</title><desc id="{n}-d">{d}</desc>')
        return head.format(w=WIDTH, h=HEIGHT, n=self.name, t=self.title, d=self.description) + \
            Markup("").join(self.parts) + Markup("</svg>")


def ticks(top: float, wanted: int = 5) -> list[float]:
    """Round steps (1, 2, 5 times a power of ten) from 0 that cover `top`."""
    raw = max(top, 1e-9) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    return [round(i * step, 12) for i in range(math.ceil(top / step - 1e-9) + 1)]


QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def roc_chart(joint: Sequence[Point], bank_only: Sequence[Point] | None, name: str = "roc") -> Markup:
    """ROC curves of [[false-positive rate, true-positive rate], ...]; `name` is unique on the page."""
    chart = Chart(name, "ROC curve", "True-positive rate against false-positive rate; a curve further up is better.")
    chart.axes("non-events wrongly flagged", "events found", QUARTERS, QUARTERS)
    chart.segment((0, 0), (1, 1), "chance")
    if bank_only:
        chart.line(bank_only, "bank-only")
    chart.line(joint, "joint")
    return chart.svg()


def ks_chart(curve: Sequence[Point], name: str = "ks") -> Markup:
    """Cumulative events and non-events from the riskiest row on; [[share, events, non-events], ...]."""
    chart = Chart(name, "KS curve", "Share of events and of non-events among the riskiest rows, and their largest gap.")
    chart.axes("riskiest share of rows", "share found", QUARTERS, QUARTERS)
    chart.line([(p[0], p[2]) for p in curve], "nonevents")
    chart.line([(p[0], p[1]) for p in curve], "joint")
    share, events, nonevents = max(curve, key=lambda p: abs(p[1] - p[2]))
    chart.segment((share, nonevents), (share, events), "gap")
    chart.text((share, (events + nonevents) / 2), f"KS {abs(events - nonevents):.3f}", "note", dx=8, dy=4)
    chart.text((0.62, _at(curve, 0.62, 1)), "events", "note joint-text", anchor="end", dx=-8, dy=-10)
    chart.text((0.72, _at(curve, 0.72, 2)), "non-events", "note", dx=8, dy=20)
    return chart.svg()


def _at(curve: Sequence[Point], share: float, column: int) -> float:
    return min(curve, key=lambda p: abs(p[0] - share))[column]


def wilson(events: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): stays in [0, 1] for few rows and for zero events."""
    centre = (events + z * z / 2) / (count + z * z)
    half = z / (count + z * z) * math.sqrt(events * (count - events) / count + z * z / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def calibration_chart(table: Sequence[dict], name: str = "calibration") -> Markup:
    """Observed against predicted share of events per bin, with 95 % intervals."""
    intervals = [wilson(row["events"], row["count"]) for row in table]
    marks = ticks(max([high for _, high in intervals] + [row["predicted"] for row in table]))
    chart = Chart(name, "Calibration", "Observed share of events against the predicted probability per bin; "
                  "points on the diagonal are exact.", x_max=marks[-1], y_max=marks[-1])
    chart.axes("predicted probability of default", "observed share of defaults", marks, marks)
    chart.segment((0, 0), (marks[-1], marks[-1]), "chance")
    for row, (low, high) in zip(table, intervals, strict=True):
        chart.segment((row["predicted"], low), (row["predicted"], high), "whisker")
        chart.add('<circle class="dot" cx="{x}" cy="{y}" r="4.5"><title>{label}</title></circle>',
                  x=chart.x(row["predicted"]), y=chart.y(row["observed"]),
                  label=f"{row['count']} rows: predicted {percent(row['predicted'])}, observed "
                        f"{percent(row['observed'])}")
    return chart.svg()


def lift_chart(table: Sequence[dict]) -> Markup:
    """Share of events per bin, riskiest first, against the base rate."""
    base = sum(row["events"] for row in table) / sum(row["count"] for row in table)
    marks = ticks(max(row["event_rate"] for row in table))
    last = max(row["bin"] for row in table)
    chart = Chart("lift", "Lift", "Share of events per group of rows, riskiest group first, against the share in all "
                  "rows.", x_max=float(last), y_max=marks[-1])
    chart.axes("group of rows, riskiest first", "observed share of defaults", [], marks)
    for row in table:
        left, right = chart.x(row["bin"] - 1) + 4, chart.x(row["bin"]) - 4
        top = chart.y(row["event_rate"])
        chart.add('<rect class="column" x="{x}" y="{y}" width="{w}" height="{h}"><title>{label}</title></rect>'
                  '<text class="tick" x="{m}" y="{b}" text-anchor="middle">{n}</text>',
                  x=left, y=top, w=right - left, h=chart.y(0) - top, m=(left + right) / 2, b=HEIGHT - BOTTOM + 18.0,
                  n=row["bin"], label=f"group {row['bin']}: {row['events']} of {row['count']} rows")
    chart.segment((0, base), (last, base), "base")
    chart.text((last, base), f"all rows {percent(base)}", "note halo", anchor="end", dx=-4, dy=-7)
    return chart.svg()


def auc_ruler(values: Sequence[tuple[str, str, float]]) -> Markup:
    """A ruler of AUC with one marker per (style, name, value), labels alternating above and below."""
    low = math.floor((min(v for _, _, v in values) - 0.02) * 20) / 20
    high = min(1.0, math.ceil((max(v for _, _, v in values) + 0.02) * 20) / 20)

    def x(value: float) -> float:
        return 30 + 900 * (value - low) / (high - low)

    below = [x(value) for _, _, value in values[1::2]]
    scale = [_ruler_tick(x(low + i / 20), low + i / 20, below) for i in range(round((high - low) * 20) + 1)]
    markers = [_ruler_marker(x(value), style, f"{name} {value:.3f}", place % 2 == 0)
               for place, (style, name, value) in enumerate(values)]
    head = Markup('<svg class="ruler" viewBox="0 0 960 112" role="img" aria-label="{}"><line class="axis" x1="30" '
                  'x2="930" y1="56" y2="56"/>').format(", ".join(f"AUC {n} {v:.3f}" for _, n, v in values))
    return Markup("").join([head, *scale, *markers, Markup("</svg>")])


def _ruler_tick(x: float, value: float, stems: Sequence[float]) -> Markup:
    """A tick; its number is left out where a stem would cross it."""
    line = Markup('<line class="grid" x1="{0}" x2="{0}" y1="50" y2="62"/>').format(f"{x:.1f}")
    if any(abs(x - stem) < 22 for stem in stems):
        return line
    return line + Markup('<text class="tick" x="{}" y="80" text-anchor="middle">{}</text>').format(
        f"{x:.1f}", f"{value:.2f}")


def _ruler_marker(x: float, style: str, label: str, above: bool) -> Markup:
    start, end, text = (47, 32, 24) if above else (69, 88, 104)
    return Markup('<circle class="marker {s}" cx="{x}" cy="56" r="9"/><line class="stem {s}" x1="{x}" x2="{x}" '
                  'y1="{a}" y2="{b}"/><text class="note {s}-text" x="{x}" y="{t}" text-anchor="middle">{l}</text>'
                  ).format(s=style, x=f"{x:.1f}", a=start, b=end, t=text, l=label)
