"""The bank's own network: the same module trained without a platform, so with zeros for what a source layer gives."""
from __future__ import annotations

from typing import Protocol

import numpy as np

from protocols.network.bank_rows import Shape
from protocols.network.halves import LabelHalf
from protocols.network.partition import partition
from protocols.network.settings import NetworkSettings


class Learner(Protocol):
    """What is needed of `tower.Learner`."""

    shape: Shape

    def step(self, z: np.ndarray, rows: np.ndarray, number: int) -> np.ndarray:
        """One step on these rows."""

    def loss(self, z: np.ndarray, rows: np.ndarray) -> float:
        """Mean log-loss of these rows."""

    def module_state(self) -> dict[str, np.ndarray]:
        """All parameters, by name."""


def trained(learner: Learner, rows: int, settings: NetworkSettings) -> LabelHalf:
    """The module of the epoch with the lowest loss on the validation rows, as a half without a platform's columns."""
    parts, losses, best = partition(rows, settings), [], {}
    while not _ended(losses, settings):
        for at, batch in enumerate(parts.batches, start=1):
            learner.step(np.zeros((len(batch), settings.width)), batch, len(losses) * len(parts.batches) + at)
        losses.append(learner.loss(np.zeros((len(parts.validation), settings.width)), parts.validation))
        if losses[-1] == min(losses):
            best = learner.module_state()
    return LabelHalf(best, learner.shape, 1, 1 + int(np.argmin(losses)), tuple(losses), settings, 1)


def _ended(losses: list[float], settings: NetworkSettings) -> bool:
    since = len(losses) - 1 - int(np.argmin(losses)) if losses else 0
    return len(losses) == settings.epochs or since >= settings.patience
