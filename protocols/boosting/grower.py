"""Training as a state machine that says which sums and sides it wants next, and touches no secret of anybody else.

    while (wanted := grower.wanted()) is not None:
        if isinstance(wanted, Sums):  grower.take_sums(<int64 (len(wanted), bins of all candidates)>)
        else:                         grower.take_sides(<for each of wanted.splits bool (n,), True for left>)
    trees = grower.model()

A test answers from pooled columns; the bank answers its own part itself and gets the others' by a protocol. A grower is
not written down: given the same answers another one makes the same trees, and `regrow` takes finished ones as they are.
"""
from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from protocols.boosting.candidates import Candidate, Candidates
from protocols.boosting.gradients import base_margin, draw, loss, quantised_gradients, share_of
from protocols.boosting.growing import GrowingTree
from protocols.boosting.model import PlacedSplit, Trees
from protocols.boosting.settings import BoostingSettings
from protocols.errors import DataError, ProtocolError


@dataclass(frozen=True, eq=False, repr=False)
class Sums:
    """Sums over bins that are wanted: gradients of every node in `nodes`, then hessians of each. `columns`
    (candidates,) bool are the ones that compete in this tree; sums of others are not looked at and may be left 0."""

    nodes: tuple[int, ...]
    columns: np.ndarray
    _tree: GrowingTree

    def __len__(self) -> int:
        return 2 * len(self.nodes)

    def vector(self, number: int) -> np.ndarray:
        """(n,) int64 to be summed over bins: one at a time, for a million rows and many nodes do not fit otherwise."""
        which, at = divmod(number, len(self.nodes))
        values = (self._tree.gradients, self._tree.hessians)[which]
        return np.where(self._tree.member == self.nodes[at], values, 0)

    @property
    def vectors(self) -> np.ndarray:
        """(len, n) int64, all at once."""
        return np.stack([self.vector(number) for number in range(len(self))])


@dataclass(frozen=True)
class Sides:
    """Splits of one level whose side is wanted for every row."""

    splits: tuple[PlacedSplit, ...]


