"""What all parties of strict training share: one pass = forward, residual, backward, all on shares.

K banks hold labels and columns of their own people, M platforms hold columns of all of them; the first bank is the
*speaker*, the first platform the *lead*. Every vector is shared between two sides only, so that shares may be truncated
locally: the banks on one side, the platforms on the other. A platform holds the platforms' share of its own block; what
belongs to no single platform (scores, residuals, the banks' block) the lead holds. Scores and residuals are of one
bank's rows, and that bank holds the other share; coefficients are common to all banks, and all banks hold the same
share of them. One pass takes shares of a vector v and gives shares of g = X^T (D (X v) + offset), bank by bank:

    all       forward.request / forward.reply     fresh shares of X v, truncated to z; the platforms' replies are summed
    lead      residual.request / residual.reply   shares of D z: the bank holds D = p0 (1 - p0) in the clear
    lead      residual.share                      the other platforms get the lead's share of the residual
    all       backward.request / backward.reply   fresh shares of X^T r; platforms' and banks' replies are summed
    banks     gradient.share                      (several banks) a bank's covered share: the sum over banks counts

Six passes without offset are power iterations that find the step size; then a fixed number of passes with offset are
accelerated gradient steps (Nesterov, momentum 9/16) on one exact re-weighted least-squares step around the bank's own
score ("anchored"). No value is opened between `init` and `coefficients` but the two norms of the power iteration.

Here is what is local or the same for all; `label_party.py` are the banks, `feature_party.py` the platforms.
"""
from __future__ import annotations

import struct
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from protocols.crypto import product
from protocols.crypto.aggregate import MOST_SUMMANDS
from protocols.crypto.fixed_point import to_fixed
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.layout import LayoutName, layout_of
from protocols.crypto.opening import open_shares
from protocols.crypto.product import MatrixTiles, ReplyCoding
from protocols.crypto.ring import RING
from protocols.errors import ConfigError, DataError, MalformedMessage
from protocols.plan import MOST_BANKS
from protocols.role import Message, Opening
from protocols.scorecard import layout as fixed
from protocols.scorecard.activation import ActivationName
from protocols.scorecard.shared_weights import PUBLIC_FACTS, SharedEnding, SharedWeights
from protocols.scorecard.stepwise import Stepwise
from protocols.state import pack, unpack

SETUP = struct.Struct("<QQI")  # training rows of the two, of all banks (declared), columns of the sender's block
RELEASE_FLOOD_BITS = 12  # released coefficients are flooded by +-2^-12 in whitened units
NORM_FLOOD_GAP = 18  # an opened squared norm, at scale 2 * point_bits, is flooded by 2^(2 * point_bits - 18)
MAXIMUM_HINTS = 1024  # opened numbers per key: each lowers the key's dimension by at most one (SECURITY.md)
LAYOUT = "compact"
FORWARD, BACKWARD = ReplyCoding.SHORT, ReplyCoding.FULL


