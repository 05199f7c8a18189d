"""Layouts cover every entry exactly once, for any shape."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.crypto.layout import LARGEST_COMPACT, layout_of
from protocols.crypto.params import DEGREE

side = st.one_of(st.integers(1, 40), st.integers(1, 40_000), st.sampled_from([1023, 1024, 1025, 8191, 8192, 8193]))
names = st.sampled_from(["tile", "column", "compact"])


def assert_partition(parts: list[slice], size: int) -> None:
    """Together they are 0 to `size` - 1, in order."""
    everything = np.arange(size)
    assert np.array_equal(np.concatenate([everything[part] for part in parts]), everything)


@settings(max_examples=200, deadline=None)
@given(side, side, names)
def test_chunks_blocks_and_positions_partition(rows: int, columns: int, name: str):
    plan = layout_of((rows, columns), name)
    chunks = [plan.chunk(j) for j in range(plan.uploads)]
    assert_partition(chunks, columns)
    assert all(chunk.stop - chunk.start <= DEGREE for chunk in chunks)
    assert_partition([plan.block(b) for b in range(plan.replies)], rows)
    for b in {0, plan.replies - 1}:
        positions = plan.positions(b)
        assert len(positions) == plan.block(b).stop - plan.block(b).start
        assert len(set(positions.tolist())) == len(positions)
        assert positions.max() < DEGREE


@settings(max_examples=60, deadline=None)
@given(side, side)
def test_compact_picks_by_shape(rows: int, columns: int):
    kind = layout_of((rows, columns), "compact").kind
    if min(rows, columns) > LARGEST_COMPACT:
        assert kind == "tile"
    else:
        assert kind == ("dot" if columns > rows else "fan")


def test_tile_width_gives_the_fewest_bytes():
    plan = layout_of((30_000, 40), "tile")
    assert (plan.columns_per_tile, plan.uploads, plan.replies) == (4, 10, 15)


@pytest.mark.parametrize(("shape", "name"), [((0, 3), "tile"), ((3, 0), "compact"), ((3, 3), "slots")])
def test_impossible_layouts_are_refused(shape: tuple[int, int], name: str):
    with pytest.raises(ValueError, match="at least 1×1"):
        layout_of(shape, name)


@settings(max_examples=40, deadline=None)
@given(side, side, side)
def test_uploads_of_the_column_layout_serve_any_number_of_rows(rows: int, others: int, columns: int):
    first, second = (layout_of((count, columns), "column") for count in (rows, others))
    assert first.uploads == second.uploads == columns and first.replies == -(-rows // DEGREE)
    assert all(np.array_equal(first.places(j), second.places(j)) for j in {0, columns - 1})
