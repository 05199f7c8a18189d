"""From a party's own table to the matrices it trains on. Local; nothing here leaves the party.

Encoder and whitening are fitted on the training rows in the order of the party's own table, so that equal data gives
an equal model whatever the order of the alignment.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from parties.runtime.tables import Table
from protocols.binning.columns import ColumnData
from protocols.binning.encoder import Encoder
from protocols.commons.encoding import with_own_labels
from protocols.errors import DataError
from protocols.plan import Plan
from protocols.psi.slices import CALIBRATION, TEST, TRAIN, slice_of
from protocols.scorecard.whitening import Whitening

_MINIMUM_SLICE_ROWS = 50


@dataclass(frozen=True, repr=False)
class Slices:
    """Rows shared with one bank: whitened columns of each slice in joint row order, (rows, d), the table's rows."""

    columns: tuple[np.ndarray, np.ndarray, np.ndarray]
    rows: tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, repr=False)
class Prepared:
    """How the columns were encoded, and the slices by bank: a bank's own, at a platform those of all banks."""

    encoder: Encoder
    labelled: Encoder  # the same for this party's own eyes: bins that several banks found carry its own labels
    whitening: Whitening
    of: Mapping[str, Slices]

    @property
    def training_rows(self) -> np.ndarray:
        """The table's rows that are trained on, each once, int64."""
        return np.unique(np.concatenate([slices.rows[TRAIN] for slices in self.of.values()]))


Fit = Callable[[dict[str, ColumnData]], tuple[Encoder, Whitening]]


def prepare(table: Table, rows: Mapping[str, np.ndarray], party: str, plan: Plan, fit: Fit | None = None) -> Prepared:
    """`rows`: by bank the aligned rows of `table` in joint order, int64 (m,); `fit` gives encoder and whitening from
    the columns of the training rows, by default from these alone."""
    slices = {bank: _slices(table, aligned, plan) for bank, aligned in rows.items()}
    training = np.sort(np.concatenate([parts[TRAIN] for parts in slices.values()]))
    columns = table.take(training).select(list(plan.parties[party].columns))
    encoder, whitening = fit(columns) if fit else _fit_alone(columns, plan)
    return Prepared(encoder, with_own_labels(encoder, columns), whitening, {
        bank: Slices(tuple(transformed(table, part, encoder, whitening) for part in parts), parts)
        for bank, parts in slices.items()
    })


def _fit_alone(columns: dict[str, ColumnData], plan: Plan) -> tuple[Encoder, Whitening]:
    model = plan.model
    encoder = Encoder.fit(columns, method=model.encoding, bins=model.bins, minimum_support=model.minimum_support)
    return encoder, Whitening.fit(encoder.transform(columns))


def transformed(table: Table, rows: np.ndarray, encoder: Encoder, whitening: Whitening) -> np.ndarray:
    """Whitened columns of the given rows, (len(rows), d)."""
    names = [column.column for column in encoder.columns]
    return whitening.transform(encoder.transform(table.take(rows).select(names)))


def partial_scores(table: Table, rows: np.ndarray, half: dict[str, Any]) -> np.ndarray:
    """A party's part of the log-odds of the given rows, (len(rows),), with its half of a published model."""
    encoder, whitening = Encoder.from_json(half["encoder"]), Whitening.from_json(half["whitening"])
    return transformed(table, rows, encoder, whitening) @ np.array(half["coefficients"])


def _slices(table: Table, rows: np.ndarray, plan: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    fractions = (plan.slices.train, plan.slices.calibration, plan.slices.test)
    ids = [table.ids[row] for row in rows]
    assigned = slice_of(ids, plan.slices.key(), fractions, plan.alignment.normalise)
    parts = tuple(rows[assigned == index] for index in (TRAIN, CALIBRATION, TEST))
    smallest = min(len(part) for part in parts)
    if smallest < _MINIMUM_SLICE_ROWS:
        raise DataError(
            f"expected at least {_MINIMUM_SLICE_ROWS} rows in each of the training, calibration and test slices, the "
            f"smallest of the {len(rows)} aligned rows' slices has {smallest}; bring more rows or change [slices]"
        )
    return parts
