"""The hold-out: both slices once, rounded, then the verdict; and nothing else is taken."""
from __future__ import annotations

import numpy as np
import pytest

from protocols.errors import DataError, MalformedMessage
from protocols.role import Message
from protocols.scorecard.batch import FeatureBatch, LabelBatch
from protocols.scorecard.holdout import FeatureHoldout, LabelHoldout, coarse
from tests.protocols.scorecard.simulator import drive

ROWS = {"calibration": 40, "test": 70}


def parts(seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=count) for name, count in ROWS.items()}


@pytest.mark.parametrize("better", [True, False])
def test_the_bank_learns_rounded_parts_and_the_platform_the_verdict(better: bool) -> None:
    scores, judged, opened = parts(), [], []
    platform = FeatureHoldout("bank", scores)
    bank = LabelHoldout("platform", ROWS, lambda got: judged.append(got) or better)
    drive(bank, platform, on_message=lambda sender, m: m.opening and opened.append((m.opening.kind, m.opening.count)))
    assert platform.result() is better
    assert opened == [("scores.calibration", 40), ("scores.test", 70), ("verdict", 1)]
    assert len(judged) == 1
    for name, part in bank.result().items():
        assert np.abs(part - scores[name]).max() <= 2.0**-6
        assert np.array_equal(part * 32, np.rint(part * 32))


def test_the_bank_takes_slices_in_order_of_the_right_size_and_once() -> None:
    bank = LabelHoldout("platform", ROWS, lambda scores: True)
    first = Message("platform", "scores.calibration", bytes(80))
    for wrong in (Message("platform", "scores.test", bytes(140)), Message("platform", first.kind, bytes(78)),
                  Message("platform", "verdict", b"\1")):
        with pytest.raises(MalformedMessage):
            bank.handle(wrong)
    assert bank.handle(first) == []
    with pytest.raises(MalformedMessage):
        bank.handle(first)
    (verdict,) = bank.handle(Message("platform", "scores.test", bytes(140)))
    assert verdict.payload == b"\1"
    with pytest.raises(MalformedMessage):
        bank.handle(Message("platform", "scores.test", bytes(140)))


@pytest.mark.parametrize("payload", [b"", b"\2", b"\1\1"])
def test_the_platform_takes_only_a_verdict(payload: bytes) -> None:
    platform = FeatureHoldout("bank", parts())
    with pytest.raises(MalformedMessage):
        platform.handle(Message("bank", "verdict", payload))
    assert platform.result() is None


def test_both_sides_go_on_from_snapshots() -> None:
    bank = LabelHoldout("platform", ROWS, lambda scores: True)
    bank.handle(Message("platform", "scores.calibration", bytes(80)))
    again = LabelHoldout("platform", ROWS, lambda scores: True)
    again.restore(bank.snapshot())
    assert again.handle(Message("platform", "scores.test", bytes(140)))[0].payload == b"\1"
    platform = FeatureHoldout("bank", parts())
    platform.handle(Message("bank", "verdict", b"\0"))
    restored = FeatureHoldout("bank", parts())
    restored.restore(platform.snapshot())
    assert restored.result() is False


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1025.0, -1025.0])
def test_scores_of_a_model_that_diverged_are_not_sent(bad: float) -> None:
    with pytest.raises(DataError, match="diverged"):
        coarse(np.array([0.0, bad]))


def test_a_batch_of_scores_goes_to_the_bank_once() -> None:
    scores = np.linspace(-3, 3, 50)
    bank, platform = LabelBatch("platform", 50), FeatureBatch("bank", scores)
    with pytest.raises(MalformedMessage):
        LabelBatch("platform", 49).handle(Message("platform", "scores.batch", bytes(100)))
    drive(bank, platform)
    assert np.array_equal(bank.result(), np.rint(scores * 32) / 32)
    with pytest.raises(MalformedMessage):
        bank.handle(Message("platform", "scores.batch", bytes(100)))
    with pytest.raises(MalformedMessage):
        platform.handle(Message("bank", "scores.batch", bytes(100)))
