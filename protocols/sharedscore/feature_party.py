"""The platform's side: it multiplies, floods and opens, and sees no weight, no score and no label.

    bank -> platform   bank.part        X_B w_B, a fresh share of it under the platform's key
    platform -> bank   platform.part    X_P w_P, a fresh share of it under the bank's key
    platform -> bank   shared.SLICE     the platform's shares of both, added, and the floods: what opens the scores
    bank -> platform   verdict          hold-out only
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage
from protocols.role import Message, Opening, Role
from protocols.scorecard.holdout import ToldVerdict
from protocols.sharedscore.flood import cover, versions
from protocols.sharedscore.messages import (
    BANK_PART,
    PLATFORM_PART,
    places,
    stacked,
    take_data_name,
    take_digest,
)
from protocols.sharedscore.model import SharedModel
from protocols.state import pack, unpack

Admit = Callable[[Sequence[str], np.ndarray], None]


class FeatureSharedScores(Role):
    """`columns`: per slice (m, d) whitened, in joint row order; `people`: their identifiers, normalised, all slices one
    after the other; `admit(people, tags)`: records which versions of whom are opened, or raises PolicyRefused."""

    def __init__(
        self, bank: str, model: SharedModel, columns: Mapping[str, np.ndarray], people: Sequence[str], admit: Admit
    ):
        self._bank, self._model, self._people, self._admit = bank, model, people, admit
        self._columns, self._places = stacked(columns), places(columns)
        self._sent = False

    def start(self) -> list[Message]:
        """The bank begins."""
        return []

    @property
    def expects(self) -> str | None:
        """The bank, once."""
        return None if self._sent else self._bank

    def handle(self, message: Message) -> list[Message]:
        """Take the bank's part, open the scores to it and keep nothing."""
        if self._sent or (message.peer, message.kind) != (self._bank, BANK_PART):
            raise MalformedMessage(f"shared scores: got {message.kind} from {message.peer}, which was not due")
        data, reply = take_data_name(take_digest(message.payload, self._model.weights.digest))
        share = self._model.finish(reply, len(self._columns))
        drawn = versions(self._model.weights.secret, self._people, self._columns, data)
        self._admit(self._people, drawn.tags)
        reply, mask = self._model.multiply(self._columns)
        opened = RING.add(RING.add(share, mask), cover(drawn))
        self._sent = True
        part = Message(self._bank, PLATFORM_PART, self._model.weights.digest + reply)
        return [part, *(self._open(name, opened[:, place]) for name, place in self._places.items())]

    def _open(self, name: str, share: np.ndarray) -> Message:
        kind = f"shared.{name}"
        return Message(self._bank, kind, RING.to_bytes(share), Opening(kind, self._bank, share.shape[1]))

    def result(self) -> bool | None:
        """True once sent."""
        return self._sent or None

    def snapshot(self) -> bytes:
        """Whether it was sent."""
        return pack({"sent": self._sent})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        self._sent = unpack(state)["sent"]


class FeatureSharedHoldout(ToldVerdict, FeatureSharedScores):
    """Ends with the bank's verdict: 1, keep your half; 0, the joint model is no better, discard it."""

    what = "shared hold-out"
