"""A platform's side of boosted trees: it sums hidden vectors over its bins and says who goes left at its splits.

It learns neither labels nor gradients nor which rows are in a node; of the trees it learns, split by split, which of
its columns and bins won. It enforces what it can see: that the opened sums stay within what hides the rest, that no
secret serves twice, and how many splits are asked of it.
"""
from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from protocols.boosting.bins import Binned
from protocols.boosting.feature_sums import Corrections, summed_bins
from protocols.boosting.label_sums import SECRET_BYTES, SHARE_BYTES
from protocols.boosting.messages import Begin, Column, Drawn, Shape, Split, seed_of, side, sides_bytes, splits_of
from protocols.boosting.parameters import KEY_DEGREE, Room, room
from protocols.boosting.pieces import Pieces, Stock, cut, shares_bytes, shares_of
from protocols.boosting.public import Public
from protocols.boosting.sampling import SEED_BYTES
from protocols.crypto.ring import Array
from protocols.errors import MalformedMessage, PolicyRefused
from protocols.role import Message, Opening, Role
from protocols.state import pack, unpack

_ASKED = ("secrets", "vectors", "splits", "end")


@dataclass(frozen=True)
class FeatureConfig:
    """Who the bank is, and what this platform allows: sums opened and splits answered in a training."""

    bank: str
    maximum_sums: int
    maximum_splits: int


