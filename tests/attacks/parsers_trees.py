"""Entries of `parsers.py`: what the two sides of boosted trees read."""
from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache, partial

import numpy as np

from protocols.boosting import label_sums
from protocols.boosting.feature_party import FeatureBooster, FeatureConfig
from protocols.boosting.halves import Cut, FeatureHalf, LabelHalf
from protocols.boosting.label_party import LabelBooster, LabelConfig, LabelData
from protocols.boosting.messages import Begin, Column, Drawn, Shape, Split, seed_of, sides_bytes, sides_of, splits_bytes
from protocols.boosting.model import Trees
from protocols.boosting.parameters import room
from protocols.boosting.public import Public
from protocols.boosting.scoring import Asked, FeatureSides, LabelSides
from protocols.boosting.settings import BoostingSettings
from protocols.role import Message
from tests.attacks.samples import Parser

ROWS, COLUMNS, WIDTH, OPENINGS, BINS = 40, (Column(3), Column(2, 1, True)), 20, 100, 5
BEGIN, NAME = Begin(b"b" * 32, WIDTH, OPENINGS), "protocols.boosting."


class _Begun:
    """A platform that waits for one message, and what a bank would send it."""

    def __init__(self) -> None:
        rng, self.pieces = np.random.default_rng(1), {}
        self.codes = np.stack([rng.integers(0, one.bins, ROWS) for one in COLUMNS], axis=1).astype(np.uint8)
        role = FeatureBooster(self.codes, COLUMNS, FeatureConfig("bank", 1000, 8))
        self.shape = role.start()[0].payload
        self.first = role.snapshot()
        self.veil = self._told(role, "begin", BEGIN.to_bytes())
        shape = Shape.from_bytes(self.shape, ROWS)
        public, secrets = Public(seed_of(shape.nonce, BEGIN.nonce), ROWS), label_sums.Secrets.fresh(1)
        self.secrets = label_sums.request(public, secrets)
        self._told(role, "secrets", self.secrets)
        (hidden,) = label_sums.Masks(public).hidden(
            np.ones((1, ROWS), np.int64), secrets.pads, room(WIDTH, shape.largest, OPENINGS))
        self.vectors = bytes([0b11000000]) + hidden
        self.ready = role.snapshot()

    def _told(self, role: FeatureBooster, kind: str, payload: bytes) -> bytes:
        (reply,) = role.handle(Message("bank", kind, payload))
        self.pieces |= role.new_pieces()
        return reply.payload

    def take(self, kind: str, data: bytes) -> object:
        role = FeatureBooster(self.codes, COLUMNS, FeatureConfig("bank", 1000, 8))
        role.pieces = self.pieces.get
        role.restore(self.first if kind == "begin" else self.ready)
        return role.handle(Message("bank", kind, data))


@cache
def _begun() -> _Begun:
    return _Begun()


class _Bank:
    """A bank at each point of a training at which it waits, and what the platform sent it there."""

    KINDS = ("shape", "veil", "corrections", "sums", "sides")

    def __init__(self) -> None:
        self.pieces: dict[str, bytes] = {}
        self.before: dict[str, tuple[bytes, bytes]] = {}
        role, platform = self._role(), FeatureBooster(self._codes(), COLUMNS, FeatureConfig("bank", 10**6, 99))
        waiting = platform.start()
        while waiting and len(self.before) < len(self.KINDS):
            told = waiting.pop(0)
            self.before.setdefault(told.kind, (role.snapshot(), told.payload))
            asked = role.handle(Message("platform", told.kind, told.payload))
            self.pieces |= role.new_pieces()
            waiting += [one for each in asked for one in platform.handle(Message("bank", each.kind, each.payload))]

    @staticmethod
    def _codes() -> np.ndarray:
        rng = np.random.default_rng(2)
        return np.stack([rng.integers(0, one.bins, 200) for one in COLUMNS], axis=1).astype(np.uint8)

    def _role(self) -> LabelBooster:
        codes = self._codes()
        settings = BoostingSettings(trees=2, depth=2, bins=3)
        data = LabelData(codes[:, :1], COLUMNS[:1], (codes.sum(axis=1) > 1).astype(np.int8), b"seed")
        return LabelBooster(data, LabelConfig("bank", "platform", settings))

    def take(self, kind: str, data: bytes) -> object:
        role = self._role()
        role.pieces = self.pieces.get
        role.restore(self.before[kind][0])
        return role.handle(Message("platform", kind, data))


