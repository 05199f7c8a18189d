"""With several platforms: which people all of them know, after the bank has aligned with each one by itself.

Each pair has its own order of the people whom the bank and that platform share (`aligner.py`). The bank alone sees all
pairs; it keeps the people that are in every one, in the order of the first, and tells each platform where they stand.

    bank -> platform   joint   positions u32 in the order of this pair, one per person known to all, in joint order

A platform learns which of the people that it shares with the bank all other platforms know too. The order says nothing
about a table: it is that of double-blinded points of the first pair.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocols.errors import ConfigError, MalformedMessage, PolicyRefused
from protocols.psi.parameters import Alignment
from protocols.role import Message, Opening, Role
from protocols.state import pack, unpack

KIND = "joint"
MEMBERSHIP = "membership.joint"  # which of the people shared with the bank the other platforms know too
_POSITION = np.dtype("<u4")


def _too_few(minimum: int) -> PolicyRefused:
    return PolicyRefused("alignment.minimum_intersection", f"all parties together have fewer than {minimum} people in "
                         "common; bring more rows or check that all of them use the same kind of identifier")


class _Joint(Role):
    """What both sides keep: the rows, once they are known."""

    def __init__(self, minimum: int):
        self._minimum = minimum
        self._rows: np.ndarray | None = None

    def result(self) -> Alignment | None:
        """One's own rows of the people whom all parties know, in joint order."""
        return None if self._rows is None else Alignment(self._rows)

    def snapshot(self) -> bytes:
        """The rows, once they are known."""
        return pack({"rows": self._rows})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        self._rows = unpack(state)["rows"]


class LabelJoint(_Joint):
    """The bank's side, which ends as soon as it has sent. `pairs[i]`: rows of its own table, int (m_i,), in the order
    of its alignment with `platforms[i]`; `minimum`: fewer people known to all end the run."""

    def __init__(self, platforms: tuple[str, ...], pairs: Sequence[np.ndarray], minimum: int):
        super().__init__(minimum)
        if not platforms or len(platforms) != len(pairs):
            raise ConfigError(f"expected one alignment for each of the platforms, got {len(pairs)} for "
                              f"{len(platforms)}")
        self._platforms, self._pairs = platforms, [np.asarray(pair, dtype=np.int64) for pair in pairs]

    def start(self) -> list[Message]:
        """Tell each platform its positions. Raises PolicyRefused for too few people, and nothing is sent then."""
        rows = self._pairs[0]
        for pair in self._pairs[1:]:
            rows = rows[np.isin(rows, pair)]
        if len(rows) < self._minimum:
            raise _too_few(self._minimum)
        self._rows = rows
        return [self._message(name, _positions(pair, rows))
                for name, pair in zip(self._platforms, self._pairs, strict=True)]

    def _message(self, platform: str, positions: np.ndarray) -> Message:
        opening = Opening(MEMBERSHIP, platform, len(positions))
        return Message(platform, KIND, positions.astype(_POSITION).tobytes(), opening)

    def handle(self, message: Message) -> list[Message]:
        """Nothing is due."""
        raise MalformedMessage(f"joint alignment: got {message.kind} from {message.peer}, nothing was due")


class FeatureJoint(_Joint):
    """A platform's side. `rows`: rows of its own table, int (m,), in the order of its alignment with `bank`."""

    def __init__(self, bank: str, rows: np.ndarray, minimum: int):
        super().__init__(minimum)
        self._bank, self._pair = bank, np.asarray(rows, dtype=np.int64)

    def start(self) -> list[Message]:
        """The platform waits."""
        return []

    @property
    def expects(self) -> str | None:
        """The bank, until its positions have come."""
        return self._bank if self._rows is None else None

    def handle(self, message: Message) -> list[Message]:
        """Take the positions. Raises MalformedMessage, or PolicyRefused for too few people."""
        if self._rows is not None or (message.peer, message.kind) != (self._bank, KIND):
            raise MalformedMessage(f"joint alignment: got {message.kind} from {message.peer}, which was not due")
        self._rows = self._pair[self._parse(message.payload)]
        return []

    def _parse(self, payload: bytes) -> np.ndarray:
        """int64 (k,): distinct positions of people shared with the bank."""
        if len(payload) % _POSITION.itemsize or len(payload) > _POSITION.itemsize * len(self._pair):
            raise MalformedMessage(f"{KIND}: expected {_POSITION.itemsize} bytes for each of at most {len(self._pair)} "
                                   f"people, got {len(payload)} bytes")
        positions = np.frombuffer(payload, _POSITION).astype(np.int64)
        if (positions >= len(self._pair)).any():
            raise MalformedMessage(f"{KIND}: expected positions below {len(self._pair)}, got one beyond")
        if len(np.unique(positions)) != len(positions):
            raise MalformedMessage(f"{KIND}: expected distinct positions, got one more than once")
        if len(positions) < self._minimum:
            raise _too_few(self._minimum)
        return positions


def _positions(pair: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where each of `rows` stands in `pair`."""
    order = np.argsort(pair)
    return order[np.searchsorted(pair, rows, sorter=order)]
