"""Calibration and evaluation: the platform's part of the score of each hold-out row is opened to the bank, once.

Calibration and test rows are their own slices; training rows are never opened. The platform holds its coefficients
(owner release), so it computes its part in the clear and sends it rounded to 2^-5 of a log-odds unit: finer scores
would identify the combination of bins a row falls into (82 % of rows at 2^-16, 0.4 % at 2^-5).

    platform -> bank   scores.calibration, scores.test     int16 multiples of 2^-5
    bank -> platform   verdict                             1: keep your half, 0: the joint model is no better, discard
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from protocols.errors import DataError, MalformedMessage
from protocols.role import Message, Opening, Role
from protocols.state import pack, unpack

SCORE_STEP_BITS = 5
SLICES = ("calibration", "test")


def coarse(scores: np.ndarray) -> np.ndarray:
    """Round to multiples of 2^-5, as int16; DataError beyond +-1024."""
    steps = np.rint(np.asarray(scores, dtype=float) * 2**SCORE_STEP_BITS)
    if not np.isfinite(steps).all() or np.abs(steps).max(initial=0) > 32767:
        raise DataError("expected scores between -1024 and 1024; the model has diverged or a column is out of range")
    return steps.astype("<i2")


class FeatureHoldout(Role):
    """The platform's side. `scores`: its part of each slice's scores, float (m,), in joint row order."""

    def __init__(self, peer: str, scores: dict[str, np.ndarray]):
        self._peer, self._scores, self._kept = peer, scores, None

    def start(self) -> list[Message]:
        """Open both slices."""
        return [self._open(name, coarse(self._scores[name])) for name in SLICES]

    def _open(self, name: str, steps: np.ndarray) -> Message:
        return Message(self._peer, f"scores.{name}", steps.tobytes(), Opening(f"scores.{name}", self._peer, len(steps)))

    def handle(self, message: Message) -> list[Message]:
        """Take the verdict."""
        if message.kind != "verdict" or message.payload not in (b"\0", b"\1"):
            raise MalformedMessage(f"hold-out: expected a verdict, got {message.kind}")
        self._kept = message.payload == b"\1"
        return []

    def result(self) -> bool | None:
        """Whether the half is kept."""
        return self._kept

    def snapshot(self) -> bytes:
        """The verdict, if it came."""
        return pack({"kept": self._kept})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        self._kept = unpack(state)["kept"]


class LabelHoldout(Role):
    """The bank's side. `rows`: rows of each slice; `judge(scores)` says whether the joint model may be published."""

    def __init__(self, peer: str, rows: dict[str, int], judge: Callable[[dict[str, np.ndarray]], bool]):
        self._peer, self._rows, self._judge = peer, rows, judge
        self._steps: dict[str, np.ndarray] = {}

    def start(self) -> list[Message]:
        """The bank waits."""
        return []

    def handle(self, message: Message) -> list[Message]:
        """Take one slice; after the last, answer with the verdict."""
        expected = SLICES[len(self._steps)] if len(self._steps) < len(SLICES) else None
        if expected is None or message.kind != f"scores.{expected}" or len(message.payload) != 2 * self._rows[expected]:
            raise MalformedMessage(f"hold-out: got {message.kind} of {len(message.payload)} bytes, which was not due")
        self._steps[expected] = np.frombuffer(message.payload, dtype="<i2")
        scores = self.result()
        if scores is None:
            return []
        verdict = b"\1" if self._judge(scores) else b"\0"
        return [Message(self._peer, "verdict", verdict, Opening("verdict", self._peer, 1))]

    def result(self) -> dict[str, np.ndarray] | None:
        """The platform's part of the scores per slice, float."""
        if len(self._steps) < len(SLICES):
            return None
        return {name: steps / 2.0**SCORE_STEP_BITS for name, steps in self._steps.items()}

    def snapshot(self) -> bytes:
        """What has come so far."""
        return pack(dict(self._steps))

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        self._steps = {name: unpack(state)[name] for name in SLICES if name in unpack(state)}
