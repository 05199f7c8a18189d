"""The open-score variant: the bank opens the platform's part of each direction; the platform sees no gradient.

One bank with labels, one platform. The platform's coefficients are a combination w = Σ mix_k g_k of a few gradients
(reference and name: DESIGN, section 5). In round k:

    bank -> platform   gradient.request   r = sigmoid(z) - y + l2 X w, encrypted under the bank's key
    platform -> bank   gradient.reply     fresh shares of g_k = Xᵀ r = Xᵀ(sigmoid(z) - y) + n l2 w: nobody knows it
    bank -> platform   scores.request     its share of g_k, encrypted
    platform -> bank   scores.reply       fresh shares of u_k = X g_k
    platform -> bank   scores.training    the platform's share, flooded: opens u_k to the bank

The bank then solves for its own coefficients and all mix_k at once (`subspace.py`), with the exact sigmoid, and the new
z gives the next residual. After the last round both get coefficients of their own columns:

    bank -> platform   combine.request    mix_k, encrypted
    platform -> bank   combine.reply      fresh shares of Σ mix_k · (the platform's share of g_k)
    bank -> platform   coefficients       the bank's share of w, flooded: opens w to the platform

mix_k never leaves the bank in the clear and no g_k is opened to anybody. `opened.py` has the rules of the opening.
Gradients shrink from round to round, the flood does not, so the bank lifts r by a power of two that it alone knows.
"""
from __future__ import annotations

import math
import struct
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from protocols.crypto import elementwise, product
from protocols.crypto.fixed_point import to_fixed
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.layout import layout_of
from protocols.crypto.opening import open_shares
from protocols.crypto.product import MatrixTiles
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage, ProtocolError
from protocols.role import Message, Opening
from protocols.scorecard import layout as fixed
from protocols.scorecard import opened, subspace
from protocols.scorecard.logistic import sigmoid
from protocols.scorecard.stepwise import Stepwise
from protocols.scorecard.training import BACKWARD, LAYOUT, MAXIMUM_HINTS, Coefficients, TrainingConfig, flooded
from protocols.state import pack, unpack

SETUP = struct.Struct("<QI")  # training rows, whitened columns of the sender
RESIDUAL_BITS = 56  # at most: |r| < 64 must fit 62 bits
MIX_BITS = 16
WEIGHT_BITS = opened.VECTOR_BITS + MIX_BITS
MOST_LIFT = 16
LARGEST_WEIGHT = 2.0**fixed.SCORE_BOUND_BITS


@dataclass(frozen=True)
class Scales:
    """Fractional bits for n rows. Directions are g / 2^m with 2^m >= n, of length at most 1, at opened.VECTOR_BITS."""

    residual: int
    gain: int  # bits that lift a share of g to its scale as a direction

    @classmethod
    def of(cls, rows: int) -> Scales:
        """As many bits of the residual as fit: what the gradient's error says about anything lies below them."""
        room = opened.VECTOR_BITS - fixed.FEATURE_BITS - (rows - 1).bit_length()
        residual = min(RESIDUAL_BITS, room)
        return cls(residual, room - residual)


class Solver(Stepwise):
    """Common part of both sides."""

    def __init__(self, rows: int, config: TrainingConfig, expect: str):
        self._rows, self._config, self._scales = rows, config, Scales.of(rows)
        self._bank, self._platform = config.speaker, config.lead
        self._s: dict = {"expect": expect, "round": 0, "g": RING.zeros(0)}
        self._result: Coefficients | None = None

    @property
    @abstractmethod
    def _peer(self) -> str:
        """The other side."""

    @property
    def expects(self) -> str | None:
        """Whose message is due."""
        return self._peer

    @property
    def progress(self) -> tuple[int, int]:
        """Rounds done and rounds in all."""
        return self._s["round"], self._config.openings

    def result(self) -> Coefficients | None:
        """Own coefficients once the training has ended."""
        return self._result

    def snapshot(self) -> bytes:
        """All state that changes."""
        return pack(self._s | ({} if self._result is None else {"result": self._result.own}))

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        self._s = unpack(state)
        if "result" in self._s:
            self._result = self._coefficients(self._s.pop("result"))

    def _parse_setup(self, payload: bytes, own: int) -> bytes:
        """Remember the peer's number of columns; what follows the numbers. `own`: columns here."""
        if len(payload) < SETUP.size:
            raise MalformedMessage(f"training setup of {len(payload)} bytes")
        rows, columns = SETUP.unpack_from(payload)
        if rows != self._rows or not 1 <= columns <= MAXIMUM_HINTS:
            raise MalformedMessage(f"expected {self._rows} training rows and 1 to {MAXIMUM_HINTS} columns at the peer, "
                                   f"got {rows} and {columns}")
        self._config.check_rows(rows, own + columns)
        self._s["columns_peer"] = columns
        return payload[SETUP.size:]

    def _coefficients(self, own: np.ndarray) -> Coefficients:
        return Coefficients(own, self._rows, self._s["columns_peer"], None, self._config.openings)

    def _finished(self, own: np.ndarray) -> None:
        self._result = self._coefficients(own)
        self._s = {"expect": None, "round": self._s["round"], "columns_peer": self._s["columns_peer"]}

    def _keep_direction(self, share: np.ndarray) -> np.ndarray:
        """One's share of a gradient, as one of the direction g / 2^m; kept beside those of earlier rounds."""
        direction = RING.mul_public(share, 1 << self._scales.gain)
        self._s["g"] = np.concatenate([self._s["g"], direction], axis=1)
        return direction

    def _summed(self, parts: np.ndarray) -> np.ndarray:
        """(2, k d) -> (2, d): the sum over directions."""
        width = parts.shape[1] // self._config.openings
        total = RING.zeros(width)
        for at in range(0, parts.shape[1], width):
            total = RING.add(total, parts[:, at : at + width])
        return total


