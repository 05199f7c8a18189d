"""The platform's side of a network: it multiplies, and opens numbers to the bank. It sees no label or gradient."""
from __future__ import annotations

from typing import Any

import numpy as np

from parties.platform.feature_side import FeatureSide
from parties.platform.people import people_of
from parties.runtime.network import network_config
from parties.runtime.preparation import HOLDOUT, Prepared, columns_of, prepare
from parties.runtime.sharing import Sharing
from parties.runtime.side import Rows, TrainingGiven
from parties.runtime.tables import Table
from protocols.network.feature_party import FeatureNetwork
from protocols.network.feature_scores import FeatureNetworkHoldout, FeatureNetworkScores
from protocols.network.halves import FeatureHalf
from protocols.network.strict import platform_role
from protocols.plan import Plan
from protocols.psi.slices import TRAIN
from protocols.role import Role


class PlatformNetworkSide(FeatureSide):
    """Feature party."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing

    def prepare(self, table: Table, plan: Plan, given: Rows) -> Prepared:
        """Columns encoded as the plan says, whitened."""
        return prepare(table, given.by_bank, given.party, plan, slices=given.slices)

    def trainer(self, table: Table, prepared: Prepared, plan: Plan, given: TrainingGiven) -> FeatureNetwork:
        """The shared source layer over own columns."""
        columns = prepared.only.columns[TRAIN]
        return platform_role(plan.model.network)(columns, network_config(plan, given), given.peer_public)

    def holdout(self, table: Table, prepared: Prepared, plan: Plan, own: FeatureHalf, party: str, bank: str
                ) -> FeatureNetworkHoldout:
        """Open the numbers of each hold-out row."""
        slices = prepared.of[bank]
        columns = {name: slices.columns[part] for name, part in HOLDOUT.items()}
        people = people_of(table, np.concatenate([slices.rows[part] for part in HOLDOUT.values()]), plan)
        return FeatureNetworkHoldout(bank, own, columns, people, self._sharing.admit)

    def half(self, prepared: Prepared, own: FeatureHalf, role: Role) -> dict[str, Any]:
        """Encoder, whitening, and the digest of weights or share, which the vault keeps apart."""
        return {
            "encoder": prepared.encoder.to_json(), "whitening": prepared.whitening.to_json(),
            **self._sharing.kept_bytes(own.to_bytes(), _pinned(own)),
        }

    def scorer(self, table: Table, rows: np.ndarray, half: dict[str, Any], plan: Plan, party: str
               ) -> FeatureNetworkScores:
        """Open the numbers of all rows."""
        own, columns = FeatureHalf.from_bytes(self._sharing.loaded_bytes()), {"batch": columns_of(table, rows, half)}
        return FeatureNetworkScores(plan.label_parties[0], own, columns, people_of(table, rows, plan),
                                    self._sharing.admit)

    def report(self, prepared: Prepared, own: FeatureHalf, role: Role) -> dict[str, Any]:
        """Facts of the training."""
        return {"columns": [], "kind": "network", "warnings": list(prepared.encoder.warnings),
                "training": {"columns": own.columns, "epochs": own.epochs, "epoch": own.epoch, "weights": _pinned(own)}}


def _pinned(half: FeatureHalf) -> dict[str, str]:
    """With shared weights the digest of the upload that both halves name."""
    return {} if half.share is None else {"bank": half.sealed.hex()}
