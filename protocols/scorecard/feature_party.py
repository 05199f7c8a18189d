"""The platforms' side of strict training: they hold columns, and see neither labels nor scores nor residuals.

The lead holds the platforms' share of everything that is not one platform's own. Masks of the forward replies come
from seeds that it shares with each of the others, so it alone knows the sum of all masks. With several banks a platform
serves one after the other in every part of a pass; what it keeps of the gradients is the sum over banks.
"""
from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping

import numpy as np

from protocols.crypto import elementwise, product
from protocols.crypto.fixed_point import to_fixed
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.product import MatrixTiles
from protocols.crypto.ring import RING
from protocols.crypto.summed_product import SEED_BYTES, Seed, contribute, finish_sum, mask_sum
from protocols.errors import MalformedMessage
from protocols.role import SUM, Message, Opening
from protocols.scorecard import layout as fixed
from protocols.scorecard.reopening import FollowReopening, LeadReopening
from protocols.scorecard.training import (
    BACKWARD,
    FORWARD,
    LAYOUT,
    NORM_FLOOD_GAP,
    SETUP,
    Trainer,
    TrainingConfig,
    even_start,
)


class FeatureTrainer(Trainer):
    """A platform. `columns`: per bank (n, d) whitened columns of its training rows."""

    party_first = False

    def __init__(
        self,
        columns: Mapping[str, np.ndarray],
        keys: KeyPair | None,
        config: TrainingConfig,
        peer_public: bytes | None = None,
    ):
        super().__init__(keys, config, peer_public)
        self._matrices = {bank: to_fixed(columns[bank], fixed.FEATURE_BITS) for bank in config.banks}
        self._own = self._matrices[config.speaker].shape[1]
        rows = sum(len(matrix) for matrix in self._matrices.values())
        self._s["rows"] = fixed.declared_rows(rows) if config.several else rows

    def _await_first(self) -> None:
        self._await(self._config.speaker, "setup")

    def _askers(self) -> tuple[str, ...]:
        return self._config.banks

    def _power_start(self) -> np.ndarray:
        return even_start(self._own)

    def _weight_start(self) -> np.ndarray:
        return np.zeros(self._own)

    def _announced(self, bank: str) -> bytes:
        """Rows shared with a bank, rows in all, own columns."""
        return SETUP.pack(len(self._matrices[bank]), self._s["rows"], self._own)

    def _bank(self) -> str:
        """Whose message is due."""
        return self._s["from"]

    def _next_bank(self, kind: str) -> bool:
        """Await `kind` of the next bank; False when this was the last."""
        return self._await_each(self._config.banks, kind, self._sender(self._config.banks))

    def _await_banks(self, kind: str) -> None:
        """Await `kind` of each bank, beginning with the first."""
        self._await(self._config.speaker, kind)

    # -- setup

    def _on_setup(self, payload: bytes) -> list[Message]:
        """Of one bank after another, all of which must say the same of columns."""
        _, bank_columns, rest = self._parse_setup(payload, self._bank())
        count, summed = len(self._config.platforms), self._config.summed
        rest, told = rest[4 * count :], rest[: 4 * count]
        if len(told) < 4 * count or (len(rest) != 2 * SEED_BYTES if summed else not rest):
            raise MalformedMessage(f"training setup of {len(payload)} bytes")
        widths = np.frombuffer(told, "<u4").astype(np.int64)
        if widths.min() < 1 or widths.max() > 65536 or widths[self._index()] != self._own:
            raise MalformedMessage("training setup with other numbers of columns than the platforms announced")
        if not self._agrees(bank_columns, widths):
            raise MalformedMessage("the banks' setups name different numbers of columns")
        self._check_size(bank_columns, widths)
        self._s |= {"bank_columns": bank_columns, "widths": widths}
        if not summed:
            return self._on_keys(rest)
        self._s |= {f"point.{self._bank()}": rest[:SEED_BYTES], f"pad.{self._bank()}": rest[SEED_BYTES:]}
        self._await(self._bank(), "keys")
        return []

    def _agrees(self, bank_columns: int, widths: np.ndarray) -> bool:
        """With what an earlier bank said."""
        known = self._s.get("widths")
        return known is None or (bank_columns == self._s["bank_columns"] and np.array_equal(widths, known))

    def _on_keys(self, payload: bytes) -> list[Message]:
        self._peer_keys[self._bank()] = PeerKeys.from_bytes(payload)  # refused at once if they are none
        self._s["public"] = self._s.get("public", b"") + payload
        if self._next_bank("setup"):
            return []
        return self._introduced(self._s.pop("public"))

    def _introduced(self, public: bytes) -> list[Message]:
        """All banks' setups are there. All banks get the same share of the start points, and share it."""
        if len(self._peer_keys) < len(self._config.banks):  # some came before a restart
            self._take_keys(public)
        self.peer_public = public
        self._layout = self._chosen_layout()
        starts = self._start_points()
        given = {name: RING.random(self._own) for name in starts}
        kept = {name: RING.sub(start, given[name]) for name, start in starts.items()}
        self._s |= {"v_own": kept["power"], "w_own": kept["w"]}
        self._await_start()
        payload = self._init_payload(given)
        return [Message(bank, "init", payload) for bank in self._config.banks]

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
        bank, transposed = self._bank(), kind == "backward"
        label = self._label(kind, bank)
        payload = contribute(self._own_tiles(bank, transposed=transposed), self._peer_keys[bank], share, request,
                             BACKWARD if transposed else FORWARD, mask, Seed(self._s[f"point.{bank}"]),
                             Seed(self._s[f"pad.{bank}"]).expand(label, 1))
        return Message(bank, f"{kind}.reply", payload, slot=label, contributors=self._config.platforms)

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
        message = self._reply("backward", request, self._s.pop(f"r.{self._bank()}"), mask)
        self._add_to_gradient(mine)
        return message

    def _add_to_gradient(self, share: np.ndarray) -> None:
        """One bank's part of the own block's gradient; the first one of a pass replaces the last pass's."""
        before = self._s.pop("g_sum", None)
        self._s["g_sum"] = share if before is None else RING.add(before, share)

    def _on_gradient_share(self, payload: bytes) -> list[Message]:
        self._add_to_gradient(RING.from_bytes(payload, self._own))
        return [] if self._next_bank("gradient.share") else self._end_own_pass()

    def _end_own_pass(self) -> list[Message]:
        self._s["g_own"] = self._s.pop("g_sum")
        return self._end_pass()

    # -- step size

    @abstractmethod
    def _norm_vectors(self) -> np.ndarray:
        """What this side holds of the blocks shared with the bank: before and after the last power iteration."""

    @abstractmethod
    def _norm_cover(self) -> np.ndarray:
        """(2, 2): what hides this platform's norms from the bank; adds up to a flood over the platforms."""

    def _begin_norms(self) -> list[Message]:
        self._await(self._config.speaker, "norms.request")
        return []

    def _on_norms_request(self, payload: bytes) -> list[Message]:
        vectors, speaker = self._norm_vectors(), self._config.speaker
        reply, cross = elementwise.answer(self._peer_keys[speaker], [(payload, vectors)])
        share = RING.add(self._squares(vectors, cross), self._norm_cover())
        self._await(speaker, "step.size")
        return [Message(speaker, "norms.reply", reply + RING.to_bytes(share), Opening("step.norms", speaker, 2))]

    def _release(self) -> list[Message]:
        self._await(self._config.speaker, "coefficients")
        return []

    @abstractmethod
    def _await_start(self) -> None:
        """Setup is done: what comes next."""


