"""Predicted bytes of every kind of message against those that the roles of each variant send in one process."""
from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from coordinator.cost.estimate import Estimate, estimate
from coordinator.cost.parts import Calibration
from coordinator.cost.workload import Machines, Workload
from protocols.crypto.keys import KeyPair
from protocols.plan import ModelPlan
from protocols.role import Message, Role
from protocols.scorecard.feature_party import feature_trainer
from protocols.scorecard.open_score import FeatureSolver, LabelSolver
from protocols.scorecard.polynomial import bank_role, lead_role
from protocols.sharedscore.model import SharedModel
from protocols.woe import label_party
from protocols.woe.feature_party import FeatureWoe
from protocols.woe.label_party import LabelWoe, WoeSettings
from tests.protocols.scorecard.problems import Problem, problem
from tests.protocols.scorecard.simulator import Network, drive_all
from tests.protocols.sharedscore.shared_models import Trained, draw_rows, holdouts

ROWS, OWN, SLICES = 700, 3, (1.0, 0.1, 0.2)
VARIANTS = [
    ({}, (4,)), ({}, (4, 2)), ({"activation": "deg1"}, (4,)), ({"activation": "deg3"}, (4,)),
    ({"activation": "deg3"}, (2, 3)), ({"polish": 1, "polish_steps": 1}, (4,)),
    ({"polish": 2, "polish_steps": 1}, (3, 2)), ({"variant": "open-score", "openings": 2}, (5,)),
]


class Counting(Network):
    """Counts what is sent, as the audit log of each node does."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: Counter[tuple[str, str, str]] = Counter()

    def send(self, sender: str, message: Message) -> None:
        self.sent[sender, message.peer, message.kind] += len(message.payload)
        super().send(sender, message)


@pytest.fixture(scope="module")
def keys() -> dict[str, KeyPair]:
    return {"bank": KeyPair.generate(), "platform": KeyPair.generate()}


def predicted(model: ModelPlan, widths: tuple[int, ...], bins: tuple[int, ...] = ()) -> Estimate:
    work = Workload("train", ("bank",), names_of(widths), (ROWS,), (ROWS,), ROWS, 1 + OWN, widths, OWN, widths, model,
                    SLICES, bins)
    return estimate(work, Calibration.load(), Machines())


def names_of(widths: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"platform-{index}" for index in range(len(widths))) if len(widths) > 1 else ("platform",)


def sent_by(roles: dict[str, Role]) -> Counter[tuple[str, str, str]]:
    network = Counting()
    drive_all(roles, network=network)
    return network.sent


def roles_of(task: Problem, model: ModelPlan, widths: tuple[int, ...], keys: dict[str, KeyPair]) -> dict[str, Role]:
    names = names_of(widths)
    config = {name: replace(task.config(name, names, shared=model.release == "shared"), activation=model.activation)
              for name in ("bank", *names)}
    if model.variant == "open-score":
        return {"bank": LabelSolver(task.bank, task.labels, task.own_model, keys["bank"], config["bank"]),
                "platform": FeatureSolver(task.platform, config["platform"])}
    bank = bank_role(config["bank"])(task.bank_columns, task.labels, task.own_model, keys["bank"], config["bank"])
    parts = np.split(task.platform, np.cumsum(widths)[:-1], axis=1)
    return {"bank": bank} | {
        name: feature_trainer({"bank": part}, lambda: keys["platform"], config[name], None, lead_role(config[name]))
        for name, part in zip(names, parts, strict=True)}


def task_of(model: ModelPlan, widths: tuple[int, ...]) -> Problem:
    openings = model.openings if model.variant == "open-score" else 0
    return replace(problem(ROWS, OWN, sum(widths), steps=model.steps, seed=3), polish=model.polish,
                   polish_steps=model.polish_steps, openings=openings)


@pytest.mark.parametrize(("settings", "widths"), VARIANTS, ids=str)
def test_a_training_sends_what_was_predicted(keys, settings: dict, widths: tuple[int, ...]) -> None:
    model = ModelPlan(steps=2, **settings)
    sent = sent_by(roles_of(task_of(model, widths), model, widths, keys))
    assert dict(predicted(model, widths).phases["train"].kinds) == dict(sent)


def test_weights_that_stay_shared_are_sent_and_scored_as_predicted(keys) -> None:
    model, widths = ModelPlan(steps=1, release="shared"), (4,)
    task, found = task_of(model, widths), predicted(model, widths)
    roles = roles_of(task, model, widths, keys)
    assert dict(found.phases["train"].kinds) == dict(sent_by(roles))
    models = [SharedModel(keys[name], role.peer_public, role.result()) for name, role in roles.items()]
    rows = draw_rows(task, {"calibration": 70, "test": 140})
    hold_out = dict(zip(("bank", "platform"), holdouts(Trained(task, *models, []), rows), strict=True))
    assert dict(found.phases["evaluate"].kinds) == dict(sent_by(hold_out))


@pytest.mark.parametrize("bins", [5, 60])
def test_event_counts_are_sent_as_predicted(keys, monkeypatch, bins: int) -> None:
    monkeypatch.setattr(label_party.KeyPair, "generate", classmethod(lambda cls: keys["bank"]))
    rng = np.random.default_rng(bins)
    assigned = rng.integers(0, bins, (ROWS, 1)).astype(np.int32)
    bank = LabelWoe("platform", (rng.random(ROWS) < 0.2).astype(np.int64), WoeSettings(1, 0.0, 1), lambda *_: None)
    platform = FeatureWoe("bank", assigned, np.bincount(assigned[:, 0], minlength=bins), bytes(32), False)
    found = predicted(ModelPlan(encoding="woe"), (1,), (bins,)).phases["encode"].kinds
    assert dict(found) == dict(sent_by({"bank": bank, "platform": platform}))
