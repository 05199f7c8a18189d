"""The same training with all columns in one place: a bank's own model, and the measure of a joint one."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from protocols.boosting.bins import Binned
from protocols.boosting.candidates import Candidate
from protocols.boosting.grower import Grower, Sums
from protocols.boosting.messages import Column, Split, side
from protocols.boosting.model import Trees
from protocols.boosting.settings import BoostingSettings


@dataclass(frozen=True, repr=False)
class Part:
    """One party's columns: `codes` (n, columns) bins."""

    codes: np.ndarray
    columns: tuple[Column, ...]


@dataclass(frozen=True, repr=False)
class Labelled:
    """`labels` (n,) 0/1; `seed` of the draws; `validation` (n,) bool: rows that only say when to stop."""

    labels: np.ndarray
    seed: bytes
    validation: np.ndarray | None = None


def grown(settings: BoostingSettings, parts: Mapping[str, Part], rows: Labelled) -> Trees:
    """The trees of these parties' columns, in the order of `parts`; DataError as in `Grower`."""
    candidates = tuple(Candidate(party, number, one.bins, one.monotone, one.has_missing)
                       for party, part in parts.items() for number, one in enumerate(part.columns))
    grower = Grower(settings, rows.labels, candidates, rows.seed, rows.validation)
    binned = [Binned(part.codes, tuple(one.bins for one in part.columns)) for part in parts.values()]
    while (wanted := grower.wanted()) is not None:
        if isinstance(wanted, Sums):
            vectors = (wanted.vector(at) for at in range(len(wanted)))
            grower.take_sums(np.stack([np.concatenate([one.plain_sums(vector) for one in binned])
                                       for vector in vectors]))
        else:
            grower.take_sides(np.stack([_side(parts[one.party], one.column, one.bin, one.missing_left)
                                        for one in wanted.splits]))
    return grower.model()


def _side(part: Part, column: int, bin_: int, missing_left: bool) -> np.ndarray:
    return side(part.codes[:, column], Split(column, bin_, missing_left), part.columns[column])
