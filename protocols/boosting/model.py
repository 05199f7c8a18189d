"""A boosted model: trees over numbered splits, the margins that sides lead to, and what each column contributed.

A split is a question to one party about one of its columns. Trees refer to splits by number only, so the same trees
serve with every split in the clear (here), and as the bank's half (`halves.py`), where others' splits are opaque.
"""
from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import Field, FiniteFloat, StrictBool, StrictInt, StrictStr, ValidationError, model_validator

from protocols.boosting.settings import MOST_DEPTH
from protocols.errors import MalformedMessage
from protocols.json_object import json_object
from protocols.strict import Strict, first_problem

LEAF = -1
_Whole = tuple[Annotated[StrictInt, Field(ge=LEAF, lt=2**31)], ...]
Real = Annotated[FiniteFloat, Field(strict=True)]
Name = Annotated[StrictStr, Field(min_length=1, max_length=128)]
Number = Annotated[StrictInt, Field(ge=0, lt=2**31)]


class Document(Strict):
    """Something that travels as one JSON object."""

    def to_json(self) -> bytes:
        """The object, its keys in the order of the fields."""
        return json.dumps(self.model_dump(mode="json"), allow_nan=False, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """What `to_json` wrote; MalformedMessage for anything else."""
        try:
            return cls.model_validate(json_object(data, cls.__name__))
        except ValidationError as error:
            raise MalformedMessage(f"{cls.__name__} that does not hold together: {first_problem(error)}") from None


class Tree(Strict):
    """Nodes, the root first and parents before children; `split` is the number of the split, LEAF at a leaf.

    `value` is what a leaf adds to the margin, `cover` the sum of hessians of the rows in a node, `gain` a split's.
    """

    split: _Whole = Field(min_length=1, max_length=2 ** (MOST_DEPTH + 1))
    left: _Whole
    right: _Whole
    value: tuple[Real, ...]
    cover: tuple[Real, ...]
    gain: tuple[Real, ...]

    @model_validator(mode="after")
    def _is_a_tree(self) -> Self:
        nodes = len(self.split)
        if any(len(one) != nodes for one in (self.left, self.right, self.value, self.cover, self.gain)):
            raise ValueError("a tree's arrays differ in length")
        seen = []
        for node, (split, left, right) in enumerate(zip(self.split, self.left, self.right, strict=True)):
            if split == LEAF and (left, right) != (LEAF, LEAF) or split != LEAF and min(left, right) <= node:
                raise ValueError("a tree's node has children that it cannot have")
            seen += [left, right] if split != LEAF else []
        if sorted(seen) != list(range(1, nodes)):
            raise ValueError("a tree's nodes do not each have one parent")
        if min(self.cover) <= 0:
            raise ValueError("a tree's node covers nothing")
        return self

    @property
    def depth(self) -> int:
        """Splits on the longest path."""
        depths = [0] * len(self.split)
        for node, split in enumerate(self.split):
            if split != LEAF:
                depths[self.left[node]] = depths[self.right[node]] = depths[node] + 1
        return max(depths)

    def leaves(self, sides: np.ndarray) -> np.ndarray:
        """(n,) leaf of each row, given (splits, n) sides, True for left, of all splits of the model."""
        split, left, right = (np.array(one) for one in (self.split, self.left, self.right))
        inner, rows = split != LEAF, np.arange(sides.shape[1])
        at = np.zeros(sides.shape[1], np.int64)
        for _ in range(self.depth):
            children = np.where(sides[split[at], rows], left[at], right[at])
            at = np.where(inner[at], children, at)
        return at

    def leaves_by_routes(self, routes: Iterable[np.ndarray], rows: int) -> np.ndarray:
        """(rows,) leaf of each row, given (rows,) bool of every level in turn: who goes left at its own node."""
        left, right = (np.array(one, np.int16) for one in (self.left, self.right))
        inner, at = np.array(self.split) != LEAF, np.zeros(rows, np.int16)
        for _, route in zip(range(self.depth), routes, strict=False):
            at = np.where(inner[at], np.where(route, left[at], right[at]), at)
        return at

    def numbered(self, first: int) -> Tree:
        """The same tree, its splits' numbers raised by `first`."""
        raised = tuple(split if split == LEAF else split + first for split in self.split)
        return self.model_copy(update={"split": raised})


class Forest(Document):
    """Trees, and the margin that they are added to. Splits are numbered tree by tree, in the order of nodes."""

    base: Real
    trees: tuple[Tree, ...] = Field(max_length=500)

    @property
    def count(self) -> int:
        """Number of splits of all trees."""
        return sum(split != LEAF for tree in self.trees for split in tree.split)

    @model_validator(mode="after")
    def _splits_are_numbered(self) -> Self:
        numbers = [split for tree in self.trees for split in tree.split if split != LEAF]
        if numbers != list(range(len(numbers))):
            raise ValueError("a model's splits are not numbered in order")
        return self

    def margins(self, sides: np.ndarray) -> np.ndarray:
        """(n,) log-odds of rows, given (splits, n) bool sides, True for left; n bounds the memory, so go by pieces."""
        if sides.dtype != bool or sides.ndim != 2 or len(sides) != self.count:
            raise ValueError(f"expected the sides of {self.count} splits, got {sides.dtype} of shape {sides.shape}")
        margins = np.full(sides.shape[1], self.base)
        for tree in self.trees:
            margins += np.array(tree.value)[tree.leaves(sides)]
        return margins

    @property
    def gains(self) -> list[float]:
        """Of every split, in order."""
        return [gain for tree in self.trees for gain, split in zip(tree.gain, tree.split, strict=True) if split != LEAF]


class PlacedSplit(Strict):
    """Left go the party's rows whose code in that column is at most `bin`, and missing ones if `missing_left`."""

    party: Name
    column: Number
    bin: Number
    missing_left: StrictBool


class Trees(Forest):
    """A model with every split in the clear: a pooled one, or what a training knows before it is parted in halves."""

    splits: tuple[PlacedSplit, ...]

    @model_validator(mode="after")
    def _every_split_is_there(self) -> Self:
        if len(self.splits) != self.count:
            raise ValueError(f"a model with {self.count} splits describes {len(self.splits)}")
        return self

    def plus(self, other: Trees) -> Trees:
        """The model of these trees and then the other's."""
        first = self.count
        return Trees(base=self.base, trees=(*self.trees, *(tree.numbered(first) for tree in other.trees)),
                     splits=(*self.splits, *other.splits))

    def first(self, trees: int) -> Trees:
        """The model of the first trees alone."""
        kept = self.trees[:trees]
        return Trees(base=self.base, trees=kept, splits=self.splits[:Forest(base=self.base, trees=kept).count])


@dataclass(frozen=True)
class Importance:
    """Of one own column, or of all of a party's: sum of gains, and number of splits."""

    name: str
    gain: float
    splits: int


def importances(forest: Forest, names: Sequence[str]) -> list[Importance]:
    """By whose split it is (`names`, one for each split), the highest gain first."""
    found: dict[str, tuple[float, int]] = {}
    for name, gain in zip(names, forest.gains, strict=True):
        before = found.get(name, (0.0, 0))
        found[name] = (before[0] + gain, before[1] + 1)
    made = [Importance(name, *sums) for name, sums in found.items()]
    return sorted(made, key=lambda one: (-one.gain, one.name))