@dataclass(frozen=True)
class TrainingConfig:
    """What all parties know before they begin. `check_rows(rows, coefficients)` raises PolicyRefused."""

    party: str
    banks: tuple[str, ...]  # the speaker first
    platforms: tuple[str, ...]  # the lead first
    steps: int
    l2: float
    check_rows: Callable[[int, int], None]
    cache_bytes: int
    intercepts: Literal["bank", "common"] = "bank"
    activation: ActivationName = "anchored"
    event_rate: float = 0.1  # public; centre of the polynomial activations
    polish: int = 0  # openings of z after the strict steps, each followed by polish_steps (reopening.py)
    polish_steps: int = 0
    openings: int = 0  # of the open-score variant (open_score.py)
    shared: bool = False  # weights stay shared: nobody gets coefficients

    def __post_init__(self) -> None:
        if not 1 <= len(self.platforms) <= MOST_SUMMANDS or not 1 <= len(self.banks) <= MOST_BANKS:
            raise ConfigError(f"expected 1 to {MOST_BANKS} banks and 1 to {MOST_SUMMANDS} platforms in a training, got "
                              f"{len(self.banks)} and {len(self.platforms)}")
        if self.shared and (self.several or self.summed):
            raise ConfigError("a model whose weights stay shared has one bank and one platform; plan release = 'owner'")
        if self.several and self.activation != "anchored":
            raise ConfigError(f"expected activation 'anchored' for several banks, got {self.activation!r}")

    @property
    def degree(self) -> int:
        """Of the activation as a polynomial in z; anchored is linear in z row by row."""
        return 3 if self.activation == "deg3" else 1

    @property
    def all_steps(self) -> int:
        """Gradient steps, those after openings included."""
        return self.steps + self.polish * self.polish_steps

    @property
    def lead(self) -> str:
        return self.platforms[0]

    @property
    def speaker(self) -> str:
        return self.banks[0]

    @property
    def summed(self) -> bool:
        """Whether the platforms' replies are added up on their way; one platform's go to the bank as they are."""
        return len(self.platforms) > 1

    @property
    def bank_groups(self) -> list[tuple[str, ...]]:
        """Banks whose replies are added up to one sum: the hub's words hold so many summands."""
        return [self.banks[at : at + MOST_SUMMANDS] for at in range(0, len(self.banks), MOST_SUMMANDS)]

    @property
    def several(self) -> bool:
        """Whether there are several banks."""
        return len(self.banks) > 1

    def released_to(self, bank: str, columns: int) -> np.ndarray:
        """Places of the banks' block, of `columns` columns, whose coefficients a bank gets."""
        own = self.banks.index(bank) if self.constants > 1 else 0
        return np.r_[own, self.constants : columns]

    @property
    def constants(self) -> int:
        """Columns of the banks' block that stand for intercepts; they come first and carry no ridge."""
        return len(self.banks) if self.intercepts == "bank" else 1


def flooded(share: np.ndarray, bits: int) -> np.ndarray:
    """One's share (2, d) of the other side's coefficients of `bits` fractional bits, flooded once."""
    columns, flood = share.shape[1], bits - RELEASE_FLOOD_BITS + 1
    centre = RING.encode_ints([1 << (flood - 1)] * columns)
    return RING.add(share, RING.sub(RING.random_below_bits(columns, flood), centre))


def even_start(columns: int) -> np.ndarray:
    """(columns,) of length 1. A power iteration may start from any vector with a part in every direction; a fixed one
    makes runs repeatable. It protects nothing."""
    start = np.cos(np.arange(1, columns + 1) * 2.399963)
    return start / np.linalg.norm(start)


@dataclass(frozen=True, repr=False)
class Coefficients:
    """What a side is left with: whitened coefficients of its own columns, and the public facts of the training."""

    own: np.ndarray
    rows: int
    columns_peer: int  # of all other parties together
    grid: int | None  # of the step size; the open-score variant has none
    steps: int

    @property
    def card(self) -> dict[str, Any]:
        """What the model card says of the training."""
        return {"rows": self.rows, "columns": len(self.own), "columns_peer": self.columns_peer, "steps": self.steps,
                "step_grid": self.grid}


Trained = Coefficients | SharedWeights


