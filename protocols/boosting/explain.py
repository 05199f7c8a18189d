"""TreeSHAP: what each own column and each other party contributed to a margin.

Lundberg, Erion and Lee, "Consistent individualized feature attribution for tree ensembles" (2018), Algorithm 2:
Shapley values of the game in which an unknown column sends an applicant both ways by covers. A leaf's part is a
polynomial product over the players on its path, which Algorithm 2 keeps up to date by EXTEND and UNWIND while it walks
a tree; here it is taken for all leaves at once, with no division. A player is an own column, or another party as a
whole: of that party's splits the bank does not know which ones ask about the same column.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import factorial, prod

import numpy as np

from protocols.boosting.model import LEAF, Forest, Tree

_Path = tuple[tuple[int, bool, float], ...]


@dataclass(frozen=True)
class Explanation:
    """`expected` + the sum of `shares` is the applicant's margin."""

    expected: float
    shares: dict[str, float]


class Explainer:
    """Paths of a model, made once. `names`: the player behind each split, in order."""

    def __init__(self, forest: Forest, names: Sequence[str]):
        if len(names) != forest.count:
            raise ValueError(f"expected the players of {forest.count} splits, got {len(names)}")
        self.players = sorted(set(names))
        self._splits = forest.count
        places = [self.players.index(name) for name in names]
        self._leaves = [_Leaf.of(path, value, places) for tree in forest.trees for path, value in _leaves(tree)]
        self.expected = forest.base + sum(leaf.value * prod(leaf.factors) for leaf in self._leaves)
        """The margin of an applicant of whom nothing is known: leaf values by covers."""

    def explain(self, sides: np.ndarray) -> Explanation:
        """Of one applicant, given the (splits,) bool side of every split, True for left."""
        self._check(sides[:, None])
        found, told = [0.0] * len(self.players), sides.tolist()
        for leaf in self._leaves:
            for player, part in zip(leaf.players, leaf.parts(leaf.code(told)), strict=True):
                found[player] += part
        return Explanation(self.expected, dict(zip(self.players, found, strict=True)))

    def shares(self, sides: np.ndarray) -> dict[str, np.ndarray]:
        """By player (n,), given the (splits, n) bool sides of n applicants."""
        self._check(sides)
        found = np.zeros((len(self.players), sides.shape[1]))
        for leaf in self._leaves:
            leaf.add(found, sides)
        return dict(zip(self.players, found, strict=True))

    def _check(self, sides: np.ndarray) -> None:
        if sides.dtype != bool or sides.ndim != 2 or len(sides) != self._splits:
            raise ValueError(f"expected the sides of {self._splits} splits, got {sides.dtype} of {sides.shape}")


@dataclass(frozen=True, eq=False, repr=False)
class _Leaf:
    """`players` on its path, each once, and the share of the cover that reaches it when one of them is unknown;
    `steps`: place among these players, split, whether the path goes left there. `known`: parts by code."""

    value: float
    players: list[int]
    factors: list[float]
    steps: tuple[tuple[int, int, bool], ...]
    known: dict[int, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, path: _Path, value: float, places: Sequence[int]) -> _Leaf:
        players = list(dict.fromkeys(places[split] for split, _, _ in path))
        factors = [1.0] * len(players)
        for split, _, ratio in path:
            factors[players.index(places[split])] *= ratio
        steps = tuple((players.index(places[split]), split, left) for split, left, _ in path)
        return cls(value, players, factors, steps)

    def code(self, sides: Sequence[bool]) -> int:
        """Which players let the applicant through: bit by place."""
        stopped = 0
        for place, split, left in self.steps:
            stopped |= (sides[split] != left) << place
        return (1 << len(self.players)) - 1 - stopped

    def add(self, found: np.ndarray, sides: np.ndarray) -> None:
        """What the leaf gives to each player on its path, of all applicants."""
        stopped = np.zeros(sides.shape[1], np.int64)
        for place, split, left in self.steps:
            stopped |= (sides[split] != left).astype(np.int64) << place
        seen, which = np.unique((1 << len(self.players)) - 1 - stopped, return_inverse=True)
        table = np.array([self.parts(code) for code in seen.tolist()])
        for place, player in enumerate(self.players):
            found[player] += table[which, place]

    def parts(self, code: int) -> list[float]:
        """What the leaf gives to each player on its path: the same to all whom the same players let through."""
        if code not in self.known:
            follows = [float(code >> place & 1) for place in range(len(self.players))]
            self.known[code] = [self.value * self._weight(follows, place) * (follows[place] - self.factors[place])
                                for place in range(len(self.players))]
        return self.known[code]

    def _weight(self, follows: list[float], place: int) -> float:
        """Over all sets of other players: Shapley's weight times what the set lets through to the leaf; `follows`: 1
        where a player lets the applicant through."""
        width = len(self.players)
        ways = [1.0] + [0.0] * (width - 1)
        for other in (one for one in range(width) if one != place):
            ways = [way * self.factors[other] + (ways[size - 1] * follows[other] if size else 0.0)
                    for size, way in enumerate(ways)]
        return sum(way * factorial(size) * factorial(width - 1 - size) / factorial(width)
                   for size, way in enumerate(ways))


def _leaves(tree: Tree) -> list[tuple[_Path, float]]:
    """Every leaf's path (split, whether left, share of the parent's cover) and value."""
    paths: dict[int, _Path] = {0: ()}
    for node, split in enumerate(tree.split):
        for child, left in ((tree.left[node], True), (tree.right[node], False)):
            if split != LEAF:
                paths[child] = (*paths[node], (split, left, tree.cover[child] / tree.cover[node]))
    return [(paths[node], tree.value[node]) for node, split in enumerate(tree.split) if split == LEAF]
