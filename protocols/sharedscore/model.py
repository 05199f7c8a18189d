"""One side's part of a model whose weights stay shared: key pair, shares and what the peer sealed. All of it secret."""
from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from protocols.crypto import product
from protocols.crypto.fixed_point import to_fixed
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.product import MatrixTiles, ReplyCoding
from protocols.crypto.ring import RING
from protocols.errors import DataError, MalformedMessage, TrustError
from protocols.scorecard.layout import FEATURE_BITS
from protocols.scorecard.shared_weights import LAYOUT, SECRET_BYTES, SharedWeights
from protocols.state import pack, unpack

_FACTS = ("received", "secret", "rows", "columns_peer", "grid", "steps")


@dataclass(frozen=True, repr=False)
class SharedModel:
    """`weights`: what the training left; `peer_public`: the peer's public keys as they came in it."""

    keys: KeyPair
    peer_public: bytes
    weights: SharedWeights

    @cached_property
    def peer(self) -> PeerKeys:
        """The peer's public keys, expanded."""
        return PeerKeys.from_bytes(self.peer_public)

    def multiply(self, columns: np.ndarray) -> tuple[bytes, np.ndarray]:
        """Own columns in fixed point, (m, d) int64, times the coefficients of the own block: a reply under the peer's
        key, and one's own share (2, m). Drawn anew at each call: persist the reply before it leaves."""
        if columns.shape[1] != self.weights.columns:
            raise DataError(f"expected {self.weights.columns} encoded columns for this model, got {columns.shape[1]}")
        tiles = MatrixTiles(columns, layout=LAYOUT, cache_bytes=0)  # each is used once
        return product.answer(tiles, self.peer, self.weights.own, self.weights.received, ReplyCoding.FULL)

    def finish(self, reply: bytes, rows: int) -> np.ndarray:
        """One's share (2, rows) of what the peer multiplied."""
        return product.finish(self.keys, reply, (rows, self.weights.columns_peer), LAYOUT, ReplyCoding.FULL)

    def to_bytes(self) -> bytes:
        """For the vault only."""
        kept = {name: getattr(self.weights, name) for name in _FACTS}
        sealed = dict(zip(("sealed.bank", "sealed.platform"), self.weights.sealed, strict=True))
        return pack({"keys": self.keys.secret_bytes(), "peer": self.peer_public, "own": RING.to_bytes(self.weights.own),
                     **sealed, **kept})

    @classmethod
    def from_bytes(cls, data: bytes) -> SharedModel:
        """Inverse of `to_bytes`; TrustError when the peer's upload is not the one that the training pinned."""
        kept = unpack(data)
        try:
            own = RING.from_bytes(kept["own"], len(kept["own"]) // 16)
            sealed = (kept["sealed.bank"], kept["sealed.platform"])
            weights = SharedWeights(own=own, sealed=sealed, **{name: kept[name] for name in _FACTS})
            model = cls(KeyPair.from_secret_bytes(kept["keys"]), kept["peer"], weights)
        except KeyError:
            raise MalformedMessage("a shared model that lacks a part; restore it from a backup") from None
        if hashlib.sha256(weights.received).digest() not in sealed or len(weights.secret) != SECRET_BYTES:
            raise TrustError("the peer's encrypted weights are not those that the training pinned; restore this node's "
                             "vault from a backup, or train again")
        return model

    def __reduce__(self):
        raise TypeError("a SharedModel is neither pickled nor copied; use to_bytes() and the vault")


def fixed_columns(columns: np.ndarray) -> np.ndarray:
    """Whitened columns (m, d) as the training took them: int64 with FEATURE_BITS fractional bits."""
    return to_fixed(columns, FEATURE_BITS)