@cache
def _bank() -> _Bank:
    return _Bank()


def _sides() -> FeatureSides:
    """A platform with one split that is asked about five people."""
    half = FeatureHalf(party="platform", cuts=(Cut(column="age", bin=1, threshold=3.5, missing_left=True),))
    return FeatureSides("bank", half, {"batch": {"age": np.arange(5.0)}}, {"batch": 5})


def _documents() -> Iterator[Parser]:
    tree = {"split": [0, -1, -1], "left": [1, -1, -1], "right": [2, -1, -1], "value": [0.0, 0.1, -0.1],
            "cover": [2.0, 1.0, 1.0], "gain": [1.0, 0.0, 0.0]}
    cut = {"column": "age", "bin": 1, "threshold": 3.5, "missing_left": True}
    split = {"party": "platform", "column": 0, "bin": 1, "missing_left": False}
    forms = {Trees: {"base": 0.5, "trees": [tree], "splits": [split]},
             LabelHalf: {"base": 0.5, "trees": [tree], "splits": [{"party": "platform", "number": 0}]},
             FeatureHalf: {"party": "platform", "cuts": [cut]}}
    for form, good in forms.items():
        yield Parser(f"{form.__name__} of boosted trees", form.from_json,
                     lambda good=good: [json.dumps(good).encode()], (NAME + "model.Document.from_json",), 30, True)


def trees() -> Iterator[Parser]:
    """Messages of both sides, and what they are made of."""
    good = {"begin": BEGIN.to_bytes, "secrets": lambda: _begun().secrets, "vectors": lambda: _begun().vectors,
            "splits": lambda: splits_bytes([Split(0, 1, False), Split(1, 0, True)]), "end": bytes}
    covers = (NAME + "feature_party.FeatureBooster.handle", NAME + "feature_sums._unpacked",
              NAME + "messages.Begin.from_bytes")
    for kind, payload in good.items():
        yield Parser(f"{kind} of boosted trees", lambda data, kind=kind: _begun().take(kind, data),
                     lambda payload=payload: [payload()], covers, 6)
    for kind in _Bank.KINDS:
        yield Parser(f"{kind} of boosted trees, at the bank", lambda data, kind=kind: _bank().take(kind, data),
                     lambda kind=kind: [_bank().before[kind][1]], (NAME + "label_party.LabelBooster.handle",), 6)
    yield from _documents()
    yield Parser("number of kept splits", lambda data: _sides().handle(Message("bank", "kept", data)),
                 lambda: [(1).to_bytes(4, "little")], (NAME + "scoring.FeatureSides.handle",))
    yield Parser("sides of a hold-out", lambda data: LabelSides(Asked("platform", 2, {"batch": ROWS})).handle(
        Message("platform", "sides.batch", data)), lambda: [sides_bytes(np.ones((2, ROWS), bool))],
        (NAME + "scoring.LabelSides.handle",))
    yield Parser("a platform's columns", partial(Shape.from_bytes, rows=ROWS), lambda: [_begun().shape],
                 (NAME + "messages.Shape.from_bytes",))
    yield Parser("columns that compete", partial(Drawn.from_bytes, columns=COLUMNS), lambda: [bytes([0b11000000])],
                 (NAME + "messages.Drawn.from_bytes",))
    yield Parser("a hidden matrix", lambda data: label_sums.Veil.from_bytes(data, BINS), lambda: [_begun().veil],
                 (NAME + "label_sums.Veil.from_bytes",), 6)
    yield Parser("sides of splits", lambda data: sides_of(data, 2, ROWS),
                 lambda: [sides_bytes(np.ones((2, ROWS), bool))], (NAME + "messages.sides_of",))
