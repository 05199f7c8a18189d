"""What a role writes once and leaves out of its snapshots: pieces by name, and one-time secrets in batches.

A snapshot is written at every message, so it holds counters; what grows with rows, bins or trees is a piece.
"""
from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from protocols.boosting.parameters import KEPT
from protocols.crypto import seal_objects as so
from protocols.crypto.ring import Array
from protocols.errors import MalformedMessage


class Pieces:
    """`found`: where a piece of that name is, or None; the driver's. Never printed: pieces are secret."""

    def __init__(self, found: Callable[[str], bytes | None]):
        self._found = found
        self._fresh: dict[str, bytes] = {}

    def write(self, name: str, data: bytes) -> None:
        """To be kept with the next snapshot. A name is written once."""
        self._fresh[name] = data

    def fresh(self) -> dict[str, bytes]:
        """All that was written since the last call."""
        fresh, self._fresh = self._fresh, {}
        return fresh

    def read(self, name: str) -> bytes:
        """MalformedMessage if there is no such piece."""
        data = self._found(name)
        if data is None:
            raise MalformedMessage(f"expected saved state with its piece {name}, got none; start a new run")
        return data


class Stock:
    """One-time secrets in the order in which they serve. A batch is arrays with an entry for each secret; batches that
    are used up are forgotten, so what is held and read again is bounded by one batch and a request."""

    def __init__(self) -> None:
        self._batches: deque[tuple[Array, ...]] = deque()
        self.batches = self.used = 0
        self._first = self._into = 0  # the oldest batch that is held, and how many of its secrets were used

    def __len__(self) -> int:
        return sum(len(batch[0]) for batch in self._batches) - self._into

    def add(self, *parts: Array) -> None:
        """The next batch."""
        self._batches.append(parts)
        self.batches += 1

    def next(self, count: int) -> list[tuple[Array, ...]]:
        """The entries that serve next."""
        entries = itertools.chain.from_iterable(zip(*batch, strict=True) for batch in self._batches)
        return list(itertools.islice(entries, self._into, self._into + count))

    def spend(self, count: int) -> None:
        """So many have served, and never will again."""
        self.used += count
        self._into += count
        while self._batches and self._into >= len(self._batches[0][0]):
            self._into -= len(self._batches.popleft()[0])
            self._first += 1

    def counters(self) -> dict[str, int]:
        """For a snapshot."""
        return {"batches": self.batches, "used": self.used, "first": self._first, "into": self._into}

    @classmethod
    def restored(cls, counters: Mapping[str, int], load: Callable[[int], tuple[Array, ...]]) -> Stock:
        """What `counters` were taken of; `load` gives the parts of a batch by its number."""
        stock = cls()
        stock.batches, stock.used = counters["batches"], counters["used"]
        stock._first, stock._into = counters["first"], counters["into"]
        stock._batches.extend(load(number) for number in range(stock._first, stock.batches))
        return stock


def shares_bytes(shares: Array) -> bytes:
    """(m, 2, rows) residues, 14 bytes for each secret and bin."""
    return b"".join(so.pack_residues(one, KEPT) for one in shares)


def shares_of(data: bytes, count: int, rows: int, what: str) -> Array:
    """(count, 2, rows); MalformedMessage on another length or residues that are not below their primes."""
    size = sum(so.residue_widths(KEPT)) * rows
    if len(data) != count * size:
        raise MalformedMessage(f"expected {count * size} bytes of {what}, got {len(data)}")
    return np.stack([so.unpack_residues(one, KEPT, rows) for one in cut(data, size)])


def cut(data: bytes | memoryview, size: int) -> Iterator[memoryview]:
    """Views of `size` bytes each, of data of a multiple of that."""
    view = memoryview(data)
    return (view[at:at + size] for at in range(0, len(view), size))
