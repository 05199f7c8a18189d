"""The platform's side, driven by hand: what it answers, what it refuses, and that a crash changes nothing."""
from __future__ import annotations

import numpy as np
import pytest

from protocols.boosting import feature_sums
from protocols.boosting.bins import Binned
from protocols.boosting.feature_party import FeatureBooster, FeatureConfig
from protocols.boosting.label_sums import SHARE_BYTES, Masks, Secrets, Veil, corrections, opened, request
from protocols.boosting.messages import Begin, Column, Drawn, Shape, Split, seed_of, sides_of, splits_bytes
from protocols.boosting.parameters import room
from protocols.boosting.public import Public
from protocols.errors import ConfigError, MalformedMessage, PolicyRefused
from protocols.role import Message, Opening

ROWS, COLUMNS = 300, (Column(4), Column(3, 1, True))
CONFIG = FeatureConfig("bank", maximum_sums=10_000, maximum_splits=3)
WIDTH, OPENINGS = 20, 42
BOTH, SECOND = bytes([0b11000000]), bytes([0b01000000])  # which columns compete


@pytest.fixture
def codes():
    rng = np.random.default_rng(5)
    return np.stack([rng.integers(0, one.bins, ROWS) for one in COLUMNS], axis=1).astype(np.uint8)


class Bank:
    """The other side, by hand."""

    def __init__(self, role: FeatureBooster, openings: int = OPENINGS):
        self.role, self.pieces = role, {}
        (shape,) = role.start()
        self.shape = Shape.from_bytes(shape.payload, ROWS)
        self.room, self.begin = room(WIDTH, self.shape.largest, openings), Begin(b"b" * 32, WIDTH, openings)
        self.public = Public(seed_of(self.shape.nonce, self.begin.nonce), ROWS)

    def tell(self, kind: str, payload: bytes):
        replies = self.role.handle(Message("bank", kind, payload))
        self.pieces |= self.role.new_pieces()
        return replies[0] if replies else None

    def ready(self, secrets: int) -> None:
        self.veil = Veil.from_bytes(self.tell("begin", self.begin.to_bytes()).payload, 7)
        self.secrets = Secrets.fresh(secrets)
        reply = self.tell("secrets", request(self.public, self.secrets)).payload
        self.shares, self.used = list(corrections(self.veil, self.secrets, reply)), 0

    def sums(self, vectors: np.ndarray, drawn: bytes = BOTH) -> np.ndarray:
        pads = self.secrets.pads[self.used:self.used + len(vectors)]
        told = self.tell("vectors", b"".join([drawn, *Masks(self.public).hidden(vectors, pads, self.room)]))
        rows = Drawn.from_bytes(drawn, COLUMNS).rows
        bins = int(rows.sum())
        assert told.opening == Opening("tree.sums", "bank", bins * len(vectors))
        size = SHARE_BYTES * bins
        made = [opened(told.payload[at * size:(at + 1) * size], self.shares[self.used + at][:, rows], self.room)
                for at in range(len(vectors))]
        self.used += len(vectors)
        return np.stack(made)


def restored(role: FeatureBooster, codes, pieces: dict[str, bytes]) -> FeatureBooster:
    again = FeatureBooster(codes, COLUMNS, CONFIG)
    again.pieces = pieces.get
    again.restore(role.snapshot())
    return again


def test_a_whole_training_with_a_crash_after_every_message(codes):
    bank, rng = Bank(FeatureBooster(codes, COLUMNS, CONFIG)), np.random.default_rng(0)
    plain = Binned(codes, (4, 3))

    def crash():
        bank.role = restored(bank.role, codes, bank.pieces)

    crash()
    bank.ready(4)
    for count in (1, 2, 1):
        crash()
        values = rng.integers(-50, 50, (count, ROWS))
        assert (bank.sums(values) == [plain.plain_sums(one) for one in values]).all()
    crash()
    splits = [Split(0, 1, False), Split(1, 0, True)]
    told = bank.tell("splits", splits_bytes(splits))
    assert (told.opening.kind, told.opening.count) == ("tree.sides", 2 * ROWS)
    left = sides_of(told.payload, 2, ROWS)
    assert (left[0] == (codes[:, 0] <= 1)).all() and (left[1] == ((codes[:, 1] == 0) | (codes[:, 1] == 2))).all()
    crash()
    assert bank.role.result() is None and bank.tell("end", b"") is None
    crash()
    assert bank.role.result() == splits and bank.role.expects is None


