"""The platform's side: it multiplies, opens embeddings to the bank, and sees no label, gradient or embedding."""
from __future__ import annotations

import os

import numpy as np

from protocols.crypto.keys import PeerKeys
from protocols.crypto.layout import layout_of
from protocols.crypto.product import MatrixTiles
from protocols.errors import MalformedMessage
from protocols.network import source_layer as layer
from protocols.network.config import NetworkConfig
from protocols.network.halves import SECRET_BYTES, FeatureHalf
from protocols.network.training import EPOCH, SETUP, NetworkRole
from protocols.role import Message, Opening
from protocols.scorecard import opened
from protocols.state import unpack


class FeatureNetwork(NetworkRole):
    """`columns`: (n, d) whitened, of the training rows in joint order. It has no keys and asks for nothing."""

    second = True

    def __init__(self, columns: np.ndarray, config: NetworkConfig, peer_public: bytes | None = None):
        super().__init__(len(columns), config)
        self._columns = layer.fixed_columns(columns)
        self._s["columns"] = columns.shape[1]
        self._result: FeatureHalf | None = None
        self._take_keys(peer_public)

    def _take_keys(self, public: bytes | None) -> None:
        self._keys = None if public is None else PeerKeys.from_bytes(public)
        self.peer_public = public

    @property
    def _peer(self) -> str:
        return self._config.bank

    def start(self) -> list[Message]:
        """Announce rows and columns, once the own limits allow what the settings open."""
        self._check_size(self._s["columns"])
        return [self._message("setup", SETUP.pack(self._rows, self._s["columns"]))]

    def result(self) -> FeatureHalf | None:
        """A share of the weights, or the weights, once the training has ended."""
        return self._result

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        self._s = unpack(state)
        if self._s["expect"] is None:
            self._result = self._half()

    def _on_setup(self, payload: bytes) -> list[Message]:
        columns, public = self._parse_setup(payload)
        if columns != self._s["columns"]:
            raise MalformedMessage(f"expected the bank to repeat {self._s['columns']} columns, got {columns}")
        self._take_keys(public)
        self._s["expect"] = "init"
        return []

    def _on_init(self, payload: bytes) -> list[Message]:
        given = self._start()
        self._take_start(payload)
        self._s["expect"] = "forward.request"
        return [self._message("init", given)]

    def _tiles(self, rows: np.ndarray) -> MatrixTiles:
        """One batch as it is multiplied, for openings of all rows in all epochs; DataError as in `opened.tiles`."""
        values = self._rows * self._settings.openings_per_row
        return opened.tiles(self._columns[rows], values, self._config.cache_bytes)

    def prepare(self) -> None:
        """While the bank works: the zeros of the next reply."""
        if self._s["expect"] == "forward.request" and self._keys is not None:
            shape = len(self._turn_rows()), self._s["columns"]
            self._keys.stock(self._settings.width * layout_of(shape, opened.LAYOUT).replies)

    def _on_forward_request(self, payload: bytes) -> list[Message]:
        rows, settings = self._turn_rows(), self._settings
        reply, share = layer.answer_forward(
            self._tiles(rows), self._keys, self._s["w"], payload, settings.width, self._scales().weight)
        self._s["expect"] = "epoch" if self._in_validation() else "backward.request"
        return [self._message("forward.reply", reply), self._opening(share)]

    def _opening(self, share: np.ndarray) -> Message:
        """What opens numbers (2, rows·width) at scale 2^104 to the bank."""
        kind = self._settings.kind
        return Message(self._peer, kind, layer.flooded(share, self._settings),
                       Opening(kind, self._peer, share.shape[1]))

    def _on_backward_request(self, payload: bytes) -> list[Message]:
        columns = self._columns[self._turn_rows()]
        reply, gradient = layer.answer_backward(columns, self._keys, payload, self._settings.width)
        self._step(gradient)
        self._s["expect"] = "forward.request"
        return [self._message("backward.reply", reply)]

    def _on_epoch(self, payload: bytes) -> list[Message]:
        """Go on, or end with the weights of an epoch that is over."""
        if len(payload) != EPOCH.size:
            raise MalformedMessage(f"expected {EPOCH.size} bytes of an epoch, got {len(payload)}")
        (kept,) = EPOCH.unpack(payload)
        over = self._s["epoch"] + 1
        if kept > over or (kept == 0 and over == self._settings.epochs):
            raise MalformedMessage(f"expected an epoch to keep among the {over} that are over, got number {kept}")
        self._end_epoch()
        if kept == 0:
            self._s["expect"] = "forward.request"
        else:
            self._finish(kept, "weights" if self._config.release == "owner" else "sealed")
        return []

    def _on_sealed(self, payload: bytes) -> list[Message]:
        """The bank's share as it will be multiplied in every scoring: kept as it came."""
        self._check_sealed(payload)
        self._s |= {"received": payload, "secret": os.urandom(SECRET_BYTES), "expect": None}
        self._result = self._half()
        return []

    def _check_sealed(self, payload: bytes) -> None:
        layer.check_sealed(payload, self._s["columns"], self._settings.width)

    def _on_weights(self, payload: bytes) -> list[Message]:
        self._s |= {"opened": layer.released(self._s["w"], payload, self._settings.numbers, self._scales()),
                    "expect": None}
        self._result = self._half()
        return []

    def _half(self) -> FeatureHalf:
        state, bits = self._s, self._scales().weight
        facts = (self._settings, state["columns"], state["ended"], state["epoch"], bits)
        if "opened" in state:
            return FeatureHalf(*facts, weights=state["opened"])
        return FeatureHalf(*facts, share=state["w"], received=state["received"], peer_public=self.peer_public,
                           secret=state["secret"])
