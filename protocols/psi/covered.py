"""With several platforms, the other choice of rows: a bank's people whom at least one platform knows.

Each pair has its own order of the people whom the bank and that platform share (`aligner.py`). The bank takes all of
them, in an order drawn anew for every run, one slice after the other, and tells each platform where they stand.

    bank -> platform   covered   rows of each of the three slices, u32 each; then per row, in joint order, the position
                                 u32 in the order of this pair, 2^32 - 1 for a person whom this platform does not know

A platform learns how many people it does not know, in each slice. It does not learn which of those it knows are known
to others: all of them are in, and the order says nothing. The slice of a person follows from the identifier, so a
platform can check the slices of those it knows, and nothing else; a bank that puts one elsewhere is caught.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np

from protocols.errors import ConfigError, MalformedMessage, PolicyRefused, ProtocolError
from protocols.psi.joint import MEMBERSHIP
from protocols.psi.parameters import UNKNOWN, Alignment
from protocols.psi.slices import TRAIN
from protocols.role import Message, Opening, Role
from protocols.state import pack, unpack

KIND = "covered"
SLICES = 3
_WORD = np.dtype("<u4")
_NOT_KNOWN = 2**32 - 1

SliceOf = Callable[[np.ndarray], np.ndarray]  # rows of one's own table, int64 (k,) -> slice of each, int8 (k,)


def _too_few(minimum: int) -> PolicyRefused:
    return PolicyRefused("alignment.minimum_intersection", f"all platforms together know fewer than {minimum} people "
                         "of the bank; bring more rows or check that all use the same kind of identifier")


class _Covered(Role):
    """What both sides keep: the joint rows, once they are known."""

    def __init__(self, minimum: int):
        self._minimum = minimum
        self._joint: Alignment | None = None

    def result(self) -> Alignment | None:
        """One's own rows, UNKNOWN where there is none, with the slice of each."""
        return self._joint

    def snapshot(self) -> bytes:
        """The result, once it is known."""
        joint = self._joint
        return pack({} if joint is None else {"rows": joint.rows, "slices": joint.slices, "lacking": joint.lacking})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        saved = unpack(state)
        self._joint = Alignment(**saved) if saved else None


class LabelCovered(_Covered):
    """The bank's side, which ends as soon as it has sent. `pairs[i]`: rows of its own table, int (m_i,), in the order
    of its alignment with `platforms[i]`; `minimum`: fewer people known to any platform end the run."""

    def __init__(self, platforms: tuple[str, ...], pairs: Sequence[np.ndarray], slices: SliceOf, minimum: int):
        super().__init__(minimum)
        if not platforms or len(platforms) != len(pairs):
            raise ConfigError(f"expected one alignment for each of the platforms, got {len(pairs)} for "
                              f"{len(platforms)}")
        self._platforms, self._pairs = platforms, [np.asarray(pair, dtype=np.int64) for pair in pairs]
        self._slices = slices

    def start(self) -> list[Message]:
        """Tell each platform its positions. Raises PolicyRefused for too few people, and nothing is sent then."""
        people = np.unique(np.concatenate(self._pairs))
        if len(people) < self._minimum:
            raise _too_few(self._minimum)
        people = people[_fresh_order(len(people))]
        slices = self._slices(people)
        order = np.argsort(slices, kind="stable")
        rows, slices = people[order], slices[order]
        positions = [_positions(pair, rows) for pair in self._pairs]
        lacking = max(_lacking(known == _NOT_KNOWN, slices) for known in positions)
        self._joint = Alignment(rows, slices, lacking)
        counts = np.bincount(slices, minlength=SLICES)
        return [self._message(name, counts, known) for name, known in zip(self._platforms, positions, strict=True)]

    def _message(self, platform: str, counts: np.ndarray, positions: np.ndarray) -> Message:
        payload = np.concatenate([counts, positions]).astype(_WORD).tobytes()
        return Message(platform, KIND, payload, Opening(MEMBERSHIP, platform, len(positions)))

    def handle(self, message: Message) -> list[Message]:
        """Nothing is due."""
        raise MalformedMessage(f"joint alignment: got {message.kind} from {message.peer}, nothing was due")


