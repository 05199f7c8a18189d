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

from protocols.errors import MalformedMessage, ProtocolError
from protocols.psi.joint import NOT_KNOWN, WORD, FeatureRows, LabelRows, positions_in
from protocols.psi.parameters import UNKNOWN, Alignment
from protocols.psi.slices import TRAIN
from protocols.role import Message

KIND = "covered"
SLICES = 3

SliceOf = Callable[[np.ndarray], np.ndarray]  # rows of one's own table, int64 (k,) -> slice of each, int8 (k,)


class LabelCovered(LabelRows):
    """The bank's side: people known to any platform; `slices` gives those of its own rows."""

    kind = KIND
    too_few = "all platforms together know fewer than {} people of the bank"

    def __init__(self, platforms: tuple[str, ...], pairs: Sequence[np.ndarray], slices: SliceOf, minimum: int):
        super().__init__(platforms, pairs, minimum)
        self._slices = slices

    def start(self) -> list[Message]:
        """Tell each platform its positions. Raises PolicyRefused for too few people, and nothing is sent then."""
        people = np.unique(np.concatenate(self._pairs))
        self._check_enough(len(people))
        people = people[_fresh_order(len(people))]
        slices = self._slices(people)
        order = np.argsort(slices, kind="stable")
        rows, slices = people[order], slices[order]
        positions = [positions_in(pair, rows) for pair in self._pairs]
        lacking = max(_lacking(known == NOT_KNOWN, slices) for known in positions)
        self._joint = Alignment(rows, slices, lacking)
        return self._tell(positions, np.bincount(slices, minlength=SLICES))


class FeatureCovered(FeatureRows):
    """A platform's side: people of the bank, those whom it does not know included; `most`: whom the bank declared."""

    kind, too_few = LabelCovered.kind, LabelCovered.too_few

    def __init__(self, bank: str, rows: np.ndarray, slices: SliceOf, minimum: int, most: int):
        super().__init__(bank, rows, minimum)
        self._slices, self._most = slices, most

    def _parse(self, payload: bytes) -> Alignment:
        """Positions and slices, both those of the plan's hash, or ProtocolError."""
        counts, positions = self._split(payload)
        known = positions != NOT_KNOWN
        self._check_positions(positions[known])
        rows = np.full(len(positions), UNKNOWN, dtype=np.int64)
        rows[known] = self._pair[positions[known]]
        slices = np.repeat(np.arange(SLICES, dtype=np.int8), counts)
        self._check_slices(rows[known], slices[known])
        return Alignment(rows, slices, _lacking(~known, slices))

    def _split(self, payload: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Rows of each slice, int64 (3,), and a position or NOT_KNOWN per row, int64 (k,)."""
        words = len(payload) // WORD.itemsize
        if len(payload) % WORD.itemsize or not SLICES <= words <= SLICES + self._most:
            raise MalformedMessage(f"{KIND}: expected {WORD.itemsize} bytes for each of {SLICES} slices and of at "
                                   f"most {self._most} people, got {len(payload)} bytes")
        numbers = np.frombuffer(payload, WORD).astype(np.int64)
        counts, positions = numbers[:SLICES], numbers[SLICES:]
        if counts.sum() != len(positions):
            raise MalformedMessage(f"{KIND}: expected slices of {len(positions)} rows together, got {counts.sum()}")
        self._check_enough(len(positions))
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


def _lacking(unknown: np.ndarray, slices: np.ndarray) -> int:
    return int((unknown & (slices == TRAIN)).sum())
