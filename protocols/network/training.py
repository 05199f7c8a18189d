"""What both sides of a network's training share: the order of the messages and the state between them.

    platform -> bank   setup               rows, columns
    bank -> platform   setup               rows, columns, public keys
    both               init                a uniform share of the sender's part of the start weights
    for every batch, and once more for the validation rows, which end an epoch:
      bank -> platform   forward.request   its share of W, encrypted
      platform -> bank   forward.reply     a fresh share of Z
      platform -> bank   embeddings        the platform's share, flooded: opens Z of these rows to the bank
      bank -> platform   backward.request  (a batch) G, encrypted
      platform -> bank   backward.reply    (a batch) a fresh share of XᵀG
    bank -> platform   epoch               after the validation rows: go on, or end and keep the weights of that epoch
    bank -> platform   weights             (release = "owner") the bank's share of W, flooded
    bank -> platform   sealed              (release = "shared") the same, encrypted, for all later scoring
"""
from __future__ import annotations

import struct
from typing import Any

import numpy as np

from protocols.crypto.ring import RING
from protocols.errors import DataError, MalformedMessage
from protocols.network import source_layer as layer
from protocols.network.config import NetworkConfig
from protocols.network.partition import Partition, partition
from protocols.network.precision import LARGEST_WIDTH, Scales
from protocols.role import Message
from protocols.scorecard.stepwise import Stepwise
from protocols.state import pack, unpack

SETUP = struct.Struct("<QI")  # training rows, the platform's columns
EPOCH = struct.Struct("<H")  # 0: go on; else the epoch, from 1, whose weights are kept


class NetworkRole(Stepwise):
    """Common part of both sides. State: `w`, `v`: shares of weights and velocity; `kept`: of the weights after each
    epoch, one after another; `epoch`, `turn`: those done."""

    second: bool  # the platform truncates as second party

    def __init__(self, rows: int, config: NetworkConfig):
        self._rows, self._config, self._settings = rows, config, config.settings
        self._parts: Partition = partition(rows, config.settings)
        self._s: dict[str, Any] = {"expect": "setup", "epoch": 0, "turn": 0, "kept": RING.zeros(0),
                                   "v": RING.zeros(0), "ended": 0}

    @property
    def _peer(self) -> str:
        raise NotImplementedError

    @property
    def expects(self) -> str | None:
        """Whose message is due."""
        return self._peer if self._s["expect"] else None

    @property
    def progress(self) -> tuple[int, int]:
        """Forward passes done and those of all epochs."""
        turns = self._parts.turns
        return self._s["epoch"] * turns + self._s["turn"], self._settings.epochs * turns

    def snapshot(self) -> bytes:
        """All state that changes."""
        return pack(self._s)

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        self._s = unpack(state)

    # -- setup

    def _parse_setup(self, payload: bytes) -> tuple[int, bytes]:
        """(the platform's columns, the rest) of a setup for the same rows."""
        if len(payload) < SETUP.size:
            raise MalformedMessage(f"expected a setup of at least {SETUP.size} bytes, got {len(payload)}")
        rows, columns = SETUP.unpack_from(payload)
        if rows != self._rows or columns < 1:
            raise MalformedMessage(f"expected {self._rows} training rows and a column at the peer, got {rows} and "
                                   f"{columns}")
        return columns, payload[SETUP.size:]

    def _check_size(self, columns: int) -> None:
        """Few enough weights, and few enough openings."""
        size = columns * self._settings.numbers
        if size > LARGEST_WIDTH:
            raise DataError(f"expected at most {LARGEST_WIDTH} weights in the source layer, got {columns} columns "
                            f"times {self._settings.numbers}; take fewer columns or a smaller width")
        self._config.check_openings(self._settings.openings_per_row, columns)
        if self._config.release == "owner":
            self._config.check_rows(self._rows, size)

    @property
    def _size(self) -> int:
        return self._s["columns"] * self._settings.numbers

    def _scales(self) -> Scales:
        return Scales.of(len(self._parts.batches), self._s["columns"], self._settings)

    def _start(self) -> bytes:
        """Draw the own part of the start weights; what the peer gets of it."""
        mine, given = layer.split(layer.own_part(self._s["columns"], self._settings.numbers, self._scales()))
        self._s["w"] = mine
        return RING.to_bytes(given)

    def _take_start(self, payload: bytes) -> None:
        self._s["w"] = RING.add(self._s["w"], RING.from_bytes(payload, self._size))

    # -- steps

    def _turn_rows(self) -> np.ndarray:
        return self._parts.rows(self._s["turn"])

    def _in_validation(self) -> bool:
        return self._s["turn"] == len(self._parts.batches)

    def _step(self, gradient: np.ndarray) -> None:
        """A share of XᵀG is there: this batch is done."""
        weights, velocity = layer.stepped(self._s["w"], self._s["v"], gradient, self._settings, second=self.second)
        self._s |= {"w": weights, "v": velocity, "turn": self._s["turn"] + 1}

    def _end_epoch(self) -> None:
        """The validation rows are done."""
        kept = np.concatenate([self._s["kept"], self._s["w"]], axis=1)
        self._s |= {"kept": kept, "epoch": self._s["epoch"] + 1, "turn": 0}

    def _weights_of(self, epoch: int) -> np.ndarray:
        """One's share of the weights after an epoch, counted from 1."""
        return self._s["kept"][:, (epoch - 1) * self._size:epoch * self._size]

    def _finish(self, epoch: int, expect: str | None) -> None:
        """The training has ended: only the share that is kept stays."""
        self._s = {"expect": expect, "epoch": self._s["epoch"], "turn": 0, "columns": self._s["columns"],
                   "ended": epoch, "w": self._weights_of(epoch)}

    def _message(self, kind: str, payload: bytes) -> Message:
        return Message(self._peer, kind, payload)
