"""Batch scoring with owner-released halves: the platform's rounded part of each aligned row goes to the bank.

    platform -> bank   scores.batch    int16 multiples of 2^-5, one per aligned row, in joint order
"""
from __future__ import annotations

import numpy as np

from protocols.errors import MalformedMessage
from protocols.role import Message, Opening, Role
from protocols.scorecard.holdout import SCORE_STEP_BITS, coarse
from protocols.state import pack, unpack

KIND = "scores.batch"


class FeatureBatch(Role):
    """The platform's side; `scores`: its part, float (m,). Ends as soon as it has sent."""

    def __init__(self, peer: str, scores: np.ndarray):
        self._peer, self._scores, self._sent = peer, scores, False

    def start(self) -> list[Message]:
        """Open every row's part."""
        self._sent = True
        payload = coarse(self._scores).tobytes()
        return [Message(self._peer, KIND, payload, Opening(KIND, self._peer, len(self._scores)))]

    def handle(self, message: Message) -> list[Message]:
        """Nothing is due."""
        raise MalformedMessage(f"batch scoring: got {message.kind}, nothing was due")

    def result(self) -> bool | None:
        """True once sent."""
        return self._sent or None

    def snapshot(self) -> bytes:
        """Whether it was sent."""
        return pack({"sent": self._sent})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        self._sent = unpack(state)["sent"]


class LabelBatch(Role):
    """The bank's side of `rows` aligned rows."""

    def __init__(self, peer: str, rows: int):
        self._peer, self._rows, self._scores = peer, rows, None

    def start(self) -> list[Message]:
        """The bank waits."""
        return []

    def handle(self, message: Message) -> list[Message]:
        """Take the platform's part."""
        if message.kind != KIND or self._scores is not None or len(message.payload) != 2 * self._rows:
            raise MalformedMessage(f"batch scoring: got {message.kind} of {len(message.payload)} bytes, not due")
        self._scores = np.frombuffer(message.payload, dtype="<i2") / 2.0**SCORE_STEP_BITS
        return []

    def result(self) -> np.ndarray | None:
        """The platform's part, float (m,)."""
        return self._scores

    def snapshot(self) -> bytes:
        """What came."""
        return pack({} if self._scores is None else {"scores": self._scores})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        self._scores = unpack(state).get("scores")
