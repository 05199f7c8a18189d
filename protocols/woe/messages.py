"""Messages of the event counts, and the numbers on which their opening rests (README.md, "The opening").

    platform -> bank   woe.setup    training rows u64, bins u32, 32 bytes that name these bins to the platform only
    bank -> platform   woe.labels   fresh public keys; the labels, encrypted
    platform -> bank   woe.reply    masked products
    bank -> platform   woe.counts   the bank's shares, noised if the plan says so, and flooded: 16 bytes per bin
"""
from __future__ import annotations

import struct
from dataclasses import dataclass

from protocols.crypto import product
from protocols.crypto.keys import public_key_bytes
from protocols.crypto.layout import LayoutName, layout_of
from protocols.crypto.noise import Energy, error_bits
from protocols.crypto.product import ReplyCoding
from protocols.errors import ConfigError, MalformedMessage

SETUP, LABELS, REPLY, COUNTS = "woe.setup", "woe.labels", "woe.reply", "woe.counts"
LAYOUT: LayoutName = "tile"
CODING = ReplyCoding.FULL
SCALE_BITS = 94  # an event counts 2^94
FLOOD_BITS = 88  # uniform below 2^88: covers the error of a share, leaves the count
FLOOD_GAP_BITS = 64  # the flood is at least so much wider than the error
MOST_ROWS = 1 << 22  # counts of so many rows, and their noise, stay below Q/2 at the scale
TAG_BYTES = 32
_SETUP = struct.Struct(f"<QI{TAG_BYTES}s")


@dataclass(frozen=True)
class Setup:
    """What a platform tells before the labels come: how many rows and bins, and a tag of the bins."""

    rows: int
    bins: int
    tag: bytes

    def to_bytes(self) -> bytes:
        """44 bytes."""
        return _SETUP.pack(self.rows, self.bins, self.tag)

    @classmethod
    def from_bytes(cls, data: bytes) -> Setup:
        """Strict inverse of `to_bytes`; MalformedMessage on another length."""
        if len(data) != _SETUP.size:
            raise MalformedMessage(f"{SETUP}: expected {_SETUP.size} bytes, got {len(data)}")
        return cls(*_SETUP.unpack(data))


def labels_bytes(rows: int, bins: int) -> int:
    """Exact length of `woe.labels`."""
    return public_key_bytes() + product.request_bytes((bins, rows), LAYOUT)


def share_error_bits(rows: int, bins: int) -> float:
    """log2 of the bound on |error| of one count, for any 0/1 matrix (bins, rows)."""
    plan = layout_of((bins, rows), LAYOUT)
    return error_bits(plan, Energy(float(rows) * min(bins, plan.rows_per_tile)), short=False)


def check_flood(rows: int, bins: int) -> None:
    """Raise ConfigError for so many rows or bins that the flood would not cover a share's error."""
    if rows > MOST_ROWS or share_error_bits(rows, bins) > FLOOD_BITS - FLOOD_GAP_BITS:
        most = FLOOD_BITS - FLOOD_GAP_BITS
        raise ConfigError(f"expected at most {MOST_ROWS} training rows, and few enough of them and of bins for the "
                          f"error of a count to stay below 2^{most}, got {rows} rows and {bins} bins; take fewer rows "
                          "or bins, or encoding = 'dummy'")
