"""Models whose weights stay shared, ready to answer online: keys, shares and the pinned upload, out of the vault."""
from __future__ import annotations

from parties.platform.scoring.models import OnlineModel
from parties.runtime.vault import Vault
from protocols.scoring.shared import PlatformShared
from protocols.sharedscore.model import SharedModel


class SharedHalves:
    """By model, made at first use (0.3 s) and again when the half in the vault has changed. From one thread."""

    def __init__(self, vault: Vault):
        self._vault = vault
        self._ready: dict[str, tuple[OnlineModel, PlatformShared]] = {}

    def __call__(self, model: OnlineModel) -> PlatformShared:
        """Of a published model; TrustError when the vault's upload is not the one that the training pinned."""
        kept = self._ready.get(model.id)
        if kept is None or kept[0] is not model:
            made = PlatformShared(SharedModel.from_bytes(self._vault.shares(model.id)))
            kept = self._ready[model.id] = (model, made)
        return kept[1]

    def stock(self) -> None:
        """Make the zeros of each model's next answer, while nobody waits."""
        for _, half in self._ready.values():
            half.stock(1)
