"""Trains a network by its two roles in one process and keeps what is needed to look at it."""
from __future__ import annotations

import numpy as np

from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.role import Message
from tests.protocols.network.problems import Task
from tests.protocols.scorecard.simulator import drive


class Trained:
    """Both halves, start and final weights (d, width), all messages, and the platform's share of each XᵀG."""

    def __init__(self, network: Task, keys: KeyPair):
        self.sent: list[tuple[str, Message]] = []
        self.embeddings: list[np.ndarray] = []
        self.gradient_shares: list[np.ndarray] = []
        bank, platform = network.roles(keys)

        def on_message(sender: str, message: Message) -> None:
            self.sent.append((sender, message))
            if message.kind == "forward.request" and not hasattr(self, "start"):
                self.start = network.opened(bank._s["w"], platform._s["w"])
            if message.kind == "backward.reply":
                self.gradient_shares.append(platform._s["v"])

        drive(bank, platform, on_message=on_message)
        self.bank, self.platform = bank.result(), platform.result()
        self.weights = self.platform.weights
        if self.platform.share is not None:
            self.weights = network.opened(self.bank.share, self.platform.share)

    def kinds(self) -> list[str]:
        return [message.kind for _, message in self.sent]

    def opened(self) -> list[tuple[str, str, int]]:
        return [(m.opening.kind, m.opening.learner, m.opening.count) for _, m in self.sent if m.opening]

    def to_platform(self) -> list[Message]:
        return [message for _, message in self.sent if message.peer == "platform"]


def as_numbers(share: np.ndarray) -> np.ndarray:
    """Residues of one share as float64 (n,)."""
    return RING.to_float(share)
