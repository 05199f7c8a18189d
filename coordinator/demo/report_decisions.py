"""The section of the report on decided applications: two charts and the bars of the reasons."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from coordinator.demo.charts import BOTTOM, HEIGHT, QUARTERS, Chart, percent, ticks

_PARTS = (("approved", ("approved",)), ("declined", ("declined",)),
          ("open", ("referred", "deferred", "insufficient-data")))  # style, outcomes; from the ground up
TOP_SPACE = 1.08  # so that what stands over the highest column stays inside
MARKED = (50, 95, 99)


def view(data: dict[str, Any]) -> dict[str, Any]:
    """What decisions.html.j2 needs beside `decisions`; without them it is not shown."""
    told = data.get("decisions")
    if told is None:
        return {"decisions": None}
    most = max((row["count"] for row in told["reasons"]), default=0)
    return {"decisions": told, "decided_svg": decided_chart(told["bands"]),
            "waits_svg": waits_chart(told["latency_ms"]["curve"]),
            "reason_rows": [row | {"width": 100 * row["count"] / most} for row in told["reasons"]]}


def decided_chart(bands: Sequence[dict[str, Any]]) -> Markup:
    """Stacked columns of outcomes per band of probability, over each the share that defaulted."""
    marks = ticks(TOP_SPACE * max(1, *(band["count"] for band in bands)))
    chart = Chart("decided", "Decisions by probability of default", "Approved, declined and other applications in "
                  "bands of the joint probability, and over each band the share that defaulted.",
                  x_max=float(len(bands)), y_max=marks[-1])
    chart.axes("joint probability of default", "applications", [], marks, show=lambda value: f"{value:g}")
    for place, band in enumerate(bands):
        _stack(chart, place, band)
        label = f"{100 * band['from']:g}\u2013{100 * band['to']:g}\u202f%"
        chart.add('<text class="tick" x="{x}" y="{y}" text-anchor="middle">{label}</text>', x=chart.x(place + 0.5),
                  y=HEIGHT - BOTTOM + 18.0, label=label)
    return chart.svg()


def _stack(chart: Chart, place: int, band: dict[str, Any]) -> None:
    left, right, ground = chart.x(place) + 4, chart.x(place + 1) - 4, 0
    for style, names in _PARTS:
        count = sum(band["outcomes"][name] for name in names)
        chart.add('<rect class="column {style}" x="{x}" y="{y}" width="{w}" height="{h}"><title>{label}</title></rect>',
                  style=style, x=left, y=chart.y(ground + count), w=right - left,
                  h=chart.y(ground) - chart.y(ground + count), label=f"{count} of {band['count']}: {', '.join(names)}")
        ground += count
    if band["count"]:
        chart.text((place + 0.5, ground), percent(band["rate"]), "note", anchor="middle", dy=-6)


def waits_chart(curve: Sequence[Sequence[float]]) -> Markup:
    """Share of applications answered within a time; [[per cent, milliseconds], ...] rising."""
    marks = ticks(curve[-1][1])
    chart = Chart("waits", "Waiting times", "Share of applications that were answered within a time.", x_max=marks[-1])
    chart.axes("milliseconds", "answered", [], QUARTERS)
    for mark in marks:
        chart.add('<text class="tick" x="{x}" y="{y}" text-anchor="middle">{label}</text>', x=chart.x(mark),
                  y=HEIGHT - BOTTOM + 18.0, label=f"{mark:g}")
    chart.line([(wait, share / 100) for share, wait in curve], "joint")
    for share, wait in curve:
        if share in MARKED:
            chart.add('<circle class="dot" cx="{x}" cy="{y}" r="4.5"><title>{label}</title></circle>',
                      x=chart.x(wait), y=chart.y(share / 100), label=f"p{share:g}: {wait:.0f} ms")
            chart.text((wait, share / 100), f"p{share:g}", "note halo", dx=9, dy=14)
    return chart.svg()

