"""The plain training of a task (`protocols/network/pooled.py`)."""
from __future__ import annotations

import numpy as np

from protocols.network.pooled import Start, Whole
from protocols.network.pooled import fit as fit_pooled
from tests.protocols.network.problems import Task


def fit(network: Task, seed: int, start: np.ndarray | None = None) -> Whole:
    """`start`: weights (columns, numbers) to begin with, beside the module that the product's learner begins with;
    without it both are drawn from the seed."""
    begun = None if start is None else Start(start, network.learner().module_state())
    return fit_pooled(network.columns, network.bank, network.settings, seed, begun)


def log_odds(model: Whole, network: Task) -> np.ndarray:
    return model.scores(network.columns, network.bank.columns)
