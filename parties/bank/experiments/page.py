"""The report of an experiment as one HTML file that needs nothing else, in English or Chinese."""
from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from parties.bank.decision.trial import Comparison, Estimate, Metric, PhaseReport, TrialReport
from parties.bank.experiments.words import WORDS

Language = Literal["en", "zh"]
WIDTH, ROW, TOP, LEFT, MIDDLE, HALF, NUMBERS = 940, 40, 26, 8, 460, 190, 932


def render(report: TrialReport, language: Language) -> str:
    """The page's text."""
    words = WORDS[language]
    environment = Environment(loader=PackageLoader("parties.bank.experiments", "."), autoescape=True,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"shown": lambda e: shown(e.metric, e.value), "span": span, "percent": percent}
    return environment.get_template("page.html.j2").render(
        report=report, words=words, language=language, forest=lambda phase: forest(phase, words), metrics=_by_metric)


def forest(phase: PhaseReport, words: Mapping[str, str]) -> Markup:
    """Differences to the champion with their intervals: one row each, every row on its own scale around zero."""
    rows = [_row(place, c, words) for place, c in enumerate(phase.comparisons)]
    height = TOP + ROW * len(rows) + 8
    head = Markup('<svg viewBox="0 0 {w} {h}" role="img" aria-label="{label}"><line class="zero" x1="{m}" x2="{m}" '
                  'y1="{t}" y2="{b}"/><text class="quiet" x="{m}" y="14" text-anchor="middle">{same}</text>')
    return head.format(w=WIDTH, h=height, m=MIDDLE, t=TOP - 6, b=height - 4, label=words["differences"],
                       same=words["same"]) + Markup("").join(rows) + Markup("</svg>")


def _row(place: int, comparison: Comparison, words: Mapping[str, str]) -> Markup:
    reach = max(abs(comparison.low), abs(comparison.high), Decimal("1e-9"))
    low, mid, high = (_x(value, reach) for value in (comparison.low, comparison.difference, comparison.high))
    y = TOP + ROW * place + 18
    text = Markup('<text x="{x}" y="{y}">{name}</text><text class="quiet" x="{x}" y="{z}">{arm}</text>').format(
        x=LEFT, y=y, z=y + 15, name=words[comparison.metric], arm=comparison.arm)
    mark = Markup('<g class="{c}"><line x1="{low}" x2="{high}" y1="{y}" y2="{y}"/><circle cx="{mid}" cy="{y}" r="5"/>'
                  '</g>').format(c=comparison.conclusion, low=low, mid=mid, high=high, y=y)
    number = Markup('<text x="{x}" y="{y}" text-anchor="end">{value}</text><text class="quiet" x="{x}" y="{z}" '
                    'text-anchor="end">{span}</text>')
    return text + mark + number.format(
        x=NUMBERS, y=y, z=y + 15, value=shown(comparison.metric, comparison.difference, signed=True),
        span=f"{shown(comparison.metric, comparison.low, True)} … {shown(comparison.metric, comparison.high, True)}")


def _x(value: Decimal, reach: Decimal) -> str:
    return f"{MIDDLE + HALF * value / reach:.1f}"


def shown(metric: Metric, value: Decimal | None, signed: bool = False) -> str:
    """A value in the unit people read, CNY or per cent (of a signed difference: points); a dash where there is none."""
    if value is None:
        return "–"
    if metric.endswith("-fen"):
        text = f"{value / 100:,.0f} CNY"
    else:
        digits = 4 if metric.startswith("daily-rate") else 2
        text = f"{100 * value:.{digits}f} {'pp' if signed else '%'}"
    return ("+" if signed and value > 0 else "") + text.replace("-", "−")


def span(estimate: Estimate) -> str:
    """An interval, low to high."""
    if estimate.low is None:
        return "–"
    return f"{shown(estimate.metric, estimate.low)} … {shown(estimate.metric, estimate.high)}"


def percent(value: Decimal) -> str:
    """0.95 -> 95 %."""
    return f"{100 * value:.2f}".rstrip("0").rstrip(".") + " %"


def _by_metric(phase: PhaseReport) -> list[tuple[str, list[Estimate]]]:
    """One line per metric: its estimates in the order of the arms."""
    names = [e.metric for e in phase.arms[0].estimates]
    return [(name, [arm.estimates[place] for arm in phase.arms]) for place, name in enumerate(names)]
