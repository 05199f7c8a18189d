"""The end of a training with `release = "shared"`: nobody gets coefficients, each side seals its share for the other.

    bank -> platform, platform -> bank   weights   encryptions, under the sender's key of this training, of its share of
                                                   the receiver's block of the coefficients, one per column

This is the only upload that a shared model ever has. It stays with the receiver, who multiplies it by its columns in
every later scoring (`protocols/sharedscore`), and its SHA-256 goes into both halves: whoever could swap it for another
vector would read one projection of the receiver's columns for each one (notes on online release in SECURITY.md).

A vector has one polynomial per coefficient ("column" layout), so that 8,192 rows fit one reply whatever their columns.
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from protocols.crypto import product
from protocols.crypto.layout import LayoutName
from protocols.crypto.ring import RING
from protocols.role import Message
from protocols.scorecard.layout import FEATURE_BITS

SCORE_SCALE_BITS = 104  # of an opened score
WEIGHT_SCALE_BITS = SCORE_SCALE_BITS - FEATURE_BITS  # of the shares of the coefficients
LAYOUT: LayoutName = "column"
SECRET_BYTES = 32
SEATS = ("bank", "platform")


PUBLIC_FACTS = ("number", "opened", "bank_columns", "widths", "grid", "rows")
"""What a trainer keeps of its state when it has ended."""


@dataclass(frozen=True, repr=False)
class SharedWeights:
    """What a side is left with.

    own       (2, columns) one's share of the own block, WEIGHT_SCALE_BITS fractional bits
    received  the peer's share of the own block, encrypted under the peer's key
    sealed    SHA-256 of the bank's and of the platform's upload
    secret    32 bytes that nobody else has: the platform's floods, the name that the bank gives to its data, follow
    """

    own: np.ndarray
    received: bytes
    sealed: tuple[bytes, bytes]
    secret: bytes
    rows: int
    columns_peer: int
    grid: int
    steps: int

    @property
    def columns(self) -> int:
        """Whitened columns of the own block."""
        return self.own.shape[1]

    @property
    def card(self) -> dict[str, Any]:
        """What the model card says of the training: SHA-256 (hex) of both uploads among it."""
        return {"rows": self.rows, "columns": self.columns, "columns_peer": self.columns_peer, "steps": self.steps,
                "step_grid": self.grid, "release": "shared", "weights": self.pinned}

    @property
    def pinned(self) -> dict[str, str]:
        """SHA-256 (hex) of each side's upload."""
        return {seat: digest.hex() for seat, digest in zip(SEATS, self.sealed, strict=True)}

    @property
    def digest(self) -> bytes:
        """32 bytes over both uploads, the same at both sides."""
        return hashlib.sha256(b"".join(self.sealed)).digest()


class SharedEnding:
    """The part of a `Trainer` that ends it without a release."""

    party_first: bool
    _s: dict[str, Any]
    _await: Callable[..., None]
    _total: Callable[[], int]

    def _peer(self) -> str:
        """The only other party."""
        return self._config.lead if self.party_first else self._config.speaker

    def _scaled_up(self, share: np.ndarray) -> np.ndarray:
        """Exact: a share times a power of two, nothing is truncated on the way to an opened score."""
        return RING.mul_public(share, 1 << (WEIGHT_SCALE_BITS - self._layout.weight_bits))

    def _seal_weights(self) -> list[Message]:
        """The steps have ended: one's share of the peer's block leaves, encrypted, once."""
        share = self._scaled_up(self._s["w_peer"])
        upload = product.ask(self._keys, share, (1, share.shape[1]), LAYOUT)
        self._await(self._peer(), "weights", sent=hashlib.sha256(upload).digest())
        return [Message(self._peer(), "weights", upload)]

    def _on_weights(self, payload: bytes) -> list[Message]:
        product.check_request(payload, (1, self._own), LAYOUT)
        facts = {name: self._s[name] for name in (*PUBLIC_FACTS, "sent")}
        self._s = facts | {
            "from": None, "expect": None, "share": self._scaled_up(self._s["w_own"]), "received": payload,
            "secret": os.urandom(SECRET_BYTES),
        }
        self._result = self._shared()
        return []

    def _shared(self) -> SharedWeights:
        """Out of the state that is left."""
        received = hashlib.sha256(self._s["received"]).digest()
        sealed = (self._s["sent"], received) if self.party_first else (received, self._s["sent"])
        own = self._s["share"]
        return SharedWeights(own, self._s["received"], sealed, self._s["secret"], self._s["rows"],
                             self._total() - own.shape[1], self._s["grid"], self._config.steps)
