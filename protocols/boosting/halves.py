"""A model in halves: the bank's knows the trees and its own questions, a platform's knows the questions it answers.

A question of another party is a number in the bank's half, and that number is all the two have in common. Whoever asks
for sides asks for all numbers, so that the path an applicant takes stays with the bank.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

import numpy as np
from pydantic import Field, StrictBool, StrictStr, model_validator

from protocols.boosting.model import Document, Forest, Name, Number, PlacedSplit, Real, Trees
from protocols.strict import Strict


class Cut(Strict):
    """A question about one's own column: is the value below `threshold`, or missing and `missing_left`? Without a
    threshold every value is on the left. `bin` is the same as a code of training."""

    column: Annotated[StrictStr, Field(min_length=1)]
    bin: Number
    threshold: Real | None
    missing_left: StrictBool

    def sides(self, values: np.ndarray) -> np.ndarray:
        """(n,) float values, NaN if missing -> bool, True for left."""
        below = ~np.isnan(values) if self.threshold is None else values < self.threshold
        return np.where(np.isnan(values), self.missing_left, below)


class Elsewhere(Strict):
    """A question that another party answers under a number."""

    party: Name
    number: Number


Edges = Mapping[int, tuple[str, Sequence[float]]]


def cut(split: PlacedSplit, edges: Edges) -> Cut:
    """`edges`: by column number its name and ascending upper edges, not in the bin themselves, of all
    bins of values but the last."""
    name, uppers = edges[split.column]
    threshold = float(uppers[split.bin]) if split.bin < len(uppers) else None
    return Cut(column=name, bin=split.bin, threshold=threshold, missing_left=split.missing_left)


class LabelHalf(Forest):
    """The bank's half: trees, leaf values and its own cuts."""

    splits: tuple[Cut | Elsewhere, ...]

    @model_validator(mode="after")
    def _every_split_is_there(self) -> Self:
        if len(self.splits) != self.count:
            raise ValueError(f"a model with {self.count} splits describes {len(self.splits)}")
        used: dict[str, int] = {}
        for split in self.splits:
            if isinstance(split, Elsewhere):
                if split.number != used.get(split.party, 0):
                    raise ValueError(f"the splits of {split.party} are not numbered in order")
                used[split.party] = split.number + 1
        return self

    @classmethod
    def of(cls, trees: Trees, party: str, edges: Edges) -> LabelHalf:
        """Of a model whose own splits are `party`'s; others are numbered in the order of trees and nodes."""
        used: dict[str, int] = {}
        splits: list[Cut | Elsewhere] = []
        for split in trees.splits:
            if split.party == party:
                splits.append(cut(split, edges))
            else:
                used[split.party] = used.get(split.party, -1) + 1
                splits.append(Elsewhere(party=split.party, number=used[split.party]))
        return cls(base=trees.base, trees=trees.trees, splits=tuple(splits))

    @property
    def numbers(self) -> dict[str, int]:
        """By other party how many splits it answers."""
        others = [split.party for split in self.splits if isinstance(split, Elsewhere)]
        return {party: others.count(party) for party in sorted(set(others))}

    @property
    def names(self) -> tuple[str, ...]:
        """For each split its own column, `column:NAME`, or the other party as a whole, `party:NAME`."""
        return tuple(f"column:{one.column}" if isinstance(one, Cut) else f"party:{one.party}" for one in self.splits)

    def sides(self, values: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> np.ndarray:
        """(splits, n) bool of all splits: own (n,) `values` by column, and by party (numbers, n) bool."""
        for party, count in self.numbers.items():
            given = others.get(party)
            if given is None or given.dtype != bool or given.ndim != 2 or len(given) != count:
                raise ValueError(f"expected the sides of {count} splits of {party}, got others")
        rows = [split.sides(values[split.column]) if isinstance(split, Cut) else others[split.party][split.number]
                for split in self.splits]
        count = len(next(iter((*values.values(), *(one.T for one in others.values()))), ()))
        return np.stack(rows) if rows else np.zeros((0, count), bool)


class FeatureHalf(Document):
    """A platform's half: its cuts by number, and nothing of the trees."""

    party: Name
    cuts: tuple[Cut, ...]

    @classmethod
    def of(cls, trees: Trees, party: str, edges: Edges) -> FeatureHalf:
        """Its splits in the order of trees and nodes, which is the order of the bank's numbers."""
        own = [split for split in trees.splits if split.party == party]
        return cls(party=party, cuts=tuple(cut(split, edges) for split in own))

    def first(self, numbers: int) -> FeatureHalf:
        """Without the cuts of trees that early stopping dropped: the bank's half says how many it asks."""
        if not 0 <= numbers <= len(self.cuts):
            raise ValueError(f"expected at most {len(self.cuts)} numbers, got {numbers}")
        return FeatureHalf(party=self.party, cuts=self.cuts[:numbers])

    def sides(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """(numbers, n) bool, True for left; `values` by column (n,) float, NaN if missing."""
        rows = [one.sides(values[one.column]) for one in self.cuts]
        count = len(next(iter(values.values()), ()))
        return np.stack(rows) if rows else np.zeros((0, count), bool)
