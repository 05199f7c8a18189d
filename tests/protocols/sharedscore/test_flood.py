"""The flood: one per version of a person's data, and a fresh part without which repeated openings give hints."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.crypto.ring import RING
from protocols.sharedscore import flood
from protocols.sharedscore.flood import FRESH_BITS, VERSION_BITS, versions
from tests.protocols.sharedscore.shared_models import draw_rows, opened

SECRET, DATA = b"s" * 32, b"d" * 32
ERROR_BITS = 28  # of one opened score; README.md bounds it
BARE_BITS = 12  # of the difference of two: only the roundings of the fresh zeros are not the same


def drawn(secret=SECRET, people=("a", "b"), row=(1, 2, 3), data=DATA) -> flood.Versions:
    return versions(secret, list(people), np.array([row] * len(people), np.int64), data)


def test_equal_inputs_give_equal_floods_and_any_other_input_another() -> None:
    first = drawn()
    assert np.array_equal(first.flood, drawn().flood) and np.array_equal(first.tags, drawn().tags)
    others = [drawn(secret=b"t" * 32), drawn(people=("c", "d")), drawn(row=(1, 2, 4)), drawn(data=b"e" * 32)]
    for other in others:
        assert not (first.flood == other.flood).any() and not (first.tags == other.tags).any()
    assert len(set(first.tags.tolist())) == 2


def test_names_and_rows_cannot_run_into_each_other() -> None:
    """The end of a name and the beginning of a row: both lengths are fixed by what stands before."""
    a = versions(SECRET, ["a" * 8], np.array([[7]], np.int64), DATA)
    b = versions(SECRET, [""], np.array([[int.from_bytes(b"a" * 8, "little"), 7]], np.int64), DATA)
    assert a.tags != b.tags


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_floods_fill_their_range(seed: int) -> None:
    people = [f"{seed}-{n}" for n in range(2000)]
    values = RING.to_ints(versions(SECRET, people, np.zeros((2000, 2), np.int64), DATA).flood)
    assert min(values) >= 0 and max(values) < 1 << VERSION_BITS
    counts = np.bincount([value >> (VERSION_BITS - 4) for value in values], minlength=16)
    assert ((counts - 125) ** 2 / 125).sum() < 50  # chi-square of 15 degrees of freedom: 1e-5


def test_repeated_openings_differ_by_the_fresh_part_only(trained) -> None:
    """So averaging gives no more than z plus one draw of 2^-6, whatever the number of repetitions."""
    rows = draw_rows(trained.task, {"batch": 200})
    first, second = opened(trained, rows), opened(trained, rows)
    differences = [abs(int(d)) for d in first - second]
    assert max(differences) < 2 << FRESH_BITS and max(differences) > 1 << (FRESH_BITS - 2)
    changed = [abs(int(d)) for d in first - opened(trained, rows, data=b"e" * 32)]
    assert max(changed) > 1 << (VERSION_BITS - 2)


@pytest.mark.parametrize("weakened", [True, False])
def test_the_difference_of_two_openings_shows_no_error(trained, monkeypatch, weakened: bool) -> None:
    """With the version's flood alone, differences of repeated openings are bare errors: linear equations about the
    platform's key, with coefficients that the bank knows and no more noise than the equations are large."""
    if weakened:
        monkeypatch.setattr(RING, "random_below_bits", lambda n, bits: RING.zeros(n))
    rows = draw_rows(trained.task, {"batch": 100})
    differences = [abs(int(d)) for d in opened(trained, rows) - opened(trained, rows)]
    bare = [d < 1 << BARE_BITS for d in differences]
    assert all(bare) and any(differences) if weakened else not any(bare)


def test_the_error_of_an_opened_score_is_within_the_stated_bound(trained, monkeypatch) -> None:
    """No floods at all: what is left beside the exact score, whose last 60 bits are zero, is the error."""
    monkeypatch.setattr("protocols.sharedscore.feature_party.cover", lambda drawn: RING.zeros(len(drawn.tags)))
    rows = draw_rows(trained.task, {"batch": 3000})
    unit = 1 << 60
    errors = [abs((int(score) + unit // 2) % unit - unit // 2) for score in opened(trained, rows)]
    assert 0 < max(errors) < 1 << ERROR_BITS
