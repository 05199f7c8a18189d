"""Scores of training rows that are opened to the bank: how they are computed, flooded and checked.

The noise in an opened value is a linear hint about a key or a matrix, and two *truncated* openings gave a whole key, so
(`../SECURITY.md`, "Opened scores"):

- they are computed anew with tile coding and 16-byte replies, from shares that are scaled *up* to 2^104 in all: nothing
  is truncated on the way;
- the sender adds a flood uniform in [0, 2^88) to its share. A product's error of deviation 2^e moves that by 2^(e-88)
  per value in statistical distance, and `tiles` refuses a matrix for which this exceeds 2^-41 over all values of a run;
- what is opened has a precision of 2^-16, and |z| <= 2^10 is checked.
"""
from __future__ import annotations

import math

import numpy as np

from protocols.crypto.noise import TAIL
from protocols.crypto.opening import open_shares
from protocols.crypto.product import MatrixTiles, ReplyCoding
from protocols.crypto.ring import RING
from protocols.errors import DataError, ProtocolError
from protocols.role import Message, Opening
from protocols.scorecard.layout import FEATURE_BITS

KIND = "scores.training"
SCALE_BITS = 104  # of an opened score
VECTOR_BITS = SCALE_BITS - FEATURE_BITS  # of the vector that the columns are multiplied with
FLOOD_BITS = 88
BOUND_BITS = 10
LAYOUT, CODING = "tile", ReplyCoding.FULL
MARGIN_BITS = 41  # two products make a score, so 2^-40 in all


def raised(share: np.ndarray, bits: int) -> np.ndarray:
    """A share of a vector of `bits` fractional bits, (2, d), as one of VECTOR_BITS: exact."""
    if not 0 <= bits <= VECTOR_BITS:
        raise ValueError(f"expected 0 to {VECTOR_BITS} fractional bits, got {bits}")
    return RING.mul_public(share, 1 << (VECTOR_BITS - bits))


def tiles(columns: np.ndarray, values: float, cache_bytes: int = 0) -> MatrixTiles:
    """Own columns (n, d), int64 in fixed point, for openings of `values` scores in all.

    DataError when the flood would not hide the error of so many products of these columns.
    """
    made = MatrixTiles(columns, layout=LAYOUT, cache_bytes=cache_bytes)
    deviation_bits = made.error_bits(CODING) - math.log2(TAIL)
    if deviation_bits + math.log2(values) > FLOOD_BITS - MARGIN_BITS:
        raise DataError(f"expected openings whose flood hides all else up to 2^-{MARGIN_BITS}, but {values:.0f} scores "
                        "of columns with so large rare values exceed it; open fewer, or merge rare values")
    return made


def message(bank: str, share: np.ndarray) -> Message:
    """The sender's share (2, n) of the scores, flooded anew: make it once and keep its bytes."""
    flooded = RING.add(share, RING.random_below_bits(share.shape[1], FLOOD_BITS))
    return Message(bank, KIND, RING.to_bytes(flooded), opening(bank, share.shape[1]))


def opening(bank: str, rows: int) -> Opening:
    """What the ledger of everybody who has a part in the opened scores counts."""
    return Opening("scores.training", bank, rows)


def scores(share: np.ndarray, payload: bytes) -> np.ndarray:
    """Log-odds float (n,), precise to 2^-17 either way, from the own share (2, n) and what came from the sender.

    MalformedMessage on another length; ProtocolError when one is beyond 2^10.
    """
    total = open_shares("scores.training", share, RING.from_bytes(payload, share.shape[1]))
    found = total.floats(SCALE_BITS) - 2.0 ** (FLOOD_BITS - 1 - SCALE_BITS)
    if np.abs(found).max() > 2.0**BOUND_BITS:
        raise ProtocolError(f"expected opened scores up to {2**BOUND_BITS}, got one beyond; the training has diverged, "
                            "so take fewer columns or another encoding and start a new run")
    return found
