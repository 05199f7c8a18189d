"""How one column becomes bins: quantile intervals or categories, missing rows, special codes, and a base level.

Every bin of one's own training rows holds at least `minimum_support` rows, so that no coefficient of the finished
model describes a handful of people. What is too small joins: an interval its smaller neighbour, a category the bin
"other", anything else the base level. The base level is the largest bin; it has no feature of its own, which keeps the
dummy-coded columns linearly independent.
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from protocols.binning.columns import ColumnData

CATEGORY_CELLS = 4096  # of a category column whose bins are hashes of labels
BinKind = Literal["interval", "category", "other", "missing", "special"]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Bin(BaseModel):
    """One level: what it holds in words and how many training rows fell into it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    kind: BinKind
    count: int = Field(ge=0)


class BinnedColumn(BaseModel):
    """Bins of one column and the routes into them: bin indices 0 … len(bins) - 1, `base` is dropped.

    Values v of a number go to interval_bins[i] with edges[i - 1] <= v < edges[i]. A route that the training rows did
    not show (a new category, a special code or a missing value never seen) leads to "other" if there is one, else to
    the base level: it adds nothing to a score. Where several parties share the bins, a category goes by the cell of
    its label, `category_cell`, so that none has to show its labels: then `category_cells` has the routes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    coding: Literal["bins"] = "bins"
    column: str
    kind: Literal["number", "category"]
    bins: tuple[Bin, ...] = Field(min_length=2)
    base: int
    missing_bin: int
    other_bin: int
    edges: tuple[Finite, ...] = ()
    interval_bins: tuple[int, ...] = ()
    special_bins: dict[str, int] = {}
    category_bins: dict[str, int] = {}
    category_cells: dict[int, int] = {}

    @model_validator(mode="after")
    def _check_routes(self) -> BinnedColumn:
        routes = [self.base, self.missing_bin, self.other_bin, *self.interval_bins, *self.special_bins.values(),
                  *self.category_bins.values(), *self.category_cells.values()]
        if not all(0 <= route < len(self.bins) for route in routes):
            raise ValueError(f"column {self.column!r}: a route leads outside its {len(self.bins)} bins")
        if self.kind == "number" and len(self.interval_bins) != len(self.edges) + 1:
            raise ValueError(f"column {self.column!r}: {len(self.edges)} edges need {len(self.edges) + 1} intervals")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError(f"column {self.column!r}: edges must rise strictly")
        if not all(0 <= cell < CATEGORY_CELLS for cell in self.category_cells):
            raise ValueError(f"column {self.column!r}: cells of categories lie between 0 and {CATEGORY_CELLS - 1}")
        return self

    def assign(self, data: ColumnData) -> np.ndarray:
        """int64 (n,): the bin of each row."""
        return self._assign_numbers(data) if self.kind == "number" else self._assign_categories(data)

    def _assign_numbers(self, data: ColumnData) -> np.ndarray:
        intervals = np.searchsorted(np.array(self.edges), data.values, side="right")
        assigned = np.array(self.interval_bins)[intervals]
        routes = [self.missing_bin, *(self.special_bins.get(code, self.missing_bin) for code in data.special_codes)]
        return np.where(data.ordinary, assigned, np.array(routes)[data.special])

    def _assign_categories(self, data: ColumnData) -> np.ndarray:
        routes = [self.category_bin(label) for label in data.labels]
        return np.array([*routes, self.missing_bin])[data.values]  # -1, missing, is the last route

    def category_bin(self, label: str) -> int:
        """The bin of a category."""
        if self.category_cells:
            return self.category_cells.get(category_cell(self.column, label), self.other_bin)
        return self.category_bins.get(label, self.other_bin)

    def expand(self, data: ColumnData) -> np.ndarray:
        """float64 (n, len(bins) - 1): one 0/1 column per bin except the base level."""
        assigned = self.assign(data)
        return (assigned[:, None] == np.array(self.feature_bins)[None, :]).astype(np.float64)

    @property
    def feature_bins(self) -> list[int]:
        return [index for index in range(len(self.bins)) if index != self.base]

    @property
    def feature_labels(self) -> list[tuple[str, str]]:
        """(label, kind) of each encoded feature."""
        return [(self.bins[index].label, self.bins[index].kind) for index in self.feature_bins]


def category_cell(column: str, label: str) -> int:
    """Where a label of a column falls when labels are not shown: one of CATEGORY_CELLS, by BLAKE2b (RFC 7693).

    Labels that share a cell share a bin. `column` makes the cells of two columns independent.
    """
    key = hashlib.blake2b(column.encode(), digest_size=32).digest()
    digest = hashlib.blake2b(label.encode(), digest_size=8, key=key, person=b"sealscore-cell-1").digest()
    return int.from_bytes(digest, "big") % CATEGORY_CELLS


@dataclass
class Group:
    """A level while it is being built: `keys` are the routes that lead to it."""

    label: str
    kind: BinKind
    count: int
    keys: list


def fit_bins(name: str, data: ColumnData, bins: int, minimum_support: int) -> BinnedColumn | None:
    """Bins of a training column, or None when fewer than two levels have enough rows."""
    edges = interval_edges(data.values[data.ordinary], bins, minimum_support) if data.kind == "number" else ()
    groups = _interval_groups(data, edges) if data.kind == "number" else _category_groups(data, minimum_support)
    groups += _absent_groups(data)
    kept = fold_small(groups, lambda group: group.count < minimum_support)
    return None if len(kept) < 2 else assemble(name, data.kind, edges, kept)


def interval_edges(values: np.ndarray, bins: int, minimum_support: int) -> tuple[float, ...]:
    """Inner edges of about equally full intervals. A value that many rows share gets an interval to itself first."""
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) < 2:
        return ()
    ends = np.cumsum(counts)
    cuts = quantile_cuts(ends, bins)
    sizes = np.diff([0, *(int(ends[cut]) for cut in cuts), len(values)]).tolist()
    return tuple(_between(distinct[cut], distinct[cut + 1]) for cut in _merge_small(cuts, sizes, minimum_support))


def quantile_cuts(ends: np.ndarray, bins: int) -> list[int]:
    """Indices after which to cut, rising, for about equally full intervals; `ends`: running counts, (n,) and n > 0."""
    total, left = ends[-1], bins
    cuts, filled = [], 0
    while left > 1 and filled < total:
        cut = _nearest(ends, filled + (total - filled) / left, filled)
        if ends[cut] >= total:
            break
        cuts, filled, left = [*cuts, cut], ends[cut], left - 1
    return cuts


def _nearest(ends: np.ndarray, goal: float, filled: int) -> int:
    """Index of the distinct value after which the running count comes closest to `goal`, beyond `filled`."""
    upper = min(int(np.searchsorted(ends, goal)), len(ends) - 1)
    lower = upper - 1
    closer_below = lower >= 0 and ends[lower] > filled and goal - ends[lower] <= ends[upper] - goal
    return lower if closer_below else upper


def _merge_small(cuts: list[int], sizes: list[int], minimum_support: int) -> list[int]:
    """Drop cuts until every interval holds enough rows; the smallest joins its smaller neighbour."""
    cuts, sizes = list(cuts), list(sizes)
    while cuts and min(sizes) < minimum_support:
        index = sizes.index(min(sizes))
        left = index > 0 and (index == len(sizes) - 1 or sizes[index - 1] <= sizes[index + 1])
        cut = index - 1 if left else index
        sizes[cut:cut + 2] = [sizes[cut] + sizes[cut + 1]]
        del cuts[cut]
    return cuts


def _between(low: float, high: float) -> float:
    """The shortest decimal e with low < e <= high: edges that read well and rarely spell out a row's value."""
    for digits in range(1, 17):
        for point in (high, low / 2 + high / 2):
            edge = float(f"{point:.{digits}g}")
            if low < edge <= high:
                return edge
    return float(high)


