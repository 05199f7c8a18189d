"""A bank's boosted trees for one applicant: its own sides from one bureau answer, the platform's as it told them."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from parties.bank.scoring.own import FACTOR, Cell, Cells, OwnScore, Part, Values
from parties.runtime.tables import TableConfig
from protocols.boosting.columns import TreeColumn, TreeColumns
from protocols.boosting.explain import Explainer
from protocols.boosting.halves import Cut, LabelHalf
from protocols.boosting.messages import one_person

_OWN = "column:"


class OwnTrees:
    """Trees, and how the bank's columns are read. Immutable. `platform`: who answers the other splits, None in trees
    that ask nobody else."""

    def __init__(self, config: TableConfig, encoder: TreeColumns, half: LabelHalf, platform: str | None):
        self._half, self._platform = half, platform
        asked = {split.column for split in half.splits if isinstance(split, Cut)}
        self._columns = tuple(one for one in encoder.columns if one.name in asked)
        self._of = {_OWN + one.name: one.column for one in self._columns}
        self._cells = Cells(config, sorted({one.column for one in self._columns}))
        self._explainer = Explainer(half, half.names)

    def margin(self, values: Values, told: bytes) -> float:
        """Log-odds before calibration, given a bit for each of the platform's splits. DataError for a value that the
        table cannot have, MalformedMessage for another number of bits."""
        count = self._half.numbers.get(self._platform, 0)
        others = {} if self._platform is None else {self._platform: one_person(told, count)}
        return float(self._half.margins(self._sides(values, others))[0])

    def score(self, values: Values) -> OwnScore:
        """Of trees that ask nobody else, with what each column contributed (TreeSHAP); a column's levels as one."""
        sides = self._sides(values, {})
        told = self._explainer.explain(sides[:, 0])
        shares: dict[str, float] = {}
        for name, share in told.shares.items():
            shares[self._of[name]] = shares.get(self._of[name], 0.0) + share
        parts = tuple(Part(name, None, share, max(0.0, -share * FACTOR)) for name, share in sorted(shares.items()))
        return OwnScore(told.expected + sum(shares.values()), parts)

    def _sides(self, values: Values, others: Mapping[str, np.ndarray]) -> np.ndarray:
        """(splits, 1) of all splits."""
        own = {one.name: np.array([_value(one, self._cells.read(one.column, values.get(one.column)))])
               for one in self._columns}
        return self._half.sides(own, others) if self._half.splits else np.zeros((0, 1), bool)


def _value(column: TreeColumn, cell: Cell) -> float:
    """As `TreeColumn.values` has it of the same cell."""
    if column.kind == "number":
        return np.nan if cell.number is None else cell.number
    if column.kind == "missing":
        return float(cell.label is None)
    return float((cell.special if column.kind == "special" else cell.label) == column.level)
