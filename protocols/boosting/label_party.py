"""A bank's side of boosted trees: it holds labels, decides every split and learns the platform's sums by bin.

    shape  ◀──  begin  ──▶  veil  ◀──                            once
    secrets  ──▶  corrections  ◀──                               whenever too few are left for the next tree
    vectors  ──▶  sums  ◀──     splits  ──▶  sides  ◀──          for each level of each tree
    end  ──▶

A node with fewer rows than the settings say is never asked for: the platform cannot see that, so it is this class that
keeps to it (`growing.py`), and the record of openings that shows it.
"""
from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from protocols.boosting.bins import Binned
from protocols.boosting.candidates import Candidate
from protocols.boosting.grower import Grower, Sides, Sums
from protocols.boosting.label_sums import SHARE_BYTES, Masks, Secrets, Veil, corrections, opened, request
from protocols.boosting.messages import Begin, Column, Drawn, Shape, Split, seed_of, side, sides_of, splits_bytes
from protocols.boosting.model import Trees
from protocols.boosting.parameters import PAD_DEGREE, Room, room
from protocols.boosting.public import Public
from protocols.boosting.sampling import SEED_BYTES
from protocols.boosting.settings import BoostingSettings, widths
from protocols.crypto.ring import Array
from protocols.errors import MalformedMessage
from protocols.role import Message, Opening
from protocols.scorecard.stepwise import Stepwise
from protocols.state import pack, unpack

