"""Which rows are in which batch, and which only decide when to stop."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocols.errors import ConfigError
from protocols.network.settings import NetworkSettings


@dataclass(frozen=True, repr=False)
class Partition:
    """Row numbers: disjoint batches, the same in every epoch, and the rows that only decide when to stop."""

    batches: tuple[np.ndarray, ...]
    validation: np.ndarray

    @property
    def turns(self) -> int:
        """Forward passes of one epoch."""
        return len(self.batches) + 1

    def rows(self, turn: int) -> np.ndarray:
        """Of one forward pass; the last one is the validation rows'."""
        return self.batches[turn] if turn < len(self.batches) else self.validation


def partition(rows: int, settings: NetworkSettings) -> Partition:
    """Drawn once from the seed; ConfigError when a part would be empty. Batches differ by one row at most."""
    held = round(rows * settings.validation_share)
    if held < 1 or rows - held < 1:
        raise ConfigError(f"expected rows for training and for validation, got {rows} in all; bring more rows")
    order = np.random.default_rng(settings.seed).permutation(rows)
    count = -(-(rows - held) // settings.batch_rows)
    return Partition(tuple(np.array_split(order[held:], count)), order[:held])
