"""The bank's side of a network: a torch module over its own columns and the numbers that the platform opens."""
from __future__ import annotations

import hashlib
from importlib.util import find_spec
from typing import Any

import numpy as np

from parties.bank.evaluation import evaluate_slices
from parties.bank.label_side import LabelSide
from parties.bank.network_columns import NetworkPrepared, NetworkSlices, prepare_network
from parties.runtime.network import network_config
from parties.runtime.preparation import HOLDOUT
from parties.runtime.sharing import Sharing
from parties.runtime.side import Rows, TrainingGiven
from parties.runtime.tables import Table
from protocols.errors import ConfigError
from protocols.network import alone
from protocols.network.bank_rows import BankColumns, BankRows
from protocols.network.columns import NetworkEncoder
from protocols.network.halves import LabelHalf
from protocols.network.label_party import LabelNetwork
from protocols.network.label_scores import LabelNetworkHoldout, LabelNetworkScores, Scores
from protocols.network.strict import bank_role
from protocols.plan import Plan
from protocols.psi.slices import TRAIN
from protocols.role import Role
from protocols.state import pack, unpack

BATCH = "batch"


class BankNetworkSide(LabelSide):
    """Label party. ConfigError where torch is not installed."""

    def __init__(self, sharing: Sharing) -> None:
        super().__init__()
        if find_spec("torch") is None:
            raise ConfigError("a network is trained and scored with torch, which this bank's node has not; install "
                              "sealscore[network] there")
        self._sharing = sharing
        self._alone: LabelHalf | None = None

    def prepare(self, table: Table, plan: Plan, given: Rows) -> NetworkPrepared:
        """Numbers whitened, categories by level."""
        return prepare_network(table, plan, given)

    def trainer(self, table: Table, prepared: NetworkPrepared, plan: Plan, given: TrainingGiven) -> LabelNetwork:
        """The module above the shared source layer."""
        slices = prepared.only
        labels = self.labels(table, slices.rows, TRAIN)
        return bank_role(plan.model.network)(self._learner(slices, labels, plan), len(labels), given.keys(),
                                             network_config(plan, given))

    @staticmethod
    def _learner(slices: NetworkSlices, labels: np.ndarray, plan: Plan) -> Any:
        from protocols.network.tower import Learner  # noqa: PLC0415 - nodes that train no network need no torch
        own = slices.columns[TRAIN]
        return Learner(BankRows(labels, own.numeric, own.categories, own.levels), plan.model.network)

    def _bank_only(self, table: Table, prepared: NetworkPrepared, plan: Plan) -> LabelHalf:
        if self._alone is None:
            slices = prepared.only
            labels = self.labels(table, slices.rows, TRAIN)
            self._alone = alone.trained(self._learner(slices, labels, plan), len(labels), plan.model.network)
        return self._alone

    def holdout(self, table: Table, prepared: NetworkPrepared, plan: Plan, own: LabelHalf, party: str, bank: str
                ) -> LabelNetworkHoldout:
        """Score the hold-out rows with what the platform opens of them, and judge the joint network."""
        slices = prepared.only
        labels = {name: self.labels(table, slices.rows, part) for name, part in HOLDOUT.items()}
        columns = {name: slices.columns[part] for name, part in HOLDOUT.items()}
        bank_only = _alone_scores(self._bank_only(table, prepared, plan), columns)

        def judge(scores: Scores) -> bool:
            self._evaluation = evaluate_slices(labels, scores, bank_only)
            return self._evaluation.better

        self._judge = judge
        rows = {name: len(one) for name, one in labels.items()}
        return LabelNetworkHoldout(plan.feature_parties[0], own, rows, _scorer(own, columns), judge, self._data(own))

    def _data(self, half: LabelHalf) -> bytes:
        """With shared weights the name of the table that is scored."""
        if half.keys is None:
            return b""
        key = hashlib.sha256(b"sealscore network data v1|" + half.keys.secret_bytes()).digest()
        return self._sharing.data_named(key)

    def half(self, prepared: NetworkPrepared, own: LabelHalf, role: Role) -> dict[str, Any]:
        """How columns are encoded, calibrations, and the digest of module, share and keys, which the vault keeps
        apart."""
        evaluation = self.evaluated(role)
        kept = pack({"joint": own.to_bytes(), "alone": self._alone.to_bytes()})
        return {
            "encoder": prepared.encoder.to_json(),
            "calibration": evaluation.calibration.to_json(),
            "alone": {"calibration": evaluation.alone.to_json()},
            **self._sharing.kept_bytes(kept, _pinned(own)),
        }

    def scorer(self, table: Table, rows: np.ndarray, half: dict[str, Any], plan: Plan, party: str
               ) -> LabelNetworkScores:
        """Score all rows with what the platform opens of them."""
        own = LabelHalf.from_bytes(unpack(self._sharing.loaded_bytes())["joint"])
        encoder = NetworkEncoder.from_json(half["encoder"])
        columns = {BATCH: encoder.transform(table.take(rows).select(encoder.names))}
        return LabelNetworkScores(plan.feature_parties[0], own, {BATCH: len(rows)}, _scorer(own, columns),
                                  self._data(own))

    def _log_odds(self, role: Role, table: Table, rows: np.ndarray, half: dict[str, Any]) -> np.ndarray:
        return role.result()[BATCH]

    def report(self, prepared: NetworkPrepared, own: LabelHalf, role: Role) -> dict[str, Any]:
        """The whole evaluation; a network has no points."""
        return {"columns": [], "kind": "network", "warnings": prepared.encoder.warnings,
                "losses": list(own.losses), **self.evaluated(role).to_json(),
                "training": own.card | {"weights": _pinned(own)}}


def _pinned(half: LabelHalf) -> dict[str, str]:
    """With shared weights the digest of the upload that both halves name."""
    return {} if half.sealed is None else {"bank": half.sealed.hex()}


def _scorer(half: LabelHalf, columns: dict[str, BankColumns]) -> Any:
    from protocols.network.tower import Scorer  # noqa: PLC0415 - as above
    return Scorer(half, columns)


def _alone_scores(half: LabelHalf, columns: dict[str, BankColumns]) -> Scores:
    """Log-odds (m,) of the bank's own network by slice."""
    score = _scorer(half, columns)
    return {name: score(name, slice(None), np.zeros((len(own.numeric), half.settings.width)))
            for name, own in columns.items()}