class LabelSolver(Solver):
    """The bank. `columns`: (n, d) whitened, no intercept; `labels`: (n,) 0/1; `own_model`: (1 + d,), its own fit."""

    def __init__(
        self, columns: np.ndarray, labels: np.ndarray, own_model: np.ndarray, keys: KeyPair, config: TrainingConfig
    ):
        super().__init__(len(columns), config, "setup")
        self._columns, self._labels, self._keys = columns, labels.astype(float), keys
        self._s |= {"own": own_model, "mix": np.zeros(0), "images": np.zeros((len(columns), 0)), "lift": 0}

    @property
    def _peer(self) -> str:
        return self._platform

    def start(self) -> list[Message]:
        """The platform begins."""
        return []

    def _on_setup(self, payload: bytes) -> list[Message]:
        if self._parse_setup(payload, len(self._s["own"])):
            raise MalformedMessage("expected no keys of the platform, which asks for nothing")
        numbers = SETUP.pack(self._rows, len(self._s["own"]))
        return [Message(self._peer, "setup", numbers + self._keys.public_bytes()), *self._ask_gradient()]

    def _shape(self) -> tuple[int, int]:
        return self._rows, self._s["columns_peer"]

    def _ask_gradient(self) -> list[Message]:
        own, theirs = self._s["own"], self._s["images"] @ self._s["mix"]
        wrong = sigmoid(own[0] + self._columns @ own[1:] + theirs) - self._labels
        residual = to_fixed(wrong + self._config.l2 * theirs, self._scales.residual)
        lifted = RING.mul_public(RING.encode(residual), 1 << self._s["lift"])
        self._s["expect"] = "gradient.reply"
        request = product.ask(self._keys, lifted, self._shape()[::-1], LAYOUT)
        return [Message(self._peer, "gradient.request", request)]

    def prepare(self) -> None:
        """While the platform works: encryptions of zero for the next request."""
        if self._s["expect"] == "gradient.reply":
            self._keys.stock(layout_of(self._shape(), opened.LAYOUT).uploads)

    def _on_gradient_reply(self, payload: bytes) -> list[Message]:
        share = product.finish(self._keys, payload, self._shape()[::-1], LAYOUT, BACKWARD)
        direction = self._keep_direction(share)
        self._s["expect"] = "scores.reply"
        request = product.ask(self._keys, direction, self._shape(), opened.LAYOUT)
        return [Message(self._peer, "scores.request", request)]

    def _on_scores_reply(self, payload: bytes) -> list[Message]:
        self._s["z"] = product.finish(self._keys, payload, self._shape(), opened.LAYOUT, opened.CODING)
        self._s["expect"] = opened.KIND
        return []

    def _on_scores_training(self, payload: bytes) -> list[Message]:
        """One image more: solve anew for everything."""
        image = opened.scores(self._s.pop("z"), payload)
        images = np.column_stack([self._s["images"], image])
        found = subspace.solve(self._columns, images, self._labels, self._config.l2)
        self._s |= {"images": images, "own": found.own, "mix": found.mix, "round": self._s["round"] + 1,
                    "lift": _next_lift(self._s["lift"], image)}
        return self._ask_gradient() if self._s["round"] < self._config.openings else self._ask_combination()

    def _mix(self) -> np.ndarray:
        """Each direction's weight in fixed point, once per coefficient of the platform, (2, k d)."""
        repeated = np.repeat(to_fixed(self._s["mix"], MIX_BITS), self._s["columns_peer"])
        return RING.encode(repeated)

    def _ask_combination(self) -> list[Message]:
        self._s["expect"] = "combine.reply"
        return [Message(self._peer, "combine.request", elementwise.ask(self._keys, self._mix()))]

    def _on_combine_reply(self, payload: bytes) -> list[Message]:
        mix = self._mix()
        parts = RING.add(RING.mul(mix, self._s["g"]), elementwise.finish(self._keys, payload, mix.shape[1]))
        share = flooded(self._summed(parts), WEIGHT_BITS)
        self._finished(self._s["own"])
        count = share.shape[1]
        return [Message(self._peer, "coefficients", RING.to_bytes(share), Opening("coefficients", self._peer, count))]


