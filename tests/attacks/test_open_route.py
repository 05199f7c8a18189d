"""Attacks on the open-score variant as it runs: its own two roles, one training, and what each side makes of its tape.

`test_openings.py` attacks the building blocks; here the weak twins are the same roles without the limit of openings,
and with a bank that hands on what it should keep.
"""
from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from protocols.crypto import product
from protocols.crypto.keys import KeyPair
from protocols.crypto.params import DEGREE
from protocols.crypto.ring import RING
from protocols.role import Message
from protocols.scorecard.open_score import FeatureSolver, LabelSolver
from tests.attacks.polynomials import quotient, secret_of
from tests.attacks.test_openings import columns_from_scores, found
from tests.protocols.scorecard.problems import Problem
from tests.protocols.scorecard.simulator import drive
from tests.protocols.scorecard.test_open_score import bank_of, task_of

COLUMNS, KNOWN = 8, 20
SHARE = "scores.share"


# ---------------------------------------------------------------- the bank: columns


def opened_images(task: Problem, keys: KeyPair) -> np.ndarray:
    """(n, openings): what the bank opens in a whole training, each of length 1."""
    bank, images = bank_of(task, keys), []

    def on_message(sender: str, message: Message) -> None:
        if message.kind == "combine.request":
            images.append(bank._s["images"])

    drive(bank, FeatureSolver(task.platform, task.config("platform")), on_message=on_message)
    return images[0] / np.linalg.norm(images[0], axis=0)


def with_labels(task: Problem, run: int) -> Problem:
    """The same people under another definition of default."""
    flipped = np.random.default_rng(run).random(len(task.labels)) < 0.1 * (run > 0)
    return replace(task, labels=np.where(flipped, 1 - task.labels, task.labels))


@pytest.mark.parametrize("runs, least, most", [(5, 0.9, 1.0), (1, 0.0, 0.3)], ids=["no limit", "a quarter of the rank"])
def test_columns_from_the_scores_that_trainings_open(keys, runs: int, least: float, most: float) -> None:
    """Openings of several runs on the same people add up: ten of eight columns and a few known people give everybody's
    values, which the twin without a limit across runs permits; the two that a quarter of the rank allows do not."""
    task = task_of(600, 2, COLUMNS, COLUMNS // 4, seed=11)
    images = np.hstack([opened_images(with_labels(task, run), keys) for run in range(runs)])
    assert images.shape == (600, runs * COLUMNS // 4)
    guess = columns_from_scores(images, task.platform[:KNOWN], min(COLUMNS, images.shape[1]))
    assert least <= found(guess, task.platform) <= most


# ---------------------------------------------------------------- the platform: the bank's key


@dataclass
class Recorded:
    """A training as the platform sees it: the replies that it made, with their masks, and what came to it."""

    sent: list[tuple[list, np.ndarray]] = field(default_factory=list)
    came: list[Message] = field(default_factory=list)


class TellingBank(LabelSolver):
    """Twin: opens the scores to the platform, too, by its own share as it is."""

    def _on_scores_reply(self, payload: bytes) -> list[Message]:
        super()._on_scores_reply(payload)
        return [Message(self._peer, SHARE, RING.to_bytes(self._s["z"]))]


class ListeningPlatform(FeatureSolver):
    """Its peer: takes the share and goes on."""

    def handle(self, message: Message) -> list[Message]:
        return [] if message.kind == SHARE else super().handle(message)


def recorded(monkeypatch, task: Problem, bank: LabelSolver) -> Recorded:
    """Train with that bank."""
    seen, real = Recorded(), product.masked_replies

    def noting(tiles, peer, own_share, request, mask):
        replies = list(real(tiles, peer, own_share, request, mask))
        seen.sent.append((replies, mask))
        return replies

    def on_message(sender: str, message: Message) -> None:
        if message.peer == "platform":
            seen.came.append(message)

    monkeypatch.setattr(product, "masked_replies", noting)
    drive(bank, ListeningPlatform(task.platform, task.config("platform")), on_message=on_message)
    return seen


def key_from_share(reply: tuple[np.ndarray, np.ndarray], share: np.ndarray) -> np.ndarray:
    """Platform: the bank's share is c0 + c1 s of the reply that the platform made itself, so s by one division."""
    second, first = reply
    return quotient(RING.sub(share[:, :DEGREE], first), second)


def test_key_from_the_scores_that_a_training_opens(monkeypatch, keys) -> None:
    """One column and a block of 8,192 people: the platform's reply of the scores is one whole polynomial."""
    task, secret = task_of(DEGREE, 1, 1, 1, seed=12), secret_of(keys)
    weak = recorded(monkeypatch, task, TellingBank(task.bank, task.labels, task.own_model, keys, task.config("bank")))
    shares = [RING.from_bytes(m.payload, DEGREE) for m in weak.came if m.kind == SHARE]
    assert np.array_equal(key_from_share(weak.sent[1][0][0], shares[0]), secret), "all 8,192 coefficients of the key"


def test_no_share_of_a_score_comes_to_the_platform(monkeypatch, keys) -> None:
    """Ours: of all that comes only its own coefficients open anything, one hint each, and they are flooded; every other
    payload read as the share that the attack wants gives nothing."""
    task, secret = task_of(DEGREE, 1, 1, 1, seed=12), secret_of(keys)
    ours = recorded(monkeypatch, task, bank_of(task, keys))
    assert [m.kind for m in ours.came] == ["setup", "gradient.request", "scores.request", "combine.request",
                                           "coefficients"]
    assert [m.kind for m in ours.came if m.opening] == ["coefficients"]
    assert len(ours.came[-1].payload) == 16 * task.platform.shape[1]
    for message in ours.came[:-1]:
        words = np.resize(np.frombuffer(message.payload[len(message.payload) % 8 :], "<u8"), (2, DEGREE))
        guess = key_from_share(ours.sent[1][0][0], words % np.array(RING.q, np.uint64)[:, None])
        assert (guess == secret).mean() < 0.01, message.kind
