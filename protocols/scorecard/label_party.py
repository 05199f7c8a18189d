"""The bank's side of strict training: it holds the labels and the anchor, its own model's score of every row."""
from __future__ import annotations

import math
import struct

import numpy as np

from protocols.crypto import elementwise
from protocols.crypto.fixed_point import to_fixed
from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage, ProtocolError
from protocols.role import Message, Opening
from protocols.scorecard import layout as fixed
from protocols.scorecard.logistic import sigmoid
from protocols.scorecard.training import Trainer, TrainingConfig


class LabelTrainer(Trainer):
    """`columns`: (n, d) whitened, the first of ones; `labels`: (n,) 0/1; `own_model`: (d,) the bank-only fit."""

    party_first = True

    def __init__(
        self,
        columns: np.ndarray,
        labels: np.ndarray,
        own_model: np.ndarray,
        keys: KeyPair,
        config: TrainingConfig,
        peer_public: bytes | None = None,
    ):
        super().__init__(columns, keys, config, peer_public)
        self._labels, self._own_model = labels.astype(float), own_model
        self._anchor = self._columns @ own_model
        rate = sigmoid(self._anchor)
        self._rate, self._slope = rate, rate * (1 - rate)
        weighted = (self._columns * self._slope[:, None]).T @ self._columns / len(columns)
        values, vectors = np.linalg.eigh(weighted)
        self._veil: elementwise.Veil | None = None
        self._factors: dict[bool, elementwise.Factor] = {}
        self._own_eigenvalue, self._own_direction = float(values[-1]), vectors[:, -1]

    def _power_start(self) -> np.ndarray:
        return self._own_direction

    def _weight_start(self) -> np.ndarray:
        return self._own_model

    def _slopes(self) -> np.ndarray:
        """D as integers with slope_bits. Power iterations use D / (2 lambda_bank), which keeps their norm near 1."""
        sample = self._slope[: self._pass_rows()]
        slope = sample / (2 * self._own_eigenvalue) if self._in_power_pass() else sample
        return np.maximum(to_fixed(slope, self._layout.slope_bits), 1)

    def _factor(self) -> elementwise.Factor:
        """The slopes of this pass, encoded and transformed once for all passes of its kind."""
        power = self._in_power_pass()
        if power not in self._factors:
            self._factors = {power: elementwise.Factor(RING.encode(self._slopes()))}
        return self._factors[power]

    def _in_power_pass(self) -> bool:
        return self._s["number"] < fixed.POWER_PASSES

    def prepare(self) -> None:
        """While the platform computes its forward reply: all of the residual's reply that needs no request."""
        if self._s["expect"] not in ("forward.reply", "residual.request") or self._veil is not None:
            return
        self._veil = elementwise.Veil(self._peer_keys, self._pass_rows())
        self._factor()
        self._stock_zeros()

    def _residual(self) -> list[Message]:
        self._s["expect"] = "residual.request"
        return []

    def _on_residual_request(self, payload: bytes) -> list[Message]:
        factor, veil, self._veil = self._factor(), self._veil, None
        reply, share = elementwise.answer(self._peer_keys, [(payload, factor)], veil)
        residual = RING.add(RING.mul(factor.values, self._s.pop("z")), share)
        if not self._in_power_pass():
            used = self._slopes() / 2.0**self._layout.slope_bits
            offset = self._rate - used * self._anchor - self._labels
            residual = RING.add(residual, RING.encode(to_fixed(offset, self._layout.residual_bits)))
        self._s |= {"r": residual, "expect": "backward.request"}
        return [self._message("residual.reply", reply), self._backward_request()]

    # -- step size

    def _begin_norms(self) -> list[Message]:
        self._s["expect"] = "norms.request"
        return []

    def _on_norms_request(self, payload: bytes) -> list[Message]:
        vectors = np.concatenate([self._s[name] for name in ("before_own", "before_peer", "v_own", "v_peer")], axis=1)
        reply, cross = elementwise.answer(self._peer_keys, [(payload, vectors)])
        mine = RING.add(RING.mul(vectors, vectors), RING.mul_public(cross, 2))
        norms = [RING.to_ints(mine[:, half]) for half in (slice(0, self._total()), slice(self._total(), None))]
        self._s |= {"norms": RING.encode_ints([sum(part) for part in norms]), "expect": "norms.open"}
        return [self._message("norms.reply", reply)]

    def _on_norms_open(self, payload: bytes) -> list[Message]:
        if len(payload) != 32:
            raise MalformedMessage(f"expected 32 bytes of norms, got {len(payload)}")
        opened = RING.to_float(RING.add(self._s["norms"], RING.from_bytes(payload, 2)))
        excess = fixed.power_excess(self._layout, fixed.power_rows(self._rows))
        eigenvalue = 2 * self._own_eigenvalue * self._growth(opened) / excess
        del self._s["norms"]
        grid = fixed.eigenvalue_grid(eigenvalue)
        opening = Opening("step.size", self._config.peer, 1)
        return [self._message("step.size", struct.pack("<b", grid), opening), *self._begin_training(grid)]

    def _growth(self, norms: np.ndarray) -> float:
        """Norm of the last power iterate over that of the one before; ProtocolError when it cannot be one."""
        growth = math.sqrt(norms[1] / norms[0]) if norms.min() > 0 else math.nan
        # the joint Gram matrix contains the bank's block (growth >= 1/2) and is at most 2 max D (columns are whitened)
        limit = 1.1 * self._slope.max() / self._own_eigenvalue
        if not 0.4 < growth <= max(limit, 1.1):
            raise ProtocolError(  # both numbers say something about private columns, and the sentence travels
                "the power iteration did not converge to a possible step size; nothing was trained, check the columns "
                "for values that are constant but for very few rows"
            )
        return growth
