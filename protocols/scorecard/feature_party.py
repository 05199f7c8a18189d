"""The platform's side of strict training: it holds columns, and sees neither labels nor scores nor residuals."""
from __future__ import annotations

import struct

import numpy as np

from protocols.crypto import elementwise
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage
from protocols.role import Message, Opening
from protocols.scorecard.training import NORM_FLOOD_GAP, Trainer


class FeatureTrainer(Trainer):
    """`columns`: (n, d) whitened training columns."""

    party_first = False

    def _power_start(self) -> np.ndarray:
        # Any vector with a part in every direction will do; a fixed one makes runs repeatable. It protects nothing.
        start = np.cos(np.arange(1, self._own + 1) * 2.399963)
        return start / np.linalg.norm(start)

    def _weight_start(self) -> np.ndarray:
        return np.zeros(self._own)

    def prepare(self) -> None:
        """While the bank computes the residual."""
        if self._s["expect"] == "residual.reply":
            self._stock_zeros()

    def _residual(self) -> list[Message]:
        self._s["expect"] = "residual.reply"
        return [self._message("residual.request", elementwise.ask(self._keys, self._s.pop("z")))]

    def _on_residual_reply(self, payload: bytes) -> list[Message]:
        self._s |= {"r": elementwise.finish(self._keys, payload, self._pass_rows()), "expect": "backward.request"}
        return [self._backward_request()]

    # -- step size

    def _norm_vectors(self) -> np.ndarray:
        # same order as at the bank, whose "own" block is this side's "peer" block
        return np.concatenate([self._s[name] for name in ("before_peer", "before_own", "v_peer", "v_own")], axis=1)

    def _begin_norms(self) -> list[Message]:
        self._s["expect"] = "norms.reply"
        return [self._message("norms.request", elementwise.ask(self._keys, self._norm_vectors()))]

    def _on_norms_reply(self, payload: bytes) -> list[Message]:
        vectors = self._norm_vectors()
        cross = elementwise.finish(self._keys, payload, vectors.shape[1])
        mine = RING.add(RING.mul(vectors, vectors), RING.mul_public(cross, 2))
        halves = (slice(0, self._total()), slice(self._total(), None))
        share = RING.encode_ints([sum(RING.to_ints(mine[:, half])) for half in halves])
        share = RING.add(share, RING.random_below_bits(2, 2 * self._layout.point_bits - NORM_FLOOD_GAP))
        self._s["expect"] = "step.size"
        opening = Opening("step.norms", self._config.peer, 2)
        return [self._message("norms.open", RING.to_bytes(share), opening)]

    def _on_step_size(self, payload: bytes) -> list[Message]:
        if len(payload) != 1:
            raise MalformedMessage(f"expected 1 byte of step size, got {len(payload)}")
        (grid,) = struct.unpack("<b", payload)
        if not -40 <= grid <= 10:
            raise MalformedMessage("a step size outside the allowed grid")
        return self._begin_training(grid)
