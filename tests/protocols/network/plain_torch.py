"""The same network as anybody would train it in torch: one float module, SGD below and Adam above, no fixed point.

Only the architecture of the tower and the partition of rows are the product's; batches, steps, stopping and scoring are
written anew here, so that an error in the product's stepping cannot hide in both.
"""
from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from protocols.network.partition import partition
from protocols.network.tower import Tower, perceptron
from tests.protocols.network.problems import Task


class Whole(nn.Module):
    """Source layer and tower in one; with `square` the strict layer's sums."""

    def __init__(self, network: Task):
        super().__init__()
        given, columns = network.settings, network.columns.shape[1]
        self.source = nn.Linear(columns, given.numbers, bias=False)
        reach = 2.0 ** -round(np.log2(columns / 1.5) / 2)
        with torch.no_grad():  # the sum of two uniform parts, one of each side
            self.source.weight.copy_(reach * (torch.rand(given.numbers, columns) * 2 - 1
                                              + torch.rand(given.numbers, columns) * 2 - 1))
        self.strict, self.width, self.units = given.strict, given.width, given.units
        self.tower = Tower(perceptron(given.hidden), given.width + network.bank.numeric.shape[1],
                           network.bank.levels, given.embedding_size)

    def forward(self, columns: torch.Tensor, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        z = self.source(columns)
        if self.strict:
            z = z.reshape(-1, self.width, self.units)
            z = (z + z**2 * torch.tensor([1.0, -1.0]).repeat(self.units)[:self.units]).sum(dim=2)
        return self.tower(z, numeric, categories)


def inputs(network: Task) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return (torch.tensor(network.columns, dtype=torch.float32),
            torch.tensor(network.bank.numeric, dtype=torch.float32), torch.tensor(network.bank.categories))


def fit(network: Task, seed: int, start: np.ndarray | None = None) -> Whole:
    """Trained on all rows of the task; the epoch with the lowest validation loss.

    `start`: weights (columns, numbers) to begin with, beside the module that the product's learner begins with; without
    it both are drawn from the seed."""
    torch.manual_seed(seed)
    given, model, best = network.settings, Whole(network), None
    if start is not None:
        with torch.no_grad():
            model.source.weight.copy_(torch.tensor(start.T))
        model.tower.load_state_dict({name: torch.tensor(value) for name, value in
                                     network.learner().module_state().items()})
    below = torch.optim.SGD(model.source.parameters(), given.source_rate, momentum=given.source_momentum / 16)
    above = torch.optim.Adam(model.tower.parameters(), given.learning_rate)
    data, labels = inputs(network), torch.tensor(network.bank.labels, dtype=torch.float32)
    rows, loss, stale = partition(len(labels), given), nn.BCEWithLogitsLoss(), 0
    for _ in range(given.epochs):
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
        if stale == given.patience:
            break
    model.load_state_dict(best[1])
    return model


def log_odds(model: Whole, network: Task) -> np.ndarray:
    with torch.no_grad():
        return model(*inputs(network)).numpy()
