"""What bank and platform tell each other besides hidden sums, as exact bytes.

    shape     platform -> bank    nonce, bins and flags of each column, rows of the fullest bin
    splits    bank -> platform    which of the platform's columns and bins won, and where missing values go
    sides     platform -> bank    for each of these splits which rows go left, a bit a row

Hidden sums (`label_sums.py`) travel as `begin` (the bank's nonce and what a sum needs), `veil`, `secrets`,
`corrections`, `vectors` (which columns compete, then the vectors) and `sums`; `end` is the bank's last word.
"""
from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from protocols.boosting.sampling import SEED_BYTES
from protocols.crypto.ring import Array
from protocols.errors import MalformedMessage

MOST_COLUMNS, MOST_BINS = 4096, 64
_HEAD = struct.Struct("<32sIQ")
_COLUMN = struct.Struct("<BbB")
_SPLIT = struct.Struct("<IBB")
_BEGIN = struct.Struct("<32sHQ")


@dataclass(frozen=True)
class Column:
    """What the bank must know of a platform's column: its bins, the last for missing values if `has_missing`; whether
    scores may only rise (1) or fall (-1) with it."""

    bins: int
    monotone: int = 0
    has_missing: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.bins <= MOST_BINS or self.monotone not in (-1, 0, 1):
            raise MalformedMessage(f"expected a column of 1 to {MOST_BINS} bins and a direction of -1, 0 or 1")


