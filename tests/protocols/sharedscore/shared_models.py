"""Small models whose weights stay shared, roles that score with them, and what nobody has: the weights themselves."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.role import Message
from protocols.scorecard.layout import FEATURE_BITS
from protocols.scorecard.shared_weights import SCORE_SCALE_BITS
from protocols.sharedscore.feature_party import FeatureSharedHoldout, FeatureSharedScores
from protocols.sharedscore.label_party import LabelSharedHoldout, LabelSharedScores
from protocols.sharedscore.model import SharedModel
from tests.protocols.scorecard.problems import Problem
from tests.protocols.scorecard.simulator import drive

DATA = b"d" * 32


@dataclass(frozen=True)
class Trained:
    """Both sides' part of one model, what was sent in its training, and the announced step size."""

    task: Problem
    bank: SharedModel
    platform: SharedModel
    sent: list[Message]

    @property
    def grid(self) -> int:
        return self.bank.weights.grid


def train(task: Problem, keys: dict[str, KeyPair]) -> Trained:
    sent: list[Message] = []
    roles = (task.label_trainer(keys["bank"], shared=True), task.feature_trainer(keys["platform"], shared=True))
    drive(*roles, on_message=lambda sender, message: sent.append(message))
    models = [SharedModel(keys[name], role.peer_public, role.result())
              for name, role in zip(("bank", "platform"), roles, strict=True)]
    return Trained(task, *models, sent)


def weights_in_the_clear(bank: SharedModel, platform: SharedModel) -> np.ndarray:
    """(d_bank + d_platform,): what both sides together could compute, and neither alone."""
    blocks = []
    for owner, other in ((bank, platform), (platform, bank)):
        unit = np.eye(owner.weights.columns, dtype=np.int64) << FEATURE_BITS
        reply, share = owner.multiply(unit)
        whole = RING.add(share, other.finish(reply, len(unit)))
        blocks.append(RING.to_float(whole) / 2.0**SCORE_SCALE_BITS)
    return np.concatenate(blocks)


@dataclass
class Rows:
    """Whitened columns per slice at both sides (the bank's with ones first), and who the people are."""

    bank: dict[str, np.ndarray]
    platform: dict[str, np.ndarray]
    people: list[str]

    def scores(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """In the clear, columns in fixed point as they are scored."""
        own = next(iter(self.bank.values())).shape[1]
        fixed = {side: {name: np.rint(part * 2.0**FEATURE_BITS) / 2.0**FEATURE_BITS for name, part in parts.items()}
                 for side, parts in (("bank", self.bank), ("platform", self.platform))}
        return {name: fixed["bank"][name] @ weights[:own] + fixed["platform"][name] @ weights[own:]
                for name in self.bank}


def draw_rows(task: Problem, sizes: dict[str, int], seed: int = 0) -> Rows:
    """Rows like those that were trained on."""
    rng = np.random.default_rng(seed)
    chosen = {name: rng.integers(0, len(task.labels), size) for name, size in sizes.items()}
    people = [f"{seed}-{number}" for number in range(sum(sizes.values()))]
    return Rows({name: task.bank_columns[at] for name, at in chosen.items()},
                {name: task.platform[at] for name, at in chosen.items()}, people)


def admit_all(people, tags) -> None:
    """No limit."""


def scorers(trained: Trained, rows: Rows, data: bytes = DATA, admit=admit_all):
    """(bank's, platform's) role of batch scoring."""
    return (LabelSharedScores("platform", trained.bank, rows.bank, data),
            FeatureSharedScores("bank", trained.platform, rows.platform, rows.people, admit))


def holdouts(trained: Trained, rows: Rows, judge=lambda scores: True):
    """(bank's, platform's) role of the hold-out."""
    return (LabelSharedHoldout("platform", trained.bank, rows.bank, DATA, judge),
            FeatureSharedHoldout("bank", trained.platform, rows.platform, rows.people, admit_all))


def opened(trained: Trained, rows: Rows, data: bytes = DATA) -> np.ndarray:
    """What the bank sees before it rounds, at SCORE_SCALE_BITS fractional bits: Python integers (m,)."""
    bank, platform = scorers(trained, rows, data)
    (part,) = bank.start()
    reply, *shares = platform.handle(Message("bank", part.kind, part.payload))
    bank.handle(Message("platform", reply.kind, reply.payload))
    given = np.concatenate([RING.from_bytes(s.payload, len(s.payload) // 16) for s in shares], axis=1)
    return np.array(RING.to_ints(RING.add(bank._share, given)), dtype=object)
