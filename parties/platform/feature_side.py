"""What a platform's side of a run does whatever is trained."""
from __future__ import annotations

from typing import Any

import numpy as np

from parties.runtime.side import ParallelMap
from parties.runtime.tables import Table
from protocols.psi.feature_party import AlignFeatureParty
from protocols.psi.parameters import AlignmentParams
from protocols.role import Role


class FeatureSide:
    """Feature party: it sees no label, no score and no residual. A kind of model adds trainer, hold-out, half, scorer
    and report."""

    def check_table(self, table: Table) -> None:
        """Any valid table will do."""

    def aligner(self, ids: list[str], peer: str, params: AlignmentParams, parallel_map: ParallelMap) -> Role:
        """Feature side of alignment."""
        return AlignFeatureParty(ids, peer, params, parallel_map)

    def verdict(self, role: Role) -> bool:
        """What the bank said."""
        return role.result()

    def scored(self, role: Role, table: Table, rows: np.ndarray, half: dict[str, Any], contributions: bool
               ) -> None:
        """The platform gets no scores."""

    def metrics(self, role: Role) -> None:
        """The platform knows none."""
