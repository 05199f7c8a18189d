"""What the two sides of strict training share: one pass = forward, residual, backward, all on shares.

One pass takes shares of a vector v and gives both sides shares of g = X^T (D (X v) + offset):

    both      forward.request / forward.reply     fresh shares of X_b v_b and X_p v_p, truncated to z
    platform  residual.request / residual.reply   shares of D z: the bank holds D = p0 (1 - p0) in the clear
    both      backward.request / backward.reply   fresh shares of X_b^T r and X_p^T r

Six passes without offset are power iterations that find the step size; then a fixed number of passes with offset are
accelerated gradient steps (Nesterov, momentum 9/16) on one exact re-weighted least-squares step around the bank's own
score ("anchored"). No value is opened between `init` and `coefficients` but the two norms of the power iteration.
"""
from __future__ import annotations

import struct
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from protocols.crypto import product
from protocols.crypto.fixed_point import to_fixed
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.layout import layout_of
from protocols.crypto.product import MatrixTiles, ReplyCoding
from protocols.crypto.ring import RING
from protocols.errors import DataError, MalformedMessage
from protocols.role import Message, Opening, Role
from protocols.scorecard import layout as fixed
from protocols.state import pack, unpack

_SETUP = struct.Struct("<QI")  # training rows, own whitened columns
RELEASE_FLOOD_BITS = 12  # released coefficients are flooded by +-2^-12 in whitened units
NORM_FLOOD_GAP = 18  # an opened squared norm, at scale 2 * point_bits, is flooded by 2^(2 * point_bits - 18)
MAXIMUM_HINTS = 1024  # opened numbers per key: each lowers the key's dimension by at most one (SECURITY.md)
LAYOUT = "compact"


@dataclass(frozen=True)
class TrainingConfig:
    """What both sides know before they begin. `check_rows(rows, coefficients)` raises PolicyRefused."""

    peer: str
    steps: int
    l2: float
    check_rows: Callable[[int, int], None]
    cache_bytes: int


@dataclass(frozen=True, repr=False)
class Coefficients:
    """What a side is left with: whitened coefficients of its own columns, and the public facts of the training."""

    own: np.ndarray
    rows: int
    columns_peer: int
    grid: int
    steps: int


