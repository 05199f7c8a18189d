"""One bank and several platforms, and the hub that adds: the same model as on the joined columns."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.crypto.summed_product import Seed, finish_sum
from protocols.errors import ConfigError, MalformedMessage, TrustError
from protocols.role import SUM, Message
from protocols.scorecard import layout as fixed
from protocols.scorecard.feature_party import feature_trainer
from protocols.scorecard.training import BACKWARD, LAYOUT
from tests.protocols.scorecard import problems
from tests.protocols.scorecard.problems import Problem, problem
from tests.protocols.scorecard.simulator import Network, drive_all
from tests.protocols.scorecard.test_training import GRID_DOUBT, PRECISION


def parties(task: Problem, widths: list[int], bank_keys: KeyPair, platform_keys: KeyPair) -> dict:
    platforms = task.split_trainers(platform_keys, widths)
    return {"bank": task.label_trainer(bank_keys, platforms=tuple(platforms)), **platforms}


def assert_the_same_model(task: Problem, roles: dict) -> None:
    results = [role.result() for role in roles.values()]
    assert len({r.grid for r in results}) == len({r.rows for r in results}) == 1
    assert len({r.columns_peer + len(r.own) for r in results}) == 1
    estimate = problems.power_estimate(task, widths=[len(r.own) for r in results[1:]])
    assert results[0].grid in {fixed.eigenvalue_grid(estimate * (1 + d)) for d in (-GRID_DOUBT, 0, GRID_DOUBT)}
    got = np.concatenate([r.own for r in results])
    assert np.abs(got - problems.trained_in_floats(task, results[0].grid)).max() <= PRECISION


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(200, 600), bank=st.integers(1, 4), widths=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    steps=st.integers(1, 3), l2=st.sampled_from([0.0, 0.01]), seed=st.integers(0, 2**20),
)
def test_several_platforms_train_what_one_with_all_their_columns_would(
    bank_keys, platform_keys, rows, bank, widths, steps, l2, seed
) -> None:
    task = problem(rows, bank, sum(widths), steps=steps, l2=l2, seed=seed)
    roles = parties(task, widths, bank_keys, platform_keys)
    drive_all(roles)
    assert_the_same_model(task, roles)


def test_only_the_declared_values_are_opened_and_norms_only_in_the_sum(bank_keys, platform_keys) -> None:
    task, sent = problem(300, 2, 6), []
    roles = parties(task, [3, 2, 1], bank_keys, platform_keys)
    drive_all({name: Recorded(role, sent) for name, role in roles.items()})
    names = [f"platform-{i}" for i in range(3)]
    assert sorted(sent) == sorted(
        [("step.norms", "bank", 2)] * 3 + [("step.size", name, 1) for name in names]
        + [("coefficients", "bank", 3)] + [("coefficients", n, w) for n, w in zip(names, (3, 2, 1), strict=True)]
    )


class Recorded:
    """A role whose openings are noted as it sends them."""

    def __init__(self, role, sent: list):
        self._role, self._sent = role, sent

    def __getattr__(self, name: str):
        return getattr(self._role, name)

    def _note(self, messages: list[Message]) -> list[Message]:
        self._sent += [(m.opening.kind, m.opening.learner, m.opening.count) for m in messages if m.opening]
        return messages

    def start(self) -> list[Message]:
        return self._note(self._role.start())

    def handle(self, message: Message) -> list[Message]:
        return self._note(self._role.handle(message))


@pytest.mark.parametrize("kind", ["forward.reply", "backward.reply"])
def test_a_hub_that_adds_something_of_its_own_is_caught(bank_keys, platform_keys, kind: str) -> None:
    """Also one that knows the bank's public key and adds a proper encryption."""
    task = problem(220, 2, 4, steps=1, seed=3)
    roles = parties(task, [2, 2], bank_keys, platform_keys)

    def on_message(sender: str, message: Message) -> None:
        if sender == SUM and message.kind == kind:
            for bad in (flipped(message.payload), message.payload[:-12]):
                before = roles["bank"].snapshot()
                with pytest.raises((TrustError, MalformedMessage)):
                    roles["bank"].handle(Message(SUM, kind, bad))
                assert roles["bank"].snapshot() == before
            raise InterruptedError

    with pytest.raises(InterruptedError):
        drive_all(roles, on_message)


