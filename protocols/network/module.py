"""The bank's module above the source layer, over its own columns and the numbers of the platform."""
from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from protocols.network.bank_rows import Shape
from protocols.network.settings import NetworkSettings

Head = Callable[[int], nn.Module]
"""Of a number of inputs m: a module from (n, m) to (n,) or (n, 1), the log-odds of an event."""


def perceptron(hidden: tuple[int, ...]) -> Head:
    """Fully connected layers with ReLU between them."""

    def build(inputs: int) -> nn.Module:
        sizes = (inputs, *hidden)
        layers = [part for a, b in zip(sizes, sizes[1:], strict=False) for part in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    return build


class Tower(nn.Module):
    """Embeddings of the bank's categorical columns beside its numeric ones and Z, and a head over all of them."""

    def __init__(self, head: Head, inputs: int, levels: tuple[int, ...], size: int):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(count, size) for count in levels)
        self.head = head(inputs + size * len(levels))

    def forward(self, z: torch.Tensor, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """(n, width), (n, d), (n, c) -> log-odds (n,)."""
        looked_up = [table(categories[:, place]) for place, table in enumerate(self.tables)]
        return self.head(torch.cat([z, numeric, *looked_up], dim=1)).reshape(len(z))


def build(shape: Shape, settings: NetworkSettings, head: Head | None) -> Tower:
    """A fresh tower over the bank's columns of this shape; without a head, the perceptron of the settings."""
    numeric, levels = shape
    return Tower(head or perceptron(settings.hidden), settings.width + numeric, levels, settings.embedding_size)
