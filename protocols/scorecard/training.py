"""What all parties of strict training share: one pass = forward, residual, backward, all on shares.

One bank B holds labels and columns, M platforms hold columns; the first platform is the *lead*. Every vector is shared
between two sides only, so that shares may be truncated locally: the bank on one side, the platforms on the other. A
platform holds the platforms' share of its own block; what belongs to no single platform (scores, residuals, the bank's
block) the lead holds. One pass takes shares of a vector v and gives shares of g = X^T (D (X v) + offset):

    all       forward.request / forward.reply     fresh shares of X v, truncated to z; the platforms' replies are summed
    lead      residual.request / residual.reply   shares of D z: the bank holds D = p0 (1 - p0) in the clear
    lead      residual.share                      the other platforms get the lead's share of the residual
    all       backward.request / backward.reply   fresh shares of X^T r; the platforms' replies are summed

Six passes without offset are power iterations that find the step size; then a fixed number of passes with offset are
accelerated gradient steps (Nesterov, momentum 9/16) on one exact re-weighted least-squares step around the bank's own
score ("anchored"). No value is opened between `init` and `coefficients` but the two norms of the power iteration.

Here is what is local or the same for all; `label_party.py` is the bank, `feature_party.py` are the platforms.
"""
from __future__ import annotations

import struct
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from protocols.crypto import product
from protocols.crypto.aggregate import MOST_SUMMANDS
from protocols.crypto.fixed_point import to_fixed
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.layout import layout_of
from protocols.crypto.product import MatrixTiles, ReplyCoding
from protocols.crypto.ring import RING
from protocols.errors import ConfigError, DataError, MalformedMessage
from protocols.role import Message, Opening, Role
from protocols.scorecard import layout as fixed
from protocols.state import pack, unpack

SETUP = struct.Struct("<QI")  # training rows, own whitened columns
RELEASE_FLOOD_BITS = 12  # released coefficients are flooded by +-2^-12 in whitened units
NORM_FLOOD_GAP = 18  # an opened squared norm, at scale 2 * point_bits, is flooded by 2^(2 * point_bits - 18)
MAXIMUM_HINTS = 1024  # opened numbers per key: each lowers the key's dimension by at most one (SECURITY.md)
LAYOUT = "compact"
FORWARD, BACKWARD = ReplyCoding.SHORT, ReplyCoding.FULL


@dataclass(frozen=True)
class TrainingConfig:
    """What all parties know before they begin. `check_rows(rows, coefficients)` raises PolicyRefused."""

    party: str
    bank: str
    platforms: tuple[str, ...]  # the lead first
    steps: int
    l2: float
    check_rows: Callable[[int, int], None]
    cache_bytes: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.platforms) <= MOST_SUMMANDS:
            raise ConfigError(f"expected 1 to {MOST_SUMMANDS} platforms in a training, got {len(self.platforms)}")

    @property
    def lead(self) -> str:
        return self.platforms[0]

    @property
    def summed(self) -> bool:
        """Whether the platforms' replies are added up on their way; one platform's go to the bank as they are."""
        return len(self.platforms) > 1


@dataclass(frozen=True, repr=False)
class Coefficients:
    """What a side is left with: whitened coefficients of its own columns, and the public facts of the training."""

    own: np.ndarray
    rows: int
    columns_peer: int  # of all other parties together
    grid: int
    steps: int


