"""Slices: fixed by key and person, blind to spelling, in the asked proportions."""
from __future__ import annotations

import numpy as np
import pytest

from protocols.errors import ConfigError, DataError
from protocols.psi.identifiers import normalise
from protocols.psi.slices import slice_of

KEY, FRACTIONS = bytes(range(32)), (0.7, 0.1, 0.2)
IDS = [f"person-{i}" for i in range(20_000)]


def test_known_answer_does_not_move_between_releases():
    assert slice_of(IDS[:24], KEY, FRACTIONS).tolist() == [
        0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0]


def test_proportions():
    shares = np.bincount(slice_of(IDS, KEY, FRACTIONS), minlength=3) / len(IDS)
    assert np.abs(shares - FRACTIONS).max() < 0.02


def test_depends_on_person_and_key_only():
    base = slice_of(IDS, KEY, FRACTIONS)
    assert np.array_equal(base[::-1], slice_of(IDS[::-1], KEY, FRACTIONS))
    assert np.array_equal(base, slice_of([f" {text.upper()}" for text in IDS], KEY, FRACTIONS, ("trim", "casefold")))
    assert not np.array_equal(base, slice_of(IDS, bytes(32), FRACTIONS))


@pytest.mark.parametrize("fractions", [(0.7, 0.1, 0.1), (1.2, -0.2, 0.0)])
def test_fractions_are_checked(fractions):
    with pytest.raises(ConfigError, match="sum to 1"):
        slice_of(IDS, KEY, fractions)


def test_short_keys_are_refused():
    with pytest.raises(ConfigError, match="16 to 64 bytes"):
        slice_of(IDS, b"short", FRACTIONS)


def test_normalisation_steps():
    assert normalise(["\uff21bc ", "ﬁ"], ("trim", "nfkc", "casefold")) == ["abc", "fi"]
    with pytest.raises(ConfigError, match="unknown normalisation 'upper'"):
        normalise(["a"], ("upper",))
    with pytest.raises(DataError, match="1 of 2 ids are not text"):
        normalise(["a", 1], ())
