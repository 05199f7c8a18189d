"""From a party's own table to the matrices it trains on. Local; nothing here leaves the party.

Encoder and whitening are fitted on the training rows in the order of the party's own table, so that equal data gives
an equal model whatever the order of the alignment.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from parties.runtime.tables import Table
from protocols.binning.encoder import Encoder
from protocols.errors import DataError
from protocols.plan import Plan
from protocols.psi.slices import CALIBRATION, TEST, TRAIN, slice_of
from protocols.scorecard.whitening import Whitening

_MINIMUM_SLICE_ROWS = 50


@dataclass(frozen=True, repr=False)
class Prepared:
    """Whitened columns of each slice in joint row order, (rows, d), and the table's rows behind them."""

    encoder: Encoder
    whitening: Whitening
    columns: tuple[np.ndarray, np.ndarray, np.ndarray]
    rows: tuple[np.ndarray, np.ndarray, np.ndarray]


def prepare(table: Table, rows: np.ndarray, party: str, plan: Plan) -> Prepared:
    """`rows`: the aligned rows of `table` in joint order, int64 (m,)."""
    slices = _slices(table, rows, plan)
    fitting = table.take(np.sort(slices[TRAIN])).select(list(plan.parties[party].columns))
    model = plan.model
    encoder = Encoder.fit(fitting, method=model.encoding, bins=model.bins, minimum_support=model.minimum_support)
    whitening = Whitening.fit(encoder.transform(fitting))
    columns = [transformed(table, part, encoder, whitening) for part in slices]
    return Prepared(encoder, whitening, tuple(columns), slices)


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
