"""The platform's side of a model whose weights stay shared: it opens scores to the bank and learns no coefficient."""
from __future__ import annotations

from typing import Any

import numpy as np

from parties.platform.people import people_of
from parties.platform.side import PlatformSide
from parties.runtime.preparation import HOLDOUT, Prepared, columns_of
from parties.runtime.sharing import Sharing
from parties.runtime.tables import Table
from protocols.plan import Plan
from protocols.role import Role
from protocols.scorecard.shared_weights import SharedWeights
from protocols.sharedscore.feature_party import FeatureSharedHoldout, FeatureSharedScores
from protocols.sharedscore.model import SharedModel


class PlatformSharedSide(PlatformSide):
    """Feature party."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing
        self._model: SharedModel | None = None

    def holdout(
        self, table: Table, prepared: Prepared, plan: Plan, own: SharedWeights, party: str, bank: str
    ) -> FeatureSharedHoldout:
        """Open the scores of the hold-out rows to the bank."""
        slices, self._model = prepared.of[bank], self._sharing.opened(own)
        columns = {name: slices.columns[part] for name, part in HOLDOUT.items()}
        people = people_of(table, np.concatenate([slices.rows[part] for part in HOLDOUT.values()]), plan)
        return FeatureSharedHoldout(bank, self._model, columns, people, self._sharing.admit)

    def half(self, prepared: Prepared, own: SharedWeights, role: Role) -> dict[str, Any]:
        """Encoder, whitening, and what pins keys and shares."""
        return {
            "encoder": prepared.encoder.to_json(),
            "whitening": prepared.whitening.to_json(),
            **self._sharing.kept(self._model),
        }

    def scorer(
        self, table: Table, rows: np.ndarray, half: dict[str, Any], plan: Plan, party: str
    ) -> FeatureSharedScores:
        """Open the scores of all rows to the bank."""
        columns, people = {"batch": columns_of(table, rows, half)}, people_of(table, rows, plan)
        return FeatureSharedScores(plan.label_parties[0], self._sharing.loaded(), columns, people, self._sharing.admit)

    def report(self, prepared: Prepared, own: SharedWeights, role: Role) -> dict[str, Any]:
        """No points, since nobody knows a coefficient."""
        return {"columns": [], "release": "shared",
                "warnings": list(prepared.encoder.warnings), "training": own.card}
