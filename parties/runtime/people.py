"""Whose people the openings of one run are about: the node's ledger learns it as the phases find out."""
from __future__ import annotations

import numpy as np

from parties.runtime.ledger import Ledger
from parties.runtime.preparation import HOLDOUT, Prepared
from protocols.errors import PolicyRefused
from protocols.openings import TABLE, kind_of
from protocols.policy import Policy
from protocols.psi.parameters import UNKNOWN

_TOGETHER = "{} with all platforms"  # in the ledger, where no party can be called so


class RunPeople:
    """Of one run at one party. Row sets are arrays of row numbers of the own table; UNKNOWN ones are left out."""

    def __init__(self, ledger: Ledger, run: str):
        self._ledger, self._run = ledger, run
        self._tags: np.ndarray | None = None
        self._sets: dict[tuple[str, str | None], bytes] = {}

    def note(self, kind: str, learner: str, numbers: int) -> None:
        """`numbers` of this kind are opened to `learner` by now; into the ledger before they leave."""
        rows = kind_of(kind).rows
        people = self._sets.get((rows, learner), self._sets.get((rows, None)))
        self._ledger.opened(self._run, kind, learner, numbers, people)

    def shared(self, ids: list[str], pairs: dict[str, np.ndarray]) -> None:
        """By peer the rows shared with it: what alignment found."""
        for peer, rows in pairs.items():
            self._know("aligned", peer, ids, rows)

    def check_growth(self, policy: Policy) -> None:
        """Before a training: each peer shares the same people as in earlier ones or many others; PolicyRefused."""
        try:
            for (rows, peer), people in self._sets.items():
                if rows == "aligned":
                    policy.check_growth(peer, self._ledger.share(self._run, peer, people))
        except PolicyRefused:
            self._ledger.unshare(self._run)
            raise

    def check_taken(self, policy: Policy, ids: list[str], joint: dict[str, np.ndarray]) -> None:
        """Before a training, by bank the own rows that it takes: the same people as in earlier ones, with whatever
        platforms, or many others; PolicyRefused. Pairs may differ by many people and what is left of them by one."""
        try:
            for bank, rows in joint.items():
                people = self._ledger.keep(self._tags_of(ids, rows))
                changed = self._ledger.share(self._run, _TOGETHER.format(bank), people)
                policy.check_growth(bank, changed, together=True)
        except PolicyRefused:
            self._ledger.unshare(self._run)
            raise

    def prepared(self, ids: list[str], prepared: Prepared) -> None:
        """The slices of a training; hold-out rows by bank, since each bank learns of its own people only."""
        self._know("training", None, ids, prepared.training_rows)
        for name, part in HOLDOUT.items():
            for bank, slices in prepared.of.items():
                self._know(name, bank, ids, slices.rows[part])
            self._know(name, None, ids, np.concatenate([slices.rows[part] for slices in prepared.of.values()]))

    def scored(self, ids: list[str], rows: np.ndarray) -> None:
        """The rows of a scoring run."""
        self._know("scored", None, ids, rows)

    def _know(self, name: str, party: str | None, ids: list[str], rows: np.ndarray) -> None:
        people = self._sets[name, party] = self._ledger.keep(self._tags_of(ids, rows))
        for kind in TABLE:
            if kind.rows == name:
                self._ledger.about(self._run, kind.name, party, people)

    def _tags_of(self, ids: list[str], rows: np.ndarray) -> np.ndarray:
        if self._tags is None:
            self._tags = self._ledger.tags(ids)
        return self._tags[rows[rows != UNKNOWN]]
