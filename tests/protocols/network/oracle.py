"""The same training on the joined plaintext: same module, batches and fixed-point updates, nothing encrypted."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocols.network.label_party import Learner
from protocols.network.partition import partition
from protocols.network.precision import Scales
from protocols.network.settings import NetworkSettings
from protocols.network.source_layer import fixed_columns, fixed_gradient


@dataclass(frozen=True)
class Plain:
    """Source weights (columns, width) of the epoch that is kept, its number, and all losses."""

    weights: np.ndarray
    epoch: int
    losses: list[float]
    module: dict[str, np.ndarray]


@dataclass
class PlainLayer:
    """W and its velocity as whole numbers."""

    columns: np.ndarray  # (n, d) int64, 12 fractional bits
    weights: np.ndarray  # (d, width) int64
    scales: Scales
    settings: NetworkSettings
    velocity: np.ndarray | None = None

    def values(self) -> np.ndarray:
        return self.weights / 2.0**self.scales.weight

    def forward(self, rows: np.ndarray) -> np.ndarray:
        return self.columns[rows] / 2.0**12 @ self.values()

    def by_units(self, rows: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """What the weights' columns get of G, in G's fractional bits."""
        return gradient

    def step(self, rows: np.ndarray, gradient: np.ndarray) -> None:
        fixed = self.by_units(rows, fixed_gradient(gradient, self.scales).reshape(self.settings.width, -1).T)
        change = self.columns[rows].T @ fixed
        if self.velocity is not None:
            change = (self.velocity * self.settings.source_momentum >> 4) + change
        self.velocity = change
        self.weights = self.weights - self.settings.rate[0] * change


class PlainSquare(PlainLayer):
    """U_k: the sum of z and ±z² over the units of number k, the sign alternating."""

    def units(self, rows: np.ndarray) -> np.ndarray:
        return super().forward(rows).reshape(len(rows), self.settings.width, self.settings.units)

    def forward(self, rows: np.ndarray) -> np.ndarray:
        z = self.units(rows)
        return z.sum(axis=2) + (z[:, :, ::2]**2).sum(axis=2) - (z[:, :, 1::2]**2).sum(axis=2)

    def by_units(self, rows: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        slopes = 1 + 2 * self.units(rows) * np.resize([1, -1], self.settings.units)
        return np.rint(gradient[:, :, None] * slopes).astype(np.int64).reshape(len(rows), -1)


def train(columns: np.ndarray, learner: Learner, settings: NetworkSettings, start: np.ndarray) -> Plain:
    """`columns`: the platform's (n, d); `learner`: a fresh one; `start`: (d, width) float, the start weights."""
    parts = partition(len(columns), settings)
    scales = Scales.of(len(parts.batches), columns.shape[1], settings)
    kind = PlainSquare if settings.strict else PlainLayer
    layer = kind(fixed_columns(columns), np.rint(start * 2.0**scales.weight).astype(np.int64), scales, settings)
    losses, best, number = [], None, 0
    for epoch in range(1, settings.epochs + 1):
        for rows in parts.batches:
            number += 1
            layer.step(rows, learner.step(layer.forward(rows), rows, number))
        losses.append(learner.loss(layer.forward(parts.validation), parts.validation))
        if best is None or losses[-1] < losses[best.epoch - 1]:
            best = Plain(layer.values(), epoch, losses, learner.module_state())
        if epoch - best.epoch >= settings.patience:
            break
    return best
