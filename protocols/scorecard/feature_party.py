"""The platforms' side of strict training: they hold columns, and see neither labels nor scores nor residuals.

The lead holds the platforms' share of everything that is not one platform's own. Masks of the forward replies come
from seeds that it shares with each of the others, so it alone knows the sum of all masks.
"""
from __future__ import annotations

import os
import struct
from abc import abstractmethod
from collections.abc import Callable

import numpy as np

from protocols.crypto import elementwise, product
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.product import MatrixTiles
from protocols.crypto.ring import RING
from protocols.crypto.summed_product import SEED_BYTES, Seed, contribute, mask_sum
from protocols.errors import MalformedMessage
from protocols.role import Message, Opening
from protocols.scorecard import layout as fixed
from protocols.scorecard.training import (
    BACKWARD,
    FORWARD,
    LAYOUT,
    NORM_FLOOD_GAP,
    SETUP,
    Trainer,
    TrainingConfig,
)


class FeatureTrainer(Trainer):
    """A platform. `columns`: (n, d) whitened training columns."""

    party_first = False

    def _first_sender(self) -> str:
        return self._config.bank

    def _power_start(self) -> np.ndarray:
        # Any vector with a part in every direction will do; a fixed one makes runs repeatable. It protects nothing.
        start = np.cos(np.arange(1, self._own + 1) * 2.399963)
        return start / np.linalg.norm(start)

    def _weight_start(self) -> np.ndarray:
        return np.zeros(self._own)

    # -- setup

    def _on_setup(self, payload: bytes) -> list[Message]:
        bank_columns, rest = self._parse_setup(payload)
        count, summed = len(self._config.platforms), self._config.summed
        rest, told = rest[4 * count :], rest[: 4 * count]
        if len(told) < 4 * count or (len(rest) != 2 * SEED_BYTES if summed else not rest):
            raise MalformedMessage(f"training setup of {len(payload)} bytes")
        widths = np.frombuffer(told, "<u4").astype(np.int64)
        if widths.min() < 1 or widths.max() > 65536 or widths[self._index()] != self._own:
            raise MalformedMessage("training setup with other numbers of columns than the platforms announced")
        self._check_size(bank_columns, widths)
        keys = None if summed else PeerKeys.from_bytes(rest)
        self._s |= {"bank_columns": bank_columns, "widths": widths}
        if keys is not None:
            return self._introduced(keys, rest)
        self._await(self._config.bank, "keys", point=rest[:SEED_BYTES], pad=rest[SEED_BYTES:])
        return []

    def _on_keys(self, payload: bytes) -> list[Message]:
        return self._introduced(PeerKeys.from_bytes(payload), payload)

    def _introduced(self, keys: PeerKeys, public: bytes) -> list[Message]:
        """All of the bank's setup is there."""
        self._peer_keys, self.peer_public = keys, public
        self._layout = fixed.choose(self._rows, self._total(), self._config.steps)
        self._await_start()
        return [self._message(self._config.bank, "init", self._init_payload(self._draw_start()))]

    def _index(self) -> int:
        return self._config.platforms.index(self._config.party)

    # -- one pass

    def _make_tiles(self, matrix: np.ndarray, transposed: bool, cache: int) -> MatrixTiles:
        """Filled up with zeros to the shape that all platforms have in common."""
        if not self._config.summed:
            return super()._make_tiles(matrix, transposed, cache)
        if not transposed:
            missing = int(self._s["widths"].max()) - self._own
            return MatrixTiles(np.pad(matrix, ((0, 0), (0, missing))), layout=LAYOUT, cache_bytes=cache)
        own = self._own_block()
        missing = int(self._s["widths"].sum()) - own.stop
        padded = np.pad(matrix.T, ((own.start, missing), (0, 0)))
        return MatrixTiles(padded, layout=LAYOUT, cache_bytes=cache, rows=own)

    def _own_block(self) -> slice:
        """One's own part of all platforms' blocks."""
        start = int(self._s["widths"][: self._index()].sum())
        return slice(start, start + self._own)

    def _reply(self, kind: str, request: bytes, share: np.ndarray, mask: np.ndarray) -> Message:
        """A summand for the bank."""
        transposed = kind == "backward"
        pad = Seed(self._s["pad"]).expand(self._label(kind), 1)
        payload = contribute(self._own_tiles(transposed=transposed), self._peer_keys, share, request,
                             BACKWARD if transposed else FORWARD, mask, Seed(self._s["point"]), pad)
        return Message(self._config.bank, f"{kind}.reply", payload, slot=self._label(kind),
                       contributors=self._config.platforms)

    def _forward_reply(self, request: bytes, mask: np.ndarray) -> Message:
        missing = int(self._s["widths"].max()) - self._own
        share = np.concatenate([self._s["v_own"], RING.zeros(missing)], axis=1)
        return self._reply("forward", request, share, mask)

    def _backward_reply(self, request: bytes, covers: np.ndarray) -> Message:
        """`covers`, (2, all platforms' columns), add up to zero over the platforms: they hide the places of others,
        where this reply holds nothing but noise; one's own places keep one's own mask."""
        own, mine = self._own_block(), RING.random(self._own)
        mask = covers.copy()
        mask[:, own] = RING.add(mask[:, own], mine)
        message = self._reply("backward", request, self._s["r"], mask)
        del self._s["r"]
        self._s["g_own"] = mine
        return message

    # -- step size

    @abstractmethod
    def _norm_vectors(self) -> np.ndarray:
        """What this side holds of the blocks shared with the bank: before and after the last power iteration."""

    @abstractmethod
    def _norm_cover(self) -> np.ndarray:
        """(2, 2): what hides this platform's norms from the bank; adds up to a flood over the platforms."""

    def _begin_norms(self) -> list[Message]:
        self._await(self._config.bank, "norms.request")
        return []

    def _on_norms_request(self, payload: bytes) -> list[Message]:
        vectors = self._norm_vectors()
        reply, cross = elementwise.answer(self._peer_keys, [(payload, vectors)])
        share = RING.add(self._squares(vectors, cross), self._norm_cover())
        self._await(self._config.bank, "step.size")
        opening = Opening("step.norms", self._config.bank, 2)
        return [self._message(self._config.bank, "norms.reply", reply + RING.to_bytes(share), opening)]

    def _on_step_size(self, payload: bytes) -> list[Message]:
        if len(payload) != 1:
            raise MalformedMessage(f"expected 1 byte of step size, got {len(payload)}")
        (grid,) = struct.unpack("<b", payload)
        if not -40 <= grid <= 10:
            raise MalformedMessage("a step size outside the allowed grid")
        return self._begin_training(grid)

    def _release(self) -> list[Message]:
        self._await(self._config.bank, "coefficients")
        return []

    @abstractmethod
    def _await_start(self) -> None:
        """Setup is done: what comes next."""