def _next_lift(lift: int, image: np.ndarray) -> int:
    """Bits that would have brought this image to a root mean square between 1/2 and 1, 8 more than before at most: the
    next is rarely larger, and may be so 2^8 times before scores reach their bound."""
    size = math.sqrt(float(np.mean(image**2)))
    return int(np.clip(lift - math.ceil(math.log2(max(size, subspace.FLAT))), 0, min(MOST_LIFT, lift + 8)))


class FeatureSolver(Solver):
    """The platform. `columns`: (n, d) whitened columns of the training rows. It has no keys and asks for nothing."""

    def __init__(self, columns: np.ndarray, config: TrainingConfig, peer_public: bytes | None = None):
        super().__init__(len(columns), config, "setup")
        self._columns = to_fixed(columns, fixed.FEATURE_BITS)
        self._tiles: dict[str, MatrixTiles] = {}
        self._take_keys(peer_public)

    def _take_keys(self, public: bytes | None) -> None:
        self._peer_keys = None if public is None else PeerKeys.from_bytes(public)
        self.peer_public = public

    @property
    def _peer(self) -> str:
        return self._bank

    def start(self) -> list[Message]:
        """Announce rows and columns."""
        return [Message(self._peer, "setup", SETUP.pack(*self._columns.shape))]

    def _on_setup(self, payload: bytes) -> list[Message]:
        self._take_keys(self._parse_setup(payload, self._columns.shape[1]))
        self._s["expect"] = "gradient.request"
        return []

    def _matrix(self, kind: str) -> MatrixTiles:
        """The own columns as they are multiplied, transformed once."""
        if kind not in self._tiles:
            cache, values = self._config.cache_bytes // 2, self._rows * self._config.openings
            self._tiles[kind] = opened.tiles(self._columns, values, cache) if kind == "scores" else \
                MatrixTiles(self._columns.T, layout=LAYOUT, cache_bytes=cache)
        return self._tiles[kind]

    def prepare(self) -> None:
        """While the bank works: tiles, and the zeros of the next reply."""
        kind = (self._s["expect"] or "").partition(".")[0]
        if kind in ("gradient", "scores") and self._peer_keys is not None:
            self._peer_keys.stock(self._matrix(kind).layout.replies)

    def _on_gradient_request(self, payload: bytes) -> list[Message]:
        reply, share = product.answer(self._matrix("gradient"), self._peer_keys, None, payload, BACKWARD)
        self._keep_direction(share)
        self._s["expect"] = "scores.request"
        return [Message(self._peer, "gradient.reply", reply)]

    def _on_scores_request(self, payload: bytes) -> list[Message]:
        direction = self._s["g"][:, -self._columns.shape[1]:]
        reply, share = product.answer(self._matrix("scores"), self._peer_keys, direction, payload, opened.CODING)
        self._s["round"] += 1
        self._s["expect"] = "gradient.request" if self._s["round"] < self._config.openings else "combine.request"
        return [Message(self._peer, "scores.reply", reply), opened.message(self._peer, share)]

    def _on_combine_request(self, payload: bytes) -> list[Message]:
        reply, share = elementwise.answer(self._peer_keys, [(payload, self._s["g"])])
        self._s |= {"expect": "coefficients", "w": self._summed(share)}
        return [Message(self._peer, "combine.reply", reply)]

    def _on_coefficients(self, payload: bytes) -> list[Message]:
        share = self._s["w"]
        own = open_shares("coefficients", share, RING.from_bytes(payload, share.shape[1])).floats(WEIGHT_BITS)
        if np.abs(own).max() > LARGEST_WEIGHT:
            raise ProtocolError(f"expected coefficients up to {LARGEST_WEIGHT:.0f}, got one beyond; the training has "
                                "diverged, so take fewer columns or another encoding and start a new run")
        self._finished(own)
        return []
