"""Scoring in pieces: which rows go together, and what the messages are.

    piece.request    4 bytes: number of the piece, from 0; with shared release then 32 bytes, SHA-256 of the bank's
                     upload, and 32 bytes that name the bank's data
    piece.reply      (shared release) per number a reply of `protocols/crypto/product.py`, layout "column"
    embeddings.SLICE with owner release int16 multiples of 2^-3, with shared release 16 bytes a number: a share

Where the layer is strict, replies are those of `exact`, `square.request` and `square.reply` follow them, and
`activations` stands for `embeddings`.
"""
from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from protocols.crypto.params import DEGREE
from protocols.errors import DataError, MalformedMessage, TrustError
from protocols.network.settings import MOST_UNITS, NetworkSettings

NUMBER = struct.Struct("<I")
NAME_BYTES = 32
GRID_BITS = 3
"""What is opened of rows that are scored has a precision of 2^-3: README.md, "How fine"."""
STEP = np.dtype("<i2")
PIECE_ROWS = DEGREE
_NUMBERS = 16  # times PIECE_ROWS in a piece, or as many as a row has
_MOST_STEPS = 32767


@dataclass(frozen=True)
class Piece:
    """Rows of one slice that are scored together: `rows` within the slice, `start` of the slice among all rows."""

    name: str
    rows: slice
    start: int

    @property
    def count(self) -> int:
        """Rows."""
        return self.rows.stop - self.rows.start

    @property
    def among_all(self) -> slice:
        """Its rows among those of all slices."""
        return slice(self.start + self.rows.start, self.start + self.rows.stop)


def pieces(rows: Mapping[str, int], settings: NetworkSettings) -> list[Piece]:
    """Of slices of so many rows; a message is below 26 MB whatever they are. DataError without rows."""
    size, made, start = _size(settings), [], 0
    for name, count in rows.items():
        made += [Piece(name, slice(at, min(at + size, count)), start) for at in range(0, count, size)]
        start += count
    if not made:
        raise DataError("expected rows to score, got none; align other tables")
    return made


def _size(settings: NetworkSettings) -> int:
    """Rows of a piece."""
    if settings.strict:
        return max(1, PIECE_ROWS // 4) * (MOST_UNITS // settings.numbers)
    return PIECE_ROWS * max(1, _NUMBERS // settings.width)


def take_request(payload: bytes, number: int, sealed: bytes | None) -> bytes:
    """The name of the bank's data, empty with owner release. `sealed`: digest of the upload, None with owner release.

    MalformedMessage on another length or piece; TrustError when the bank holds another version of the model.
    """
    size = NUMBER.size + (0 if sealed is None else len(sealed) + NAME_BYTES)
    if len(payload) != size or NUMBER.unpack_from(payload) != (number,):
        raise MalformedMessage(f"expected {size} bytes that ask for piece {number}, got {len(payload)} or "
                               "another piece")
    rest = payload[NUMBER.size:]
    if sealed is not None and rest[:len(sealed)] != sealed:
        raise TrustError("the bank's encrypted weights of this model are not those that the training pinned here; "
                         "restore the vaults of both nodes from backups of the same model, or train again")
    return rest[NAME_BYTES:]


def coarse(z: np.ndarray) -> bytes:
    """Numbers (rows, width) as multiples of 2^-GRID_BITS, one column after another; DataError beyond ±4095."""
    steps = np.rint(z.T.ravel() * 2.0**GRID_BITS)
    if not np.isfinite(steps).all() or np.abs(steps).max(initial=0) > _MOST_STEPS:
        raise DataError("expected embeddings between -4095 and 4095; a column of these rows is out of range")
    return steps.astype(STEP).tobytes()


def from_coarse(payload: bytes, rows: int, width: int) -> np.ndarray:
    """float64 (rows, width); MalformedMessage on another length."""
    if len(payload) != rows * width * STEP.itemsize:
        raise MalformedMessage(f"expected {rows * width * STEP.itemsize} bytes of embeddings, got {len(payload)}")
    return np.frombuffer(payload, STEP).reshape(width, rows).T / 2.0**GRID_BITS