class LeadTrainer(FeatureTrainer):
    """The first platform, alone or with others. The only one that asks the bank for products."""

    def start(self) -> list[Message]:
        """Announce rows, columns and public keys; a seed for each of the other platforms."""
        others = self._config.platforms[1:]
        self._s["seeds"] = os.urandom(SEED_BYTES * len(others))
        setup = SETUP.pack(self._rows, self._own) + self._keys.public_bytes()
        seeds = [self._message(name, "seed", seed.to_bytes()) for name, seed in zip(others, self._seeds(), strict=True)]
        return [self._message(self._config.bank, "setup", setup), *seeds]

    def _seeds(self) -> list[Seed]:
        joined = self._s["seeds"]
        return [Seed(joined[at : at + SEED_BYTES]) for at in range(0, len(joined), SEED_BYTES)]

    def _await_start(self) -> None:
        self._await(self._config.bank, "init")

    def _on_init(self, payload: bytes) -> list[Message]:
        power, weights = self._parse_init(payload, self._s["bank_columns"])
        self._s |= {"v_peer": power, "w_peer": weights}
        return self._begin_pass()

    def _begin_pass(self) -> list[Message]:
        shape = (self._pass_rows(), self._s["bank_columns"])
        self._await(self._config.bank, "forward.request")
        return [self._message(self._config.bank, "forward.request",
                              product.ask(self._keys, self._s["v_peer"], shape, LAYOUT))]

    def _on_forward_request(self, payload: bytes) -> list[Message]:
        if not self._config.summed:
            reply, z = self._answer("v_own", payload, transposed=False)
            message = self._message(self._config.bank, "forward.reply", reply)
        else:
            rows = self._pass_rows()
            mask = RING.random(rows)
            message = self._forward_reply(payload, mask)
            z = RING.add(mask, mask_sum(self._seeds(), self._label("forward"), rows))
        self._await(self._config.bank, "forward.reply", z=z)
        return [message]

    def _on_forward_reply(self, payload: bytes) -> list[Message]:
        shape = (self._pass_rows(), self._s["bank_columns"])
        share = product.finish(self._keys, payload, shape, LAYOUT, FORWARD)
        z = self._truncated(RING.add(self._s.pop("z"), share), self._layout.score_shift)
        self._await(self._config.bank, "residual.reply")
        return [self._message(self._config.bank, "residual.request", elementwise.ask(self._keys, z))]

    def prepare(self) -> None:
        """While the bank computes the residual."""
        if self._s["expect"] != "residual.reply":
            return
        bank, own = (self._pass_rows(), self._s["bank_columns"]), (self._pass_rows(), int(self._s["widths"].max()))
        self._stock([bank, bank[::-1]], [own, (int(self._s["widths"].sum()), own[0])])

    def _on_residual_reply(self, payload: bytes) -> list[Message]:
        residual = elementwise.finish(self._keys, payload, self._pass_rows())
        self._await(self._config.bank, "backward.request", r=residual)
        shared, slot = RING.to_bytes(residual), self._label("residual.share")
        others = [Message(name, "residual.share", shared, slot=slot) for name in self._config.platforms[1:]]
        shape = (self._s["bank_columns"], self._pass_rows())
        request = product.ask(self._keys, residual, shape, LAYOUT)
        return [self._message(self._config.bank, "backward.request", request), *others]

    def _on_backward_request(self, payload: bytes) -> list[Message]:
        if not self._config.summed:
            reply, share = self._answer("r", payload, transposed=True)
            del self._s["r"]
            self._await(self._config.bank, "backward.reply", g_own=share)
            return [self._message(self._config.bank, "backward.reply", reply)]
        columns = int(self._s["widths"].sum())
        message = self._backward_reply(payload, RING.neg(mask_sum(self._seeds(), self._label("backward"), columns)))
        self._await(self._config.bank, "backward.reply")
        return [message]

    def _on_backward_reply(self, payload: bytes) -> list[Message]:
        shape = (self._s["bank_columns"], self._pass_rows())
        self._s["g_peer"] = product.finish(self._keys, payload, shape, LAYOUT, BACKWARD)
        return self._end_pass()

    def _norm_vectors(self) -> np.ndarray:
        names = ("before_peer", "before_own", "v_peer", "v_own")  # the bank's block first, as at the bank
        return np.concatenate([self._s[name] for name in names], axis=1)

    def _norm_cover(self) -> np.ndarray:
        flood = RING.random_below_bits(2, 2 * self._layout.point_bits - NORM_FLOOD_GAP)
        return RING.sub(flood, mask_sum(self._seeds(), "norms", 2))

    def _release(self) -> list[Message]:
        return [*super()._release(), self._coefficients_message(self._config.bank, self._s["w_peer"])]


