"""The pooled comparison of a run of boosted trees: the same algorithm with all columns in one place."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from protocols.binning.columns import ColumnData
from protocols.boosting.columns import TreeColumns
from protocols.boosting.halves import FeatureHalf, LabelHalf
from protocols.boosting.pooled import Labelled, Part, grown
from protocols.plan import Plan


def scores(columns: Mapping[str, Mapping[str, ColumnData]], encoders: Mapping[str, TreeColumns], labels: np.ndarray,
           training: np.ndarray, plan: Plan) -> np.ndarray:
    """(m,) log-odds of trees that grew on the rows of `training` (places among the m); `columns`: by party those of the
    m rows, the bank's first; `encoders` bin them."""
    (own, *others), everybody = encoders, np.ones(len(labels), bool)
    values = {party: encoder.values(columns[party], everybody) for party, encoder in encoders.items()}
    parts = {party: Part(encoder.codes(columns[party], everybody)[training], encoder.told)
             for party, encoder in encoders.items()}
    rows = Labelled(labels[training].astype(np.int8), plan.slices.key(), _validation(plan, len(training)))
    trees = grown(plan.model.boosting, parts, rows)
    bank = LabelHalf.of(trees, own, encoders[own].edges)
    sides = {party: FeatureHalf.of(trees, party, encoders[party].edges).sides(values[party]) for party in others}
    return bank.margins(bank.sides(values[own], sides))


def _validation(plan: Plan, rows: int) -> np.ndarray | None:
    """Rows that say when to stop: as many as in the run, drawn otherwise, for the run's draw is the bank's secret."""
    settings = plan.model.boosting
    if settings.early_stopping_rounds is None:
        return None
    return np.random.default_rng(0).permutation(rows) < round(settings.validation_share * rows)
