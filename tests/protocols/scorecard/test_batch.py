"""Batch scores: each aligned row's part once, rounded, of several platforms only the sum."""
from __future__ import annotations

import numpy as np
import pytest

from protocols.errors import ConfigError, MalformedMessage, ProtocolError
from protocols.role import Message
from protocols.scorecard.batch import FeatureBatch, LabelBatch
from protocols.scorecard.holdout import coarse
from tests.protocols.scorecard.simulator import drive, drive_all
from tests.protocols.scorecard.test_holdout import Restarted

KIND = "scores.batch"


def several(scores: dict[str, np.ndarray]) -> dict:
    names = tuple(scores)
    rows = len(next(iter(scores.values())))
    return {"bank": LabelBatch(names, rows)} | {n: FeatureBatch(n, "bank", names, part) for n, part in scores.items()}


def drawn(count: int, rows: int = 50) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(count)
    return {f"p{i}": rng.normal(size=rows) * 3 for i in range(count)}


def total(scores: dict[str, np.ndarray]) -> np.ndarray:
    return sum(coarse(part).astype(float) for part in scores.values()) / 32


def test_a_batch_of_scores_goes_to_the_bank_once() -> None:
    scores = np.linspace(-3, 3, 50)
    bank, platform = LabelBatch(("platform",), 50), FeatureBatch("platform", "bank", ("platform",), scores)
    with pytest.raises(MalformedMessage):
        LabelBatch(("platform",), 49).handle(Message("platform", KIND, bytes(100)))
    drive(bank, platform)
    assert np.array_equal(bank.result(), np.rint(scores * 32) / 32)
    with pytest.raises(MalformedMessage):
        bank.handle(Message("platform", KIND, bytes(100)))
    with pytest.raises(MalformedMessage):
        platform.handle(Message("bank", KIND, bytes(100)))


def test_one_platform_sends_its_steps_as_they_are() -> None:
    scores = np.linspace(-3, 3, 50)
    (message,) = FeatureBatch("platform", "bank", ("platform",), scores).start()
    assert (message.peer, message.kind, message.payload) == ("bank", KIND, coarse(scores).tobytes())
    assert (message.opening.kind, message.opening.learner, message.opening.count) == (KIND, "bank", 50)


@pytest.mark.parametrize("count", [2, 5])
def test_of_several_platforms_the_bank_learns_the_sum(count: int) -> None:
    scores, sent = drawn(count), []
    roles = several(scores)
    drive_all(roles, lambda sender, m: sent.append((sender, m.peer, m.kind, m.opening and m.opening.count)))
    assert np.array_equal(roles["bank"].result(), total(scores))
    assert sorted(sent, key=str) == sorted(
        [("p0", name, "seed", None) for name in list(scores)[1:]] + [(name, "bank", KIND, 50) for name in scores],
        key=str)


def test_a_single_message_of_several_is_uniform() -> None:
    roles = several({"p0": np.ones(40_000), "p1": np.ones(40_000)})
    seen = {}
    drive_all(roles, lambda sender, m: seen.__setitem__(sender, np.frombuffer(m.payload, "<u4"))
              if m.kind == KIND else None)
    assert (roles["bank"].result() == 2).all()
    for words in seen.values():
        for part in (words >> 28, words & 15):
            assert ((np.bincount(part, minlength=16) - 2500) ** 2 / 2500).sum() < 63  # chi², 15 degrees: p = 1e-7


@pytest.mark.parametrize("count", [1, 3])
def test_a_crash_after_every_message_changes_nothing(count: int) -> None:
    scores = drawn(count)
    roles = {name: Restarted(lambda name=name: several(scores)[name]) for name in ("bank", *scores)}
    drive_all(roles)
    assert np.array_equal(roles["bank"].result(), total(scores))


@pytest.mark.parametrize("message", [
    Message("p0", KIND, bytes(200)), Message("p2", KIND, bytes(200)), Message("p1", KIND, bytes(100)),
    Message("p1", KIND, bytes(201)), Message("p1", "scores.test", bytes(200)),
])
def test_the_bank_takes_the_platforms_in_the_plan_s_order(message: Message) -> None:
    bank = LabelBatch(("p0", "p1", "p2"), 50)
    bank.handle(Message("p0", KIND, bytes(200)))
    before = bank.snapshot()
    with pytest.raises(MalformedMessage):
        bank.handle(message)
    assert bank.snapshot() == before and bank.expects == "p1" and bank.result() is None


@pytest.mark.parametrize("message", [
    Message("p0", "seed", bytes(31)), Message("p2", "seed", bytes(32)), Message("p0", KIND, bytes(32)),
])
def test_a_platform_takes_only_the_lead_s_seed_and_once(message: Message) -> None:
    role = several(drawn(3))["p1"]
    before = role.snapshot()
    with pytest.raises(MalformedMessage):
        role.handle(message)
    assert role.snapshot() == before and role.result() is None and role.expects == "p0"
    role.handle(Message("p0", "seed", bytes(32)))
    assert role.result() and role.expects is None
    with pytest.raises(MalformedMessage):
        role.handle(Message("p0", "seed", bytes(32)))


def test_masks_that_do_not_cancel_are_refused() -> None:
    bank, rng = LabelBatch(("p0", "p1"), 50), np.random.default_rng(3)
    bank.handle(Message("p0", KIND, rng.bytes(200)))
    before = bank.snapshot()
    with pytest.raises(ProtocolError, match="masks do not cancel"):
        bank.handle(Message("p1", KIND, rng.bytes(200)))
    assert bank.snapshot() == before


def test_a_platform_that_is_not_in_the_plan_makes_no_role() -> None:
    with pytest.raises(ConfigError, match="among the platforms"):
        FeatureBatch("p3", "bank", ("p0", "p1"), np.zeros(3))
    with pytest.raises(ConfigError, match="at least one platform"):
        LabelBatch((), 3)
