"""TreeSHAP: what each own column and each other party contributed to a margin.

Lundberg, Erion and Lee, "Consistent individualized feature attribution for tree ensembles" (2018), Algorithm 2:
Shapley values of the game in which an unknown column sends an applicant both ways by covers. A leaf's part is a
polynomial product over the players on its path, which Algorithm 2 keeps up to date by EXTEND and UNWIND while it walks
a tree; here it is taken for all leaves at once, with no division. A player is an own column, or another party as a
whole: of that party's splits the bank does not know which ones ask about the same column.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import factorial

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
        self._base = forest.base
        self._numbers = [self.players.index(name) for name in names]
        leaves = [leaf for tree in forest.trees for leaf in _leaves(tree)]
        self._paths = [path for path, _ in leaves]
        self._values = np.array([value for _, value in leaves])

    @cached_property
    def expected(self) -> float:
        """The margin of an applicant of whom nothing is known: leaf values by covers."""
        return self._base + float(self._values @ self._factors.prod(axis=1))

    def explain(self, sides: np.ndarray) -> Explanation:
        """Of one applicant, given the (splits,) bool side of every split, True for left."""
        if sides.dtype != bool or sides.shape != (len(self._numbers),):
            raise ValueError(f"expected the sides of {len(self._numbers)} splits, got {sides.dtype} of {sides.shape}")
        follows = np.ones(self._factors.shape)
        if len(self._steps):
            leaf, slot, split, left = self._steps.T
            np.multiply.at(follows, (leaf, slot), sides[split] == left.astype(bool))
        shares = np.zeros(len(self.players))
        for slot in range(self._factors.shape[1]):
            inside = self._owners[:, slot] >= 0
            parts = self._values * self._weights(follows, slot) * (follows - self._factors)[:, slot]
            np.add.at(shares, self._owners[inside, slot], parts[inside])
        return Explanation(self.expected, dict(zip(self.players, shares.tolist(), strict=True)))

    def _weights(self, follows: np.ndarray, slot: int) -> np.ndarray:
        """(leaves,) over all sets of other players: Shapley's weight times what the set lets through to the leaf."""
        width = self._factors.shape[1]
        ways = np.zeros((len(self._values), width))
        ways[:, 0] = 1.0
        for other in (one for one in range(width) if one != slot):
            grown = ways * self._factors[:, other:other + 1]
            grown[:, 1:] += ways[:, :-1] * follows[:, other:other + 1]
            ways = grown
        shapley = [factorial(size) * factorial(width - 1 - size) / factorial(width) for size in range(width)]
        return ways @ np.array(shapley)

    @cached_property
    def _slots(self) -> list[list[int]]:
        """By leaf the players on its path, each once."""
        return [list(dict.fromkeys(self._numbers[split] for split, _, _ in path)) for path in self._paths]

    @cached_property
    def _owners(self) -> np.ndarray:
        """(leaves, slots) player of each slot, -1 for one that nobody needs: its factor of 1 changes nothing."""
        width = max((len(slots) for slots in self._slots), default=0)
        rows = [slots + [-1] * (width - len(slots)) for slots in self._slots]
        return np.array(rows, np.int64).reshape(len(rows), width)

    @cached_property
    def _factors(self) -> np.ndarray:
        """(leaves, slots) share of the cover that reaches the leaf when the player is unknown."""
        factors = np.ones(self._owners.shape)
        for leaf, path in enumerate(self._paths):
            for split, _, ratio in path:
                factors[leaf, self._slots[leaf].index(self._numbers[split])] *= ratio
        return factors

    @cached_property
    def _steps(self) -> np.ndarray:
        """(steps, 4): leaf, slot, split and whether the path goes left there."""
        steps = [(leaf, self._slots[leaf].index(self._numbers[split]), split, left)
                 for leaf, path in enumerate(self._paths) for split, left, _ in path]
        return np.array(steps, np.int64).reshape(-1, 4)


def _leaves(tree: Tree) -> list[tuple[_Path, float]]:
    """Every leaf's path (split, whether left, share of the parent's cover) and value."""
    paths: dict[int, _Path] = {0: ()}
    for node, split in enumerate(tree.split):
        for child, left in ((tree.left[node], True), (tree.right[node], False)):
            if split != LEAF:
                paths[child] = (*paths[node], (split, left, tree.cover[child] / tree.cover[node]))
    return [(paths[node], tree.value[node]) for node, split in enumerate(tree.split) if split == LEAF]
