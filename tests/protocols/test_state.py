"""Role state comes back exactly, and nothing else is read as state."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import MalformedMessage
from protocols.state import pack, unpack

VALUES = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.text(),
                   st.binary())


@given(st.dictionaries(st.text(), VALUES, max_size=6))
def test_plain_values_come_back(state):
    assert unpack(pack(state)) == state


@pytest.mark.parametrize("array", [
    np.arange(12, dtype=np.uint64).reshape(2, 6), np.zeros((2, 0), np.uint64), np.array([-1.5, np.inf]),
    np.arange(10)[::2], np.array(3.5), np.zeros((0,)),
])
def test_arrays_come_back_writable(array):
    back = unpack(pack({"a": array, "b": b"x"}))
    assert np.array_equal(back["a"], array) and back["a"].dtype == array.dtype and back["b"] == b"x"
    assert back["a"].shape == array.shape
    assert back["a"].flags.writeable


@pytest.mark.parametrize("spoil", [
    lambda b: b[:-1], lambda b: b + b"\0", lambda b: b"", lambda b: b"pickle" + b,
])
def test_cut_or_foreign_bytes_are_refused(spoil):
    with pytest.raises(MalformedMessage):
        unpack(spoil(pack({"a": np.arange(3)})))


def test_objects_are_not_kept():
    with pytest.raises(TypeError, match="'a'"):
        pack({"a": object()})
