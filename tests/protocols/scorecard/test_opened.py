"""Opened scores: scale, flood and bounds, as the derivation in SECURITY.md needs them."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.crypto.fixed_point import to_fixed
from protocols.crypto.ring import RING
from protocols.errors import DataError, MalformedMessage, ProtocolError
from protocols.scorecard import opened
from protocols.scorecard.layout import FEATURE_BITS


def shared(values: list[int]) -> tuple[np.ndarray, np.ndarray]:
    share = RING.random(len(values))
    return share, RING.sub(RING.encode_ints(values), share)


@settings(max_examples=50, deadline=None)
@given(scores=st.lists(st.floats(-1023, 1023), min_size=1, max_size=20))
def test_what_is_opened_is_the_score_up_to_half_the_flood(scores) -> None:
    exact = [round(z * 2**60) << (opened.SCALE_BITS - 60) for z in scores]
    bank, platform = shared(exact)
    found = opened.scores(bank, opened.message("bank", platform).payload)
    assert np.abs(found - np.array(exact, dtype=float) / 2.0**opened.SCALE_BITS).max() <= 2.0**-17 + 2.0**-40


def test_the_flood_is_uniform_and_drawn_anew(n: int = 20_000) -> None:
    bank, platform = shared([0] * n)
    first, second = (opened.scores(bank, opened.message("bank", platform).payload) * 2.0**16 + 0.5 for _ in range(2))
    for flood in (first, second):
        assert flood.min() >= 0 and flood.max() <= 1
        empirical = np.abs(np.sort(flood) - (np.arange(n) + 0.5) / n).max()
        assert empirical < 2.2 / np.sqrt(n)  # Kolmogorov, p < 10^-4
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(n)


def test_a_share_is_raised_exactly_and_never_truncated() -> None:
    bank, platform = shared([-5, 7 << 30])
    for bits in (28, 36, opened.VECTOR_BITS):
        total = RING.add(opened.raised(bank, bits), opened.raised(platform, bits))
        factor = 1 << (opened.VECTOR_BITS - bits)
        assert RING.to_ints(total) == [-5 * factor, (7 << 30) * factor]
    with pytest.raises(ValueError, match="fractional bits"):
        opened.raised(bank, opened.VECTOR_BITS + 1)


@pytest.mark.parametrize("score", [1025.0, -1025.0, 4000.0])
def test_a_score_beyond_the_bound_ends_the_training_without_its_value(score) -> None:
    bank, platform = shared([round(score) << opened.SCALE_BITS])
    with pytest.raises(ProtocolError, match="has diverged") as refusal:
        opened.scores(bank, opened.message("bank", platform).payload)
    assert "1025" not in str(refusal.value) and "4000" not in str(refusal.value)


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b"", lambda b: b"\xff" * len(b)])
def test_other_bytes_are_refused(change) -> None:
    bank, platform = shared([0, 1])
    with pytest.raises(MalformedMessage):
        opened.scores(bank, change(opened.message("bank", platform).payload))


def test_the_opening_is_declared() -> None:
    message = opened.message("bank", RING.random(9))
    assert (message.kind, message.peer) == ("scores.training", "bank")
    assert (message.opening.kind, message.opening.learner, message.opening.count) == ("scores.training", "bank", 9)


def test_whitened_columns_leave_the_margin_at_a_million_rows_and_larger_ones_do_not() -> None:
    """Whitened: deviation 2^21.8 to 2^24, so 2^-42 over 2^22 values. Beyond: every entry near 2^19 in fixed point."""
    rng = np.random.default_rng(3)
    whitened = to_fixed(rng.normal(size=(2000, 40)), FEATURE_BITS)
    made = opened.tiles(whitened, 2**22)
    assert made.layout.kind == "tile"
    with pytest.raises(DataError, match="flood hides"):
        opened.tiles(np.full((2000, 40), 2**19), 2**22)
