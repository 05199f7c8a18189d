"""A training goes on from snapshots in new objects, as after a crash, and ends with the same coefficients."""
from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from protocols.crypto.keys import KeyPair
from protocols.role import Message
from protocols.scorecard import layout as fixed
from tests.protocols.scorecard import problems
from tests.protocols.scorecard.problems import Problem, problem
from tests.protocols.scorecard.test_training import PRECISION

SIDES = ("bank", "platform")


class Pair:
    """Both roles with what a driver keeps for each: secret keys, the peer's public keys, the last snapshot."""

    def __init__(self, task: Problem, bank_keys: KeyPair, platform_keys: KeyPair):
        self._task, self._secrets = task, {"bank": bank_keys.secret_bytes(), "platform": platform_keys.secret_bytes()}
        self.roles = {"bank": task.label_trainer(bank_keys), "platform": task.feature_trainer(platform_keys)}

    def crash(self, name: str) -> None:
        """Replace a role by a new one made from bytes only."""
        old = self.roles[name]
        make = self._task.label_trainer if name == "bank" else self._task.feature_trainer
        role = make(KeyPair.from_secret_bytes(self._secrets[name]), old.peer_public)
        role.restore(old.snapshot())
        assert role.snapshot() == old.snapshot() and role.progress == old.progress
        self.roles[name] = role


def drive_with_crashes(pair: Pair, crashes) -> int:
    """Deliver every message; after each, `crashes(pass, kind)` says whether its receiver crashes. Number of crashes."""
    queue = deque((name, message) for name in SIDES for message in pair.roles[name].start())
    count = 0
    while queue:
        sender, message = queue.popleft()
        done = pair.roles[message.peer].progress[0]
        answers = pair.roles[message.peer].handle(Message(sender, message.kind, message.payload))
        if crashes(done, message.kind):
            pair.crash(message.peer)
            count += 1
        queue.extend((message.peer, answer) for answer in answers)
    return count


def assert_same_model(task: Problem, pair: Pair) -> None:
    bank, platform = (pair.roles[name].result() for name in SIDES)
    assert bank.grid == platform.grid
    got = np.r_[bank.own, platform.own]
    assert np.abs(got - problems.trained_in_floats(task, bank.grid)).max() <= PRECISION


@pytest.mark.parametrize(
    "crashes",
    [
        lambda done, kind: kind in ("setup", "init", "norms.request", "norms.reply", "step.size",
                                    "coefficients"),
        lambda done, kind: done == fixed.POWER_PASSES,
    ],
    ids=["between the passes", "all through a step"],
)
def test_a_crash_after_any_message_changes_nothing(bank_keys, platform_keys, crashes) -> None:
    task = problem(250, 2, 3, steps=2, seed=21)
    pair = Pair(task, bank_keys, platform_keys)
    assert drive_with_crashes(pair, crashes) >= 9
    assert_same_model(task, pair)


@pytest.mark.slow
def test_a_crash_after_every_message_changes_nothing(bank_keys, platform_keys) -> None:
    task = problem(250, 2, 3, steps=2, seed=22)
    pair = Pair(task, bank_keys, platform_keys)
    assert drive_with_crashes(pair, lambda done, kind: True) == 89
    assert_same_model(task, pair)


def test_handling_a_message_again_after_a_crash_draws_a_new_mask(bank_keys, platform_keys) -> None:
    """A reply that was not persisted is lost with its mask: the next one is for the same request, not the same."""
    task = problem(250, 2, 3, steps=1, seed=23)
    pair, queue = Pair(task, bank_keys, platform_keys), deque()
    queue.extend((name, message) for name in SIDES for message in pair.roles[name].start())
    while queue:
        sender, message = queue.popleft()
        if message.kind == "forward.request":
            break
        queue.extend((message.peer, a) for a in pair.roles[message.peer].handle(
            Message(sender, message.kind, message.payload)))
    role, received = pair.roles[message.peer], Message(sender, message.kind, message.payload)
    state = role.snapshot()
    first = role.handle(received)[0].payload
    role.restore(state)
    assert role.handle(received)[0].payload != first