class Trainer(Role):
    """Common part of both roles. Subclasses add what depends on who holds the labels.

    `columns`: own whitened training columns, float (n, d); the bank's first column is ones.
    """

    party_first: bool  # the bank truncates as first party, the platform as second

    def __init__(self, columns: np.ndarray, keys: KeyPair, config: TrainingConfig, peer_public: bytes | None = None):
        self._keys, self._config = keys, config
        self._matrix = to_fixed(columns, fixed.FEATURE_BITS)
        self._columns = self._matrix / 2.0**fixed.FEATURE_BITS
        self._rows, self._own = columns.shape
        self.peer_public = peer_public  # as it came in `setup`; the driver keeps it beside the snapshots
        self._peer_keys: PeerKeys | None = None
        self._tiles: dict[tuple[int, bool], MatrixTiles] = {}
        self._s: dict = {"expect": "setup", "number": 0, "peer_columns": 0, "grid": None}
        self._result: Coefficients | None = None

    # -- the Role interface

    def start(self) -> list[Message]:
        """Announce rows, columns and public keys."""
        head = _SETUP.pack(self._rows, self._own)
        return [self._message("setup", head + self._keys.public_bytes())]

    def handle(self, message: Message) -> list[Message]:
        """Take the one message that may come now; MalformedMessage for any other."""
        expected = self._s["expect"]
        if message.kind != expected or message.peer != self._config.peer:
            raise MalformedMessage(f"training: expected {expected} from {self._config.peer}, got {message.kind}")
        return getattr(self, "_on_" + expected.replace(".", "_"))(message.payload)

    def result(self) -> Coefficients | None:
        """Own coefficients once the training has ended."""
        return self._result

    def snapshot(self) -> bytes:
        """All state that changes. Own columns, own keys and `peer_public` are given again to the constructor."""
        done = {} if self._result is None else {"result": self._result.own}
        return pack(self._s | done)

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        self._s = unpack(state)
        if self.peer_public is not None:
            self._peer_keys = PeerKeys.from_bytes(self.peer_public)
            self._layout = fixed.choose(self._rows, self._total(), self._config.steps)
        if "result" in self._s:
            self._result = self._coefficients(self._s.pop("result"))

    def _stock_zeros(self) -> None:
        """Zeros for the next request and reply of either direction, made while the peer works; in memory only."""
        shape = (self._pass_rows(), self._s["peer_columns"])
        self._keys.stock(layout_of(shape[::-1], LAYOUT).uploads + layout_of(shape, LAYOUT).uploads)
        own = (self._pass_rows(), self._own)
        self._peer_keys.stock(layout_of(own, LAYOUT).replies + layout_of(own[::-1], LAYOUT).replies)

    @property
    def progress(self) -> tuple[int, int]:
        """Passes done and passes in all."""
        return self._s["number"], fixed.POWER_PASSES + self._config.steps

    # -- setup

    def _on_setup(self, payload: bytes) -> list[Message]:
        if len(payload) < _SETUP.size:
            raise MalformedMessage(f"training setup of {len(payload)} bytes")
        rows, columns = _SETUP.unpack_from(payload)
        if rows != self._rows:
            raise MalformedMessage(f"expected {self._rows} training rows at the peer, got {rows}")
        if not 1 <= columns <= 65536:
            raise MalformedMessage(f"expected 1 to 65536 columns at the peer, got {columns}")
        if max(columns, self._own) + 2 > MAXIMUM_HINTS:
            most = MAXIMUM_HINTS - 2
            raise DataError(f"expected at most {most} whitened columns a side, got {self._own} and {columns}")
        self._config.check_rows(self._rows, self._own + columns)
        self._peer_keys = PeerKeys.from_bytes(payload[_SETUP.size :])
        self.peer_public = payload[_SETUP.size :]
        self._s |= {"peer_columns": columns, "expect": "init"}
        self._layout = fixed.choose(self._rows, self._total(), self._config.steps)
        return [self._init_message()]

    def _init_message(self) -> Message:
        """Random shares for the peer of this side's start points: a share pair (x, 0) would break truncation."""
        own = {"power": self._power_start(), "w": self._weight_start()}
        given = {name: RING.random(self._own) for name in own}
        bits = {"power": self._layout.point_bits, "w": self._layout.weight_bits}
        for name, start in own.items():
            self._s[f"{name}_own"] = RING.sub(RING.encode(to_fixed(start, bits[name])), given[name])
        return self._message("init", b"".join(RING.to_bytes(given[name]) for name in ("power", "w")))

    def _on_init(self, payload: bytes) -> list[Message]:
        size = 16 * self._s["peer_columns"]
        if len(payload) != 2 * size:
            raise MalformedMessage(f"expected {2 * size} bytes of start shares, got {len(payload)}")
        for index, name in enumerate(("power", "w")):
            part = payload[index * size : (index + 1) * size]
            self._s[f"{name}_peer"] = RING.from_bytes(part, self._s["peer_columns"])
        self._s |= {"v_own": self._s.pop("power_own"), "v_peer": self._s.pop("power_peer")}
        return self._begin_pass()

    # -- one pass

    def _begin_pass(self) -> list[Message]:
        shape = (self._pass_rows(), self._s["peer_columns"])
        request = product.ask(self._keys, self._s["v_peer"], shape, LAYOUT)
        self._s["expect"] = "forward.request"
        return [self._message("forward.request", request)]

    def _on_forward_request(self, payload: bytes) -> list[Message]:
        reply, share = product.answer(
            self._own_tiles(transposed=False), self._peer_keys, self._s["v_own"], payload, ReplyCoding.SHORT
        )
        self._s |= {"z": share, "expect": "forward.reply"}
        return [self._message("forward.reply", reply)]

    def _on_forward_reply(self, payload: bytes) -> list[Message]:
        shape = (self._pass_rows(), self._s["peer_columns"])
        share = product.finish(self._keys, payload, shape, LAYOUT, ReplyCoding.SHORT)
        total = RING.add(self._s["z"], share)
        self._s["z"] = RING.truncate(total, self._layout.score_shift, second=not self.party_first)
        return self._residual()

    def _backward_request(self) -> Message:
        shape = (self._s["peer_columns"], self._pass_rows())
        return self._message("backward.request", product.ask(self._keys, self._s["r"], shape, LAYOUT))

    def _on_backward_request(self, payload: bytes) -> list[Message]:
        reply, share = product.answer(
            self._own_tiles(transposed=True), self._peer_keys, self._s["r"], payload, ReplyCoding.FULL
        )
        self._s |= {"g_own": share, "expect": "backward.reply"}
        del self._s["r"]  # the own request left before this one is answered
        return [self._message("backward.reply", reply)]

    def _on_backward_reply(self, payload: bytes) -> list[Message]:
        rows = self._pass_rows()
        shape = (self._s["peer_columns"], rows)
        self._s["g_peer"] = product.finish(self._keys, payload, shape, LAYOUT, ReplyCoding.FULL)
        self._s["number"] += 1
        if self._s["number"] <= fixed.POWER_PASSES:
            return self._end_power_pass(rows)
        return self._end_step()

    def _end_power_pass(self, rows: int) -> list[Message]:
        """v <- X^T D X v / n over the n rows of the pass, at the scale of v."""
        factor = fixed.power_scale(self._layout, rows)
        last = self._s["number"] == fixed.POWER_PASSES
        for side in ("own", "peer"):
            if last:
                self._s[f"before_{side}"] = self._s[f"v_{side}"]
            self._s[f"v_{side}"] = self._scaled(self._s[f"g_{side}"], factor)
        return self._begin_norms() if last else self._begin_pass()

    # -- gradient steps

    def _begin_training(self, grid: int) -> list[Message]:
        """The step size is known: start from the bank's own model."""
        self._s["grid"] = grid
        for side in ("own", "peer"):
            self._s[f"old_{side}"] = self._s[f"w_{side}"]
            self._s.pop(f"before_{side}", None)
        return self._begin_step()

    def _begin_step(self) -> list[Message]:
        """v = w + 9/16 (w - old), exact at four more fractional bits."""
        for side in ("own", "peer"):
            ahead = RING.mul_public(self._s[f"w_{side}"], 16 + fixed.MOMENTUM)
            back = RING.mul_public(self._s[f"old_{side}"], fixed.MOMENTUM)
            self._s[f"v_{side}"] = RING.sub(ahead, back)
        return self._begin_pass()

    def _end_step(self) -> list[Message]:
        """w = v - rate * (g / n + l2 v); no ridge on the intercept."""
        rate = fixed.learning_rate(self._s["grid"], self._config.l2)
        step = fixed.scale(rate / self._rows * 2.0 ** (self._layout.weight_bits - self._layout.gradient_bits))
        ridge = fixed.scale(rate * self._config.l2 * 2.0**-fixed.MOMENTUM_BITS) if self._config.l2 else None
        for side in ("own", "peer"):
            point = self._s[f"v_{side}"]
            new = RING.sub(self._truncated(point, fixed.MOMENTUM_BITS), self._scaled(self._s[f"g_{side}"], step))
            if ridge is not None:
                shrink = self._scaled(point, ridge)
                if self.party_first == (side == "own"):
                    shrink[:, 0] = 0  # the bank's first column is the intercept
                new = RING.sub(new, shrink)
            self._s[f"old_{side}"], self._s[f"w_{side}"] = self._s[f"w_{side}"], new
        if self._s["number"] < fixed.POWER_PASSES + self._config.steps:
            return self._begin_step()
        return self._release()

    def _release(self) -> list[Message]:
        """Each side gets the coefficients of its own columns, flooded by the other: opened once, at the end."""
        bits = self._layout.weight_bits - RELEASE_FLOOD_BITS + 1
        flood = RING.random_below_bits(self._s["peer_columns"], bits)
        centre = RING.encode(np.full(self._s["peer_columns"], 1 << (bits - 1), dtype=np.int64))
        share = RING.add(self._s["w_peer"], RING.sub(flood, centre))
        opening = Opening("coefficients", self._config.peer, self._s["peer_columns"])
        self._s["expect"] = "coefficients"
        return [self._message("coefficients", RING.to_bytes(share), opening)]

    def _on_coefficients(self, payload: bytes) -> list[Message]:
        if len(payload) != 16 * self._own:
            raise MalformedMessage(f"expected {16 * self._own} bytes of coefficients, got {len(payload)}")
        opened = RING.add(self._s["w_own"], RING.from_bytes(payload, self._own))
        self._result = self._coefficients(RING.to_float(opened) / 2.0**self._layout.weight_bits)
        kept = {name: self._s[name] for name in ("number", "peer_columns", "grid")}
        self._s = kept | {"expect": "nothing more"}
        return []

    # -- helpers

    def _coefficients(self, own: np.ndarray) -> Coefficients:
        return Coefficients(own, self._rows, self._s["peer_columns"], self._s["grid"], self._config.steps)

    def _total(self) -> int:
        return self._own + self._s["peer_columns"]

    def _pass_rows(self) -> int:
        """Power iterations run on a sample of the rows, steps on all of them."""
        return fixed.power_rows(self._rows) if self._s["number"] < fixed.POWER_PASSES else self._rows

    def _own_tiles(self, *, transposed: bool) -> MatrixTiles:
        """Cached tiles of the own columns for the rows of this pass."""
        rows = self._pass_rows()
        if (rows, transposed) not in self._tiles:
            for stale in [key for key in self._tiles if key[0] < rows]:
                del self._tiles[stale]  # the power iterations' sample is not needed again
            matrix = self._matrix[:rows].T if transposed else self._matrix[:rows]
            cache = self._config.cache_bytes // 2
            self._tiles[rows, transposed] = MatrixTiles(matrix, layout=LAYOUT, cache_bytes=cache)
        return self._tiles[rows, transposed]

    def _scaled(self, share: np.ndarray, factor: fixed.Scale) -> np.ndarray:
        return self._truncated(RING.mul_public(share, factor.constant), factor.shift)

    def _truncated(self, share: np.ndarray, bits: int) -> np.ndarray:
        return RING.truncate(share, bits, second=not self.party_first)

    def _message(self, kind: str, payload: bytes, opening: Opening | None = None) -> Message:
        return Message(self._config.peer, kind, payload, opening)

    # -- what the sides do differently

    @abstractmethod
    def _power_start(self) -> np.ndarray:
        """Own block of the vector that the power iteration starts from."""

    @abstractmethod
    def _weight_start(self) -> np.ndarray:
        """Own block of the coefficients that the steps start from."""

    @abstractmethod
    def _residual(self) -> list[Message]:
        """Both hold shares of z: go on to the residual."""

    @abstractmethod
    def _begin_norms(self) -> list[Message]:
        """The power iteration has ended: go on to the step size."""