def _interval_groups(data: ColumnData, edges: tuple[float, ...]) -> list[Group]:
    placed = np.searchsorted(np.array(edges), data.values[data.ordinary], side="right")
    counts = np.bincount(placed, minlength=len(edges) + 1)
    bounds = [None, *edges, None]
    return [Group(interval_label(*bounds[i:i + 2]), "interval", int(count), [("interval", i)])
            for i, count in enumerate(counts)]


def interval_label(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "any value"
    if low is None:
        return f"< {high:.15g}"
    return f">= {low:.15g}" if high is None else f"[{low:.15g}, {high:.15g})"


def _category_groups(data: ColumnData, minimum_support: int) -> list[Group]:
    counts = np.bincount(data.values[data.ordinary], minlength=len(data.labels))
    groups, other = [], Group("other", "other", 0, [("other", "")])
    for label, count in zip(data.labels, counts.tolist(), strict=True):
        if count >= minimum_support:
            groups.append(Group(label, "category", count, [("category", label)]))
        else:
            other.count += count
            other.keys.append(("category", label))
    return [*groups, other]


def _absent_groups(data: ColumnData) -> list[Group]:
    groups = [Group("missing", "missing", int(data.missing.sum()), [("missing", "")])]
    for index, code in enumerate(data.special_codes, start=1):
        groups.append(Group(f"special {code}", "special", int((data.special == index).sum()), [("special", code)]))
    return groups


def fold_small(groups: list[Group], too_small: Callable[[Group], bool]) -> list[Group]:
    """Levels with enough rows, the largest (the base level) first; it swallows what is too small."""
    base = max(groups, key=lambda group: group.count)
    small = [group for group in groups if group is not base and too_small(group)]
    for group in small:
        base.count += group.count
        base.keys += group.keys
        base.label += f" + {group.label}" if group.count else ""
    return [base, *(group for group in groups if group is not base and group not in small)]


def assemble(name: str, kind: str, edges: tuple[float, ...], groups: list[Group]) -> BinnedColumn:
    """Number the levels in the order of the column (intervals, categories, then missing and special).

    `groups`: the base level first. Keys are ("interval", index), ("category", label), ("cell", index),
    ("special", code), ("other", "") and ("missing", "").
    """
    order = ["interval", "category", "other", "missing", "special"]
    base = groups[0]
    groups = sorted(groups, key=lambda group: (order.index(group.kind), _position(group.keys[0])))
    routes = {key: index for index, group in enumerate(groups) for key in group.keys}
    base_bin = groups.index(base)
    return BinnedColumn(
        column=name, kind=kind, base=base_bin, edges=edges,
        bins=tuple(Bin(label=group.label, kind=group.kind, count=group.count) for group in groups),
        missing_bin=routes.get(("missing", ""), base_bin), other_bin=routes.get(("other", ""), base_bin),
        interval_bins=tuple(routes[("interval", i)] for i in range(len(edges) + 1)) if kind == "number" else (),
        special_bins={key[1]: index for key, index in routes.items() if key[0] == "special"},
        category_bins={key[1]: index for key, index in routes.items() if key[0] == "category"},
        category_cells={key[1]: index for key, index in routes.items() if key[0] == "cell"},
    )


def _position(key: tuple) -> tuple[int, str]:
    return (key[1], "") if key[0] in ("interval", "cell") else (0, str(key[1]))