class LeadTrainer(LeadReopening, FeatureTrainer):
    """The first platform, alone or with others. The only one that asks the banks for products."""

    def start(self) -> list[Message]:
        """Announce rows, columns and public keys; a seed for each of the other platforms."""
        others = self._config.platforms[1:]
        self._s["seeds"] = os.urandom(SEED_BYTES * len(others))
        seeds = [Message(name, "seed", seed.to_bytes()) for name, seed in zip(others, self._seeds(), strict=True)]
        return [*self._introductions(), *seeds]

    def _introductions(self) -> list[Message]:
        """To each bank; to several also the seeds of the check on their sums, and one upload of the keys for all."""
        public, banks = self._keys.public_bytes(), self._config.banks
        if not self._config.several:
            return [Message(banks[0], "setup", self._announced(banks[0]) + public)]
        self._s |= {"common.point": os.urandom(SEED_BYTES), "common.pads": os.urandom(SEED_BYTES * len(banks))}
        setups = [Message(bank, "setup", self._announced(bank) + self._s["common.point"] + pad.to_bytes())
                  for bank, pad in zip(banks, self._unjoined("common.pads"), strict=True)]
        return [*setups, *(Message(bank, "keys", public, slot=f"keys.{self._config.party}") for bank in banks)]

    def _unjoined(self, name: str) -> list[Seed]:
        joined = self._s[name]
        return [Seed(joined[at : at + SEED_BYTES]) for at in range(0, len(joined), SEED_BYTES)]

    def _seeds(self) -> list[Seed]:
        """Those shared with each of the other platforms."""
        return self._unjoined("seeds")

    def _await_start(self) -> None:
        self._await_banks("init")

    def _on_init(self, payload: bytes) -> list[Message]:
        """Of each bank; what counts is the sum."""
        power, weights = self._parse_init(payload, self._s["bank_columns"])
        zero = RING.zeros(self._s["bank_columns"])
        self._s |= {"v_peer": RING.add(self._s.get("v_peer", zero), power),
                    "w_peer": RING.add(self._s.get("w_peer", zero), weights)}
        return [] if self._next_bank("init") else self._begin_pass()

    def _forward_shape(self, bank: str) -> tuple[int, int]:
        return self._pass_rows(bank), self._s["bank_columns"]

    def _begin_pass(self) -> list[Message]:
        self._await_banks("forward.request")
        return [Message(bank, "forward.request",
                        product.ask(self._keys, self._s["v_peer"], self._forward_shape(bank), LAYOUT))
                for bank in self._config.banks]

    def _on_forward_request(self, payload: bytes) -> list[Message]:
        bank = self._bank()
        if not self._config.summed:
            reply, z = self._answer(bank, bank, self._s["v_own"], payload, transposed=False)
            message = Message(bank, "forward.reply", reply)
        else:
            rows = self._pass_rows(bank)
            mask = RING.random(rows)
            message = self._forward_reply(payload, mask)
            z = RING.add(mask, mask_sum(self._seeds(), self._label("forward", bank), rows))
        self._s[f"z.{bank}"] = z
        if not self._next_bank("forward.request"):
            self._await_banks("forward.reply")
        return [message]

    def _on_forward_reply(self, payload: bytes) -> list[Message]:
        bank = self._bank()
        share = product.finish(self._keys, payload, self._forward_shape(bank), LAYOUT, FORWARD)
        z = self._truncated(RING.add(self._s.pop(f"z.{bank}"), share), self._layout.score_shift)
        return self._ask_residual(bank, z)

    def _ask_residual(self, bank: str, z: np.ndarray) -> list[Message]:
        """The lead's share of a bank's scores is there."""
        if not self._next_bank("forward.reply"):
            self._await_banks("residual.reply")
        return [Message(bank, "residual.request", elementwise.ask(self._keys, z))]

    def prepare(self) -> None:
        """While a bank computes the residual."""
        if self._s["expect"] != "residual.reply":
            return
        shape, widths, bank = self._forward_shape(self._bank()), self._s["widths"], self._bank()
        self._stock(bank, [shape, shape[::-1]], [(shape[0], int(widths.max())), (int(widths.sum()), shape[0])])

    def _on_residual_reply(self, payload: bytes) -> list[Message]:
        bank = self._bank()
        rows = self._pass_rows(bank)
        residual = elementwise.finish(self._keys, payload, rows)
        more = self._next_bank("residual.reply")
        return self._share_residual(bank, residual, more)

    def _share_residual(self, bank: str, residual: np.ndarray, more: bool = False) -> list[Message]:
        """The lead's share of a bank's residuals is there; `more`: that of another bank is due before the next part."""
        rows = residual.shape[1]
        self._s[f"r.{bank}"] = residual
        if not more:
            self._await_banks("backward.request")
        shared, slot = RING.to_bytes(residual), self._label("residual.share", bank)
        others = [Message(name, "residual.share", shared, slot=slot) for name in self._config.platforms[1:]]
        request = product.ask(self._keys, residual, (self._s["bank_columns"], rows), self._banks_layout())
        return [Message(bank, "backward.request", request), *others]

    def _on_backward_request(self, payload: bytes) -> list[Message]:
        bank = self._bank()
        if not self._config.summed:
            reply, share = self._answer(bank, bank, self._s.pop(f"r.{bank}"), payload, transposed=True)
            self._add_to_gradient(share)
            message = Message(bank, "backward.reply", reply)
        else:
            columns, label = int(self._s["widths"].sum()), self._label("backward", bank)
            message = self._backward_reply(payload, RING.neg(mask_sum(self._seeds(), label, columns)))
        if not self._next_bank("backward.request"):
            self._await(SUM if self._config.several else bank, "backward.reply", group=0)
        return [message]

    @property
    def summands(self) -> tuple[str, ...]:
        """The banks whose replies are in the sum that is due."""
        return self._config.bank_groups[self._s.get("group", 0)]

    def _on_backward_reply(self, payload: bytes) -> list[Message]:
        """Of the only bank, or the sum over one group of banks after another."""
        shape, layout = (self._s["bank_columns"], self._pass_rows(self._config.speaker)), self._banks_layout()
        if not self._config.several:
            self._s["g_peer"] = product.finish(self._keys, payload, shape, layout, BACKWARD)
            return self._end_own_pass()
        label, group = self._label("common"), self._s["group"]
        seeds = dict(zip(self._config.banks, self._unjoined("common.pads"), strict=True))
        pads = [seeds[bank].expand(label, 1) for bank in self.summands]
        share = finish_sum(self._keys, payload, shape, layout, BACKWARD, Seed(self._s["common.point"]), pads)
        self._s["g_peer"] = share if group == 0 else RING.add(self._s["g_peer"], share)
        if group + 1 < len(self._config.bank_groups):
            self._await(SUM, "backward.reply", group=group + 1)
        else:
            self._await_banks("gradient.share")
        return []

    def _norm_vectors(self) -> np.ndarray:
        names = ("before_peer", "before_own", "v_peer", "v_own")  # the bank's block first, as at the bank
        return np.concatenate([self._s[name] for name in names], axis=1)

    def _norm_cover(self) -> np.ndarray:
        flood = RING.random_below_bits(2, 2 * self._layout.point_bits - NORM_FLOOD_GAP)
        return RING.sub(flood, mask_sum(self._seeds(), "norms", 2))

    def _release(self) -> list[Message]:
        flooded = self._flooded(self._s["w_peer"])
        return [*super()._release(),
                *(self._coefficients_message(bank, flooded[:, self._config.released_to(bank, flooded.shape[1])])
                  for bank in self._config.banks)]


