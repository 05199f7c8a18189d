"""Training as a state machine that says which sums and sides it wants next, and touches no secret of anybody else.

    while (wanted := grower.wanted()) is not None:
        if isinstance(wanted, Sums):  grower.take_sums(<int64 (len(wanted), bins of all candidates)>)
        else:                         grower.take_sides(<bool (len(wanted.splits), n), True for left>)
    trees = grower.model()

A test answers from pooled columns; the bank answers its own part itself and gets the others' by a protocol. Between any
two calls `state` is a flat dict for `protocols/state.py`, from which `Grower.resume` goes on.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

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
        self._tree: GrowingTree | None = self._begun()

    @property
    def trees(self) -> int:
        """Trees that are finished."""
        return len(self._model.trees)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The columns as they stand in a row of sums."""
        return self._candidates.columns

    def reorder(self, columns: tuple[Candidate, ...]) -> None:
        """Other numbers, order or direction of the candidates from this tree on: between trees only."""
        if self._tree is None or self._tree.asked != [0]:
            raise ProtocolError("expected candidates to be reordered between trees, got them within one")
        self._candidates = self._checked(columns)
        self.__dict__.pop("_eligible", None)

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

    def take_sides(self, sides: np.ndarray) -> None:
        """(splits, n) bool, True for left. ProtocolError, with nothing changed, if they are not."""
        wanted = self.wanted()
        if not isinstance(wanted, Sides):
            raise ProtocolError("expected no sides now, got some; ask what is wanted")
        self._check(sides, "b", (len(wanted.splits), len(self._labels)), "sides")
        self._tree.take_sides(sides, self._candidates, self.settings)
        if not self._tree.level:
            self._finish_tree()

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
        made, first = tree.finished(self.settings, self._model.count), self._model
        self._model = Trees(base=first.base, trees=(*first.trees, made),
                            splits=(*first.splits, *tree.placed_splits(self._candidates)))
        self._margins += np.array(made.value)[tree.member]
        self._tree = None if self._ended() else self._begun()

    def _ended(self) -> bool:
        if self.settings.early_stopping_rounds:
            rows = ~self._training
            found = loss(self._margins[rows], self._labels[rows], self.settings.class_weight)
            if found < self._best_loss:
                self._best_loss, self._best_trees = found, self.trees
            if self.trees - self._best_trees >= self.settings.early_stopping_rounds:
                return True
        return self.trees >= self.settings.trees

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

    @staticmethod
    def _check(array: np.ndarray, kinds: str, shape: tuple[int, ...], what: str) -> None:
        if array.dtype.kind not in kinds or array.shape != shape:
            raise ProtocolError(f"expected {what} of shape {shape}, got {array.dtype} of shape {array.shape}")

    def state(self) -> dict[str, Any]:
        """Everything, as a flat dict for `protocols/state.py`: labels and margins too, so it stays with the bank."""
        tree = self._tree.to_state() if self._tree else {}
        return {"settings": self.settings.model_dump_json(), "seed": self._seed, "labels": self._labels,
                "training": self._training, "candidates": self._candidates.to_text(), "base": self._base,
                "margins": self._margins, "model": self._model.to_json(), "best_loss": self._best_loss,
                "best_trees": self._best_trees, "growing": bool(tree), **tree}

    @classmethod
    def resume(cls, state: dict[str, Any]) -> Grower:
        """The training that `state` was taken of."""
        grower = cls.__new__(cls)
        grower.settings = BoostingSettings.model_validate_json(state["settings"])
        grower._seed, grower._labels, grower._training = state["seed"], state["labels"], state["training"]
        grower._candidates = Candidates.from_text(state["candidates"])
        grower._base, grower._margins = state["base"], state["margins"]
        grower._model = Trees.from_json(state["model"])
        grower._best_loss, grower._best_trees = state["best_loss"], state["best_trees"]
        grower._tree = GrowingTree.from_state(state) if state["growing"] else None
        return grower

    def __repr__(self) -> str:
        return f"Grower({len(self._labels)} rows, {self.trees} trees, REDACTED)"
