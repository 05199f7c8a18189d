"""A bank's side of strict training: it holds labels and the anchor, its own model's score of each of its rows.

With several banks each trains on its own rows with the platforms, and all hold the same share of coefficients and
gradients, expanded from a seed of theirs (`Circle`). A bank's part of a gradient leaves it under covers that add up to
zero over the banks, so a platform's share is that of the sum:

    bank -> bank       scale             rows, and rows times the largest eigenvalue of the own block, as powers of √2
    bank -> lead       backward.reply    a summand: X_B^T r of its rows minus its part of the banks' common share
    bank -> platform   gradient.share    its share of X_P^T r of its rows minus its part of the banks' common share
"""
from __future__ import annotations

import math
import os
import struct

import numpy as np

from protocols.crypto import elementwise, product, summed_product
from protocols.crypto.fixed_point import to_fixed
from protocols.crypto.keys import KeyPair
from protocols.crypto.layout import LayoutName
from protocols.crypto.opening import open_shares
from protocols.crypto.product import MatrixTiles
from protocols.crypto.ring import RING
from protocols.crypto.summed_product import SEED_BYTES, Seed, contribute
from protocols.crypto.zero_sharing import Circle
from protocols.errors import MalformedMessage, ProtocolError
from protocols.role import SUM, Message, Opening
from protocols.scorecard import layout as fixed
from protocols.scorecard.logistic import sigmoid
from protocols.scorecard.reopening import LabelReopening, check_events
from protocols.scorecard.training import (
    BACKWARD,
    FORWARD,
    LAYOUT,
    SETUP,
    Trainer,
    TrainingConfig,
    even_start,
)

SCALE = struct.Struct("<bb")


