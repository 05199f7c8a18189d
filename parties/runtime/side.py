"""What differs between a bank and a platform in a run; the run driver knows nothing else about either."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from parties.runtime.preparation import OnSlices
from parties.runtime.tables import Table
from protocols.crypto.keys import KeyPair
from protocols.crypto.zero_sharing import Circle
from protocols.plan import Plan
from protocols.policy import Policy
from protocols.psi.parameters import AlignmentParams
from protocols.role import Role
from protocols.scorecard.training import TrainingConfig

ParallelMap = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True, repr=False)
class Rows:
    """Aligned rows of the own table, `party`'s, by bank in joint order, int64 (m,), UNKNOWN where there is none, and
    their `slices` where not everybody can tell them; `order`: a secret of this run to number columns by."""

    party: str
    by_bank: Mapping[str, np.ndarray]
    slices: Mapping[str, np.ndarray] | None
    order: Callable[[], bytes]


@dataclass(frozen=True, repr=False)
class TrainingGiven:
    """What the run gives to either side's role in training.

    party           whose side it is
    policy          of this party
    check_rows      (rows, coefficients) raises PolicyRefused where there are too few rows for released coefficients
    check_openings  (times, columns) raises PolicyRefused where a platform may not open so many numbers of each
                    training row, made of so many columns
    splits          boosted trees: how many splits by this party's columns the training may ask about
    keys            called where the role needs a pair of its own; the same pair for the whole training
    peer_public     the public keys of those who ask, as they came before an interruption; None at first
    circle          of the banks, at a bank of several
    """

    party: str
    policy: Policy
    check_rows: Callable[[int, int], None]
    check_openings: Callable[[int, int], None]
    splits: int
    keys: Callable[[], KeyPair]
    peer_public: bytes | None
    circle: Circle | None


def scorecard_config(plan: Plan, given: TrainingGiven) -> TrainingConfig:
    """What all parties know before a scorecard is trained."""
    model = plan.model
    return TrainingConfig(given.party, plan.label_parties, plan.feature_parties, model.first_steps, model.l2,
                          given.check_rows, given.policy.tile_cache_bytes, model.intercepts, model.activation,
                          model.event_rate, model.polish, model.polish_steps, model.openings,
                          shared=model.release == "shared")


class Side(Protocol):
    """One side of a run of one plan. `prepared`: own rows as this kind of model takes them; `own`: what its training
    left this party with."""

    def check_table(self, table: Table) -> None:
        """Raise DataError when the table cannot serve this side (the bank's needs a label)."""

    def aligner(self, ids: list[str], peer: str, params: AlignmentParams, parallel_map: ParallelMap) -> Role:
        """The role in alignment."""

    def prepare(self, table: Table, plan: Plan, given: Rows) -> OnSlices:
        """Own rows as the model takes them (other kinds than scorecards, whose encodings take several parties)."""

    def trainer(self, table: Table, prepared: OnSlices, plan: Plan, given: TrainingGiven) -> Role:
        """The role in training."""

    def holdout(self, table: Table, prepared: OnSlices, plan: Plan, own: Any, party: str, bank: str) -> Role:
        """The role of `party` in calibration and evaluation with the rows of `bank`."""

    def verdict(self, role: Role) -> bool:
        """Whether the model is kept, from the ended hold-out role."""

    def half(self, prepared: OnSlices, own: Any, role: Role) -> dict[str, Any]:
        """This party's half of the model, plain JSON."""

    def scorer(self, table: Table, rows: np.ndarray, half: dict[str, Any], plan: Plan, party: str) -> Role:
        """The role of `party` in batch scoring with a published model."""

    def scored(self, role: Role, table: Table, rows: np.ndarray, half: dict[str, Any], contributions: bool
               ) -> dict[str, Any] | None:
        """Columns of the score file, or None at a side that gets no scores; `contributions`: of each column, too."""

    def report(self, prepared: OnSlices, own: Any, role: Role) -> dict[str, Any]:
        """What this party may look at afterwards: facts of its training (`training`), its columns, and at the bank the
        evaluation."""

    def metrics(self, role: Role) -> dict[str, float] | None:
        """The figures that go into the model card; None at a side that knows none."""
