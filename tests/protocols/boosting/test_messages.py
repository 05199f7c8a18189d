"""Messages of a boosted training: exact both ways, and strict."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.boosting.messages import (
    Column,
    Shape,
    Split,
    seed_of,
    side,
    sides_bytes,
    sides_of,
    splits_bytes,
    splits_of,
)
from protocols.errors import MalformedMessage

COLUMNS = (Column(32), Column(4, 1, True), Column(2, -1))
SHAPE = Shape(b"n" * 32, COLUMNS, 40)


def test_a_shape_comes_back_as_it_was():
    assert Shape.from_bytes(SHAPE.to_bytes(), 100) == SHAPE


@pytest.mark.parametrize("change", [
    lambda data: data[:-1], lambda data: data + b"\0", lambda data: b"", lambda data: data[:32] + bytes(4) + data[36:],
    lambda data: data[:-3] + b"\x02\x03\x00", lambda data: data[:-3] + b"\x00\x00\x00",
    lambda data: data[:-3] + b"\x41\x00\x00", lambda data: data[:-1] + b"\x02",
    lambda data: data[:36] + b"\x01" + data[37:], lambda data: data[:36] + b"\xff" + data[37:]])
def test_another_shape_is_refused(change):
    with pytest.raises(MalformedMessage):
        Shape.from_bytes(change(SHAPE.to_bytes()), 100)


@given(st.binary(max_size=80))
def test_whatever_comes_is_a_shape_or_refused(data):
    try:
        assert Shape.from_bytes(data, 50).to_bytes() == data
    except MalformedMessage:
        return


def test_splits_come_back_as_they_were():
    splits = [Split(0, 30, False), Split(1, 2, True), Split(2, 0, False)]
    assert splits_of(splits_bytes(splits), COLUMNS) == splits


@pytest.mark.parametrize("split", [Split(3, 0, False), Split(0, 31, False), Split(2, 1, False)])
def test_a_split_that_cannot_be_is_refused(split):
    with pytest.raises(MalformedMessage):
        splits_of(splits_bytes([split]), COLUMNS)


def test_no_splits_and_halves_are_refused():
    for data in (b"", splits_bytes([Split(0, 1, False)])[:-1], splits_bytes([Split(1, 1, True)])[:-1] + b"\x02"):
        with pytest.raises(MalformedMessage):
            splits_of(data, COLUMNS)


@given(st.integers(1, 4), st.integers(1, 30), st.integers(0, 99))
def test_sides_come_back_as_they_were(splits, rows, seed):
    bits = np.random.default_rng(seed).random((splits, rows)) < 0.5
    data = sides_bytes(bits)
    assert (sides_of(data, splits, rows) == bits).all()
    with pytest.raises(MalformedMessage):
        sides_of(data + b"\0", splits, rows)


def test_bits_after_the_last_row_are_refused():
    with pytest.raises(MalformedMessage, match="after the last"):
        sides_of(b"\x01", 1, 7)


def test_missing_values_go_where_the_split_says():
    codes = np.array([0, 1, 2, 3])
    assert side(codes, Split(1, 1, True), COLUMNS[1]).tolist() == [True, True, False, True]
    assert side(codes, Split(1, 1, False), COLUMNS[1]).tolist() == [True, True, False, False]
    assert side(codes, Split(0, 1, False), COLUMNS[0]).tolist() == [True, True, False, False]


def test_a_seed_needs_both_nonces():
    assert seed_of(b"a" * 32, b"b" * 32) != seed_of(b"b" * 32, b"a" * 32)
    with pytest.raises(MalformedMessage):
        seed_of(b"a" * 31, b"b" * 32)
