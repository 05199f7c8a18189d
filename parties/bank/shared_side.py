"""The bank's side of a model whose weights stay shared: it learns scores, and no coefficient, not even its own."""
from __future__ import annotations

from typing import Any

import numpy as np

from parties.bank.side import BankSide, with_intercept
from parties.runtime.preparation import Prepared, columns_of
from parties.runtime.sharing import Sharing
from parties.runtime.tables import Table
from protocols.plan import Plan
from protocols.role import Role
from protocols.scorecard.shared_weights import SharedWeights
from protocols.sharedscore.label_party import LabelSharedHoldout, LabelSharedScores
from protocols.sharedscore.model import SharedModel

BATCH = "batch"


class BankSharedSide(BankSide):
    """Label party."""

    def __init__(self, sharing: Sharing) -> None:
        super().__init__()
        self._sharing = sharing
        self._model: SharedModel | None = None

    def holdout(
        self, table: Table, prepared: Prepared, plan: Plan, own: SharedWeights, party: str, bank: str
    ) -> LabelSharedHoldout:
        """Open the scores of the hold-out rows with the platform and judge the joint model."""
        features, self._judge = self._judgement(table, prepared, plan)
        self._model = self._sharing.opened(own)
        data = self._sharing.data_name(self._model)
        return LabelSharedHoldout(plan.feature_parties[0], self._model, features, data, self._judge)

    def half(self, prepared: Prepared, own: SharedWeights, role: Role) -> dict[str, Any]:
        """Encoder, whitening, calibration, and what pins keys and shares."""
        return {
            "encoder": prepared.encoder.to_json(),
            "whitening": prepared.whitening.to_json(),
            "calibration": self.evaluated(role).calibration.to_json(),
            "alone": self._alone(role),
            **self._sharing.kept(self._model),
        }

    def scorer(
        self, table: Table, rows: np.ndarray, half: dict[str, Any], plan: Plan, party: str
    ) -> LabelSharedScores:
        """Open the scores of all rows with the platform."""
        model, columns = self._sharing.loaded(), {BATCH: with_intercept(columns_of(table, rows, half))}
        return LabelSharedScores(plan.feature_parties[0], model, columns, self._sharing.data_name(model))

    def _log_odds(self, role: Role, table: Table, rows: np.ndarray, half: dict[str, Any]) -> np.ndarray:
        return role.result()[BATCH]

    def report(self, prepared: Prepared, own: SharedWeights, role: Role) -> dict[str, Any]:
        """The whole evaluation; no points, since nobody knows a coefficient."""
        return {
            "columns": [], "release": "shared",
            "warnings": list(prepared.encoder.warnings), **self.evaluated(role).to_json(), "training": own.card,
        }