class LabelTrainer(LabelReopening, Trainer):
    """`columns`: (n, d) whitened, the first of ones; `labels`: (n,) 0/1; `own_model`: (d,) the bank-only fit.

    `circle`: of all banks when there are several, complete.
    """

    party_first = True

    def __init__(
        self,
        columns: np.ndarray,
        labels: np.ndarray,
        own_model: np.ndarray,
        keys: KeyPair,
        config: TrainingConfig,
        peer_public: bytes | None = None,
        circle: Circle | None = None,
    ):
        super().__init__(keys, config, peer_public)
        self._name, self._circle = config.party, circle
        self._given = to_fixed(columns, fixed.FEATURE_BITS)
        self._matrices[self._name] = self._given  # with several banks once all rows are known: `_place_constants`
        self._own = config.constants + columns.shape[1] - 1
        self._labels, self._own_model = labels.astype(float), own_model
        floats = self._given / 2.0**fixed.FEATURE_BITS
        self._factors: dict[bool, elementwise.Factor] = {}
        self._anchor_at(floats @ own_model)
        values, vectors = np.linalg.eigh((floats * self._slope[:, None]).T @ floats / len(columns))
        self._veil: elementwise.Veil | None = None
        self._block_eigenvalue, self._own_direction = float(values[-1]), vectors[:, -1]

    def _slope_at(self, anchor: np.ndarray) -> np.ndarray:
        """(n,): of the activation at each row's own score."""
        rate = sigmoid(anchor)
        return rate * (1 - rate)

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        super().restore(state)
        if "rows" in self._s:
            self._place_constants()
        if "anchor" in self._s:
            self._anchor_anew(self._s["anchor"])

    def _anchor_at(self, scores: np.ndarray, slopes: np.ndarray | None = None) -> None:
        """The sigmoid is replaced by a line at these scores of the rows, (n,), by default with `_slope_at`."""
        rate = sigmoid(scores)
        self._anchor, self._rate = scores, rate
        self._slope = self._slope_at(scores) if slopes is None else slopes
        self._factors.clear()

    def start(self) -> list[Message]:
        """The platforms begin; several banks tell each other how much they bring, roughly."""
        told = SCALE.pack(*self._own_scale())
        return [Message(name, "scale", told, Opening("scale", name, 2)) for name in self._others()]

    def _own_scale(self) -> tuple[int, int]:
        """Rows, and rows times the largest eigenvalue of the own block, as powers of the square root of 2."""
        return fixed.grid(len(self._given)), fixed.grid(len(self._given) * self._block_eigenvalue)

    def _others(self) -> tuple[str, ...]:
        return tuple(name for name in self._config.banks if name != self._config.party)

    def _await_first(self) -> None:
        self._await(*((self._others()[0], "scale") if self._config.several else (self._config.lead, "setup")))

    def _askers(self) -> tuple[str, ...]:
        return (self._config.lead,)

    @property
    def summands(self) -> tuple[str, ...]:
        """The platforms."""
        return self._config.platforms

    # -- setup

    def _on_scale(self, payload: bytes) -> list[Message]:
        """Of one other bank after another."""
        if len(payload) != SCALE.size:
            raise MalformedMessage(f"expected {SCALE.size} bytes of scale, got {len(payload)}")
        self._s["scales"] = np.r_[self._s.get("scales", np.zeros(0, np.int64)), SCALE.unpack(payload)]
        if not self._await_each(self._others(), "scale", self._sender(self._others())):
            self._await(self._config.lead, "setup")
        return []

    def _reference_eigenvalue(self) -> float:
        """The largest eigenvalue of the bank's weighted block; of several banks the mean over all rows, roughly."""
        if not self._config.several:
            return self._block_eigenvalue
        rows, weighted = np.r_[self._own_scale(), self._s["scales"]].reshape(-1, 2).T / 2
        return float((2.0**weighted).sum() / (2.0**rows).sum())

    def _on_setup(self, payload: bytes) -> list[Message]:
        """Of one platform after another: only the lead's keys are needed, the others never ask for anything."""
        declared, columns, rest = self._parse_setup(payload, self._name)
        before = self._s.get("arrived", np.zeros(0, np.int64))
        if len(before) == 0:
            self._s |= {"rows": declared, "arrived": np.array([columns])}
            return self._meet_lead(rest)
        if rest:
            raise MalformedMessage("expected no keys of a platform that is not the lead")
        self._s["arrived"] = np.r_[before, columns]
        return self._next_setup()

    def _meet_lead(self, rest: bytes) -> list[Message]:
        """Its keys, or the two seeds of the check on the banks' sums, and its keys apart."""
        if not self._config.several:
            return self._on_keys(rest)
        if len(rest) != 2 * SEED_BYTES:
            raise MalformedMessage(f"expected two seeds in the lead's setup, got {len(rest)} bytes")
        self._s |= {"common.point": rest[:SEED_BYTES], "common.pad": rest[SEED_BYTES:]}
        self._await(self._config.lead, "keys")
        return []

    def _on_keys(self, payload: bytes) -> list[Message]:
        self._take_keys(payload)
        self.peer_public = payload
        return self._next_setup()

    def _next_setup(self) -> list[Message]:
        arrived = self._s["arrived"]
        if len(arrived) < len(self._config.platforms):
            self._await(self._config.platforms[len(arrived)], "setup")
            return []
        del self._s["arrived"]
        self._s |= {"bank_columns": self._own, "widths": arrived}
        self._check_size(self._own, arrived)
        check_events(self._labels, self._total(), self._config.polish, self._config.l2)
        return self._introduce()

    def _introduce(self) -> list[Message]:
        """All columns are known: what the platforms need to know of each other, and the lead's start shares."""
        platforms = self._config.platforms
        self._place_constants()
        self._layout = self._chosen_layout()
        secrets = {"point": os.urandom(SEED_BYTES), "pads": os.urandom(SEED_BYTES * len(platforms))}
        self._await(self._config.lead, "init", **(secrets if self._config.summed else {}))
        messages = [Message(name, "setup", self._setup_for(index)) for index, name in enumerate(platforms)]
        if self._config.summed:  # one upload of the keys for all
            keys, slot = self._keys.public_bytes(), f"keys.{self._name}"
            messages += [Message(name, "keys", keys, slot=slot) for name in platforms]
        return [*messages, Message(self._config.lead, "init", self._init_payload(self._draw_start()))]

    def _place_constants(self) -> None:
        """Several banks with an intercept each: a column per bank, zero at all rows but those of that bank.

        Its value there is √(all rows / own rows), so that it is of length √rows like the other columns.
        """
        if self._config.constants > 1:
            block = np.zeros((len(self._given), self._config.constants), np.int64)
            block[:, self._config.banks.index(self._name)] = self._constant()
            self._matrices[self._name] = np.hstack([block, self._given[:, 1:]])

    def _constant(self) -> int:
        """The value of the bank's own intercept column, in fixed point."""
        unit = 1 << fixed.FEATURE_BITS
        return round(unit * math.sqrt(self._s["rows"] / len(self._given))) if self._config.constants > 1 else unit

    def _setup_for(self, index: int) -> bytes:
        """rows, own columns, every platform's columns; then the keys, or the two seeds of the sums' check."""
        widths = self._s["widths"].astype("<u4").tobytes()
        summed = self._config.summed
        rest = self._s["point"] + self._pad_seed(index).to_bytes() if summed else self._keys.public_bytes()
        return SETUP.pack(len(self._given), self._s["rows"], self._own) + widths + rest

    def _pad_seed(self, index: int) -> Seed:
        return Seed(self._s["pads"][SEED_BYTES * index : SEED_BYTES * (index + 1)])

    def _power_start(self) -> np.ndarray:
        """One bank: the direction that its own block stretches most. Several: one that all know, of the speaker."""
        if not self._config.several:
            return self._own_direction
        return even_start(self._own) if self._name == self._config.speaker else np.zeros(self._own)

    def _weight_start(self) -> np.ndarray:
        """The own model; of several banks this bank's part of the mean of their models over all rows."""
        if not self._config.several:
            return self._own_model
        start = np.zeros(self._own)
        share = len(self._given) / self._s["rows"]
        start[self._config.constants :] = share * self._own_model[1:]
        own, unit = self._released()[0], 1 << fixed.FEATURE_BITS
        start[own] = self._own_model[0] * (unit / self._constant() if self._config.constants > 1 else share)
        return start

    def _draw_start(self) -> dict[str, np.ndarray]:
        """What the lead gets of the banks' start points: a share pair (x, 0) would break truncation."""
        starts, given, kept = self._start_points(), {}, {}
        for name, start in starts.items():
            if self._circle is None:
                given[name] = RING.random(self._own)
                kept[name] = RING.sub(start, given[name])
            else:
                given[name] = RING.sub(start, self._circle.part(f"start.{name}", self._own))
                kept[name] = self._circle.common(f"start.{name}", self._own)
        self._s |= {"v_own": kept["power"], "w_own": kept["w"]}
        return given

    def _on_init(self, payload: bytes) -> list[Message]:
        """Start shares of one platform's block after another."""
        so_far, index = self._s.get("v_peer", RING.zeros(0)), self._sender(self._config.platforms)
        power, weights = self._parse_init(payload, int(self._s["widths"][index]))
        self._s |= {"v_peer": np.concatenate([so_far, power], axis=1),
                    "w_peer": np.concatenate([self._s.get("w_peer", RING.zeros(0)), weights], axis=1)}
        if self._await_each(self._config.platforms, "init", index):
            return []
        return self._begin_pass()

    def _block(self, index: int) -> slice:
        """A platform's part of all platforms' blocks."""
        ends = np.cumsum(self._s["widths"])
        return slice(int(ends[index] - self._s["widths"][index]), int(ends[index]))

    def _make_tiles(self, matrix: np.ndarray, transposed: bool, cache: int) -> MatrixTiles:
        if not transposed:
            return super()._make_tiles(matrix, transposed, cache)
        return MatrixTiles(matrix.T, layout=self._banks_layout(), cache_bytes=cache)

    # -- one pass

    def _rows(self) -> int:
        return self._pass_rows(self._name)

    def _forward_shape(self) -> tuple[int, int]:
        """The same for all platforms, so that their replies fit: those with fewer columns fill up with zeros."""
        return self._rows(), int(self._s["widths"].max())

    def _backward_shape(self) -> tuple[int, int]:
        return int(self._s["widths"].sum()), self._rows()

    def _begin_pass(self) -> list[Message]:
        self._await(self._config.lead, "forward.request")
        return [Message(name, "forward.request", self._forward_request(index))
                for index, name in enumerate(self._config.platforms)]

    def _forward_request(self, index: int) -> bytes:
        shape, part = self._forward_shape(), self._s["v_peer"][:, self._block(index)]
        padded = np.concatenate([part, RING.zeros(shape[1] - part.shape[1])], axis=1)
        return product.ask(self._keys, padded, shape, LAYOUT)

    def _on_forward_request(self, payload: bytes) -> list[Message]:
        reply, share = self._answer(self._config.lead, self._name, self._s["v_own"], payload, transposed=False)
        self._await_reply("forward.reply", z=share)
        return [Message(self._config.lead, "forward.reply", reply)]

    def _await_reply(self, kind: str, **state) -> None:
        self._await(SUM if self._config.summed else self._config.lead, kind, **state)

    def _finish(
        self, kind: str, payload: bytes, shape: tuple[int, int], coding: product.ReplyCoding,
        layout: LayoutName = LAYOUT,
    ) -> np.ndarray:
        """One's share of what the platforms computed, out of their sum or of the only one's reply."""
        if not self._config.summed:
            return product.finish(self._keys, payload, shape, layout, coding)
        label = self._label(kind, self._name)
        pads = [self._pad_seed(index).expand(label, 1) for index in range(len(self._config.platforms))]
        return summed_product.finish_sum(self._keys, payload, shape, layout, coding, Seed(self._s["point"]), pads)

    def _on_forward_reply(self, payload: bytes) -> list[Message]:
        share = self._finish("forward", payload, self._forward_shape(), FORWARD)
        z = self._truncated(RING.add(self._s["z"], share), self._layout.score_shift)
        self._await(self._config.lead, "residual.request", z=z)
        return []

    def _slopes(self) -> np.ndarray:
        """D as integers with slope_bits. Power iterations use D / (2 lambda_banks), which keeps their norm near 1."""
        sample = self._slope[: self._rows()]
        slope = sample / (2 * self._reference_eigenvalue()) if self._in_power_pass() else sample
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
        self._veil = elementwise.Veil(self._peer_keys[self._config.lead], self._rows())
        self._factor()
        requests = [self._forward_shape()] * len(self._config.platforms) + [self._backward_shape()]
        own = (self._rows(), self._own)
        self._stock(self._config.lead, requests, [own, own[::-1]])

    def _on_residual_request(self, payload: bytes) -> list[Message]:
        factor, veil, self._veil = self._factor(), self._veil, None
        reply, share = elementwise.answer(self._peer_keys[self._config.lead], [(payload, factor)], veil)
        residual = RING.add(RING.mul(factor.values, self._s.pop("z")), share)
        if not self._in_power_pass():
            used = self._slopes() / 2.0**self._layout.slope_bits
            offset = self._rate - used * self._anchor - self._labels
            residual = RING.add(residual, RING.encode(to_fixed(offset, self._layout.residual_bits)))
        return [Message(self._config.lead, "residual.reply", reply), *self._ask_backward(residual)]

    def _ask_backward(self, residual: np.ndarray) -> list[Message]:
        """The bank's share of the residual is there."""
        self._await(self._config.lead, "backward.request", r=residual)
        request = product.ask(self._keys, residual, self._backward_shape(), LAYOUT)
        # one upload for all platforms
        slot = self._label("backward.request", self._name) if self._config.summed else ""
        return [Message(name, "backward.request", request, slot=slot) for name in self._config.platforms]

    def _on_backward_request(self, payload: bytes) -> list[Message]:
        residual = self._s.pop("r")  # the own request left before this one is answered
        if self._circle is None:
            reply, share = self._answer(self._config.lead, self._name, residual, payload, transposed=True)
            self._await_reply("backward.reply", g_own=share)
            return [Message(self._config.lead, "backward.reply", reply)]
        label = self._label("common")
        tiles = self._own_tiles(self._name, transposed=True)
        pad = Seed(self._s["common.pad"]).expand(label, 1)
        reply = contribute(tiles, self._peer_keys[self._config.lead], residual, payload, BACKWARD,
                           self._circle.part(label, self._own), Seed(self._s["common.point"]), pad)
        self._await_reply("backward.reply", g_own=self._circle.common(label, self._own))
        group = next(names for names in self._config.bank_groups if self._name in names)
        slot = f"{label}.{group[0]}"
        return [Message(self._config.lead, "backward.reply", reply, slot=slot, contributors=group)]

    def _on_backward_reply(self, payload: bytes) -> list[Message]:
        share = self._finish("backward", payload, self._backward_shape(), BACKWARD)
        if self._circle is None:
            self._s["g_peer"] = share
            return self._end_pass()
        label, columns = self._label("gradient"), share.shape[1]
        covered = RING.sub(share, self._circle.part(label, columns))
        self._s["g_peer"] = self._circle.common(label, columns)
        shares = [Message(name, "gradient.share", RING.to_bytes(covered[:, self._block(index)]))
                  for index, name in enumerate(self._config.platforms)]
        return [*shares, *self._end_pass()]

    # -- step size

    def _norm_vectors(self, index: int) -> np.ndarray:
        """What this side holds of the blocks shared with a platform; with the lead also the banks' own block."""
        block, parts = self._block(index), []
        for name in ("before", "v"):
            parts += [self._s[f"{name}_own"]] if index == 0 else []
            parts.append(self._s[f"{name}_peer"][:, block])
        return np.concatenate(parts, axis=1)

    def _begin_norms(self) -> list[Message]:
        """The speaker asks for all banks."""
        if self._name != self._config.speaker:
            self._await(self._config.speaker, "step.size")
            return []
        self._await(self._config.lead, "norms.reply", norms=RING.zeros(2))
        return [Message(name, "norms.request", elementwise.ask(self._keys, self._norm_vectors(index)))
                for index, name in enumerate(self._config.platforms)]

    def _on_norms_reply(self, payload: bytes) -> list[Message]:
        """Of one platform after another; their shares of the norms are opened in the sum only."""
        index = self._sender(self._config.platforms)
        vectors = self._norm_vectors(index)
        share = RING.from_bytes(payload[-32:], 2)
        cross = elementwise.finish(self._keys, payload[:-32], vectors.shape[1])
        norms = RING.add(RING.add(self._s["norms"], share), self._squares(vectors, cross))
        if self._await_each(self._config.platforms, "norms.reply", index):
            self._s["norms"] = norms
            return []
        return self._choose_step(open_shares("step.norms", norms).floats())

    def _choose_step(self, norms: np.ndarray) -> list[Message]:
        excess = fixed.power_excess(self._layout, fixed.power_rows(self._s["rows"]))
        eigenvalue = 2 * self._reference_eigenvalue() * self._growth(norms) / excess
        del self._s["norms"]
        grid = fixed.eigenvalue_grid(eigenvalue)
        told = [Message(name, "step.size", struct.pack("<b", grid), Opening("step.size", name, 1))
                for name in (*self._config.platforms, *self._others())]
        return [*told, *self._begin_training(grid)]

    def _growth(self, norms: np.ndarray) -> float:
        """Norm of the last power iterate over that of the one before; ProtocolError when it cannot be one."""
        growth = math.sqrt(norms[1] / norms[0]) if norms.min() > 0 else math.nan
        least, most = self._growth_bounds()
        if not least < growth <= most:
            raise ProtocolError(  # both numbers say something about private columns, and the sentence travels
                "the power iteration did not converge to a possible step size; nothing was trained, check the columns "
                "for values that are constant but for very few rows"
            )
        return growth

    def _growth_bounds(self) -> tuple[float, float]:
        """The joint Gram matrix contains the banks' block (growth >= 1/2) and is at most (parties) max D, columns being
        whitened party by party. Several banks know neither exactly: the block's eigenvalue lies below the rows' mean of
        the banks' by their differences, max D is at most 1/4, and a bank's rows may be more spread than all rows."""
        sides, reference = 1 + len(self._config.platforms), self._reference_eigenvalue()
        if not self._config.several:
            return 0.4, max(0.55 * sides * self._slope.max() / reference, 1.1)
        return 0.2, max(sides * 0.25 / reference, 1.1)

    # -- the end

    def _release(self) -> list[Message]:
        """The speaker's share of a platform's coefficients is that of every bank."""
        self._await(self._config.lead, "coefficients")
        if self._name != self._config.speaker:
            return []
        flooded = self._flooded(self._s["w_peer"])
        return [self._coefficients_message(name, flooded[:, self._block(index)])
                for index, name in enumerate(self._config.platforms)]

    def _released(self) -> np.ndarray:
        return self._config.released_to(self._name, self._own)

    def _in_own_units(self, coefficients: np.ndarray) -> np.ndarray:
        out = coefficients.copy()
        out[0] *= self._constant() / 2.0**fixed.FEATURE_BITS
        return out
