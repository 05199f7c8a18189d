"""Rows that a model has not seen: the platform says on which side of each of its splits they are, and no more.

    bank -> platform   kept           how many of the splits that it answered in training the model keeps, 4 bytes
    platform -> bank   sides.NAME     for a piece of the rows, by split a bit a row
    bank -> platform   verdict        (hold-out) 1: keep your half, 0: the joint model is no better, discard

The platform answers for every row and every split, so that it does not learn which of them an applicant passes; the
bank learns as many bits about a row as the platform has splits. With its half of a published model a platform answers
exactly the number of splits that the half holds.
"""
from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from protocols.boosting.halves import FeatureHalf
from protocols.boosting.messages import sides_bytes, sides_of
from protocols.errors import MalformedMessage
from protocols.role import Message, Opening, Role
from protocols.scorecard.holdout import ToldVerdict, verdicts
from protocols.state import pack, unpack

PIECE_ROWS = 65_536
_KEPT = struct.Struct("<I")
Values = Mapping[str, np.ndarray]


def pieces_of(rows: int) -> int:
    """Messages of sides that so many rows take: at least one, so that an empty slice is told too."""
    return max(1, -(-rows // PIECE_ROWS))


def piece_of(number: int, rows: int) -> slice:
    """Which of so many rows a piece is about."""
    return slice(number * PIECE_ROWS, min(rows, (number + 1) * PIECE_ROWS))


class FeatureSides(Role):
    """A platform's side. `half`: the cuts that it answered in training, or those of a published model; `values`: by
    slice, by column (n,) float; `count`: rows of each slice."""

    what = "scoring with trees"

    def __init__(self, bank: str, half: FeatureHalf, values: Mapping[str, Values], count: Mapping[str, int]):
        self._bank, self._half, self._values, self._count = bank, half, values, count
        self._kept_splits: int | None = None

    def start(self) -> list[Message]:
        """The bank says how many splits it keeps."""
        return []

    @property
    def _sent(self) -> bool:
        return self._kept_splits is not None

    @property
    def expects(self) -> str | None:
        """The bank, until the sides are sent."""
        return None if self._sent else self._bank

    def handle(self, message: Message) -> list[Message]:
        """Answer for all rows."""
        if self._sent or (message.peer, message.kind) != (self._bank, "kept") or len(message.payload) != _KEPT.size:
            raise MalformedMessage(f"{self.what}: got {message.kind} of {len(message.payload)} bytes from "
                                   f"{message.peer}, which was not due")
        (kept,) = _KEPT.unpack(message.payload)
        self._check(kept)
        self._kept_splits = kept
        return [message for name in self._values for message in self._sides(name)]

    def _check(self, kept: int) -> None:
        if kept > len(self._half.cuts):
            raise MalformedMessage(f"{self.what}: expected at most the {len(self._half.cuts)} splits of this platform, "
                                   f"got {kept}")

    def _sides(self, name: str) -> Iterator[Message]:
        half, rows = self.kept, self._count[name]
        for piece in range(pieces_of(rows)):
            part = piece_of(piece, rows)
            sides = half.sides({column: values[part] for column, values in self._values[name].items()})
            sides = sides.reshape(len(half.cuts), part.stop - part.start)
            yield Message(self._bank, f"sides.{name}", sides_bytes(sides),
                          Opening(f"sides.{name}", self._bank, sides.size))

    @property
    def kept(self) -> FeatureHalf:
        """The half of the model: without the cuts of trees that early stopping dropped."""
        return self._half.first(self._kept_splits)

    def result(self) -> bool | None:
        """True once all sides are sent."""
        return self._sent or None

    def snapshot(self) -> bytes:
        """How many splits the model keeps, once the bank has said."""
        return pack({"splits": -1 if self._kept_splits is None else self._kept_splits})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        splits = unpack(state)["splits"]
        self._kept_splits = None if splits < 0 else splits


class FeatureBatch(FeatureSides):
    """With a published model: exactly the splits of the half."""

    def _check(self, kept: int) -> None:
        if kept != len(self._half.cuts):
            raise MalformedMessage(f"{self.what}: expected to answer the {len(self._half.cuts)} splits of this "
                                   f"platform's half, got {kept}; both nodes need halves of one training")


class FeatureHoldout(ToldVerdict, FeatureSides):
    """Calibration and test rows; ends with the bank's verdict."""

    what = "hold-out of trees"

    def snapshot(self) -> bytes:
        """How many splits, and the verdict, once they are there."""
        return pack({"sides": FeatureSides.snapshot(self), "kept": self._kept})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        saved = unpack(state)
        FeatureSides.restore(self, saved["sides"])
        self._kept = saved["kept"]


@dataclass(frozen=True)
class Asked:
    """What the bank asks for: `splits` of a `platform`, of so many `rows` by slice."""

    platform: str
    splits: int
    rows: Mapping[str, int]


@dataclass(frozen=True, repr=False)
class Sides:
    """What a platform answered, by slice and piece of its rows."""

    splits: int
    rows: Mapping[str, int]
    told: Mapping[str, list[bytes]]

    def pieces(self, name: str) -> Iterator[tuple[slice, np.ndarray]]:
        """(rows, (splits, len(rows)) bool, True for left), piece by piece: all at once may not fit into memory."""
        for number, payload in enumerate(self.told[name]):
            part = piece_of(number, self.rows[name])
            yield part, sides_of(payload, self.splits, part.stop - part.start)


class LabelSides(Role):
    """The bank's side. `result`: `Sides`."""

    what = "scoring with trees"

    def __init__(self, asked: Asked):
        self._asked = asked
        self._due = [(name, piece) for name, rows in asked.rows.items() for piece in range(pieces_of(rows))]
        self._taken: list[bytes] = []
        self._fresh: dict[str, bytes] = {}

    def start(self) -> list[Message]:
        """Say how many splits are kept: those of all trees, by number."""
        platform = self._asked.platform
        opening = Opening("tree.kept", platform, 1) if self._tells else None
        return [Message(platform, "kept", _KEPT.pack(self._asked.splits), opening)]

    _tells = False  # nothing that the platform did not know

    @property
    def expects(self) -> str | None:
        """The platform, until all sides are there."""
        return None if self._complete else self._asked.platform

    @property
    def _complete(self) -> bool:
        return len(self._taken) == len(self._due)

    def handle(self, message: Message) -> list[Message]:
        """Take the sides of a piece of rows."""
        name, piece = (None, 0) if self._complete else self._due[len(self._taken)]
        if name is None or (message.peer, message.kind) != (self._asked.platform, f"sides.{name}"):
            raise MalformedMessage(f"{self.what}: got {message.kind} of {len(message.payload)} bytes from "
                                   f"{message.peer}, which was not due")
        part = piece_of(piece, self._asked.rows[name])
        sides_of(message.payload, self._asked.splits, part.stop - part.start)
        self._fresh[str(len(self._taken))] = message.payload
        self._taken.append(message.payload)
        return self._end() if self._complete else []

    def _end(self) -> list[Message]:
        """All sides are there."""
        return []

    def result(self) -> Sides | None:
        """Once complete."""
        if not self._complete:
            return None
        told = {name: [payload for (of, _), payload in zip(self._due, self._taken, strict=True) if of == name]
                for name in self._asked.rows}
        return Sides(self._asked.splits, self._asked.rows, told)

    def snapshot(self) -> bytes:
        """How many pieces came; they are kept one by one."""
        return pack({"taken": len(self._taken)})

    def new_pieces(self) -> dict[str, bytes]:
        """What came since the last call."""
        fresh, self._fresh = self._fresh, {}
        return fresh

    def restore(self, state: bytes) -> None:
        """Take back a snapshot and its pieces."""
        self._taken = [self.pieces(str(number)) for number in range(unpack(state)["taken"])]
        if None in self._taken:
            raise MalformedMessage(f"{self.what}: saved state without one of its {len(self._taken)} pieces")


class LabelHoldout(LabelSides):
    """Calibration and test rows. `judge(sides)` says whether the joint model may be published."""

    what = "hold-out of trees"
    _tells = True

    def __init__(self, asked: Asked, judge: Callable[[Sides], bool]):
        super().__init__(asked)
        self._judge = judge

    def _end(self) -> list[Message]:
        return verdicts(self._judge(self.result()), (self._asked.platform,))