class FollowTrainer(FollowReopening, FeatureTrainer):
    """Any platform after the first: it answers, and never asks, so it needs no keys."""

    def __init__(self, columns: Mapping[str, np.ndarray], config: TrainingConfig, peer_public: bytes | None = None):
        super().__init__(columns, None, config, peer_public)

    def start(self) -> list[Message]:
        """Announce rows and columns."""
        return [Message(bank, "setup", self._announced(bank)) for bank in self._config.banks]

    def _await_start(self) -> None:
        self._await(self._config.lead, "seed", v_peer=RING.zeros(0), w_peer=RING.zeros(0), g_peer=RING.zeros(0))

    def _on_seed(self, payload: bytes) -> list[Message]:
        self._s["seed"] = Seed(payload).to_bytes()
        return self._begin_pass()

    def _begin_pass(self) -> list[Message]:
        self._await_banks("forward.request")
        return []

    def _cover(self, kind: str, n: int) -> np.ndarray:
        return Seed(self._s["seed"]).expand(self._label(kind, self._bank()), n)

    def _on_forward_request(self, payload: bytes) -> list[Message]:
        message = self._forward_reply(payload, self._cover("forward", self._pass_rows(self._bank())))
        if not self._next_bank("forward.request"):
            self._await(self._config.lead, "residual.share")
        return [message]

    def prepare(self) -> None:
        """While lead and bank compute the residual."""
        if self._s["expect"] == "residual.share":
            bank = self._due_residual()
            rows, widths = self._pass_rows(bank), self._s["widths"]
            self._stock(bank, [], [(rows, int(widths.max())), (int(widths.sum()), rows)])

    def _due_residual(self) -> str:
        """Whose rows' residual share the lead sends next."""
        return next(bank for bank in self._config.banks if f"r.{bank}" not in self._s)

    def _on_residual_share(self, payload: bytes) -> list[Message]:
        bank = self._due_residual()
        self._s[f"r.{bank}"] = RING.from_bytes(payload, self._pass_rows(bank))
        if bank == self._config.banks[-1]:
            self._await_banks("backward.request")
        return []

    def _on_backward_request(self, payload: bytes) -> list[Message]:
        message = self._backward_reply(payload, self._cover("backward", int(self._s["widths"].sum())))
        if self._next_bank("backward.request"):
            return [message]
        if self._config.several:
            self._await_banks("gradient.share")
            return [message]
        return [message, *self._end_own_pass()]

    def _norm_vectors(self) -> np.ndarray:
        return np.concatenate([self._s["before_own"], self._s["v_own"]], axis=1)

    def _norm_cover(self) -> np.ndarray:
        return Seed(self._s["seed"]).expand("norms", 2)


def feature_trainer(
    columns: Mapping[str, np.ndarray],
    keys: Callable[[], KeyPair],
    config: TrainingConfig,
    peer_public: bytes | None = None,
    lead: type[LeadTrainer] = LeadTrainer,
) -> FeatureTrainer:
    """The role of `config.party` among the platforms; `keys` is called for the one that needs any; `lead`: the role of
    the first one, which depends on the activation."""
    if config.party == config.lead:
        return lead(columns, keys(), config, peer_public)
    return FollowTrainer(columns, config, peer_public)
