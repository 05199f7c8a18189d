"""A bank's side of boosted trees: it holds labels, decides every split and learns the platform's sums by bin.

    shape  ◀──  begin  ──▶  veil  ◀──                            once
    secrets  ──▶  corrections  ◀──                               whenever too few are left for the next tree
    vectors  ──▶  sums  ◀──                                      for each level of each tree, in bounded messages
    splits  ──▶  sides  ◀──                                      once a level
    end  ──▶

A node with fewer rows than the settings say is never asked for: the platform cannot see that, so it is this class that
keeps to it (`growing.py`), and the record of openings that shows it.
"""
from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from protocols.boosting.bins import Binned
from protocols.boosting.candidates import Candidate
from protocols.boosting.grower import Grower, Sides, Sums
from protocols.boosting.label_sums import SHARE_BYTES, Masks, Secrets, Veil, corrections, opened, request
from protocols.boosting.messages import Begin, Column, Drawn, Shape, Split, each_side, seed_of, side, splits_bytes
from protocols.boosting.model import Trees
from protocols.boosting.parameters import PAD_DEGREE, Room, room
from protocols.boosting.pieces import Pieces, Stock, cut, shares_bytes, shares_of
from protocols.boosting.public import Public
from protocols.boosting.record import Record
from protocols.boosting.sampling import SEED_BYTES
from protocols.boosting.settings import BoostingSettings, widths
from protocols.crypto.ring import Array
from protocols.errors import MalformedMessage
from protocols.role import Message, Opening
from protocols.scorecard.stepwise import Stepwise
from protocols.state import pack, unpack

BATCH = 64
"""Secrets of one request at most: 22 MB."""
MESSAGE_BYTES = 32 << 20
"""Vectors of one message at most, but always one: a level of depth 8 over a million rows would be 1.8 GB."""


@dataclass(frozen=True, repr=False)
class LabelData:
    """`codes` (n, columns) bins of the bank's own `columns`; `labels` (n,) 0/1; `seed`: of the draws of rows and
    columns; `validation` (n,) bool: rows that only say when to stop."""

    codes: Array
    columns: tuple[Column, ...]
    labels: Array
    seed: bytes
    validation: Array | None = None


@dataclass(frozen=True)
class LabelConfig:
    """Who is who, and what is asked for."""

    party: str
    platform: str
    settings: BoostingSettings


def vectors_of_a_tree(depth: int) -> int:
    """Gradients and hessians of the root and of one child of every split above the last level."""
    return 2 ** depth