class Trainer(Role):
    """Common part of all roles.

    `columns`: own whitened training columns, float (n, d); the bank's first column is ones. State names: `…_own` is
    one's own block of a vector, `…_peer` what one holds of other parties' blocks: the bank all platforms' blocks in
    the plan's order, the lead the bank's block, the other platforms nothing.
    """

    party_first: bool  # the bank truncates as first party, the platforms as second

    def __init__(
        self, columns: np.ndarray, keys: KeyPair | None, config: TrainingConfig, peer_public: bytes | None = None
    ):
        self._keys, self._config = keys, config
        self._matrix = to_fixed(columns, fixed.FEATURE_BITS)
        self._columns = self._matrix / 2.0**fixed.FEATURE_BITS
        self._rows, self._own = columns.shape
        self.peer_public = peer_public  # as it came in `setup`; the driver keeps it beside the snapshots
        self._peer_keys: PeerKeys | None = None
        self._tiles: dict[tuple[int, bool], MatrixTiles] = {}
        self._s: dict = {"from": self._first_sender(), "expect": "setup", "number": 0, "grid": None}
        self._result: Coefficients | None = None

    # -- the Role interface

    @property
    def expects(self) -> str | None:
        """Whose message is due."""
        return self._s["from"]

    def handle(self, message: Message) -> list[Message]:
        """Take the one message that may come now; MalformedMessage for any other."""
        sender, expected = self._s["from"], self._s["expect"]
        if (message.peer, message.kind) != (sender, expected):
            raise MalformedMessage(f"training: expected {expected} from {sender}, got {message.kind}")
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
        if "widths" in self._s:
            self._layout = fixed.choose(self._rows, self._total(), self._config.steps)
        if "result" in self._s:
            self._result = self._coefficients(self._s.pop("result"))

    @property
    def progress(self) -> tuple[int, int]:
        """Passes done and passes in all."""
        return self._s["number"], fixed.POWER_PASSES + self._config.steps

    def _await(self, sender: str, kind: str, **state) -> None:
        """What is due next, with what this step leaves behind."""
        self._s |= {"from": sender, "expect": kind, **state}

    def _message(self, peer: str, kind: str, payload: bytes, opening: Opening | None = None) -> Message:
        return Message(peer, kind, payload, opening)

    # -- setup

    def _parse_setup(self, payload: bytes) -> tuple[int, bytes]:
        """(columns of the sender, the rest) of a setup for the same rows."""
        if len(payload) < SETUP.size:
            raise MalformedMessage(f"training setup of {len(payload)} bytes")
        rows, columns = SETUP.unpack_from(payload)
        if rows != self._rows:
            raise MalformedMessage(f"expected {self._rows} training rows at the peer, got {rows}")
        if not 1 <= columns <= 65536:
            raise MalformedMessage(f"expected 1 to 65536 columns at the peer, got {columns}")
        return columns, payload[SETUP.size:]

    def _check_size(self, bank_columns: int, widths: np.ndarray) -> None:
        """Few enough opened numbers for each key, and rows enough for all coefficients."""
        largest = max(bank_columns, int(widths.sum()))
        if largest + 2 > MAXIMUM_HINTS:
            raise DataError(f"expected at most {MAXIMUM_HINTS - 2} whitened columns a side, got {bank_columns} of the "
                            f"bank and {int(widths.sum())} of the platforms")
        self._config.check_rows(self._rows, bank_columns + int(widths.sum()))

    def _draw_start(self) -> dict[str, np.ndarray]:
        """What goes to the other side of the own start points: a share pair (x, 0) would break truncation."""
        own = {"power": self._power_start(), "w": self._weight_start()}
        given = {name: RING.random(self._own) for name in own}
        bits = {"power": self._layout.point_bits, "w": self._layout.weight_bits}
        kept = {name: RING.sub(RING.encode(to_fixed(start, bits[name])), given[name]) for name, start in own.items()}
        self._s |= {"v_own": kept["power"], "w_own": kept["w"]}
        return given

    @staticmethod
    def _init_payload(given: dict[str, np.ndarray]) -> bytes:
        return b"".join(RING.to_bytes(given[name]) for name in ("power", "w"))

    @staticmethod
    def _parse_init(payload: bytes, columns: int) -> tuple[np.ndarray, np.ndarray]:
        size = 16 * columns
        if len(payload) != 2 * size:
            raise MalformedMessage(f"expected {2 * size} bytes of start shares, got {len(payload)}")
        return RING.from_bytes(payload[:size], columns), RING.from_bytes(payload[size:], columns)

    # -- the ends of a pass

    def _end_pass(self) -> list[Message]:
        """Shares of the whole gradient are there."""
        rows = self._pass_rows()
        self._s["number"] += 1
        return self._end_power_pass(rows) if self._s["number"] <= fixed.POWER_PASSES else self._end_step()

    def _end_power_pass(self, rows: int) -> list[Message]:
        """v <- X^T D X v / n over the n rows of the pass, at the scale of v."""
        factor = fixed.power_scale(self._layout, rows)
        last = self._s["number"] == fixed.POWER_PASSES
        for side in ("own", "peer"):
            if last:
                self._s[f"before_{side}"] = self._s[f"v_{side}"]
            self._s[f"v_{side}"] = self._scaled(self._s[f"g_{side}"], factor)
        return self._begin_norms() if last else self._begin_pass()

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
                    shrink[:, :1] = 0  # the bank's first column is the intercept
                new = RING.sub(new, shrink)
            self._s[f"old_{side}"], self._s[f"w_{side}"] = self._s[f"w_{side}"], new
        if self._s["number"] < fixed.POWER_PASSES + self._config.steps:
            return self._begin_step()
        return self._release()

    def _coefficients_message(self, peer: str, share: np.ndarray) -> Message:
        """One's share of the peer's coefficients, flooded: opened once, at the end."""
        columns = share.shape[1]
        bits = self._layout.weight_bits - RELEASE_FLOOD_BITS + 1
        flood = RING.random_below_bits(columns, bits)
        centre = RING.encode(np.full(columns, 1 << (bits - 1), dtype=np.int64))
        payload = RING.to_bytes(RING.add(share, RING.sub(flood, centre)))
        return self._message(peer, "coefficients", payload, Opening("coefficients", peer, columns))

    def _on_coefficients(self, payload: bytes) -> list[Message]:
        if len(payload) != 16 * self._own:
            raise MalformedMessage(f"expected {16 * self._own} bytes of coefficients, got {len(payload)}")
        opened = RING.add(self._s["w_own"], RING.from_bytes(payload, self._own))
        self._result = self._coefficients(RING.to_float(opened) / 2.0**self._layout.weight_bits)
        kept = {name: self._s[name] for name in ("number", "bank_columns", "widths", "grid")}
        self._s = kept | {"from": None, "expect": "nothing more"}
        return []

    # -- helpers

    def _coefficients(self, own: np.ndarray) -> Coefficients:
        return Coefficients(own, self._rows, self._total() - self._own, self._s["grid"], self._config.steps)

    def _total(self) -> int:
        return self._s["bank_columns"] + int(self._s["widths"].sum())

    def _pass_rows(self) -> int:
        """Power iterations run on a sample of the rows, steps on all of them."""
        return fixed.power_rows(self._rows) if self._s["number"] < fixed.POWER_PASSES else self._rows

    def _label(self, kind: str) -> str:
        """Names what is used once: the pass and what it is for."""
        return f"{kind}.{self._s['number']}"

    def _own_tiles(self, *, transposed: bool) -> MatrixTiles:
        """Cached tiles of the own columns for the rows of this pass."""
        rows = self._pass_rows()
        if (rows, transposed) not in self._tiles:
            for stale in [key for key in self._tiles if key[0] < rows]:
                del self._tiles[stale]  # the power iterations' sample is not needed again
            cache = self._config.cache_bytes // 2
            self._tiles[rows, transposed] = self._make_tiles(self._matrix[:rows], transposed, cache)
        return self._tiles[rows, transposed]

    def _make_tiles(self, matrix: np.ndarray, transposed: bool, cache: int) -> MatrixTiles:
        return MatrixTiles(matrix.T if transposed else matrix, layout=LAYOUT, cache_bytes=cache)

    def _answer(self, name: str, request: bytes, *, transposed: bool) -> tuple[bytes, np.ndarray]:
        """Reply to one requester, and one's own share of X v or X^T r; `name`: the shared vector's."""
        coding = BACKWARD if transposed else FORWARD
        return product.answer(self._own_tiles(transposed=transposed), self._peer_keys, self._s[name], request, coding)

    def _stock(self, shapes: list[tuple[int, int]], replies: list[tuple[int, int]]) -> None:
        """Zeros for the next requests and replies of these shapes, made while the peer works; in memory only."""
        if shapes:
            self._keys.stock(sum(layout_of(shape, LAYOUT).uploads for shape in shapes))
        self._peer_keys.stock(sum(layout_of(shape, LAYOUT).replies for shape in replies))

    def _scaled(self, share: np.ndarray, factor: fixed.Scale) -> np.ndarray:
        return self._truncated(RING.mul_public(share, factor.constant), factor.shift)

    def _truncated(self, share: np.ndarray, bits: int) -> np.ndarray:
        return RING.truncate(share, bits, second=not self.party_first)

    def _squares(self, vectors: np.ndarray, cross: np.ndarray) -> np.ndarray:
        """(2, 2) shares of Σ x² over the first and the second half of shared vectors x: own² + 2 own·other's."""
        mine = RING.add(RING.mul(vectors, vectors), RING.mul_public(cross, 2))
        half = vectors.shape[1] // 2
        sums = [sum(RING.to_ints(mine[:, part])) for part in (slice(0, half), slice(half, None))]
        return RING.encode_ints(sums)

    # -- what the parties do differently

    @abstractmethod
    def _first_sender(self) -> str:
        """Whose setup is due first."""

    @abstractmethod
    def _power_start(self) -> np.ndarray:
        """Own block of the vector that the power iteration starts from."""

    @abstractmethod
    def _weight_start(self) -> np.ndarray:
        """Own block of the coefficients that the steps start from."""

    @abstractmethod
    def _begin_pass(self) -> list[Message]:
        """Shares of v are there."""

    @abstractmethod
    def _begin_norms(self) -> list[Message]:
        """The power iteration has ended: go on to the step size."""

    @abstractmethod
    def _release(self) -> list[Message]:
        """The steps have ended: everybody gets the coefficients of its own columns."""
