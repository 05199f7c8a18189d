"""Trains a network by its two roles in one process and keeps what is needed to look at it."""
from __future__ import annotations

from typing import Any

import numpy as np

from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.role import Message, Role
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


def crashing(network: Task, keys: KeyPair) -> tuple[Any, Any, np.ndarray]:
    """What both roles end with when each is made anew from its snapshot after every message, and the start weights."""
    roles: dict[str, Role] = dict(zip(("bank", "platform"), network.roles(keys), strict=True))
    queue, start = [(name, m) for name in roles for m in roles[name].start()], None
    while queue:
        sender, message = queue.pop(0)
        old = roles[message.peer]
        if message.kind == "forward.request" and start is None:
            start = network.opened(roles["bank"]._s["w"], old._s["w"])
        queue += [(message.peer, m) for m in old.handle(Message(sender, message.kind, message.payload))]
        new = network.label_network(KeyPair.from_secret_bytes(keys.secret_bytes())) if message.peer == "bank" \
            else network.feature_network(old.peer_public)
        new.restore(old.snapshot())
        assert new.snapshot() == old.snapshot() and new.progress == old.progress
        roles[message.peer] = new
    return roles["bank"].result(), roles["platform"].result(), start


def as_numbers(share: np.ndarray) -> np.ndarray:
    """Residues of one share as float64 (n,)."""
    return RING.to_float(share)
