"""What a bank's side of a run does whatever is trained: labels, the judgement on the hold-out, the file of scores."""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from parties.bank.evaluation import Evaluation
from parties.runtime.side import ParallelMap
from parties.runtime.tables import Table
from protocols.errors import DataError
from protocols.psi.label_party import AlignLabelParty
from protocols.psi.parameters import AlignmentParams
from protocols.role import Role
from protocols.scorecard.calibration import Calibration


class LabelSide:
    """Label party. A kind of model adds trainer, hold-out, half, scorer and report."""

    def __init__(self) -> None:
        self._evaluation: Evaluation | None = None
        self._judge: Callable[[Any], bool] | None = None  # of what the hold-out role ends with

    def check_table(self, table: Table) -> None:
        """The bank's table needs its label."""
        if table.label is None:
            raise DataError(f"{table.config.path.name}: the bank's table needs a label column; set `label` for it")

    def aligner(self, ids: list[str], peer: str, params: AlignmentParams, parallel_map: ParallelMap) -> Role:
        """Label side of alignment."""
        return AlignLabelParty(ids, peer, params, parallel_map)

    @staticmethod
    def labels(table: Table, rows: tuple[np.ndarray, ...], part: int) -> np.ndarray:
        """(n,) float of one slice of the table's rows; DataError unless it has both classes."""
        labels = table.label[rows[part]].astype(float)
        if not 0 < labels.sum() < len(labels):
            raise DataError(f"{table.config.path.name}: a slice of the aligned rows holds labels of one class only; "
                            "bring more rows or change [slices]")
        return labels

    def verdict(self, role: Role) -> bool:
        """Whether the joint model is better than the bank's own on the hold-out."""
        return self.evaluated(role).better

    def evaluated(self, role: Role) -> Evaluation:
        """The judgement of an ended hold-out role."""
        if self._evaluation is None:  # the role was restored after a crash: the scores are there, the judgement is not
            self._judge(role.result())
        return self._evaluation

    def metrics(self, role: Role) -> dict[str, float]:
        """AUC, KS, Gini and log-loss of both models on the test slice."""
        return self.evaluated(role).card()

    def scored(self, role: Role, table: Table, rows: np.ndarray, half: dict[str, Any], contributions: bool
               ) -> dict[str, Any]:
        """Identifier and calibrated probability of default of each aligned row, in the order of the table, and where
        `contributions` are wanted and known what each column added to the log-odds."""
        joint = self._log_odds(role, table, rows, half)
        probability = Calibration.from_json(half["calibration"]).probability(joint)
        order = np.argsort(rows)
        return {
            "id": [table.ids[row] for row in rows[order]],
            "probability_of_default": [round(float(p), 4) for p in probability[order]],
            **({name: [round(float(one), 4) for one in parts[order]]
                for name, parts in self._contributions(role, table, rows, half).items()} if contributions else {}),
        }

    def _contributions(self, role: Role, table: Table, rows: np.ndarray, half: dict[str, Any]
                       ) -> dict[str, np.ndarray]:
        """By name of a column of the score file what something added to the log-odds before calibration, (len(rows),);
        nothing where a kind of model does not tell."""
        return {}

    @abstractmethod
    def _log_odds(self, role: Role, table: Table, rows: np.ndarray, half: dict[str, Any]) -> np.ndarray:
        """Of the joint model, before calibration, (len(rows),), from an ended role of batch scoring."""

