"""What hides the last bits of a scored row's numbers: two floods.

Those of `protocols/sharedscore/flood.py`, eight times wider. One is a function of the person, of both sides' data, of
the model and of the number's place, with a key that the platform alone has, so that asking again averages nothing out;
the other is fresh and hides the products' errors.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocols.crypto.ring import RING
from protocols.network.pieces import GRID_BITS
from protocols.scorecard.opened import SCALE_BITS
from protocols.sharedscore.flood import FRESH_BITS, VERSION_BITS, versions

_WIDER = SCALE_BITS - GRID_BITS - VERSION_BITS


def tags(secret: bytes, people: Sequence[str], columns: np.ndarray, data: bytes) -> np.ndarray:
    """(rows,) uint64: equal for equal data of a person. `columns`: (rows, d) int64; `data`: the bank's name of its."""
    return versions(secret, people, columns, data).tags


def cover(secret: bytes, people: Sequence[str], columns: np.ndarray, data: bytes, width: int) -> np.ndarray:
    """(2, rows·width): both floods of every number, zero on average."""
    drawn = [versions(secret, people, columns, data + bytes([place])).flood for place in range(width)]
    count = len(people) * width
    fixed = RING.mul_public(np.concatenate(drawn, axis=1), 1 << _WIDER)
    fresh = RING.random_below_bits(count, FRESH_BITS + _WIDER)
    centre = (1 << (VERSION_BITS + _WIDER - 1)) + (1 << (FRESH_BITS + _WIDER - 1))
    return RING.sub(RING.add(fixed, fresh), RING.encode_ints([centre] * count))
