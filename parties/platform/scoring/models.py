"""The published models that this platform scores online, as its vault has them at this moment.

The daemon publishes and revokes in another process; a look at the files' times before every batch notices it at once.
"""
from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parties.runtime.preparation import transformed
from parties.runtime.tables import Table
from parties.runtime.trees import values_of
from parties.runtime.vault import INDEX, Vault
from protocols.binning.encoder import Encoder
from protocols.boosting.columns import TreeColumns
from protocols.boosting.halves import FeatureHalf
from protocols.boosting.messages import one_persons_bytes
from protocols.crypto.identity import IdentityKey
from protocols.errors import UsageError
from protocols.policy import Policy
from protocols.scorecard.holdout import coarse
from protocols.scorecard.whitening import Whitening
from protocols.scoring import scoring_pb2 as pb


@dataclass(frozen=True, eq=False, repr=False)
class OnlineModel:
    """One platform's half. `banks` may ask. A scorecard has `encoder` and `whitening`, and `coefficients`, float64
    (r,), unless its weights stay shared; trees have `bins` and `cuts`."""

    id: str
    run: str
    table: str
    banks: frozenset[str]
    encoder: Encoder | None = None
    whitening: Whitening | None = None
    coefficients: np.ndarray | None = None
    bins: TreeColumns | None = None
    cuts: FeatureHalf | None = None

    @classmethod
    def of(cls, half: dict[str, Any]) -> OnlineModel:
        """Of a half as the vault keeps it."""
        named = (half["model_id"], half["run"], half["table"],
                 frozenset(name for name, seat in half["parties"].items() if seat == "label"))
        if half.get("kind") == "boosting":
            return cls(*named, bins=TreeColumns.model_validate(half["encoder"]),
                       cuts=FeatureHalf.model_validate(half["trees"]))
        weights = half.get("coefficients")
        return cls(*named, Encoder.from_json(half["encoder"]), Whitening.from_json(half["whitening"]),
                   None if weights is None else np.array(weights))

    @property
    def shared(self) -> bool:
        """Whether it is a scorecard whose weights stay shared."""
        return self.coefficients is None and self.cuts is None

    @property
    def width(self) -> int:
        """Columns of the table that it takes."""
        taken = self.encoder.columns if self.bins is None else self.bins.columns
        return len({column.column for column in taken})

    def columns(self, table: Table, rows: np.ndarray) -> np.ndarray:
        """(len(rows), r) float64: what is kept of these people. Of trees the sides of all splits, eight to a number."""
        if self.cuts is None:
            return transformed(table, rows, self.encoder, self.whitening)
        values = values_of(table, rows, self.bins, {cut.column for cut in self.cuts.cuts})
        sides = self.cuts.sides(values).reshape(len(self.cuts.cuts), len(rows))
        return one_persons_bytes(sides).astype(np.float64)

    def partials(self, columns: np.ndarray) -> list[int]:
        """The own part of the score of each row of whitened columns (n, r), in steps of 1/32, as batch scoring gives
        it."""
        return coarse(columns @ self.coefficients).tolist()


class OnlineModels:
    """Models by id, read again when a file of the vault has changed. Thread-safe."""

    def __init__(self, state: Path, identity: IdentityKey, policy: Policy):
        self._folder, self._vault, self._policy = state / "vault", Vault(state / "vault", identity), policy
        self._kept: dict[str, tuple[tuple, OnlineModel | int]] = {}
        self._lock = threading.Lock()

    def get(self, model: str) -> OnlineModel | int:
        """A model that scores, or the Refusal that says why it does not."""
        seen = self._seen(model)
        with self._lock:
            kept = self._kept.get(model)
            if kept is None or kept[0] != seen:
                if seen[0] is None:
                    return pb.UNKNOWN_MODEL  # not kept: anybody can make up names
                kept = self._kept[model] = (seen, self._read(model))
        return kept[1]

    def published(self) -> list[OnlineModel]:
        """All that score."""
        return [found for found in map(self.get, self._vault.models()) if isinstance(found, OnlineModel)]

    def _read(self, model: str) -> OnlineModel | int:
        try:
            half = self._vault.get(model)
        except UsageError:
            return pb.UNKNOWN_MODEL
        if half["status"] == "revoked":
            return pb.MODEL_REVOKED
        online = half.get("kind") != "network" and list(half["parties"].values()).count("feature") == 1
        if half["status"] != "published" or not online:
            return pb.UNKNOWN_MODEL
        found = OnlineModel.of(half)
        few = found.width < self._policy.minimum_columns
        return pb.NOT_ALLOWED if few or "online" not in self._policy.kinds else found

    def _seen(self, model: str) -> tuple:
        """What changes when the vault writes this half."""
        return tuple(_stamp(path) for path in (self._folder / f"{model}.sealed", self._folder.with_name(INDEX)))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        told = os.stat(path)
    except FileNotFoundError:
        return None
    return told.st_mtime_ns, told.st_ino, told.st_size