class Trainer(SharedEnding, Stepwise):
    """Common part of all roles.

    `_matrices`: own training columns in fixed point, (n, d) int64, per bank whose rows one holds: a bank its own, a
    platform those of all banks. State names: `…_own` is the own side's block of a vector, `…_peer` what one holds of
    the other side's: a bank all platforms' blocks in the plan's order, the lead the banks' block, the other platforms
    nothing. What belongs to one bank's rows carries its name: `z.BANK`, `r.BANK`.
    """

    party_first: bool  # banks truncate as first party, the platforms as second

    def __init__(self, keys: KeyPair | None, config: TrainingConfig, peer_public: bytes | None = None):
        self._keys, self._config = keys, config
        self._matrices: dict[str, np.ndarray] = {}
        self._own = 0  # columns of the own block
        self.peer_public = peer_public  # as it came from all who ask; the driver keeps it beside the snapshots
        self._peer_keys: dict[str, PeerKeys] = {}
        self._tiles: dict[tuple[str, int, bool], MatrixTiles] = {}
        self._s: dict = {"number": 0, "opened": 0, "grid": None}
        self._await_first()
        self._result: Trained | None = None

    # -- the Role interface

    @property
    def expects(self) -> str | None:
        """Whose message is due."""
        return self._s["from"]

    def result(self) -> Trained | None:
        """Own coefficients, or shares of them, once the training has ended."""
        return self._result

    def snapshot(self) -> bytes:
        """All state that changes. Own columns, own keys and `peer_public` are given again to the constructor."""
        done = {"result": self._result.own} if isinstance(self._result, Coefficients) else {}
        return pack(self._s | done)

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        self._s = unpack(state)
        if self.peer_public is not None:
            self._take_keys(self.peer_public)
        if "widths" in self._s:
            self._layout = self._chosen_layout()
        if "result" in self._s:
            self._result = self._coefficients(self._s.pop("result"))
        if "share" in self._s:
            self._result = self._shared()

    @property
    def progress(self) -> tuple[int, int]:
        """Passes and openings done, and those in all."""
        config = self._config
        return self._s["number"] + self._s["opened"], fixed.POWER_PASSES + config.all_steps + config.polish

    def _await(self, sender: str, kind: str, **state) -> None:
        """What is due next, with what this step leaves behind."""
        self._s |= {"from": sender, "expect": kind, **state}

    def _sender(self, names: tuple[str, ...]) -> int:
        """Number of the party among `names` whose message is due."""
        return names.index(self._s["from"])

    def _await_each(self, names: tuple[str, ...], kind: str, index: int) -> bool:
        """Await `kind` of the party after `index`; False when that was the last."""
        if index + 1 == len(names):
            return False
        self._await(names[index + 1], kind)
        return True

    # -- setup

    def _parse_setup(self, payload: bytes, bank: str) -> tuple[int, int, bytes]:
        """(declared rows of all banks, columns of the sender, the rest) of a setup for the same rows of `bank`."""
        if len(payload) < SETUP.size:
            raise MalformedMessage(f"training setup of {len(payload)} bytes")
        rows, declared, columns = SETUP.unpack_from(payload)
        expected = len(self._matrices[bank])
        if rows != expected:
            raise MalformedMessage(f"expected {expected} training rows at the peer, got {rows}")
        if declared != self._s.get("rows", declared) or declared < rows:
            raise MalformedMessage(f"expected the same number of all banks' rows from all parties, got {declared}")
        if not 1 <= columns <= 65536:
            raise MalformedMessage(f"expected 1 to 65536 columns at the peer, got {columns}")
        return declared, columns, payload[SETUP.size:]

    def _check_size(self, bank_columns: int, widths: np.ndarray) -> None:
        """Few enough opened numbers for each key, and rows enough for all coefficients."""
        largest, platforms = max(bank_columns, int(widths.sum())), int(widths.sum())
        if largest + 2 + self._config.polish * (bank_columns + platforms) > MAXIMUM_HINTS:  # opened z is one of w
            more = f" with {self._config.polish} openings" if self._config.polish else ""
            raise DataError(f"expected columns that open at most {MAXIMUM_HINTS - 2} numbers per key, got "
                            f"{bank_columns} of the banks and {platforms} of the platforms{more}; take fewer columns")
        rows = fixed.fewest_rows(self._s["rows"]) if self._config.several else self._s["rows"]
        self._config.check_rows(rows, bank_columns + int(widths.sum()))

    def _chosen_layout(self) -> fixed.Layout:
        return fixed.choose(self._s["rows"], self._total(), self._config.all_steps, self._config.degree)

    def _take_keys(self, public: bytes) -> None:
        """Public keys of all who ask this party, in the plan's order."""
        askers, size = self._askers(), len(public) // len(self._askers())
        self._peer_keys = {name: PeerKeys.from_bytes(public[i * size : (i + 1) * size])
                           for i, name in enumerate(askers)}

    def _start_points(self) -> dict[str, np.ndarray]:
        """Own start points in fixed point: of the power iteration and of the coefficients."""
        own = {"power": (self._power_start(), self._layout.point_bits),
               "w": (self._weight_start(), self._layout.weight_bits)}
        return {name: RING.encode(to_fixed(start, bits)) for name, (start, bits) in own.items()}

    @staticmethod
    def _init_payload(given: dict[str, np.ndarray]) -> bytes:
        return b"".join(RING.to_bytes(given[name]) for name in ("power", "w"))

    @staticmethod
    def _parse_init(payload: bytes, columns: int) -> tuple[np.ndarray, np.ndarray]:
        size = 16 * columns
        if len(payload) != 2 * size:
            raise MalformedMessage(f"expected {2 * size} bytes of start shares, got {len(payload)}")
        return RING.from_bytes(payload[:size], columns), RING.from_bytes(payload[size:], columns)

    # -- step size

    def _on_step_size(self, payload: bytes) -> list[Message]:
        if len(payload) != 1:
            raise MalformedMessage(f"expected 1 byte of step size, got {len(payload)}")
        (grid,) = struct.unpack("<b", payload)
        if not -40 <= grid <= 10:
            raise MalformedMessage("a step size outside the allowed grid")
        return self._begin_training(grid)

    # -- the ends of a pass

    def _end_pass(self) -> list[Message]:
        """Shares of the whole gradient are there."""
        self._s["number"] += 1
        if self._s["number"] > fixed.POWER_PASSES:
            return self._end_step()
        return self._end_power_pass(fixed.power_rows(self._s["rows"]))

    def _end_power_pass(self, rows: int) -> list[Message]:
        """v <- X^T D X v / n over the n rows of the pass at all banks, at the scale of v."""
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
        """v = w + 9/16 (w - old), or 13/16 when scores are opened; exact at four more fractional bits."""
        momentum = fixed.POLISH_MOMENTUM if self._config.polish else fixed.MOMENTUM
        for side in ("own", "peer"):
            ahead = RING.mul_public(self._s[f"w_{side}"], 16 + momentum)
            back = RING.mul_public(self._s[f"old_{side}"], momentum)
            self._s[f"v_{side}"] = RING.sub(ahead, back)
        return self._begin_pass()

    def _end_step(self) -> list[Message]:
        """w = v - rate * (g / n + l2 v); no ridge on the intercept."""
        rate = fixed.learning_rate(self._s["grid"], self._config.l2)
        step, ridge = fixed.step_scales(self._layout, rate, self._s["rows"], self._config.l2)
        for side in ("own", "peer"):
            point = self._s[f"v_{side}"]
            new = RING.sub(self._truncated(point, fixed.MOMENTUM_BITS), self._scaled(self._s[f"g_{side}"], step))
            if ridge is not None:
                shrink = self._scaled(point, ridge)
                if self.party_first == (side == "own"):
                    shrink[:, : self._config.constants] = 0
                new = RING.sub(new, shrink)
            self._s[f"old_{side}"], self._s[f"w_{side}"] = self._s[f"w_{side}"], new
        config, opened = self._config, self._s["opened"]
        if self._s["number"] < fixed.POWER_PASSES + config.steps + opened * config.polish_steps:
            return self._begin_step()
        if opened < config.polish:
            return self._begin_opening()
        return self._seal_weights() if config.shared else self._release()

    def _flooded(self, share: np.ndarray) -> np.ndarray:
        """All who learn one of the other side's coefficients get the same."""
        return flooded(share, self._layout.weight_bits)

    @staticmethod
    def _coefficients_message(peer: str, flooded: np.ndarray) -> Message:
        columns = flooded.shape[1]
        return Message(peer, "coefficients", RING.to_bytes(flooded), Opening("coefficients", peer, columns))

    def _on_coefficients(self, payload: bytes) -> list[Message]:
        kept = self._released()
        if len(payload) != 16 * len(kept):
            raise MalformedMessage(f"expected {16 * len(kept)} bytes of coefficients, got {len(payload)}")
        opened = open_shares("coefficients", self._s["w_own"][:, kept], RING.from_bytes(payload, len(kept)))
        self._result = self._coefficients(self._in_own_units(opened.floats(self._layout.weight_bits)))
        facts = {name: self._s[name] for name in PUBLIC_FACTS}
        self._s = facts | {"from": None, "expect": None}
        return []

    def _released(self) -> np.ndarray:
        """Places of the own side's block whose coefficients this party gets."""
        return np.arange(self._own)

    def _in_own_units(self, coefficients: np.ndarray) -> np.ndarray:
        """As for the columns that were given."""
        return coefficients

    # -- helpers

    def _coefficients(self, own: np.ndarray) -> Coefficients:
        return Coefficients(own, self._s["rows"], self._total() - len(own), self._s["grid"], self._config.steps)

    def _total(self) -> int:
        return self._s["bank_columns"] + int(self._s["widths"].sum())

    def _pass_rows(self, bank: str) -> int:
        """Power iterations run on a sample of a bank's rows, steps on all of them."""
        rows = len(self._matrices[bank])
        return fixed.bank_power_rows(rows, self._s["rows"]) if self._s["number"] < fixed.POWER_PASSES else rows

    def _label(self, kind: str, party: str = "all") -> str:
        """Names what is used once: what it is for, the pass, and whose."""
        return f"{kind}.{self._s['number']}.{party}"

    def _banks_layout(self) -> LayoutName:
        """Of the banks' backward replies: with several banks one that does not depend on a bank's rows."""
        if not self._config.several:
            return LAYOUT
        rows = self._s["rows"] // len(self._config.banks)
        return f"dot{layout_of((self._s['bank_columns'], max(rows, self._s['bank_columns'] + 1)), LAYOUT).fold}"

    def _own_tiles(self, bank: str, *, transposed: bool) -> MatrixTiles:
        """Cached tiles of the own columns for one bank's rows of this pass."""
        rows = self._pass_rows(bank)
        if (bank, rows, transposed) not in self._tiles:
            for stale in [key for key in self._tiles if key[0] == bank and key[1] < rows]:
                del self._tiles[stale]  # the power iterations' sample is not needed again
            cache = self._config.cache_bytes // (2 * len(self._matrices))
            self._tiles[bank, rows, transposed] = self._make_tiles(self._matrices[bank][:rows], transposed, cache)
        return self._tiles[bank, rows, transposed]

    def _make_tiles(self, matrix: np.ndarray, transposed: bool, cache: int) -> MatrixTiles:
        return MatrixTiles(matrix.T if transposed else matrix, layout=LAYOUT, cache_bytes=cache)

    def _answer(
        self, asker: str, bank: str, share: np.ndarray, request: bytes, *, transposed: bool
    ) -> tuple[bytes, np.ndarray]:
        """Reply to one requester, and one's own share of X v or X^T r over one bank's rows."""
        coding = BACKWARD if transposed else FORWARD
        tiles = self._own_tiles(bank, transposed=transposed)
        return product.answer(tiles, self._peer_keys[asker], share, request, coding)

    def _stock(self, asker: str, shapes: list[tuple[int, int]], replies: list[tuple[int, int]]) -> None:
        """Zeros for the next requests and replies of these shapes, made while the peer works; in memory only."""
        if shapes:
            self._keys.stock(sum(layout_of(shape, LAYOUT).uploads for shape in shapes))
        self._peer_keys[asker].stock(sum(layout_of(shape, LAYOUT).replies for shape in replies))

    def _scaled(self, share: np.ndarray, factor: fixed.Scale) -> np.ndarray:
        return self._truncated(RING.mul_public(share, factor.constant), factor.shift)

    def _truncated(self, share: np.ndarray, bits: int) -> np.ndarray:
        return RING.truncate(share, bits, second=not self.party_first)

    def _squares(self, vectors: np.ndarray, cross: np.ndarray) -> np.ndarray:
        """(2, 2) shares of Σ x² over the first and the second half of shared vectors x: own² + 2 own·other's."""
        mine = RING.add(RING.mul(vectors, vectors), RING.mul_public(cross, 2))
        half = vectors.shape[1] // 2
        return np.hstack([RING.total(mine[:, part]) for part in (slice(0, half), slice(half, None))])

    # -- what the parties do differently

    @abstractmethod
    def _await_first(self) -> None:
        """What is due first."""

    @abstractmethod
    def _askers(self) -> tuple[str, ...]:
        """Whose requests this party answers."""

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
    def _begin_opening(self) -> list[Message]:
        """Some steps have ended: the scores of the training rows are opened to the bank, before more of them."""

    @abstractmethod
    def _release(self) -> list[Message]:
        """The steps have ended: everybody gets the coefficients of its own columns."""
