"""The same network as anybody would train it in torch with all columns in one place: a measure of the private one.

One float module, SGD below and Adam above, no fixed point. Only the module above the source layer and the partition of
rows are the product's; steps, stopping and scoring are written anew, so that an error in the private stepping cannot
hide in both.
"""
from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from protocols.network.bank_rows import BankColumns, BankRows
from protocols.network.module import build
from protocols.network.partition import Partition, partition
from protocols.network.settings import NetworkSettings

Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True, repr=False)
class Start:
    """Where a training begins: `weights` (columns, numbers) of the source layer, parameters of the `module` by name."""

    weights: np.ndarray
    module: dict[str, np.ndarray]


class Whole(nn.Module):
    """Source layer and module in one; with a strict layer the sums that it opens."""

    def __init__(self, columns: int, bank: BankColumns, settings: NetworkSettings):
        super().__init__()
        self.source = nn.Linear(columns, settings.numbers, bias=False)
        reach = 2.0 ** -round(np.log2(columns / 1.5) / 2)
        with torch.no_grad():  # the sum of two uniform parts, one of each side
            self.source.weight.copy_(reach * (torch.rand(settings.numbers, columns) * 2 - 1
                                              + torch.rand(settings.numbers, columns) * 2 - 1))
        self._strict, self._width, self._units = settings.strict, settings.width, settings.units
        self.tower = build(bank.shape, settings, None)

    def forward(self, columns: torch.Tensor, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """(n, columns), (n, d), (n, c) -> log-odds (n,)."""
        z = self.source(columns)
        if self._strict:
            z = z.reshape(-1, self._width, self._units)
            z = (z + z**2 * torch.tensor([1.0, -1.0]).repeat(self._units)[:self._units]).sum(dim=2)
        return self.tower(z, numeric, categories)

    def scores(self, columns: np.ndarray, bank: BankColumns) -> np.ndarray:
        """Log-odds (n,) of rows, given the platform's columns (n, ·) and the bank's."""
        self.eval()
        with torch.no_grad():
            return self(*_inputs(columns, bank)).numpy().astype(np.float64)


def fit(columns: np.ndarray, bank: BankRows, settings: NetworkSettings, seed: int, start: Start | None = None) -> Whole:
    """Trained on rows of the platform's `columns` (n, ·) and the bank's; the epoch with the lowest validation loss.

    Where it starts follows from `seed`, unless there is a `start`."""
    torch.manual_seed(seed)
    model = Whole(columns.shape[1], bank.columns, settings)
    if start is not None:
        with torch.no_grad():
            model.source.weight.copy_(torch.tensor(start.weights.T))
        model.tower.load_state_dict({name: torch.tensor(value) for name, value in start.module.items()})
    labels = torch.tensor(bank.labels, dtype=torch.float32)
    _train(model, _inputs(columns, bank.columns), labels, settings, partition(len(labels), settings))
    return model


def _inputs(columns: np.ndarray, bank: BankColumns) -> Inputs:
    return (torch.tensor(columns, dtype=torch.float32), torch.tensor(bank.numeric, dtype=torch.float32),
            torch.tensor(bank.categories.astype(np.int64)))


def _train(model: Whole, data: Inputs, labels: torch.Tensor, settings: NetworkSettings, rows: Partition) -> None:
    below = torch.optim.SGD(model.source.parameters(), settings.source_rate, momentum=settings.source_momentum / 16)
    above = torch.optim.Adam(model.tower.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    loss, stale, best = nn.BCEWithLogitsLoss(), 0, None
    for _ in range(settings.epochs):
        for batch in rows.batches:
            for optimiser in (below, above):
                optimiser.zero_grad()
            loss(model(*(part[batch] for part in data)), labels[batch]).backward()
            below.step()
            above.step()
        with torch.no_grad():
            reached = float(loss(model(*(part[rows.validation] for part in data)), labels[rows.validation]))
        stale = 0 if best is None or reached < best[0] else stale + 1
        if stale == 0:
            best = reached, copy.deepcopy(model.state_dict())
        if stale == settings.patience:
            break
    model.load_state_dict(best[1])
