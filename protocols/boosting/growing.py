"""One tree while it grows, level by level.

The sums of a level are asked for the smaller child of every split only; its sibling's are what the parent's leave. No
sums are asked of a node with fewer than the minimum of rows, nor is any node's sibling so small: then both are leaves.
A row counts if its quantised gradient and hessian are both not 0, for only such rows hide each other in a sum.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from protocols.boosting.candidates import Candidates
from protocols.boosting.model import LEAF, PlacedSplit, Tree
from protocols.boosting.settings import BoostingSettings
from protocols.boosting.splits import Bounds, Split, best_split, handed_down, leaf_weight
from protocols.errors import ProtocolError


@dataclass
class Node:
    """`gradient` and `hessian` are exact sums over `rows` counted rows."""

    depth: int
    rows: int
    gradient: int
    hessian: int
    bounds: Bounds = Bounds()
    split: Split | None = None
    children: tuple[int, int] = (LEAF, LEAF)


@dataclass(repr=False)
class GrowingTree:
    """`gradients`, `hessians`: (n,) int64; `member`: (n,) the node that each row is in; `level`: nodes whose split is
    looked for, `asked`: those of them whose sums are asked for, `sums` (2, total bins) of nodes that are known."""

    gradients: np.ndarray
    hessians: np.ndarray
    member: np.ndarray
    nodes: list[Node] = field(default_factory=list)
    level: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    sums: dict[int, np.ndarray] = field(default_factory=dict)

    @classmethod
    def begin(cls, gradients: np.ndarray, hessians: np.ndarray, settings: BoostingSettings) -> GrowingTree:
        """A tree with a root alone; it is asked for unless it is too small."""
        tree = cls(gradients, hessians, np.zeros(len(gradients), np.int16))
        root = tree._add(0, np.ones(len(gradients), bool), Bounds())
        if tree.nodes[root].rows >= settings.node_rows:
            tree.level, tree.asked = [root], [root]
        return tree

    def take_sums(self, sums: np.ndarray, candidates: Candidates, eligible: np.ndarray,
                  settings: BoostingSettings) -> None:
        """The sums of the nodes asked for, (2 · asked, total bins), gradients before hessians: splits the level.
        ProtocolError if they do not add up to what the bank's own vectors do."""
        both = np.stack([sums[:len(self.asked)], sums[len(self.asked):]], axis=1)
        for node, one in zip(self.asked, both, strict=True):
            self._check_totals(node, one, candidates, eligible)
        self.sums.update(zip(self.asked, both, strict=True))
        for at, node in enumerate(self.nodes):
            if node.split and node.children[0] in self.level:
                self._subtract(at, *node.children)
        for node in self.level:
            bounds = self.nodes[node].bounds
            self.nodes[node].split = best_split(self.sums[node], candidates, eligible, bounds, settings)
        self.sums = {node: self.sums[node] for node in self.split_nodes()}
        self.asked = []

    def split_nodes(self) -> list[int]:
        """Nodes of this level that were given a split."""
        return [node for node in self.level if self.nodes[node].split]

    def route(self, sides: Iterable[np.ndarray]) -> np.ndarray:
        """For each of `split_nodes` (n,) bool, True for left -> (n,) bool, who goes left at its own node. ProtocolError
        if they do not agree with the sums that the splits were chosen by."""
        route = np.zeros(len(self.member), bool)
        for node, side in zip(self.split_nodes(), sides, strict=True):
            left = side & (self.member == node)
            self._check_side(node, left)
            route |= left
        return route

    def divide(self, route: np.ndarray, candidates: Candidates, settings: BoostingSettings) -> None:
        """Give every split of the level its children."""
        at, self.level = self.split_nodes(), []
        for node in at:
            self._divide(node, route, candidates, settings)

    def leaf_values(self, settings: BoostingSettings) -> np.ndarray:
        """(nodes,) learning rate times leaf weight, 0 at splits."""
        weights = [0.0 if node.split else float(self._weight(node.gradient, node.hessian, node.bounds, settings))
                   for node in self.nodes]
        return settings.learning_rate * np.array(weights)

    def finished(self, settings: BoostingSettings) -> Tree:
        """The tree; its splits are numbered from 0 on."""
        numbers = iter(range(len(self.nodes)))
        return Tree(split=tuple(next(numbers) if node.split else LEAF for node in self.nodes),
                    left=tuple(node.children[0] for node in self.nodes),
                    right=tuple(node.children[1] for node in self.nodes),
                    value=tuple(self.leaf_values(settings).tolist()),
                    cover=tuple(node.hessian / 2.0 ** settings.hessian_bits for node in self.nodes),
                    gain=tuple(node.split.gain if node.split else 0.0 for node in self.nodes))

    def placed_splits(self, candidates: Candidates, nodes: list[int] | None = None) -> tuple[PlacedSplit, ...]:
        """What the splits of all nodes, or of `nodes`, ask of whose column."""
        chosen = self.nodes if nodes is None else [self.nodes[node] for node in nodes]
        splits = [node.split for node in chosen if node.split]
        columns = [candidates.columns[split.place] for split in splits]
        return tuple(PlacedSplit(party=one.party, column=one.column, bin=split.bin, missing_left=split.missing_left)
                     for split, one in zip(splits, columns, strict=True))

    def _check_totals(self, node: int, sums: np.ndarray, candidates: Candidates, eligible: np.ndarray) -> None:
        whole = np.array([self.nodes[node].gradient, self.nodes[node].hessian])
        wrong = sum(not np.array_equal(part.sum(axis=1), whole)
                    for part, wanted in zip(candidates.parts(sums), eligible, strict=True) if wanted)
        if wrong:
            raise ProtocolError(f"expected the bins of every column to add up to the sum over the node's rows, got "
                                f"something else in {wrong} columns; a party's bins or the hidden sums are wrong")

    def _check_side(self, node: int, left: np.ndarray) -> None:
        split = self.nodes[node].split
        if (int(self.gradients[left].sum()), int(self.hessians[left].sum())) != (split.gradient, split.hessian):
            raise ProtocolError("expected the rows on the left of a split to have the sums that it was chosen by, got "
                                "others; the party's bins are not those that it summed")

    def _subtract(self, parent: int, left: int, right: int) -> None:
        known, sibling = (left, right) if left in self.asked else (right, left)
        self.sums[sibling] = self.sums[parent] - self.sums[known]

    def _divide(self, at: int, route: np.ndarray, candidates: Candidates, settings: BoostingSettings) -> None:
        node, split = self.nodes[at], self.nodes[at].split
        weights = [float(self._weight(g, h, node.bounds, settings)) for g, h in (
            (split.gradient, split.hessian), (node.gradient - split.gradient, node.hessian - split.hessian))]
        bounds = handed_down(node.bounds, candidates.columns[split.place].monotone, *weights)
        here = self.member == at
        left, right = here & route, here & ~route
        node.children = (self._add(node.depth + 1, left, bounds[0]), self._add(node.depth + 1, right, bounds[1]))
        rows = [self.nodes[child].rows for child in node.children]
        if node.depth + 1 < settings.depth and min(rows) >= settings.node_rows:
            self.level += node.children
            self.asked.append(node.children[0 if rows[0] <= rows[1] else 1])
        else:
            del self.sums[at]

    def _add(self, depth: int, rows: np.ndarray, bounds: Bounds) -> int:
        number = len(self.nodes)
        self.member[rows] = number
        gradients, hessians = self.gradients[rows], self.hessians[rows]
        counted = int(np.count_nonzero((gradients != 0) & (hessians != 0)))
        self.nodes.append(Node(depth, counted, int(gradients.sum()), int(hessians.sum()), bounds))
        return number

    @staticmethod
    def _weight(gradient: int, hessian: int, bounds: Bounds, settings: BoostingSettings) -> np.ndarray:
        return leaf_weight(gradient / 2.0 ** settings.gradient_bits, hessian / 2.0 ** settings.hessian_bits, bounds,
                           settings.l2)
