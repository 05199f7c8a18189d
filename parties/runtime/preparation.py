"""From a party's own table to the matrices it trains on. Local; nothing here leaves the party.

Encoder and whitening are fitted on the training rows in the order of the party's own table, so that equal data gives
an equal model whatever the order of the alignment. Rows of people whom a platform does not know are UNKNOWN (-1): they
have no columns, `Encoder.transform` gives them a place of their own, and no table is ever asked for them.
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
from protocols.psi.parameters import UNKNOWN
from protocols.psi.slices import CALIBRATION, TEST, TRAIN, slice_of
from protocols.scorecard.whitening import Whitening

_MINIMUM_SLICE_ROWS = 50
HOLDOUT = {"calibration": CALIBRATION, "test": TEST}  # the slices that a model is judged on, by name


@dataclass(frozen=True, repr=False)
class Slices:
    """Rows shared with one bank: whitened columns of each slice in joint row order, (rows, d), the table's rows or
    UNKNOWN."""

    columns: tuple[np.ndarray, np.ndarray, np.ndarray]
    rows: tuple[np.ndarray, np.ndarray, np.ndarray]


class OnSlices:
    """Rows by bank: at a bank its own, at a platform those of all banks; each has `rows`, the table's rows of each
    slice or UNKNOWN."""

    of: Mapping[str, Any]

    @property
    def only(self) -> Any:
        """Of a party with one bank's rows, as a bank, which holds none but its own."""
        (slices,) = self.of.values()
        return slices

    @property
    def training_rows(self) -> np.ndarray:
        """The table's rows that are trained on, each once, int64."""
        rows = np.unique(np.concatenate([slices.rows[TRAIN] for slices in self.of.values()]))
        return rows[rows != UNKNOWN]


@dataclass(frozen=True, repr=False)
class Prepared(OnSlices):
    """How the columns were encoded, and the slices by bank: a bank's own, at a platform those of all banks."""

    encoder: Encoder
    labelled: Encoder  # the same for this party's own eyes: bins that several banks found carry its own labels
    whitening: Whitening
    of: Mapping[str, Slices]


Fit = Callable[[dict[str, ColumnData]], tuple[Encoder, Whitening]]


def prepare(
    table: Table, rows: Mapping[str, np.ndarray], party: str, plan: Plan, fit: Fit | None = None,
    slices: Mapping[str, np.ndarray] | None = None,
) -> Prepared:
    """`rows`: by bank the aligned rows of `table` in joint order, int64 (m,), UNKNOWN where there is none; `fit` gives
    encoder and whitening from the columns of the training rows, by default from these alone; `slices`: by bank the
    slice of each row, int8 (m,), needed where rows are UNKNOWN, else by the plan's hash."""
    slices = {bank: slices_of(table, aligned, plan) for bank, aligned in rows.items()} if slices is None else slices
    parts_of = {bank: split(aligned, slices[bank]) for bank, aligned in rows.items()}
    training = np.sort(np.concatenate([parts[TRAIN] for parts in parts_of.values()]))
    known = training != UNKNOWN
    columns = table.take(training[known]).select(list(plan.parties[party].columns))
    encoder, whitening = fit(columns) if fit else _fit_alone(columns, known, plan)
    return Prepared(encoder, with_own_labels(encoder, columns), whitening, {
        bank: Slices(tuple(transformed(table, part, encoder, whitening) for part in parts), parts)
        for bank, parts in parts_of.items()
    })


def _fit_alone(columns: dict[str, ColumnData], known: np.ndarray, plan: Plan) -> tuple[Encoder, Whitening]:
    """`columns` of those training rows that are `known`, bool (n,)."""
    model = plan.model
    encoder = Encoder.fit(columns, method=model.encoding, bins=model.bins, minimum_support=model.minimum_support,
                          unknown=int((~known).sum()))
    return encoder, Whitening.fit(encoder.transform(columns, known))


def transformed(table: Table, rows: np.ndarray, encoder: Encoder, whitening: Whitening) -> np.ndarray:
    """Whitened columns of the given rows, some of which may be UNKNOWN, (len(rows), d)."""
    names, known = [column.column for column in encoder.columns], rows != UNKNOWN
    return whitening.transform(encoder.transform(table.take(rows[known]).select(names), known))


def columns_of(table: Table, rows: np.ndarray, half: dict[str, Any]) -> np.ndarray:
    """Whitened columns of the given rows as a published model encodes them, (len(rows), d)."""
    return transformed(table, rows, Encoder.from_json(half["encoder"]), Whitening.from_json(half["whitening"]))


def partial_scores(table: Table, rows: np.ndarray, half: dict[str, Any]) -> np.ndarray:
    """A party's part of the log-odds of the given rows, some of which may be UNKNOWN, (len(rows),), with its half of a
    published model."""
    return columns_of(table, rows, half) @ np.array(half["coefficients"])


def slices_of(table: Table, rows: np.ndarray, plan: Plan) -> np.ndarray:
    """The slice of each of these rows of the table, int8 (len(rows),)."""
    if rows.min(initial=0) < 0:
        raise DataError("expected rows that this table holds; a person unknown to a party has no identifier to hash")
    fractions = (plan.slices.train, plan.slices.calibration, plan.slices.test)
    return slice_of([table.ids[row] for row in rows], plan.slices.key(), fractions, plan.alignment.normalise)


def split(rows: np.ndarray, slices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training, calibration and test rows, by the slice of each; DataError where one has too few."""
    parts = tuple(rows[slices == index] for index in (TRAIN, CALIBRATION, TEST))
    smallest = min(len(part) for part in parts)
    if smallest < _MINIMUM_SLICE_ROWS:
        raise DataError(
            f"expected at least {_MINIMUM_SLICE_ROWS} rows in each of the training, calibration and test slices, the "
            f"smallest of the {len(rows)} aligned rows' slices has {smallest}; bring more rows or change [slices]"
        )
    return parts
