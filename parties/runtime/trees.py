"""A party's own table as boosted trees take it. Local; nothing here leaves the party.

Bins are fitted on the training rows in the order of the party's own table, like the encodings of scorecards.
"""
from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from parties.runtime.preparation import OnSlices, slices_of, split
from parties.runtime.tables import Table
from protocols.boosting.columns import TreeColumns
from protocols.boosting.gradients import draw, share_of
from protocols.boosting.scoring import Values
from protocols.plan import Plan
from protocols.psi.parameters import UNKNOWN
from protocols.psi.slices import TRAIN


@dataclass(frozen=True, repr=False)
class TreeRows:
    """Rows shared with one bank: bins (n, columns) uint8 of the training rows in joint order, and of each slice the
    table's rows or UNKNOWN."""

    codes: np.ndarray
    rows: tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, repr=False)
class TreesPrepared(OnSlices):
    """How the columns were binned, and the slices by bank."""

    encoder: TreeColumns
    of: Mapping[str, TreeRows]


def prepare_trees(table: Table, rows: Mapping[str, np.ndarray], party: str, plan: Plan,
                  slices: Mapping[str, np.ndarray] | None = None, order: bytes | None = None) -> TreesPrepared:
    """As `preparation.prepare` for a plan of boosted trees, which has one bank. `order`: a secret by which columns are
    shuffled before they are numbered, so that their place in the plan does not tell the bank which won a split."""
    ((bank, aligned),), own, model = rows.items(), plan.parties[party], plan.model
    parts = split(aligned, slices[bank] if slices else slices_of(table, aligned, plan))
    training = np.sort(parts[TRAIN])
    known = training != UNKNOWN
    columns = table.take(training[known]).select(list(own.columns))
    encoder = TreeColumns.fit(columns, model.boosting.bins, model.minimum_support, int((~known).sum()), own.monotone)
    encoder = encoder if order is None else _shuffled(encoder, order)
    here = parts[TRAIN] != UNKNOWN
    columns = table.take(parts[TRAIN][here]).select(list(own.columns))
    return TreesPrepared(encoder, {bank: TreeRows(encoder.codes(columns, here), parts)})


def _shuffled(encoder: TreeColumns, order: bytes) -> TreeColumns:
    count = len(encoder.columns)
    words = np.frombuffer(hashlib.shake_256(b"sealscore order of columns v1|" + order).digest(8 * count), "<u8")
    return encoder.model_copy(update={"columns": tuple(encoder.columns[place] for place in np.argsort(words))})


def values_of(table: Table, rows: np.ndarray, encoder: TreeColumns, names: set[str]) -> Values:
    """By column, of those in `names`, (len(rows),) float64 of the given rows, some of which may be UNKNOWN."""
    known = rows != UNKNOWN
    wanted = [one for one in encoder.columns if one.name in names]
    if not wanted:
        return {}
    columns = table.take(rows[known]).select(sorted({one.column for one in wanted}))
    return encoder.values(columns, known, names)


def draw_seed(plan: Plan, labels: np.ndarray) -> bytes:
    """Of the draws of rows and columns at the bank: the same for the same training, and unknown to who has not the
    labels."""
    told = plan.slices.key() + labels.astype(np.int8).tobytes()
    return hashlib.sha256(b"sealscore boosting draws v1|" + told).digest()


def validation_rows(plan: Plan, seed: bytes, rows: int) -> np.ndarray | None:
    """(rows,) bool: training rows that only say when to stop, None where nothing stops a training early."""
    settings = plan.model.boosting
    if settings.early_stopping_rounds is None:
        return None
    chosen = draw(np.arange(rows), share_of(settings.validation_share, rows), seed, "validation")
    return np.isin(np.arange(rows), chosen)