def test_the_matrix_is_made_again_only_when_secrets_come(codes, monkeypatch):
    bank, made, make = Bank(FeatureBooster(codes, COLUMNS, CONFIG)), [], feature_sums._matrix
    bank.ready(2)
    monkeypatch.setattr(feature_sums, "_matrix", lambda *given: made.append(1) or make(*given))
    for _ in range(2):
        bank.role = restored(bank.role, codes, bank.pieces)
        assert not bank.sums(np.zeros((1, ROWS), np.int64)).any() and not made
    secrets = Secrets.fresh(1)
    shares = corrections(bank.veil, secrets, bank.tell("secrets", request(bank.public, secrets)).payload)
    bank.secrets, bank.shares, bank.used, values = secrets, list(shares), 0, np.arange(ROWS)[None] - 150
    assert made and (bank.sums(values) == [Binned(codes, (4, 3)).plain_sums(values[0])]).all()  # and it is the same


def test_sums_of_columns_that_do_not_compete_are_not_opened(codes):
    bank, values = Bank(FeatureBooster(codes, COLUMNS, CONFIG)), np.arange(ROWS)[None]
    bank.ready(2)
    assert (bank.sums(values, SECOND) == Binned(codes, (4, 3)).plain_sums(values[0])[4:]).all()
    for drawn in (bytes(1), bytes([0b11100000])):
        with pytest.raises(MalformedMessage):
            bank.sums(values, drawn)


def test_no_secret_serves_twice_and_none_beyond_what_was_told(codes):
    bank = Bank(FeatureBooster(codes, COLUMNS, CONFIG))
    bank.ready(4)
    bank.sums(np.zeros((4, ROWS), np.int64))
    with pytest.raises(MalformedMessage, match="vectors"):
        bank.tell("vectors", BOTH + bytes(SHARE_BYTES * ROWS))
    with pytest.raises(MalformedMessage, match="in all"):
        bank.tell("secrets", request(bank.public, Secrets.fresh(3)))
    bank.tell("secrets", request(bank.public, Secrets.fresh(2)))


def test_splits_are_capped(codes):
    bank = Bank(FeatureBooster(codes, COLUMNS, CONFIG))
    bank.ready(1)
    bank.tell("splits", splits_bytes([Split(0, 0, False)] * 3))
    with pytest.raises(PolicyRefused, match="maximum_tree_splits"):
        bank.tell("splits", splits_bytes([Split(0, 0, False)]))


def test_too_many_sums_are_refused_before_anything_is_made(codes):
    with pytest.raises(PolicyRefused, match="maximum_tree_sums"):
        Bank(FeatureBooster(codes, COLUMNS, CONFIG), openings=10_001).ready(1)


def test_sums_that_would_hide_too_little_are_refused(codes):
    role = FeatureBooster(codes, COLUMNS, CONFIG)
    role.start()
    with pytest.raises(ConfigError, match="2\\^-40"):
        role.handle(Message("bank", "begin", Begin(bytes(32), 90, 7).to_bytes()))


@pytest.mark.parametrize(("peer", "kind", "payload"), [
    ("bank", "secrets", b""), ("bank", "vectors", b""), ("other", "begin", Begin(bytes(32), 20, 7).to_bytes()),
    ("bank", "begin", b"x"), ("bank", "end", b""), ("bank", "start", b"")])
def test_what_is_not_due_is_refused(codes, peer, kind, payload):
    role = FeatureBooster(codes, COLUMNS, CONFIG)
    role.start()
    before = role.snapshot()
    with pytest.raises(MalformedMessage):
        role.handle(Message(peer, kind, payload))
    assert role.snapshot() == before


def test_nothing_comes_after_the_end(codes):
    bank = Bank(FeatureBooster(codes, COLUMNS, CONFIG))
    bank.ready(1)
    with pytest.raises(MalformedMessage):
        bank.tell("end", b"more")
    bank.tell("end", b"")
    for kind in ("end", "splits", "begin"):
        with pytest.raises(MalformedMessage):
            bank.tell(kind, b"")
