"""Payloads that somebody without any key can add up: unsigned words, summed without reduction.

    16 bytes: what the summands are     all of one sum must carry the same
    16 bytes: check                     two words
    then     n 64-bit words             and, in the short coding, n 32-bit words

A 64-bit word of a summand is below 2^60, so 15 of them fit a word. In the short coding the words of one element are an
integer high·2^32 + low: what overflows the low word is carried into the high one. Nothing here is secret, and nothing
here opens anything: the coordinator's hub adds with it (`summed_product.py` makes and opens summands).
"""
from __future__ import annotations

import numpy as np

from protocols.crypto.params import TAG_BYTES, wire_tag
from protocols.errors import MalformedMessage

MOST_SUMMANDS = 15
CHECK_BYTES = 16
HEADER_BYTES = TAG_BYTES + CHECK_BYTES
WIDTHS = {wire_tag("summand FULL"): 16, wire_tag("summand SHORT"): 12}
"""Bytes per element, by what the summands are."""


def add(total: bytearray | None, part: bytes) -> bytearray:
    """`total` (changed) with one more summand; MalformedMessage when the two do not fit."""
    width = _width(part)
    if total is None:
        return bytearray(part)
    if len(total) != len(part) or total[:TAG_BYTES] != part[:TAG_BYTES]:
        raise MalformedMessage(f"expected a summand of {len(total)} bytes like the others, got {len(part)} bytes")
    elements = (len(part) - HEADER_BYTES) // width
    _add_words(total, part, TAG_BYTES, 2, "<u8")
    _add_words(total, part, HEADER_BYTES, elements * (2 if width == 16 else 1), "<u8")
    if width == 12:
        _add_low(total, part, elements)
    return total


def _width(part: bytes) -> int:
    width = WIDTHS.get(bytes(part[:TAG_BYTES]))
    if width is None or len(part) <= HEADER_BYTES or (len(part) - HEADER_BYTES) % width:
        raise MalformedMessage(f"expected a summand, got {len(part)} bytes that are none")
    return width


def _add_words(total: bytearray, part: bytes, start: int, count: int, kind: str) -> None:
    into = np.frombuffer(total, kind, count, start)
    np.add(into, np.frombuffer(part, kind, count, start), out=into)


def _add_low(total: bytearray, part: bytes, elements: int) -> None:
    """The low words, with the carry into the high ones."""
    start = HEADER_BYTES + 8 * elements
    low = np.frombuffer(total, "<u4", elements, start)
    wide = low.astype(np.uint64) + np.frombuffer(part, "<u4", elements, start)
    low[:] = wide.astype(np.uint32)
    high = np.frombuffer(total, "<u8", elements, HEADER_BYTES)
    np.add(high, wide >> np.uint64(32), out=high)
