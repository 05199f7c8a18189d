"""Trainings and scorings with shared weights go on from snapshots in new objects, as after a crash."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import pytest

from protocols.role import Message, Role
from protocols.sharedscore.model import SharedModel
from tests.protocols.scorecard import problems
from tests.protocols.scorecard.problems import problem
from tests.protocols.scorecard.test_training_resume import Pair, drive_with_crashes
from tests.protocols.sharedscore.shared_models import Trained, draw_rows, holdouts, scorers, weights_in_the_clear
from tests.protocols.sharedscore.test_scores import PRECISION, SLICES

NAMES = ("bank", "platform")


class SharedPair(Pair):
    """Both roles of a training whose weights stay shared."""

    def __init__(self, task, keys):
        super().__init__(task, keys["bank"], keys["platform"])
        self._task = _SharedTask(task)
        self.roles = {"bank": self._task.label_trainer(keys["bank"]),
                      "platform": self._task.feature_trainer(keys["platform"])}


class _SharedTask:
    def __init__(self, task):
        self._task = task

    def label_trainer(self, keys, peer_public=None):
        return self._task.label_trainer(keys, peer_public, shared=True)

    def feature_trainer(self, keys, peer_public=None):
        return self._task.feature_trainer(keys, peer_public, shared=True)


@pytest.mark.parametrize(("steps", "crashes"), [
    (1, lambda done, kind: kind in ("setup", "step.size", "weights")),
    pytest.param(2, lambda done, kind: True, marks=pytest.mark.slow),
], ids=["at the ends", "after every message"])
def test_a_crash_in_training_changes_nothing(all_keys, steps: int, crashes: Callable) -> None:
    task = problem(250, 2, 3, steps=steps, seed=31)
    pair = SharedPair(task, all_keys)
    assert drive_with_crashes(pair, crashes) >= 4
    bank, platform = (SharedModel(all_keys[name], pair.roles[name].peer_public, pair.roles[name].result())
                      for name in NAMES)
    assert bank.weights.digest == platform.weights.digest
    expected = problems.trained_in_floats(task, bank.weights.grid)
    assert np.abs(weights_in_the_clear(bank, platform) - expected).max() < 2.0**-11


def drive_crashing(make: Callable[[], tuple[Role, Role]], crash_at: int) -> tuple[tuple[Role, Role], int]:
    """Deliver every message; after delivery number `crash_at` its receiver is a new object, made from its snapshot."""
    roles = dict(zip(NAMES, make(), strict=True))
    queue = deque((name, message) for name in NAMES for message in roles[name].start())
    count = 0
    while queue:
        if count == crash_at:
            again = dict(zip(NAMES, make(), strict=True))
            for name, role in again.items():
                role.restore(roles[name].snapshot())
                assert role.snapshot() == roles[name].snapshot() and role.expects == roles[name].expects
            roles = again
        sender, message = queue.popleft()
        answers = roles[message.peer].handle(Message(sender, message.kind, message.payload))
        queue.extend((message.peer, answer) for answer in answers)
        count += 1
    return (roles["bank"], roles["platform"]), count


@pytest.mark.parametrize("make", [scorers, holdouts], ids=["batch", "hold-out"])
@pytest.mark.parametrize("crash_at", range(6))
def test_a_crash_at_any_message_of_a_scoring_changes_nothing(trained: Trained, make: Callable, crash_at: int) -> None:
    rows = draw_rows(trained.task, SLICES, seed=3)
    (bank, platform), count = drive_crashing(lambda: make(trained, rows), crash_at)
    assert count == (4 if make is scorers else 5)
    assert platform.result() is True and bank.snapshot() == bank.snapshot()
    exact = rows.scores(weights_in_the_clear(trained.bank, trained.platform))
    assert all(np.abs(bank.result()[name] - exact[name]).max() <= PRECISION for name in SLICES)


def test_handling_the_banks_part_again_after_a_crash_draws_a_new_mask_and_fresh_flood(trained: Trained) -> None:
    """What was not persisted never left; the flood of the version is the same."""
    bank, platform = scorers(trained, draw_rows(trained.task, {"batch": 20}))
    (part,) = bank.start()
    state = platform.snapshot()
    first = platform.handle(Message("bank", part.kind, part.payload))
    platform.restore(state)
    second = platform.handle(Message("bank", part.kind, part.payload))
    assert all(a.payload != b.payload for a, b in zip(first, second, strict=True))
