"""The bank's side of strict training: it holds the labels and the anchor, its own model's score of every row."""
from __future__ import annotations

import math
import os
import struct

import numpy as np

from protocols.crypto import elementwise, product, summed_product
from protocols.crypto.fixed_point import to_fixed
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.ring import RING
from protocols.crypto.summed_product import SEED_BYTES, Seed
from protocols.errors import MalformedMessage, ProtocolError
from protocols.role import SUM, Message, Opening
from protocols.scorecard import layout as fixed
from protocols.scorecard.logistic import sigmoid
from protocols.scorecard.training import BACKWARD, FORWARD, LAYOUT, SETUP, Trainer, TrainingConfig


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

    def start(self) -> list[Message]:
        """The platforms begin."""
        return []

    def _first_sender(self) -> str:
        return self._config.lead

    def _power_start(self) -> np.ndarray:
        return self._own_direction

    def _weight_start(self) -> np.ndarray:
        return self._own_model

    # -- setup

    def _on_setup(self, payload: bytes) -> list[Message]:
        """Of one platform after another: only the lead's keys are needed, the others never ask for anything."""
        columns, rest = self._parse_setup(payload)
        before = self._s.get("arrived", np.zeros(0, np.int64))
        if len(before) == 0:
            self._peer_keys, self.peer_public = PeerKeys.from_bytes(rest), rest
        elif rest:
            raise MalformedMessage("expected no keys of a platform that is not the lead")
        arrived = np.r_[before, columns]
        if len(arrived) < len(self._config.platforms):
            self._await(self._config.platforms[len(arrived)], "setup", arrived=arrived)
            return []
        self._check_size(self._own, arrived)
        self._s.pop("arrived", None)
        self._s |= {"bank_columns": self._own, "widths": arrived}
        return self._introduce()

    def _introduce(self) -> list[Message]:
        """All columns are known: what the platforms need to know of each other, and the lead's start shares."""
        platforms = self._config.platforms
        self._layout = fixed.choose(self._rows, self._total(), self._config.steps)
        given = self._draw_start()
        secrets = {"point": os.urandom(SEED_BYTES), "pads": os.urandom(SEED_BYTES * len(platforms))}
        self._await(self._config.lead, "init", **(secrets if self._config.summed else {}))
        messages = [self._message(name, "setup", self._setup_for(index)) for index, name in enumerate(platforms)]
        if self._config.summed:  # one upload of the keys for all
            keys = self._keys.public_bytes()
            messages += [Message(name, "keys", keys, slot="keys") for name in platforms]
        return [*messages, self._message(self._config.lead, "init", self._init_payload(given))]

    def _setup_for(self, index: int) -> bytes:
        """rows, own columns, every platform's columns; then the keys, or the two seeds of the sums' check."""
        widths = self._s["widths"].astype("<u4").tobytes()
        summed = self._config.summed
        rest = self._s["point"] + self._pad_seed(index).to_bytes() if summed else self._keys.public_bytes()
        return SETUP.pack(self._rows, self._own) + widths + rest

    def _pad_seed(self, index: int) -> Seed:
        return Seed(self._s["pads"][SEED_BYTES * index : SEED_BYTES * (index + 1)])

    def _on_init(self, payload: bytes) -> list[Message]:
        """Start shares of one platform's block after another."""
        so_far = self._s.get("v_peer", RING.zeros(0))
        index = self._index()
        power, weights = self._parse_init(payload, int(self._s["widths"][index]))
        self._s |= {"v_peer": np.concatenate([so_far, power], axis=1),
                    "w_peer": np.concatenate([self._s.get("w_peer", RING.zeros(0)), weights], axis=1)}
        if index + 1 < len(self._config.platforms):
            self._await(self._config.platforms[index + 1], "init")
            return []
        return self._begin_pass()

    def _index(self) -> int:
        """Number of the platform whose message is due."""
        return self._config.platforms.index(self._s["from"])

    def _block(self, index: int) -> slice:
        """A platform's part of all platforms' blocks."""
        ends = np.cumsum(self._s["widths"])
        return slice(int(ends[index] - self._s["widths"][index]), int(ends[index]))

    # -- one pass

    def _forward_shape(self) -> tuple[int, int]:
        """The same for all platforms, so that their replies fit: those with fewer columns fill up with zeros."""
        return self._pass_rows(), int(self._s["widths"].max())

    def _backward_shape(self) -> tuple[int, int]:
        return int(self._s["widths"].sum()), self._pass_rows()

    def _begin_pass(self) -> list[Message]:
        self._await(self._config.lead, "forward.request")
        return [self._message(name, "forward.request", self._forward_request(index))
                for index, name in enumerate(self._config.platforms)]

    def _forward_request(self, index: int) -> bytes:
        shape, part = self._forward_shape(), self._s["v_peer"][:, self._block(index)]
        padded = np.concatenate([part, RING.zeros(shape[1] - part.shape[1])], axis=1)
        return product.ask(self._keys, padded, shape, LAYOUT)

    def _on_forward_request(self, payload: bytes) -> list[Message]:
        reply, share = self._answer("v_own", payload, transposed=False)
        self._await_reply("forward.reply", z=share)
        return [self._message(self._config.lead, "forward.reply", reply)]

    def _await_reply(self, kind: str, **state) -> None:
        self._await(SUM if self._config.summed else self._config.lead, kind, **state)

    def _finish(self, kind: str, payload: bytes, shape: tuple[int, int], coding: product.ReplyCoding) -> np.ndarray:
        """One's share of what the platforms computed, out of their sum or of the only one's reply."""
        if not self._config.summed:
            return product.finish(self._keys, payload, shape, LAYOUT, coding)
        pads = [self._pad_seed(index).expand(self._label(kind), 1) for index in range(len(self._config.platforms))]
        return summed_product.finish_sum(self._keys, payload, shape, LAYOUT, coding, Seed(self._s["point"]), pads)

    def _on_forward_reply(self, payload: bytes) -> list[Message]:
        share = self._finish("forward", payload, self._forward_shape(), FORWARD)
        z = self._truncated(RING.add(self._s["z"], share), self._layout.score_shift)
        self._await(self._config.lead, "residual.request", z=z)
        return []

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
        """While the platforms compute their forward replies: all of the residual's reply that needs no request."""
        if self._s["expect"] not in ("forward.reply", "residual.request") or self._veil is not None:
            return
        self._veil = elementwise.Veil(self._peer_keys, self._pass_rows())
        self._factor()
        requests = [self._forward_shape()] * len(self._config.platforms) + [self._backward_shape()]
        own = (self._pass_rows(), self._own)
        self._stock(requests, [own, own[::-1]])

    def _on_residual_request(self, payload: bytes) -> list[Message]:
        factor, veil, self._veil = self._factor(), self._veil, None
        reply, share = elementwise.answer(self._peer_keys, [(payload, factor)], veil)
        residual = RING.add(RING.mul(factor.values, self._s.pop("z")), share)
        if not self._in_power_pass():
            used = self._slopes() / 2.0**self._layout.slope_bits
            offset = self._rate - used * self._anchor - self._labels
            residual = RING.add(residual, RING.encode(to_fixed(offset, self._layout.residual_bits)))
        self._await(self._config.lead, "backward.request", r=residual)
        request = product.ask(self._keys, residual, self._backward_shape(), LAYOUT)
        slot = self._label("backward.request") if self._config.summed else ""  # one upload for all platforms
        shared = [Message(name, "backward.request", request, slot=slot) for name in self._config.platforms]
        return [self._message(self._config.lead, "residual.reply", reply), *shared]

    def _on_backward_request(self, payload: bytes) -> list[Message]:
        reply, share = self._answer("r", payload, transposed=True)
        del self._s["r"]  # the own request left before this one is answered
        self._await_reply("backward.reply", g_own=share)
        return [self._message(self._config.lead, "backward.reply", reply)]

    def _on_backward_reply(self, payload: bytes) -> list[Message]:
        self._s["g_peer"] = self._finish("backward", payload, self._backward_shape(), BACKWARD)
        return self._end_pass()

    # -- step size

    def _norm_vectors(self, index: int) -> np.ndarray:
        """What this side holds of the blocks shared with a platform; with the lead also the bank's own block."""
        block, parts = self._block(index), []
        for name in ("before", "v"):
            parts += [self._s[f"{name}_own"]] if index == 0 else []
            parts.append(self._s[f"{name}_peer"][:, block])
        return np.concatenate(parts, axis=1)

    def _begin_norms(self) -> list[Message]:
        self._await(self._config.lead, "norms.reply", norms=RING.zeros(2))
        return [self._message(name, "norms.request", elementwise.ask(self._keys, self._norm_vectors(index)))
                for index, name in enumerate(self._config.platforms)]

    def _on_norms_reply(self, payload: bytes) -> list[Message]:
        """Of one platform after another; their shares of the norms are opened in the sum only."""
        index = self._index()
        vectors = self._norm_vectors(index)
        share = RING.from_bytes(payload[-32:], 2)
        cross = elementwise.finish(self._keys, payload[:-32], vectors.shape[1])
        norms = RING.add(RING.add(self._s["norms"], share), self._squares(vectors, cross))
        if index + 1 < len(self._config.platforms):
            self._await(self._config.platforms[index + 1], "norms.reply", norms=norms)
            return []
        return self._choose_step(RING.to_float(norms))

    def _choose_step(self, norms: np.ndarray) -> list[Message]:
        excess = fixed.power_excess(self._layout, fixed.power_rows(self._rows))
        eigenvalue = 2 * self._own_eigenvalue * self._growth(norms) / excess
        del self._s["norms"]
        grid = fixed.eigenvalue_grid(eigenvalue)
        told = [self._message(name, "step.size", struct.pack("<b", grid), Opening("step.size", name, 1))
                for name in self._config.platforms]
        return [*told, *self._begin_training(grid)]

    def _growth(self, norms: np.ndarray) -> float:
        """Norm of the last power iterate over that of the one before; ProtocolError when it cannot be one."""
        growth = math.sqrt(norms[1] / norms[0]) if norms.min() > 0 else math.nan
        # the joint Gram matrix contains the bank's block (growth >= 1/2) and is at most (parties) max D (columns are
        # whitened party by party)
        parties = 1 + len(self._config.platforms)
        limit = 0.55 * parties * self._slope.max() / self._own_eigenvalue
        if not 0.4 < growth <= max(limit, 1.1):
            raise ProtocolError(  # both numbers say something about private columns, and the sentence travels
                "the power iteration did not converge to a possible step size; nothing was trained, check the columns "
                "for values that are constant but for very few rows"
            )
        return growth

    # -- the end

    def _release(self) -> list[Message]:
        self._await(self._config.lead, "coefficients")
        return [self._coefficients_message(name, self._s["w_peer"][:, self._block(index)])
                for index, name in enumerate(self._config.platforms)]
