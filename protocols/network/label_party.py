"""The bank's side: labels, its own columns and the torch module above the source layer. It alone has keys."""
from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Protocol

import numpy as np

from protocols.crypto.keys import KeyPair
from protocols.crypto.layout import layout_of
from protocols.crypto.ring import RING
from protocols.errors import DataError, MalformedMessage
from protocols.network import source_layer as layer
from protocols.network.bank_rows import Shape
from protocols.network.config import NetworkConfig
from protocols.network.halves import MODULE, LabelHalf
from protocols.network.training import EPOCH, SETUP, NetworkRole
from protocols.role import Message, Opening
from protocols.scorecard.training import flooded
from protocols.state import pack, unpack

OPTIMISER, BEST = "optimiser.", "best."


class Learner(Protocol):
    """The bank's module over its rows and its optimiser; `tower.Learner` is the one of torch.

    `shape`: of the bank's own columns."""

    shape: Shape

    def step(self, z: np.ndarray, rows: np.ndarray, number: int) -> np.ndarray:
        """One step on the mean loss of these rows; the gradient of that mean by z (rows, width) before it, clipped."""

    def loss(self, z: np.ndarray, rows: np.ndarray) -> float:
        """Mean log-loss of these rows."""

    def module_state(self) -> dict[str, np.ndarray]:
        """All parameters, by name."""

    def load_module(self, state: dict[str, np.ndarray]) -> None:
        """Inverse of `module_state`."""

    def optimiser_state(self) -> dict[str, np.ndarray]:
        """All else that later steps depend on, by name."""

    def load_optimiser(self, state: dict[str, np.ndarray]) -> None:
        """Inverse of `optimiser_state`."""