class FollowTrainer(FeatureTrainer):
    """Any platform after the first: it answers, and never asks, so it needs no keys."""

    def __init__(self, columns: np.ndarray, config: TrainingConfig, peer_public: bytes | None = None):
        super().__init__(columns, None, config, peer_public)

    def start(self) -> list[Message]:
        """Announce rows and columns."""
        return [self._message(self._config.bank, "setup", SETUP.pack(self._rows, self._own))]

    def _await_start(self) -> None:
        self._await(self._config.lead, "seed", v_peer=RING.zeros(0), w_peer=RING.zeros(0), g_peer=RING.zeros(0))

    def _on_seed(self, payload: bytes) -> list[Message]:
        self._s["seed"] = Seed(payload).to_bytes()
        return self._begin_pass()

    def _begin_pass(self) -> list[Message]:
        self._await(self._config.bank, "forward.request")
        return []

    def _cover(self, kind: str, n: int) -> np.ndarray:
        return Seed(self._s["seed"]).expand(self._label(kind), n)

    def _on_forward_request(self, payload: bytes) -> list[Message]:
        message = self._forward_reply(payload, self._cover("forward", self._pass_rows()))
        self._await(self._config.lead, "residual.share")
        return [message]

    def prepare(self) -> None:
        """While lead and bank compute the residual."""
        if self._s["expect"] == "residual.share":
            rows, widths = self._pass_rows(), self._s["widths"]
            self._stock([], [(rows, int(widths.max())), (int(widths.sum()), rows)])

    def _on_residual_share(self, payload: bytes) -> list[Message]:
        self._await(self._config.bank, "backward.request", r=RING.from_bytes(payload, self._pass_rows()))
        return []

    def _on_backward_request(self, payload: bytes) -> list[Message]:
        message = self._backward_reply(payload, self._cover("backward", int(self._s["widths"].sum())))
        return [message, *self._end_pass()]

    def _norm_vectors(self) -> np.ndarray:
        return np.concatenate([self._s["before_own"], self._s["v_own"]], axis=1)

    def _norm_cover(self) -> np.ndarray:
        return Seed(self._s["seed"]).expand("norms", 2)


def feature_trainer(
    columns: np.ndarray, keys: Callable[[], KeyPair], config: TrainingConfig, peer_public: bytes | None = None
) -> FeatureTrainer:
    """The role of `config.party` among the platforms; `keys` is called for the one that needs any."""
    if config.party == config.lead:
        return LeadTrainer(columns, keys(), config, peer_public)
    return FollowTrainer(columns, config, peer_public)
