"""What a model whose weights stay shared needs of its run and node; `protocols/sharedscore` says why.

    after training      `opened` puts keys, the peer's keys and the shares together; `kept` writes them into the vault
    for every scoring   `loaded` reads them back; `data_name` and `admit` bound what repeated scores can say
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parties.runtime.releases import Releases
from parties.runtime.vault import Vault
from protocols.crypto.keys import KeyPair
from protocols.policy import Policy
from protocols.scorecard.shared_weights import SharedWeights
from protocols.sharedscore.model import SharedModel


@dataclass(frozen=True, repr=False)
class Sharing:
    """Of one run. `model_id`: of the model that is trained or scored with; `fact`: reads the run's store."""

    model_id: str
    vault: Vault
    releases: Releases
    policy: Policy
    keys: Callable[[], KeyPair]
    fact: Callable[[str], bytes | None]

    def opened(self, weights: SharedWeights) -> SharedModel:
        """The model that the training of this run has just left."""
        return SharedModel(self.keys(), self.fact("train.peer_public"), weights)

    def kept(self, model: SharedModel) -> dict[str, Any]:
        """Write keys and shares into the vault; gives what the half says of them."""
        return {"release": "shared", **self.kept_bytes(model.to_bytes(), model.weights.pinned)}

    def kept_bytes(self, data: bytes, pinned: dict[str, str]) -> dict[str, Any]:
        """Write what a model keeps apart from its half into the vault; gives what the half says of it. `pinned`: by
        party SHA-256 (hex) of uploads that every half names alike."""
        return {"weights": pinned, "shares": self.vault.keep_shares(self.model_id, data)}

    def loaded(self) -> SharedModel:
        """The published model."""
        return SharedModel.from_bytes(self.loaded_bytes())

    def loaded_bytes(self) -> bytes:
        """What `kept_bytes` wrote; TrustError where it is not what the half names."""
        return self.vault.shares(self.model_id)

    def data_name(self, model: SharedModel) -> bytes:
        """32 bytes that stand for the table of this run, the same for the same file; they say nothing else of it."""
        return self.data_named(model.weights.secret)

    def data_named(self, key: bytes) -> bytes:
        """The same by a key of the model."""
        return hashlib.blake2b(self.fact("table"), key=key, digest_size=32).digest()

    def admit(self, people: Sequence[str], tags: np.ndarray) -> None:
        """Durable before the scores are opened; PolicyRefused when somebody's data had too many versions."""
        most = self.policy.maximum_snapshots_per_person
        self.policy.check_versions(self.releases.admit(self.model_id, people, tags, most))
