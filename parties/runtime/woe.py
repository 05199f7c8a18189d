"""The encoding `woe` of a run: bins first, then the events in each, a bank's own or, at a platform, out of encrypted
sums.

What the bank's node enforces between runs. Two sums of labels over sets of people that differ by one person give that
person's label, whether rows were added or edges of bins moved. So exact counts may say something about a person to one
platform **once**: a run whose training rows share a person with an earlier run that opened exact counts to the same
platform is refused, unless people, labels and bins are all the same (then the counts are, and nothing is learned), or
it adds noise (`model.woe_rho` > 0). What noise leaves of a label's privacy adds up over all runs and platforms that
share a person, up to the policy's `maximum_woe_rho`.
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from parties.runtime.releases import Releases, WoeSums
from parties.runtime.tables import Table
from protocols.binning.columns import ColumnData
from protocols.binning.encoder import Encoder
from protocols.binning.woe import assigned
from protocols.commons.privacy import DELTA, epsilon
from protocols.errors import PolicyRefused
from protocols.plan import ModelPlan, Plan
from protocols.policy import Policy
from protocols.psi.parameters import UNKNOWN
from protocols.role import Role
from protocols.scorecard.whitening import Whitening
from protocols.woe.feature_party import FeatureWoe
from protocols.woe.label_party import LabelWoe, WoeSettings

NO_ROW = -1


@dataclass(frozen=True, repr=False)
class WoeInputs:
    """What both sides have. `training`: the table's rows that are trained on, in joint order, UNKNOWN where there is
    none; `drive(role, peer)` runs a role to its result."""

    plan: Plan
    party: str
    table: Table
    training: np.ndarray
    releases: Releases
    drive: Callable[[Role, str], Any]

    @property
    def model(self) -> ModelPlan:
        return self.plan.model

    @property
    def known(self) -> np.ndarray:
        """The table's rows that are trained on, in the table's order."""
        return np.sort(self.training[self.training != UNKNOWN])

    def people(self) -> list[str]:
        """Identifiers of `known`."""
        return [self.table.ids[row] for row in self.known]

    def bins(self, columns: dict[str, ColumnData]) -> Encoder:
        """Bins of the own columns, made without labels."""
        return Encoder.fit(columns, method="dummy", bins=self.model.bins, minimum_support=self.model.minimum_support,
                           unknown=len(self.training) - len(self.known))

    def whitened(self, encoder: Encoder, columns: dict[str, ColumnData]) -> tuple[Encoder, Whitening]:
        """What a fit gives."""
        return encoder, Whitening.fit(encoder.transform(columns, np.sort(self.training) != UNKNOWN))


class BankWoe:
    """The bank's fit: own events in the clear, then each platform's sums. `may_count(number)` raises PolicyRefused when
    so many exact counts are too many for the rows; `counted`: exact counts that were opened."""

    def __init__(self, inputs: WoeInputs, run: str, policy: Policy, may_count: Callable[[int], None]):
        self._in, self._run, self._policy, self._may_count = inputs, run, policy, may_count
        self.counted = 0

    def __call__(self, columns: dict[str, ColumnData]) -> tuple[Encoder, Whitening]:
        """`columns` of the training rows, in the table's order."""
        bins = self._in.bins(columns)
        for platform in self._in.plan.feature_parties:
            self._open_to(platform)
        places = assigned(bins.columns, columns)
        events = np.zeros(sum(len(column.bins) for column in bins.columns), np.int64)
        labels = self._in.table.label[self._in.known].astype(bool)
        np.add.at(events, places[labels].ravel(), 1)
        return self._in.whitened(bins.weighted(events), columns)

    def _open_to(self, platform: str) -> None:
        model, labels = self._in.model, self._in.table.label[self._in.training].astype(np.int64)
        settings = WoeSettings(len(self._in.plan.parties[platform].columns), model.woe_rho, model.minimum_support)
        role = LabelWoe(platform, labels, settings, lambda bins, tag: self._permit(platform, bins, tag))
        opened = self._in.drive(role, platform)
        self.counted += 0 if model.woe_rho else opened

    def _permit(self, platform: str, bins: int, tag: bytes) -> None:
        """Enter the sums in the ledger, then compare: of two runs at once one must see the other."""
        people, labels = self._in.people(), self._in.table.label[self._in.known].astype(np.int8)
        same = hashlib.sha256(self._in.releases.fingerprint(people, labels) + tag).digest()
        entry = WoeSums(self._run, platform, same, self._in.model.woe_rho)
        others = self._in.releases.record_woe(entry, people)
        try:
            check(entry, others, self._policy)
            if not entry.rho:
                self._may_count(self.counted + bins)
        except PolicyRefused:
            self._in.releases.forget_woe(entry)
            raise


def check(entry: WoeSums, others: list[WoeSums], policy: Policy) -> None:
    """The rule of this module. `others`: sums about some of the same people; PolicyRefused names the setting."""
    if entry.rho:
        policy.check_woe(entry.rho, sum(other.rho for other in others))
        return
    exact = [other for other in others if not other.rho and other.platform == entry.platform]
    if any(other.sums != entry.sums for other in exact):
        raise PolicyRefused(
            "encodings",
            f"event counts of other bins, rows or labels about some of the same people were opened to {entry.platform} "
            "before, and the difference could be one person's label; train with the same table, columns, bins and "
            "slices, or set model.woe_rho above 0, or choose encoding = 'dummy'",
        )


class PlatformWoe:
    """A platform's fit: bins, then the events in each from the bank."""

    def __init__(self, inputs: WoeInputs):
        self._in = inputs
        self.counted = 0

    def __call__(self, columns: dict[str, ColumnData]) -> tuple[Encoder, Whitening]:
        """`columns` of the training rows of known people, in the table's order."""
        bins = self._in.bins(columns)
        own = assigned(bins.columns, columns)
        tag = self._in.releases.fingerprint(self._in.people(), own)
        rows_of = np.array([level.count for column in bins.columns for level in column.bins])
        bank, noised = self._in.plan.label_parties[0], self._in.model.woe_rho > 0
        events = self._in.drive(FeatureWoe(bank, self._joint(own), rows_of, tag, noised), bank)
        self.counted = 0 if noised else len(events)
        return self._in.whitened(bins.weighted(events), columns)

    def _joint(self, own: np.ndarray) -> np.ndarray:
        """int32 (n, columns): from the table's order to the joint one, NO_ROW for people who are not known here."""
        training = self._in.training
        places = np.flatnonzero(training != UNKNOWN)
        out = np.full((len(training), own.shape[1]), NO_ROW, np.int32)
        out[places[np.argsort(training[places])]] = own
        return out


def told(model: ModelPlan) -> dict[str, Any]:
    """For a party's report: what the counts are worth to a label's privacy, per run and platform."""
    if model.encoding != "woe":
        return {}
    worth = round(epsilon(model.woe_rho), 2) if model.woe_rho else "infinite"
    return {"woe": {"rho": model.woe_rho, "epsilon": worth, "delta": DELTA if model.woe_rho else 0}}