class LabelBooster(Stepwise):
    """`result`: the trees, every split numbered; what a platform's numbers stand for only the platform knows."""

    def __init__(self, data: LabelData, config: LabelConfig):
        self._data, self._config = data, config
        self._binned = Binned(data.codes, tuple(one.bins for one in data.columns)) if data.columns else None
        self._s: dict = {"expect": "shape", "shape": b"", "nonce": b"", "requests": 0, "asked": 0}
        self._kept = Pieces(lambda name: self.pieces(name))
        self._stock = Stock()  # the pads of every secret that was answered, and the share of their sums
        self._waiting: Secrets | None = None
        self._grower: Grower | None = None
        self._record: Record | None = None
        self._level: list[Array] = []  # sums of the level that were answered so far, message by message
        self._veil: Veil | None = None
        self._masks: Masks | None = None

    # -- the Role interface

    def start(self) -> list[Message]:
        """The platform begins."""
        return []

    @property
    def expects(self) -> str | None:
        """The platform, until the trees are there."""
        return None if self._s["expect"] is None else self._config.platform

    def result(self) -> Trees | None:
        """The trees, once the training has ended."""
        return self._grower.model() if self._s["expect"] is None and self._grower else None

    @property
    def progress(self) -> tuple[int, int] | None:
        """Trees done, trees in all."""
        return (self._grower.trees if self._grower else 0, self._config.settings.trees)

    # -- messages

    def _on_shape(self, payload: bytes) -> list[Message]:
        Shape.from_bytes(payload, len(self._data.labels))
        self._s |= {"shape": payload, "nonce": os.urandom(SEED_BYTES), "expect": "veil"}
        self._set_out()
        return [self._message("begin", self._begin().to_bytes())]

    def _on_veil(self, payload: bytes) -> list[Message]:
        self._veil = Veil.from_bytes(payload, self._bins())
        self._kept.write("veil", payload)
        return self._next()

    def _on_corrections(self, payload: bytes) -> list[Message]:
        shares = corrections(self._veil, self._waiting, payload)
        self._kept.write(f"shares.{self._stock.batches}", shares_bytes(shares))
        self._stock.add(self._waiting.pads, shares)
        self._waiting = None
        return self._next()

    def _on_sums(self, payload: bytes) -> list[Message]:
        wanted, asked = self._wanted(Sums), self._s["asked"]
        level = [*self._level, self._opened(wanted, payload, asked)]
        whole = sum(map(len, level)) == len(wanted)
        if whole:
            self._grower.take_sums(self._with_own(wanted, level))
        self._level = [] if whole else level
        self._stock.spend(asked)
        self._record.add_sums(level[-1])
        self._note_tree()
        return self._next()

    def _on_sides(self, payload: bytes) -> list[Message]:
        wanted = self._wanted(Sides)
        self._take_sides(wanted, each_side(payload, len(self._theirs(wanted)), len(self._data.labels)))
        return self._next()

    # -- what comes next

    def _next(self) -> list[Message]:
        """Work on by oneself until something is needed of the platform."""
        while (wanted := self._grower.wanted()) is not None:
            if isinstance(wanted, Sums):
                if self._drawn(wanted).columns.any():
                    return self._ask_sums(wanted)
                self._grower.take_sums(self._with_own(wanted, []))
                self._note_tree()
            elif theirs := self._theirs(wanted):
                self._s["expect"] = "sides"
                told = Opening("tree.splits", self._config.platform, len(theirs))
                return [Message(self._config.platform, "splits", splits_bytes(theirs), told)]
            else:
                self._take_sides(wanted, iter(()))
        self._s["expect"] = None
        return [self._message("end", b"")]

    def _ask_sums(self, wanted: Sums) -> list[Message]:
        first, most = sum(map(len, self._level)), max(1, MESSAGE_BYTES // (SHARE_BYTES * len(self._data.labels)))
        count = min(most, len(wanted) - first)
        if len(self._stock) < count:
            return self._ask_secrets()
        self._s |= {"expect": "sums", "asked": count}
        self._masks = self._masks or Masks(self._public())
        vectors = (wanted.vector(at) for at in range(first, first + count))
        pads = np.stack([pad for pad, _ in self._stock.next(count)])
        hidden = self._masks.hidden(vectors, pads, self._room())
        return [self._message("vectors", b"".join([self._drawn(wanted).to_bytes(), *hidden]))]

    def _ask_secrets(self) -> list[Message]:
        """As many as all trees to come can need, in batches, and in all no more than the platform was told of."""
        settings, each = self._config.settings, vectors_of_a_tree(self._config.settings.depth)
        need = (settings.trees - self._grower.trees) * each - len(self._stock)
        left = settings.trees * each - self._stock.used - len(self._stock)
        self._waiting = Secrets.fresh(min(BATCH, need, left))
        self._kept.write(f"pads.{self._s['requests']}", self._waiting.pads.tobytes())
        self._kept.write(f"keys.{self._s['requests']}", self._waiting.keys.tobytes())
        self._s |= {"requests": self._s["requests"] + 1, "expect": "corrections"}
        return [self._message("secrets", request(self._public(), self._waiting))]

    def _opened(self, wanted: Sums, payload: bytes, asked: int) -> Array:
        """(asked, bins of the platform's columns that compete) sums."""
        rows, told = self._drawn(wanted).rows, self._room()
        size = SHARE_BYTES * int(rows.sum())
        if len(payload) != size * asked:
            raise MalformedMessage(f"expected {size * asked} bytes of sums, got {len(payload)}")
        return np.stack([opened(one, share[:, rows], told) for one, (_, share) in zip(
            cut(payload, size), self._stock.next(asked), strict=True)])

    def _take_sides(self, wanted: Sides, told: Iterator[Array]) -> None:
        """`told`: the platform's, in their order."""
        sides = (self._own_side(one) if one.party == self._config.party else next(told) for one in wanted.splits)
        self._record.add_route(self._grower.take_sides(sides))
        self._note_tree()

    def _note_tree(self) -> None:
        """Write down a tree that was finished by what was just taken."""
        if self._grower.trees > self._record.trees:
            self._record.add_tree(self._grower.newest)

    def _drawn(self, wanted: Sums) -> Drawn:
        """The platform's columns that compete in this tree."""
        columns = self._shape().columns
        return Drawn(wanted.columns[len(wanted.columns) - len(columns):], tuple(one.bins for one in columns))

    # -- facts

    def _theirs(self, wanted: Sides) -> list[Split]:
        """What is asked of the platform's columns."""
        theirs = (one for one in wanted.splits if one.party != self._config.party)
        return [Split(one.column, one.bin, one.missing_left) for one in theirs]

    def _set_out(self) -> None:
        """The training at its first tree."""
        self._grower = Grower(self._config.settings, self._data.labels, self._candidates(self._shape()),
                              self._data.seed, self._data.validation)
        self._record = Record(self._kept, len(self._data.labels), self._begin().width)

    def _candidates(self, shape: Shape) -> tuple[Candidate, ...]:
        sides = ((self._config.party, self._data.columns), (self._config.platform, shape.columns))
        return tuple(Candidate(party, number, one.bins, one.monotone, one.has_missing)
                     for party, columns in sides for number, one in enumerate(columns))

    def _shape(self) -> Shape:
        return Shape.from_bytes(self._s["shape"], len(self._data.labels))

    def _bins(self) -> int:
        return sum(one.bins for one in self._shape().columns)

    def _begin(self) -> Begin:
        settings = self._config.settings
        openings = settings.trees * vectors_of_a_tree(settings.depth) * self._bins()
        return Begin(self._s["nonce"], max(widths(settings, self._shape().largest)), openings)

    def _room(self) -> Room:
        begin = self._begin()
        return room(begin.width, self._shape().largest, begin.openings)

    def _public(self) -> Public:
        return Public(seed_of(self._shape().nonce, self._s["nonce"]), len(self._data.labels))

    def _with_own(self, wanted: Sums, level: list[Array]) -> Array:
        """(vectors, bins of all columns): the bank's own sums before the platform's."""
        platform = np.zeros((len(wanted), self._bins()), np.int64)
        if level:
            platform[:, self._drawn(wanted).rows] = np.concatenate(level)
        own = np.stack([self._own_sums(wanted.vector(at)) for at in range(len(wanted))])
        return np.concatenate([own, platform], axis=1)

    def _own_sums(self, vector: Array) -> Array:
        return np.zeros(0, np.int64) if self._binned is None else self._binned.plain_sums(vector)

    def _own_side(self, split: object) -> Array:
        asked = Split(split.column, split.bin, split.missing_left)
        return side(self._binned.columns[split.column], asked, self._data.columns[split.column])

    def _wanted(self, kind: type) -> Sums | Sides:
        wanted = self._grower.wanted()
        if not isinstance(wanted, kind):
            raise MalformedMessage(f"boosting: expected nothing of kind {kind.__name__}")
        return wanted

    def _message(self, kind: str, payload: bytes) -> Message:
        return Message(self._config.platform, kind, payload)

    # -- state

    def snapshot(self) -> bytes:
        """Counters and what both sides agreed on: under a kilobyte and the platform's columns."""
        record = self._record.counters() if self._record else {}
        return pack(self._s | self._stock.counters() | record)

    def new_pieces(self) -> dict[str, bytes]:
        """Veil, secrets, shares, and the record of the training."""
        return self._kept.fresh()

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot and its pieces: finished trees are taken as they are, the one under way is grown
        again from its sums and routes."""
        told = unpack(state)
        self._s = {name: told[name] for name in self._s}
        if not self._s["shape"]:
            return
        self._set_out()
        self._stock = Stock.restored(told, lambda number: (
            self._ternary(f"pads.{number}", PAD_DEGREE), self._shares(number)))
        self._record.place(told)
        self._record.regrow(self._grower)
        if self._s["expect"] not in ("veil", None):
            self._veil = Veil.from_bytes(self._kept.read("veil"), self._bins())
            self._replay()
        if self._s["expect"] == "corrections":
            last = self._s["requests"] - 1
            self._waiting = Secrets(self._ternary(f"pads.{last}", PAD_DEGREE),
                                    self._ternary(f"keys.{last}", 2 * PAD_DEGREE))

    def _replay(self) -> None:
        """The tree under way, up to what was answered last."""
        for level in range(self._record.level + 1):
            wanted = self._grower.wanted()
            drawn = self._drawn(wanted).rows
            self._level = self._record.sums(level, len(wanted), int(drawn.sum())) if drawn.any() else []
            if drawn.any() and sum(map(len, self._level)) < len(wanted):
                return
            self._grower.take_sums(self._with_own(wanted, self._level))
            self._level = []
            if level < self._record.level:
                splits = self._grower.wanted().splits
                self._grower.take_sides(itertools.repeat(self._record.route(level), len(splits)))

    def _ternary(self, name: str, width: int) -> Array:
        return np.frombuffer(self._kept.read(name), np.int8).reshape(-1, width)

    def _shares(self, number: int) -> Array:
        data = self._kept.read(f"shares.{number}")
        return shares_of(data, len(data) // (SHARE_BYTES * self._bins()), self._bins(), "saved shares")