@dataclass(frozen=True, repr=False)
class Shape:
    """A platform's columns. `nonce`: its part of the seed; `largest`: rows of its fullest bin."""

    nonce: bytes
    columns: tuple[Column, ...]
    largest: int

    def to_bytes(self) -> bytes:
        """Exact."""
        return _HEAD.pack(self.nonce, len(self.columns), self.largest) + b"".join(
            _COLUMN.pack(one.bins, one.monotone, one.has_missing) for one in self.columns)

    @classmethod
    def from_bytes(cls, data: bytes, rows: int) -> Shape:
        """MalformedMessage for other lengths, no or too many columns, or a fullest bin that cannot be."""
        if len(data) < _HEAD.size:
            raise MalformedMessage(f"expected a platform's columns, got {len(data)} bytes")
        nonce, count, largest = _HEAD.unpack_from(data)
        if not 1 <= count <= MOST_COLUMNS or len(data) != _HEAD.size + count * _COLUMN.size:
            raise MalformedMessage(f"expected 1 to {MOST_COLUMNS} columns of {_COLUMN.size} bytes, got {len(data)}")
        told = _COLUMN.iter_unpack(data[_HEAD.size:])
        if any(flag > 1 for _, _, flag in _COLUMN.iter_unpack(data[_HEAD.size:])):
            raise MalformedMessage("expected a flag of 0 or 1 for missing values")
        columns = tuple(Column(bins, monotone, bool(flag)) for bins, monotone, flag in told)
        most = max(one.bins for one in columns)
        if not -(-rows // most) <= largest <= rows:
            raise MalformedMessage(f"expected a fullest bin of {-(-rows // most)} to {rows} rows, got {largest}")
        return cls(nonce, columns, largest)


@dataclass(frozen=True, repr=False)
class Begin:
    """The bank's part of the seed, bits of a sum, and how many sums the training opens at most."""

    nonce: bytes
    width: int
    openings: int

    def to_bytes(self) -> bytes:
        """Exact."""
        return _BEGIN.pack(self.nonce, self.width, self.openings)

    @classmethod
    def from_bytes(cls, data: bytes) -> Begin:
        """MalformedMessage for another length."""
        if len(data) != _BEGIN.size:
            raise MalformedMessage(f"expected {_BEGIN.size} bytes to begin with, got {len(data)}")
        return cls(*_BEGIN.unpack(data))


@dataclass(frozen=True)
class Split:
    """One split by a platform's column: rows of a bin up to `bin` go left, missing ones, if there are any, as
    `missing_left` says."""

    column: int
    bin: int
    missing_left: bool


def splits_bytes(splits: list[Split]) -> bytes:
    """Exact."""
    return b"".join(_SPLIT.pack(one.column, one.bin, one.missing_left) for one in splits)


def splits_of(data: bytes, columns: tuple[Column, ...]) -> list[Split]:
    """MalformedMessage for no split, one of a column that is not there, or one that leaves a side empty by its bins."""
    if not data or len(data) % _SPLIT.size:
        raise MalformedMessage(f"expected splits of {_SPLIT.size} bytes each, got {len(data)}")
    made = []
    for column, code, missing in _SPLIT.iter_unpack(data):
        if column >= len(columns) or missing > 1:
            raise MalformedMessage("expected a split of one of the told columns")
        if code >= columns[column].bins - 1:
            raise MalformedMessage("expected a split below the last bin of its column")
        made.append(Split(column, code, bool(missing)))
    return made


@dataclass(frozen=True, repr=False)
class Drawn:
    """Which of a platform's columns compete in a tree, at least one: of the others no sums are opened."""

    columns: Array
    bins: tuple[int, ...]

    @classmethod
    def size(cls, columns: int) -> int:
        """Bytes of the choice among so many columns."""
        return -(-columns // 8)

    @classmethod
    def from_bytes(cls, data: bytes, columns: tuple[Column, ...]) -> Drawn:
        """MalformedMessage for another length, no column, or bits after the last one."""
        (chosen,) = sides_of(data, 1, len(columns))
        if not chosen.any():
            raise MalformedMessage("expected at least one column to be summed, got none")
        return cls(chosen, tuple(one.bins for one in columns))

    def to_bytes(self) -> bytes:
        """Exact."""
        return sides_bytes(self.columns[None])

    @property
    def rows(self) -> Array:
        """(bins of all columns,) bool: those of the columns that compete."""
        return np.repeat(self.columns, self.bins)


def sides_bytes(sides: Array) -> bytes:
    """(splits, rows) bool, eight rows a byte."""
    return np.packbits(sides, axis=1).tobytes()


def each_side(data: bytes, splits: int, rows: int) -> Iterator[Array]:
    """(rows,) bool of each split, made one at a time; MalformedMessage as by `sides_of`, for the length at once."""
    width = -(-rows // 8)
    if len(data) != splits * width:
        raise MalformedMessage(f"expected {splits * width} bytes of sides, got {len(data)}")
    return (sides_of(data[at:at + width], 1, rows)[0] for at in range(0, len(data), width))


def sides_of(data: bytes, splits: int, rows: int) -> Array:
    """(splits, rows) bool; MalformedMessage for another length or bits after the last row."""
    width = -(-rows // 8)
    if len(data) != splits * width:
        raise MalformedMessage(f"expected {splits * width} bytes of sides, got {len(data)}")
    bits = np.unpackbits(np.frombuffer(data, np.uint8).reshape(splits, width), axis=1)
    if bits[:, rows:].any():
        raise MalformedMessage("expected no bits after the last row")
    return bits[:, :rows].view(bool)


def one_persons_bytes(sides: Array) -> Array:
    """(splits, n) bool -> (n, ·) uint8: of each person a bit for each split, eight a byte."""
    return np.packbits(sides.T, axis=1)


def one_person(data: bytes, splits: int) -> Array:
    """(splits, 1) bool of one person's bits; MalformedMessage for another length or bits after the last split."""
    return sides_of(data, 1, splits).T


def side(codes: Array, split: Split, column: Column) -> Array:
    """(n,) bool: who goes left, by the codes of the split's column."""
    left = codes <= split.bin
    if column.has_missing:
        left = np.where(codes == column.bins - 1, split.missing_left, left)
    return left


def seed_of(first: bytes, second: bytes) -> bytes:
    """The seed of a training's public polynomials from both nonces; MalformedMessage for another length."""
    if len(first) != SEED_BYTES or len(second) != SEED_BYTES:
        raise MalformedMessage(f"expected nonces of {SEED_BYTES} bytes")
    return hashlib.sha256(b"sealscore boosting seed v1|" + first + second).digest()
