"""Batch scoring with owner-released halves: the platforms' rounded part of each aligned row goes to the bank.

    platform -> bank   scores.batch    int16 multiples of 2^-5, one per aligned row, in joint order

With several platforms the bank learns the sum of their parts only, masked as in `holdout.py`:

    lead -> platform   seed            32 bytes
    platform -> bank   scores.batch    uint32: multiples of 2^-5 plus masks, modulo 2^32
"""
from __future__ import annotations

import numpy as np

from protocols.role import Message
from protocols.scorecard.holdout import FeatureScores, LabelScores

_SLICE = "batch"


class FeatureBatch(FeatureScores):
    """A platform's side; `scores`: its part, float (m,). Ends as soon as it has sent."""

    what = "batch scoring"

    def __init__(self, party: str, bank: str, platforms: tuple[str, ...], scores: np.ndarray):
        super().__init__(party, bank, platforms, {_SLICE: scores})

    def result(self) -> bool | None:
        """True once sent."""
        return self._sent or None


class LabelBatch(LabelScores):
    """The bank's side of `rows` aligned rows."""

    what = "batch scoring"

    def __init__(self, platforms: tuple[str, ...], rows: int):
        super().__init__(platforms, {_SLICE: rows})

    def _end(self) -> list[Message]:
        return []

    def result(self) -> np.ndarray | None:
        """All platforms' part, float (m,)."""
        scores = self._scores()
        return None if scores is None else scores[_SLICE]