class LabelNetwork(NetworkRole):
    """`learner`: a fresh one over the bank's training rows, `rows` of them, in joint order."""

    second = False

    def __init__(self, learner: Learner, rows: int, keys: KeyPair, config: NetworkConfig):
        super().__init__(rows, config)
        self._learner, self._keys = learner, keys
        self._s["losses"] = np.zeros(0)
        self._best: dict[str, np.ndarray] = {}

    @property
    def _peer(self) -> str:
        return self._config.platform

    def start(self) -> list[Message]:
        """The platform begins."""
        return []

    def result(self) -> LabelHalf | None:
        """The own half once the training has ended."""
        if self._s["expect"] is not None:
            return None
        state, shared = self._s, {}
        if self._config.release == "shared":
            shared = {"share": state["w"], "keys": self._keys, "sealed": state["sealed"]}
        return LabelHalf(self._best, self._learner.shape, state["columns"], state["ended"],
                         tuple(state["losses"].tolist()), self._settings, self._scales().weight, **shared)

    def snapshot(self) -> bytes:
        """All state that changes, module and optimiser included."""
        parts = ((MODULE, self._learner.module_state()), (OPTIMISER, self._learner.optimiser_state()),
                 (BEST, self._best))
        return pack(self._s | {prefix + name: value for prefix, part in parts for name, value in part.items()})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        saved = unpack(state)
        parts = {prefix: {name.removeprefix(prefix): saved.pop(name) for name in list(saved) if name.startswith(prefix)}
                 for prefix in (MODULE, OPTIMISER, BEST)}
        self._s, self._best = saved, parts[BEST]
        self._learner.load_module(parts[MODULE])
        self._learner.load_optimiser(parts[OPTIMISER])

    # -- setup

    def _on_setup(self, payload: bytes) -> list[Message]:
        columns, rest = self._parse_setup(payload)
        if rest:
            raise MalformedMessage("expected no keys of the platform, which asks for nothing")
        self._check_size(columns)
        self._s |= {"columns": columns, "expect": "init"}
        public = self._keys.public_bytes()
        return [self._message("setup", SETUP.pack(self._rows, columns) + public), self._message("init", self._start())]

    def _on_init(self, payload: bytes) -> list[Message]:
        self._take_start(payload)
        return [self._ask_forward()]

    # -- a batch

    def _shape(self) -> tuple[int, int]:
        return len(self._turn_rows()), self._s["columns"]

    def _backward_shape(self) -> tuple[int, int]:
        return layer.backward_shape(*self._shape(), self._settings.numbers)

    def prepare(self) -> None:
        """While the platform works: encryptions of zero for the next request."""
        if self._s["expect"] == "forward.reply" and not self._in_validation():
            self._keys.stock(layout_of(self._backward_shape(), layer.BACKWARD_LAYOUT).uploads)
        if self._s["expect"] == "backward.reply":
            self._keys.stock(layer.forward_uploads(*self._shape(), self._settings.width))

    def _ask_forward(self) -> Message:
        self._s["expect"] = "forward.reply"
        request = layer.ask_forward(
            self._keys, self._s["w"], len(self._turn_rows()), self._settings.width, self._scales().weight)
        return self._message("forward.request", request)

    def _on_forward_reply(self, payload: bytes) -> list[Message]:
        share = layer.finish_forward(self._keys, payload, self._shape(), self._settings.width)
        self._s |= {"z": share, "expect": self._settings.kind}
        return []

    def _on_embeddings(self, payload: bytes) -> list[Message]:
        z = layer.embeddings(self._s["z"], payload, self._settings)
        del self._s["z"]
        return self._judge(z) if self._in_validation() else [self._learn(z)]

    def _learn(self, z: np.ndarray) -> Message:
        number = self._s["epoch"] * len(self._parts.batches) + self._s["turn"] + 1
        gradient = self._learner.step(z, self._turn_rows(), number)
        return self._after_gradient(RING.encode(layer.fixed_gradient(gradient, self._scales())))

    def _after_gradient(self, gradient: np.ndarray) -> Message:
        """What follows from G, residues (2, rows·width)."""
        self._s["expect"] = "backward.reply"
        return self._message("backward.request", layer.ask_backward(self._keys, gradient, self._backward_shape()))

    def _on_backward_reply(self, payload: bytes) -> list[Message]:
        self._step(layer.finish_backward(self._keys, payload, self._backward_shape()))
        return [self._ask_forward()]

    # -- the end of an epoch

    def _judge(self, z: np.ndarray) -> list[Message]:
        """The validation rows' loss says whether to go on."""
        losses = np.r_[self._s["losses"], self._learner.loss(z, self._turn_rows())]
        if not np.isfinite(losses).all():
            raise DataError("expected a finite loss on the validation rows, got another; take a smaller learning_rate")
        best = int(np.argmin(losses)) + 1
        if best == len(losses):
            self._best = self._learner.module_state()
        self._s["losses"] = losses
        self._end_epoch()
        ends = len(losses) == self._settings.epochs or len(losses) - best >= self._settings.patience
        telling = Opening("network.epoch", self._peer, 1)
        told = replace(self._message("epoch", EPOCH.pack(best if ends else 0)), opening=telling)
        return [told, *self._release(best, losses)] if ends else [told, self._ask_forward()]

    def _release(self, best: int, losses: np.ndarray) -> list[Message]:
        """Keep the share of the best epoch; the platform gets what opens the weights, or one's share of them sealed."""
        self._finish(best, None)
        self._s["losses"] = losses
        bits = self._scales().weight
        if self._config.release == "shared":
            upload = self._seal(bits)
            self._s["sealed"] = hashlib.sha256(upload).digest()
            return [self._message("sealed", upload)]
        share = flooded(self._s.pop("w"), bits)
        opening = Opening("source.weights", self._peer, share.shape[1])
        return [Message(self._peer, "weights", RING.to_bytes(share), opening)]

    def _seal(self, bits: int) -> bytes:
        return layer.seal(self._keys, self._s["w"], self._settings.width, bits)
