"""Sums over hidden bins of hidden vectors: exact, hiding what they say they hide, and strict about what comes in."""
from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.boosting import feature_sums, label_sums
from protocols.boosting.bins import Binned
from protocols.boosting.feature_sums import Corrections, summed_bins
from protocols.boosting.label_sums import SECRET_BYTES, SHARE_BYTES, Masks, Secrets, Veil, corrections, opened, request
from protocols.boosting.parameters import KEPT, PAD_DEGREE, Q, Room, check, room
from protocols.boosting.public import Public
from protocols.boosting.residues import SHARES
from protocols.crypto import seal_objects as so
from protocols.errors import ConfigError, MalformedMessage

WIDTH = 23


class Both:
    """Bank and platform in one place, exchanging bytes."""

    def __init__(self, codes: np.ndarray, counts: tuple[int, ...], width: int = WIDTH, seed: bytes = bytes(32)):
        self.binned, self.public = Binned(codes, counts), Public(seed, len(codes))
        self.room = room(width, self.binned.largest, 1 << 20)
        self.platform = Corrections(self.binned, self.public)
        self.veil = Veil.from_bytes(b"".join(self.platform.veil()), self.binned.rows)
        self.masks, self.all = Masks(self.public), np.ones(self.binned.rows, bool)

    def prepare(self, count: int) -> None:
        """So many one-time secrets."""
        self.secrets = Secrets.fresh(count)
        self.asked = request(self.public, self.secrets)
        self.reply, self.own = self.platform.answer(self.asked)
        self.shares = corrections(self.veil, self.secrets, self.reply)

    def sums(self, vectors: np.ndarray) -> np.ndarray:
        self.prepare(len(vectors))
        hidden = list(self.masks.hidden(vectors, self.secrets.pads, self.room))
        replies = [summed_bins(self.binned, one, own, self.room, self.all)
                   for one, own in zip(hidden, self.own, strict=True)]
        return np.stack([opened(one, share, self.room) for one, share in zip(replies, self.shares, strict=True)])


def made(rows: int, counts: tuple[int, ...], seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, count, rows) for count in counts], axis=1).astype(np.uint8)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 60), st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 3), st.integers(0, 99))
def test_sums_are_those_of_the_plain_table(rows, counts, vectors, seed):
    both, rng = Both(made(rows, tuple(counts), seed), tuple(counts)), np.random.default_rng(seed)
    values = rng.integers(-(1 << 9), 1 << 9, (vectors, rows))
    assert (both.sums(values) == [both.binned.plain_sums(one) for one in values]).all()


@pytest.mark.parametrize("rows", [PAD_DEGREE - 1, PAD_DEGREE, PAD_DEGREE + 1, 3 * PAD_DEGREE + 7])
def test_rows_of_several_polynomials(rows):
    both, rng = Both(made(rows, (5, 2, 4)), (5, 2, 4)), np.random.default_rng(rows)
    values = rng.integers(-(1 << 8), 1 << 8, (3, rows))
    values[1] = 255  # all of one sign
    assert (both.sums(values) == [both.binned.plain_sums(one) for one in values]).all()


def test_the_largest_sums_that_fit_are_exact():
    codes = np.zeros((4000, 1), np.uint8)
    both = Both(codes, (1,))
    most = (1 << (WIDTH - 1)) // len(codes) - 1
    values = np.array([[most] * 4000, [-most] * 4000])
    assert (both.sums(values)[:, 0] == [most * 4000, -most * 4000]).all()


def test_what_is_opened_is_off_by_less_than_stated_and_not_by_nothing(monkeypatch):
    """Without the flood the error itself can be seen: it is there, and within the bound that the flood is made for."""
    both = Both(made(9000, (4,) * 6), (4,) * 6)
    monkeypatch.setattr(type(SHARES), "random_below_bits",
                        lambda ring, n, bits: ring.encode_ints([1 << (bits - 1)] * n))
    both.prepare(8)
    values = np.zeros((8, 9000), np.int64)
    off = []
    hidden = both.masks.hidden(values, both.secrets.pads, both.room)
    for one, own, share in zip(hidden, both.own, both.shares, strict=True):
        reply = summed_bins(both.binned, one, own, both.room, both.all)
        words = so.unpack_residues(memoryview(reply), KEPT, both.binned.rows)
        off += SHARES.to_ints(SHARES.sub(words, share))
    assert max(map(abs, off)) <= both.room.error
    assert np.std(off) > 300 and both.room.error < 40 * np.std(off)