def flipped(payload: bytes) -> bytes:
    changed = bytearray(payload)
    changed[len(changed) // 3] ^= 4
    return bytes(changed)


def test_no_single_platform_s_reply_says_anything_to_bank_and_hub_together(bank_keys, platform_keys) -> None:
    """What they can open of one summand is uniform: the same training with other columns looks the same.

    The bank's key opens each summand by itself; the value is then masked by a seed that only platforms know.
    """
    task, opened = problem(300, 2, 4, steps=1, seed=5), []
    roles = parties(task, [2, 2], bank_keys, platform_keys)
    bank = roles["bank"]

    class Curious(Network):
        def send(self, sender: str, message: Message) -> None:
            if message.contributors and message.kind == "backward.reply":
                index = message.contributors.index(sender)
                pad = bank._pad_seed(index).expand(bank._label("backward", "bank"), 1)
                shape, point = bank._backward_shape(), Seed(bank._s["point"])
                opened.append(finish_sum(bank_keys, message.payload, shape, LAYOUT, BACKWARD, point, [pad]))
            super().send(sender, message)

    drive_all(roles, network=Curious())
    assert len(opened) == 14
    values = np.concatenate(opened, axis=1) / np.array(RING.q, dtype=float)[:, None]
    assert ((values >= 0) & (values < 1)).all()
    small = (np.minimum(values, 1 - values) < 2.0**-20).any(axis=0)  # what an unmasked zero or gradient would be
    assert not small.any()


def test_a_crash_after_every_message_changes_nothing(bank_keys, platform_keys) -> None:
    """Every role is made anew from its snapshot after each message it takes."""
    task = problem(250, 2, 5, steps=1, seed=22)
    roles = {name: Restarted(name, role, task, bank_keys, platform_keys, [2, 3])
             for name, role in parties(task, [2, 3], bank_keys, platform_keys).items()}
    drive_all(roles)
    assert_the_same_model(task, roles)


class Restarted:
    """A role in a process that dies after every message."""

    def __init__(self, name, role, task, bank_keys, platform_keys, widths):
        self._name, self.role, self._task = name, role, task
        self._keys, self._widths = (bank_keys, platform_keys), widths

    def __getattr__(self, name: str):
        return getattr(self.role, name)

    def handle(self, message: Message) -> list[Message]:
        answers = self.role.handle(message)
        old = self.role
        self.role = self._make(old.peer_public)
        self.role.restore(old.snapshot())
        assert self.role.snapshot() == old.snapshot()
        return answers

    def _make(self, peer_public):
        if self._name == "bank":
            names = tuple(f"platform-{i}" for i in range(len(self._widths)))
            return self._task.label_trainer(self._keys[0], peer_public, platforms=names)
        fresh = self._task.split_trainers(self._keys[1], self._widths)[self._name]
        fresh.peer_public = peer_public
        return fresh


def test_a_platform_that_is_not_the_lead_may_not_bring_keys(bank_keys, platform_keys) -> None:
    task = problem(220, 2, 4)
    roles = parties(task, [2, 2], bank_keys, platform_keys)
    lead, other = (roles[f"platform-{i}"].start()[0].payload for i in range(2))
    roles["bank"].handle(Message("platform-0", "setup", lead))
    with pytest.raises(MalformedMessage, match="no keys of a platform that is not the lead"):
        roles["bank"].handle(Message("platform-1", "setup", other + platform_keys.public_bytes()))


def test_wrong_widths_in_the_bank_s_setup_are_refused(bank_keys, platform_keys) -> None:
    task = problem(220, 2, 4)
    roles = parties(task, [2, 2], bank_keys, platform_keys)
    for index in range(2):
        name = f"platform-{index}"
        told = roles["bank"].handle(Message(name, "setup", roles[name].start()[0].payload))
    setup = bytearray(told[0].payload)
    setup[20] += 1  # the lead's width
    with pytest.raises(MalformedMessage, match="other numbers of columns"):
        roles["platform-0"].handle(Message("bank", "setup", bytes(setup)))


def test_too_many_platforms_are_refused() -> None:
    config = problem(220, 1, 1).config("bank")
    with pytest.raises(ConfigError, match="1 to 60 banks and 1 to 15 platforms"):
        replace(config, platforms=tuple(f"p{i}" for i in range(16)))


def test_the_role_follows_the_place_in_the_plan(platform_keys) -> None:
    task = problem(220, 1, 2)
    names = ("one", "two")
    columns = {"bank": task.platform}
    kinds = [type(feature_trainer(columns, lambda: platform_keys, task.config(n, names))).__name__ for n in names]
    assert kinds == ["LeadTrainer", "FollowTrainer"]