class FeatureCovered(_Covered):
    """A platform's side. `rows`: rows of its own table, int (m,), in the order of its alignment with `bank`;
    `most`: people whom the bank declared."""

    def __init__(self, bank: str, rows: np.ndarray, slices: SliceOf, minimum: int, most: int):
        super().__init__(minimum)
        self._bank, self._pair = bank, np.asarray(rows, dtype=np.int64)
        self._slices, self._most = slices, most

    def start(self) -> list[Message]:
        """The platform waits."""
        return []

    @property
    def expects(self) -> str | None:
        """The bank, until its positions have come."""
        return self._bank if self._joint is None else None

    def handle(self, message: Message) -> list[Message]:
        """Take positions and slices. Raises MalformedMessage, ProtocolError for a person in another slice than the
        plan's, or PolicyRefused for too few people."""
        if self._joint is not None or (message.peer, message.kind) != (self._bank, KIND):
            raise MalformedMessage(f"joint alignment: got {message.kind} from {message.peer}, which was not due")
        counts, positions = self._parse(message.payload)
        known = positions != _NOT_KNOWN
        self._check_positions(positions[known])
        rows = np.full(len(positions), UNKNOWN, dtype=np.int64)
        rows[known] = self._pair[positions[known]]
        slices = np.repeat(np.arange(SLICES, dtype=np.int8), counts)
        self._check_slices(rows[known], slices[known])
        self._joint = Alignment(rows, slices, _lacking(~known, slices))
        return []

    def _parse(self, payload: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Rows of each slice, int64 (3,), and a position or _NOT_KNOWN per row, int64 (k,)."""
        words = len(payload) // _WORD.itemsize
        if len(payload) % _WORD.itemsize or not SLICES <= words <= SLICES + self._most:
            raise MalformedMessage(f"{KIND}: expected {_WORD.itemsize} bytes for each of {SLICES} slices and of at "
                                   f"most {self._most} people, got {len(payload)} bytes")
        numbers = np.frombuffer(payload, _WORD).astype(np.int64)
        counts, positions = numbers[:SLICES], numbers[SLICES:]
        if counts.sum() != len(positions):
            raise MalformedMessage(f"{KIND}: expected slices of {len(positions)} rows together, got {counts.sum()}")
        if len(positions) < self._minimum:
            raise _too_few(self._minimum)
        return counts, positions

    def _check_positions(self, known: np.ndarray) -> None:
        """Everybody whom the two know is in, once."""
        if not np.array_equal(np.sort(known), np.arange(len(self._pair))):
            raise MalformedMessage(f"{KIND}: expected each of the {len(self._pair)} people known to both once, got "
                                   f"{len(known)} positions that are not these")

    def _check_slices(self, rows: np.ndarray, slices: np.ndarray) -> None:
        elsewhere = int((self._slices(rows) != slices).sum())
        if elsewhere:
            raise ProtocolError(f"{KIND}: {self._bank} put {elsewhere} of {len(rows)} people into other slices than "
                                "the plan's hash does; both sides must run the same plan, so start a new run")


def _fresh_order(count: int) -> np.ndarray:
    """int64 (count,): a permutation of the operating system's randomness."""
    return np.argsort(np.frombuffer(os.urandom(8 * count), dtype="<u8"), kind="stable")


def _positions(pair: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """int64 (n,): where each of `rows` stands in `pair`, _NOT_KNOWN if nowhere."""
    if len(pair) == 0:
        return np.full(len(rows), _NOT_KNOWN)
    order = np.argsort(pair)
    place = np.minimum(np.searchsorted(pair, rows, sorter=order), len(pair) - 1)
    position = order[place]
    return np.where(pair[position] == rows, position, _NOT_KNOWN)


def _lacking(unknown: np.ndarray, slices: np.ndarray) -> int:
    return int((unknown & (slices == TRAIN)).sum())
