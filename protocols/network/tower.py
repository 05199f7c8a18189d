"""The bank's module above the source layer, and its optimiser: the only module of the product that imports torch.

Whatever the seed is used for repeats: start weights, and the randomness of each step (dropout), which is seeded by the
step's number, so that nothing of it needs to be kept between steps.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from protocols.errors import ConfigError, DataError
from protocols.network.bank_rows import BankColumns, BankRows
from protocols.network.halves import LabelHalf
from protocols.network.module import Head, Tower, build
from protocols.network.precision import CLIP_BITS
from protocols.network.settings import NetworkSettings

CLIP = 2.0**CLIP_BITS


class Learner:
    """The tower, its Adam and the bank's rows. Rows are named by number, embeddings are float64 (rows, width)."""

    def __init__(self, rows: BankRows, settings: NetworkSettings, head: Head | None = None):
        self._seed = settings.seed
        self._labels, self._numeric = _floats(rows.labels), _floats(rows.numeric)
        self._categories = torch.from_numpy(rows.categories.astype(np.int64))
        self._loss = nn.BCEWithLogitsLoss()
        self.shape = rows.columns.shape
        with _seeded(self._seed, 0):
            self._tower = build(self.shape, settings, head)
        if not list(self._tower.parameters()):
            raise ConfigError("expected a module with parameters above the source layer, got one without")
        self._adam = torch.optim.Adam(self._tower.parameters(), settings.learning_rate,
                                      weight_decay=settings.weight_decay)

    def _outputs(self, z: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        places = torch.from_numpy(rows.astype(np.int64))
        return self._tower(z, self._numeric[places], self._categories[places])

    def step(self, z: np.ndarray, rows: np.ndarray, number: int) -> np.ndarray:
        """One step of Adam on the mean loss of these rows; before it, the gradient of that mean by Z, float64
        (rows, width), every row's own part clipped to ±CLIP. `number`: of the step, from 1."""
        given = _floats(z).requires_grad_()
        self._tower.train()
        self._adam.zero_grad()
        with _seeded(self._seed, number):
            self._loss(self._outputs(given, rows), self._labels[torch.from_numpy(rows)]).backward()
        self._adam.step()
        found = np.zeros(z.shape) if given.grad is None else given.grad.numpy().astype(np.float64)
        if not np.isfinite(found).all():
            raise DataError("expected finite gradients of the bank's module, got others; take a smaller learning_rate")
        return np.clip(found, -CLIP / len(rows), CLIP / len(rows))

    def scores(self, z: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Log-odds float64 (rows,), without dropout and the like."""
        self._tower.eval()
        with torch.no_grad():
            return self._outputs(_floats(z), rows).numpy().astype(np.float64)

    def loss(self, z: np.ndarray, rows: np.ndarray) -> float:
        """Mean log-loss."""
        with torch.no_grad():
            return float(self._loss(_floats(self.scores(z, rows)), self._labels[torch.from_numpy(rows)]))

    # -- state

    def module_state(self) -> dict[str, np.ndarray]:
        """Parameters and buffers of the tower, by name."""
        return {name: np.array(value.numpy()) for name, value in self._tower.state_dict().items()}

    def load_module(self, state: dict[str, np.ndarray]) -> None:
        """Inverse of `module_state`."""
        _load(self._tower, state)

    def optimiser_state(self) -> dict[str, np.ndarray]:
        """Adam's moments and counts, by number of the parameter and name."""
        kept = self._adam.state_dict()["state"]
        return {f"{number}.{name}": np.array(value.numpy()) for number, entry in kept.items()
                for name, value in entry.items()}

    def load_optimiser(self, state: dict[str, np.ndarray]) -> None:
        """Inverse of `optimiser_state`."""
        entries: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in state.items():
            number, name = key.split(".", 1)
            entries.setdefault(int(number), {})[name] = torch.from_numpy(np.array(value))
        self._adam.load_state_dict(self._adam.state_dict() | {"state": entries})


class Scorer:
    """Scores rows with the module of a finished training: no optimiser, no labels. `columns`: the bank's own of each
    slice; `head`: the training's. DataError for columns of another shape than the training's."""

    def __init__(self, half: LabelHalf, columns: Mapping[str, BankColumns], head: Head | None = None):
        if any(part.shape != half.shape for part in columns.values()):
            raise DataError(f"expected {half.shape[0]} numeric columns of the bank and {len(half.shape[1])} "
                            "categorical ones with the levels of the training, got others; encode them as "
                            "the training did")
        self._columns = columns
        with torch.random.fork_rng(devices=[]):
            self._tower = build(half.shape, half.settings, head)
        _load(self._tower, half.module)
        self._tower.eval()

    def __call__(self, name: str, rows: slice, z: np.ndarray) -> np.ndarray:
        """Log-odds float64 (rows,) of these rows of a slice, from their embeddings (rows, width)."""
        own = self._columns[name]
        categories = torch.from_numpy(own.categories[rows].astype(np.int64))
        with torch.no_grad():
            return self._tower(_floats(z), _floats(own.numeric[rows]), categories).numpy().astype(np.float64)


def _load(tower: Tower, state: Mapping[str, np.ndarray]) -> None:
    """DataError where the parameters are another module's."""
    try:
        tower.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
    except RuntimeError:
        raise DataError("expected the parameters of this module, got another's; give the head that was "
                        "trained") from None


@contextmanager
def _seeded(seed: int, number: int) -> Iterator[None]:
    """torch's generator seeded for one block by two numbers, and as before after it. It takes the low 32 bits of a seed
    only, so both are mixed into those."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
        yield


def _floats(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