def test_the_flood_is_larger_than_the_error_by_the_stated_factor():
    check()
    told = room(WIDTH, 30_000, 1 << 21)
    assert told.error + (1 << told.flood_bits) < told.step // 2
    assert told.distance(1 << 21) <= -40 < told.distance(1 << 31)
    assert math.isclose(told.distance(2 << 21), told.distance(1 << 21) + 1)


@pytest.mark.parametrize(("width", "openings"), [(90, 1), (60, 1 << 20), (23, 1 << 31)])
def test_a_training_that_hides_too_little_is_refused(width, openings):
    with pytest.raises(ConfigError, match="2\\^-40"):
        room(width, 30_000, openings)


def test_shares_and_hidden_vectors_look_uniform():
    both = Both(made(5000, (8,) * 8), (8,) * 8)
    both.prepare(4)
    hidden = b"".join(both.masks.hidden(np.zeros((4, 5000), np.int64), both.secrets.pads, both.room))
    words = np.concatenate([so.unpack_residues(memoryview(hidden)[at * 70_000:(at + 1) * 70_000], KEPT, 5000)[0]
                            for at in range(4)])
    for sample, prime in ((words, KEPT[0]), (both.own[:, 0].ravel(), KEPT[0]), (both.shares[:, 1].ravel(), KEPT[1])):
        counts = np.bincount((sample.astype(float) / prime * 16).astype(int), minlength=16)
        expected = len(sample) / 16
        assert ((counts - expected) ** 2 / expected).sum() < 60  # chi-square, 15 degrees: 2e-7


def test_every_answer_has_a_mask_of_its_own():
    both = Both(made(50, (3, 2)), (3, 2))
    both.prepare(1)
    again, own = both.platform.answer(both.asked)
    assert again != both.reply and (own != both.own).any()


def test_the_hidden_matrix_does_not_repeat_itself():
    binned, public = Binned(made(50, (3, 2)), (3, 2)), Public(bytes(32), 50)
    one, other = (b"".join(Corrections(binned, public).veil()) for _ in range(2))
    assert one != other


def test_bytes_of_another_shape_are_refused():
    both = Both(made(50, (3, 2)), (3, 2))
    both.prepare(1)
    for call in (lambda: Veil.from_bytes(bytes(14), 5), lambda: both.platform.answer(both.asked[:-1]),
                 lambda: both.platform.answer(b""), lambda: both.platform.answer(b"\xff" * SECRET_BYTES),
                 lambda: corrections(both.veil, both.secrets, both.reply + b"\0"),
                 lambda: summed_bins(both.binned, bytes(3), both.own[0], both.room, both.all),
                 lambda: summed_bins(both.binned, b"\xff" * (50 * SHARE_BYTES), both.own[0], both.room, both.all),
                 lambda: opened(bytes(1), both.shares[0], both.room)):
        with pytest.raises(MalformedMessage):
            call()


def test_secrets_stay_where_they_are():
    both = Both(made(5, (2,)), (2,))
    both.prepare(1)
    for one in (both.secrets, both.platform):
        assert "[" not in repr(one)
        with pytest.raises(TypeError):
            pickle.dumps(one)


def test_codes_beyond_their_column_are_refused():
    with pytest.raises(ValueError, match="below"):
        Binned(np.array([[3]]), (3,))
    with pytest.raises(ValueError, match="columns"):
        Binned(np.array([[3]]), (4, 4))
    assert Room(10, 5).step == Q >> 10 and feature_sums.KEPT == label_sums.KEPT
