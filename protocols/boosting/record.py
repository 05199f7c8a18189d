"""What a bank writes down of a training as it goes, and how it is made again from that: restoring is replaying.

    tree.T         a finished tree as JSON
    route.T.L      of tree T, level L: which rows went left at their node, a bit a row
    sums.T.L.N     the Nth message of opened sums of a level, over the bins of the platform's columns that compete

Labels and settings come from the role's inputs; margins, gradients and the nodes that rows are in follow from these
pieces by the same operations in the same order, so they are the same to the last bit.
"""
from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from protocols.boosting.grower import Grower
from protocols.boosting.model import Trees
from protocols.boosting.pieces import Pieces
from protocols.crypto.ring import Array
from protocols.errors import MalformedMessage


class Record:
    """Where a training stands: `trees` finished, `level` of the tree under way, messages of sums `answered` in it.

    `rows` of the training; `width`: bits of a sum, sign included, so that a sum takes 4 bytes if it can."""

    def __init__(self, pieces: Pieces, rows: int, width: int):
        self._pieces, self._rows, self._sum = pieces, rows, np.dtype("<i4" if width < 32 else "<i8")
        self.trees = self.level = self.answered = 0

    def counters(self) -> dict[str, int]:
        """For a snapshot."""
        return {"trees": self.trees, "level": self.level, "answered": self.answered}

    def place(self, counters: Mapping[str, int]) -> None:
        """Stand where `counters` were taken."""
        self.trees, self.level, self.answered = (counters[name] for name in ("trees", "level", "answered"))

    def add_sums(self, sums: Array) -> None:
        """(m, bins) opened sums of one message."""
        self._pieces.write(f"sums.{self.trees}.{self.level}.{self.answered}", sums.astype(self._sum).tobytes())
        self.answered += 1

    def add_route(self, route: Array) -> None:
        """(n,) bool: a level is divided."""
        self._pieces.write(f"route.{self.trees}.{self.level}", np.packbits(route).tobytes())
        self.level, self.answered = self.level + 1, 0

    def add_tree(self, tree: Trees) -> None:
        """A tree is finished; the next one begins at its root."""
        self._pieces.write(f"tree.{self.trees}", tree.to_json())
        self.trees, self.level, self.answered = self.trees + 1, 0, 0

    def regrow(self, grower: Grower) -> None:
        """Bring a new grower to the root of the tree under way."""
        grower.regrow(self._finished(tree) for tree in range(self.trees))

    def sums(self, level: int, count: int, bins: int) -> list[Array]:
        """What was answered in a level of the tree under way, each (m, bins): all `count` sums of an earlier level."""
        found, got = [], 0
        while got < count and (level < self.level or len(found) < self.answered):
            data = np.frombuffer(self._pieces.read(f"sums.{self.trees}.{level}.{len(found)}"), self._sum)
            found.append(data.reshape(-1, bins).astype(np.int64))
            got += len(found[-1])
        if got > count:
            raise MalformedMessage(f"expected {count} saved sums of a level, got {got}; start a new run")
        return found

    def route(self, level: int) -> Array:
        """(n,) bool of a level of the tree under way."""
        return self._route(self.trees, level)

    def _finished(self, tree: int) -> tuple[Trees, Iterator[Array]]:
        made = Trees.from_json(self._pieces.read(f"tree.{tree}"))
        return made, (self._route(tree, level) for level in itertools.count())

    def _route(self, tree: int, level: int) -> Array:
        bits = np.frombuffer(self._pieces.read(f"route.{tree}.{level}"), np.uint8)
        return np.unpackbits(bits, count=self._rows).view(bool)