class FeatureBooster(Role):
    """`codes`: (n, columns) bins of the training rows. `result`: the splits that were asked for, in their order."""

    def __init__(self, codes: Array, columns: tuple[Column, ...], config: FeatureConfig):
        self._binned = Binned(codes, tuple(one.bins for one in columns))
        self._columns, self._config = columns, config
        self._s: dict = {"due": "begin", "nonce": b"", "begun": b"", "answered": 0, "done": False}
        self._kept = Pieces(lambda name: self.pieces(name))
        self._own = Stock()  # one's shares of the secrets that serve next
        self._splits: list[Split] = []  # that were asked for
        self._corrections: Corrections | None = None

    # -- the Role interface

    def start(self) -> list[Message]:
        """Tell the bank what columns there are."""
        self._s["nonce"] = os.urandom(SEED_BYTES)
        return [self._message("shape", Shape(self._s["nonce"], self._columns, self._binned.largest).to_bytes())]

    @property
    def expects(self) -> str | None:
        """The bank speaks first at every turn."""
        return None if self._s["done"] else self._config.bank

    def handle(self, message: Message) -> list[Message]:
        """Take one message of the bank; MalformedMessage for one that is not due, which changes nothing."""
        due = ("begin",) if self._s["due"] == "begin" else _ASKED
        if self._s["done"] or message.peer != self._config.bank or message.kind not in due:
            raise MalformedMessage(f"boosting: expected {' or '.join(due)} from {self._config.bank}, got "
                                   f"{message.kind} from {message.peer}")
        return getattr(self, f"_on_{message.kind}")(message.payload)

    def result(self) -> list[Split] | None:
        """The splits of this platform's columns, once the bank has ended."""
        return list(self._splits) if self._s["done"] else None

    def snapshot(self) -> bytes:
        """Counters and what both sides agreed on, under a kilobyte; veils, shares and splits are pieces."""
        return pack(self._s | self._own.counters())

    def new_pieces(self) -> dict[str, bytes]:
        """What hides the matrix, the shares of each batch of secrets, the splits as they were asked for."""
        return self._kept.fresh()

    def restore(self, state: bytes) -> None:
        """Continue; the matrix is computed again from table and seed when the next secrets come."""
        told = unpack(state)
        self._s = {name: told[name] for name in self._s}
        if self._s["begun"]:
            veils = np.frombuffer(self._kept.read("veils"), np.int8).reshape(-1, KEY_DEGREE)
            self._corrections = Corrections(self._binned, self._public(), veils)
            self._own = Stock.restored(told, lambda number: (self._shares(number),))
        self._splits = [one for number in range(self._s["answered"])
                        for one in splits_of(self._kept.read(f"splits.{number}"), self._columns)]

    # -- messages

    def _on_begin(self, payload: bytes) -> list[Message]:
        begin = Begin.from_bytes(payload)
        if begin.openings > self._config.maximum_sums:
            raise PolicyRefused("maximum_tree_sums", f"the bank wants to open up to {begin.openings} sums, this node "
                                f"allows {self._config.maximum_sums}")
        room(begin.width, self._binned.largest, begin.openings)
        self._s |= {"begun": payload, "due": "asked"}
        self._corrections = Corrections(self._binned, self._public())
        self._kept.write("veils", self._corrections.veils.tobytes())
        return [self._message("veil", b"".join(self._corrections.veil()))]

    def _on_secrets(self, payload: bytes) -> list[Message]:
        self._within(len(payload) // SECRET_BYTES)
        reply, own = self._corrections.answer(payload)
        self._kept.write(f"own.{self._own.batches}", shares_bytes(own))
        self._own.add(own)
        return [self._message("corrections", reply)]

    def _on_vectors(self, payload: bytes) -> list[Message]:
        size, first = SHARE_BYTES * len(self._binned.codes), Drawn.size(len(self._columns))
        count, rest = divmod(len(payload) - first, size)
        if not 1 <= count <= len(self._own) or rest:
            raise MalformedMessage(f"expected 1 to {len(self._own)} vectors of {size} bytes, got {len(payload)} bytes")
        wanted = Drawn.from_bytes(payload[:first], self._columns).rows
        told = self._room()
        replies = [summed_bins(self._binned, one, own, told, wanted) for one, (own,) in zip(
            cut(memoryview(payload)[first:], size), self._own.next(count), strict=True)]
        self._own.spend(count)
        opening = Opening("tree.sums", self._config.bank, count * int(wanted.sum()))
        return [self._message("sums", b"".join(replies), opening)]

    def _on_splits(self, payload: bytes) -> list[Message]:
        asked = splits_of(payload, self._columns)
        whole = len(self._splits) + len(asked)
        if whole > self._config.maximum_splits:
            raise PolicyRefused("maximum_tree_splits", f"the bank asks for {whole} splits, this node "
                                f"answers {self._config.maximum_splits}; each tells it a bit about every row")
        left = b"".join(sides_bytes(side(self._binned.columns[one.column], one, self._columns[one.column])[None])
                        for one in asked)
        self._kept.write(f"splits.{self._s['answered']}", payload)
        self._s["answered"] += 1
        self._splits += asked
        opening = Opening("tree.sides", self._config.bank, len(asked) * len(self._binned.codes))
        return [self._message("sides", left, opening)]

    def _on_end(self, payload: bytes) -> list[Message]:
        if payload:
            raise MalformedMessage(f"expected an empty end, got {len(payload)} bytes")
        self._s["done"] = True
        return []

    # -- helpers

    def _message(self, kind: str, payload: bytes, opening: Opening | None = None) -> Message:
        return Message(self._config.bank, kind, payload, opening)

    def _public(self) -> Public:
        begin = Begin.from_bytes(self._s["begun"])
        return Public(seed_of(self._s["nonce"], begin.nonce), len(self._binned.codes))

    def _room(self) -> Room:
        begin = Begin.from_bytes(self._s["begun"])
        return room(begin.width, self._binned.largest, begin.openings)

    def _within(self, more: int) -> None:
        """A secret is worth a sum of every bin: more secrets than the bank has told of would open more than that."""
        begin = Begin.from_bytes(self._s["begun"])
        wanted = (self._own.used + len(self._own) + more) * self._binned.rows
        if wanted > begin.openings:
            raise MalformedMessage(f"expected secrets for {begin.openings} sums in all, got enough for {wanted}")

    def _shares(self, number: int) -> Array:
        data, rows = self._kept.read(f"own.{number}"), self._binned.rows
        return shares_of(data, len(data) // (SHARE_BYTES * rows), rows, "saved shares")
