"""Bytes per kind of message as an inline SVG: one bar a kind, longest first."""
from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from protocols.node.verifier.privacy import size_text

WIDTH, ROW, WORDS_AT, BARS_AT, LONGEST = 1000, 24, 150, 500, 400


def traffic_chart(node: Mapping[str, Any]) -> str:
    """SVG of a node's `kinds` (what, words, messages, bytes), which are in order and not empty."""
    most = max(kind["bytes"] for kind in node["kinds"]) or 1
    rows = "".join(_bar(place, kind, most) for place, kind in enumerate(node["kinds"]))
    height = ROW * len(node["kinds"])
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(node["node"])}">{rows}</svg>'


def _bar(place: int, kind: Mapping[str, Any], most: int) -> str:
    """Tenths of a pixel, by integers: the same text on every machine."""
    tenths = max(10, 10 * LONGEST * kind["bytes"] // most)
    top, text, end = place * ROW, place * ROW + 16, BARS_AT + tenths // 10 + 8
    return (f'<text x="0" y="{text}">{escape(kind["what"])}</text>'
            f'<text class="quiet" x="{WORDS_AT}" y="{text}">{escape(kind["words"])}</text>'
            f'<rect x="{BARS_AT}" y="{top + 5}" width="{tenths // 10}.{tenths % 10}" height="13" rx="1.5"/>'
            f'<text x="{end}" y="{text}">{size_text(kind["bytes"])} · {kind["messages"]:,}</text>')