class Grower:
    """One training. `labels` (n,) 0 or 1; rows of `validation` (n,) bool never enter a sum. DataError if the rows
    cannot carry a tree."""

    def __init__(self, settings: BoostingSettings, labels: np.ndarray, columns: tuple[Candidate, ...], seed: bytes,
                 validation: np.ndarray | None = None):
        self.settings, self._seed = settings, seed
        self._labels = labels.astype(np.int8)
        self._training = np.ones(len(labels), bool) if validation is None else ~validation
        self._check_rows(labels)
        self._candidates = self._checked(columns)
        self._base = base_margin(self._labels[self._training], settings.class_weight)
        self._margins = np.full(len(labels), self._base)
        self._model = Trees(base=self._base, trees=(), splits=())
        self._best_loss, self._best_trees = math.inf, 0
        self.newest: Trees | None = None  # the tree that was finished last, as a model of its own
        self._tree: GrowingTree | None = self._begun()

    @property
    def trees(self) -> int:
        """Trees that are finished."""
        return len(self._model.trees)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The columns as they stand in a row of sums."""
        return self._candidates.columns

    def wanted(self) -> Sums | Sides | None:
        """What is to be answered next; None when the training has ended. Asking again changes nothing."""
        if self._tree is None:
            return None
        if self._tree.asked:
            return Sums(tuple(self._tree.asked), self._eligible, self._tree)
        return Sides(self._tree.placed_splits(self._candidates, self._tree.split_nodes()))

    def take_sums(self, sums: np.ndarray) -> None:
        """(len(Sums), bins of all candidates) exact integers. ProtocolError, with nothing changed, if they are not."""
        wanted = self.wanted()
        if not isinstance(wanted, Sums):
            raise ProtocolError("expected no sums now, got some; ask what is wanted")
        self._check(sums, "iu", (len(wanted), self._candidates.total), "sums")
        self._tree.take_sums(sums.astype(np.int64), self._candidates, self._eligible, self.settings)
        if not self._tree.split_nodes():
            self._finish_tree()

    def take_sides(self, sides: Iterable[np.ndarray]) -> np.ndarray:
        """For each split (n,) bool, True for left; looked at one at a time, for many do not fit. Returns the level's
        route, (n,) bool: who went left at its own node, which stands for any of the sides when a level is replayed.
        ProtocolError, with nothing changed, if they are not what was wanted."""
        wanted = self.wanted()
        if not isinstance(wanted, Sides):
            raise ProtocolError("expected no sides now, got some; ask what is wanted")
        route = self._tree.route(self._checked_sides(sides, len(wanted.splits)))
        self._tree.divide(route, self._candidates, self.settings)
        if not self._tree.level:
            self._finish_tree()
        return route

    def regrow(self, finished: Iterable[tuple[Trees, Iterable[np.ndarray]]]) -> None:
        """Take trees that were finished before, each a model of its own with the routes of its levels in order, and
        begin the next one. Only for a grower that has not grown anything yet."""
        for made, routes in finished:
            self._append(made, made.trees[0].leaves_by_routes(routes, len(self._labels)))
        self._tree = None if self._ended() else self._begun()

    def model(self) -> Trees:
        """The finished trees; with early stopping those up to the best one. Splits keep the numbers that they got."""
        return self._model.first(self._best_trees) if self.settings.early_stopping_rounds else self._model

    def margins(self) -> np.ndarray:
        """(n,) log-odds of all rows after all finished trees, those past the best one too."""
        return self._margins.copy()

    @cached_property
    def _eligible(self) -> np.ndarray:
        """(candidates,) bool: the columns drawn for this tree."""
        count = len(self._candidates.columns)
        chosen = draw(np.arange(count), share_of(self.settings.column_share, count), self._tree_seed, "columns")
        return np.isin(np.arange(count), chosen)

    @property
    def _tree_seed(self) -> bytes:
        return self._seed + self.trees.to_bytes(4, "little")

    def _begun(self) -> GrowingTree | None:
        """The next tree, or None if too few rows still have a gradient."""
        self.__dict__.pop("_eligible", None)
        found = quantised_gradients(self._margins, self._labels, self._training, self.settings, self._tree_seed)
        tree = GrowingTree.begin(*found, self.settings)
        return tree if tree.asked else None

    def _finish_tree(self) -> None:
        tree = self._tree
        if not any(node.split for node in tree.nodes) and not self.settings.sampled:
            self._tree = None  # the next tree would see the same sums and find nothing either
            return
        splits = tree.placed_splits(self._candidates)
        self._append(Trees(base=self._base, trees=(tree.finished(self.settings),), splits=splits), tree.member)
        self._tree = None if self._ended() else self._begun()

    def _append(self, made: Trees, member: np.ndarray) -> None:
        """One more tree, with the leaf (n,) that every row is in."""
        self.newest, self._model = made, self._model.plus(made)
        self._margins += np.array(made.trees[0].value)[member]
        if self.settings.early_stopping_rounds:
            rows = ~self._training
            found = loss(self._margins[rows], self._labels[rows], self.settings.class_weight)
            if found < self._best_loss:
                self._best_loss, self._best_trees = found, self.trees

    def _ended(self) -> bool:
        patience = self.settings.early_stopping_rounds
        return self.trees >= self.settings.trees or bool(patience) and self.trees - self._best_trees >= patience

    def _check_rows(self, labels: np.ndarray) -> None:
        training = labels[self._training]
        if not np.isin(labels, (0, 1)).all() or len(np.unique(training)) != 2:
            raise DataError("expected training rows with labels 0 and 1, both of them, got others; check the labels")
        if self.settings.early_stopping_rounds and self._training.all():
            raise DataError("expected validation rows for early stopping, got none; set a part of the rows aside")
        share = self.settings.goss.top + self.settings.goss.other if self.settings.goss else self.settings.row_share
        if share * len(training) < self.settings.node_rows:
            raise DataError(f"expected at least {self.settings.node_rows} training rows for a tree, got "
                            f"{int(share * len(training))}; bring more rows or ask for fewer bins")

    def _checked(self, columns: tuple[Candidate, ...]) -> Candidates:
        candidates = Candidates(columns)
        candidates.check(self.settings.bins)
        return candidates

    def _checked_sides(self, sides: Iterable[np.ndarray], count: int) -> Iterator[np.ndarray]:
        got = 0
        for got, side in enumerate(sides, start=1):
            self._check(side, "b", (len(self._labels),), "a side")
            if got <= count:
                yield side
        if got != count:
            raise ProtocolError(f"expected the sides of {count} splits, got {got}")

    @staticmethod
    def _check(array: np.ndarray, kinds: str, shape: tuple[int, ...], what: str) -> None:
        if array.dtype.kind not in kinds or array.shape != shape:
            raise ProtocolError(f"expected {what} of shape {shape}, got {array.dtype} of shape {array.shape}")

    def __repr__(self) -> str:
        return f"Grower({len(self._labels)} rows, {self.trees} trees, REDACTED)"