BATCH = 64
"""Secrets of one request at most: 22 MB."""


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
        self._s: dict = {"expect": "shape", "shape": b"", "nonce": b"", "used": 0, "batches": 0}
        self._fresh: dict[str, bytes] = {}
        self._grower: Grower | None = None
        self._veil: Veil | None = None
        self._masks: Masks | None = None
        self._pads: list[Array] = []  # of the secrets that were asked for, in their order; a used one is dropped
        self._shares: list[Array] = []  # of those that were answered
        self._waiting: Secrets | None = None

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
        shape = Shape.from_bytes(payload, len(self._data.labels))
        self._s |= {"shape": payload, "nonce": os.urandom(SEED_BYTES), "expect": "veil"}
        self._grower = Grower(self._config.settings, self._data.labels, self._candidates(shape), self._data.seed,
                              self._data.validation)
        return [self._message("begin", self._begin().to_bytes())]

    def _on_veil(self, payload: bytes) -> list[Message]:
        self._veil = Veil.from_bytes(payload, self._bins())
        self._fresh["veil"] = payload
        return self._next()

    def _on_corrections(self, payload: bytes) -> list[Message]:
        shares = corrections(self._veil, self._waiting, payload)
        self._fresh[f"shares.{self._s['batches'] - 1}"] = shares.astype("<u8").tobytes()
        self._shares += list(shares)
        self._waiting = None
        return self._next()

    def _on_sums(self, payload: bytes) -> list[Message]:
        wanted = self._wanted(Sums)
        rows = self._drawn(wanted).rows
        size = SHARE_BYTES * int(rows.sum())
        if len(payload) != size * len(wanted):
            raise MalformedMessage(f"expected {size * len(wanted)} bytes of sums, got {len(payload)}")
        view, told = memoryview(payload), self._room()
        platform = np.zeros((len(wanted), len(rows)), np.int64)
        for at in range(len(wanted)):
            platform[at, rows] = opened(view[at * size:(at + 1) * size], self._shares[at][:, rows], told)
        self._grower.take_sums(self._with_own(wanted, platform))
        self._spend(len(wanted))
        return self._next()

    def _on_sides(self, payload: bytes) -> list[Message]:
        splits = self._wanted(Sides).splits
        theirs = [one for one in splits if one.party != self._config.party]
        told = iter(sides_of(payload, len(theirs), len(self._data.labels)))
        self._grower.take_sides(np.stack([self._own_side(one) if one.party == self._config.party else next(told)
                                          for one in splits]))
        return self._next()

    # -- what comes next

    def _next(self) -> list[Message]:
        """Work on by oneself until something is needed of the platform."""
        while (wanted := self._grower.wanted()) is not None:
            if isinstance(wanted, Sums):
                if self._drawn(wanted).columns.any():
                    return self._ask_sums(wanted)
                self._grower.take_sums(self._with_own(wanted, np.zeros((len(wanted), self._bins()), np.int64)))
                continue
            theirs = [Split(one.column, one.bin, one.missing_left) for one in wanted.splits
                      if one.party != self._config.party]
            if theirs:
                self._s["expect"] = "sides"
                told = Opening("tree.splits", self._config.platform, len(theirs))
                return [Message(self._config.platform, "splits", splits_bytes(theirs), told)]
            self._grower.take_sides(np.stack([self._own_side(one) for one in wanted.splits]))
        self._s["expect"] = None
        return [self._message("end", b"")]

    def _ask_sums(self, wanted: Sums) -> list[Message]:
        drawn, count = self._drawn(wanted), len(wanted)
        if len(self._shares) < count:
            return self._ask_secrets()
        self._s["expect"] = "sums"
        self._masks = self._masks or Masks(self._public())
        vectors = (wanted.vector(at) for at in range(count))
        hidden = self._masks.hidden(vectors, np.stack(self._pads[:count]), self._room())
        return [self._message("vectors", b"".join([drawn.to_bytes(), *hidden]))]

    def _drawn(self, wanted: Sums) -> Drawn:
        """The platform's columns that compete in this tree."""
        columns = self._shape().columns
        return Drawn(wanted.columns[len(wanted.columns) - len(columns):], tuple(one.bins for one in columns))

    def _ask_secrets(self) -> list[Message]:
        """As many as all trees to come can need, in batches."""
        settings = self._config.settings
        need = (settings.trees - self._grower.trees) * vectors_of_a_tree(settings.depth) - len(self._shares)
        self._waiting = Secrets.fresh(min(BATCH, need))
        self._fresh[f"pads.{self._s['batches']}"] = self._waiting.pads.tobytes()
        self._fresh[f"keys.{self._s['batches']}"] = self._waiting.keys.tobytes()
        self._pads += list(self._waiting.pads)
        self._s |= {"batches": self._s["batches"] + 1, "expect": "corrections"}
        return [self._message("secrets", request(self._public(), self._waiting))]

    def _spend(self, count: int) -> None:
        self._s["used"] += count
        del self._shares[:count], self._pads[:count]

    # -- facts

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

    def _with_own(self, wanted: Sums, platform: Array) -> Array:
        """(vectors, bins of all columns): the bank's own sums before the platform's."""
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
        """All that changes; veil, secrets and shares are pieces."""
        grower = {} if self._grower is None else self._grower.state()
        return pack(self._s | {f"grower.{name}": value for name, value in grower.items()})

    def new_pieces(self) -> dict[str, bytes]:
        """Written once."""
        fresh, self._fresh = self._fresh, {}
        return fresh

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot and its pieces."""
        told = unpack(state)
        self._s = {name: value for name, value in told.items() if not name.startswith("grower.")}
        if not self._s["shape"]:
            return
        grower = {name.removeprefix("grower."): value for name, value in told.items() if name.startswith("grower.")}
        self._grower = Grower.resume(grower)
        if self._s["expect"] == "veil":
            return
        self._veil = Veil.from_bytes(self._piece("veil"), self._bins())
        self._restore_secrets()

    def _restore_secrets(self) -> None:
        answered = self._s["batches"] - (self._s["expect"] == "corrections")
        pads = [one for number in range(self._s["batches"]) for one in self._ternary(f"pads.{number}", PAD_DEGREE)]
        self._pads = pads[self._s["used"]:]
        shares = [one for number in range(answered) for one in np.frombuffer(
            self._piece(f"shares.{number}"), "<u8").reshape(-1, 2, self._bins())]
        self._shares = shares[self._s["used"]:]
        if answered < self._s["batches"]:
            self._waiting = Secrets(self._ternary(f"pads.{answered}", PAD_DEGREE),
                                    self._ternary(f"keys.{answered}", 2 * PAD_DEGREE))

    def _ternary(self, name: str, width: int) -> Array:
        return np.frombuffer(self._piece(name), np.int8).reshape(-1, width)

    def _piece(self, name: str) -> bytes:
        data = self.pieces(name)
        if data is None:
            raise MalformedMessage(f"saved state without its piece {name}")
        return data
