"""Several banks publish a model together or not at all: each tells the others what it told the platforms.

    bank -> other banks   verdict   1: the joint model is better than the own one on the own hold-out rows, 0: it is not
"""
from __future__ import annotations

from protocols.errors import MalformedMessage
from protocols.role import Message, Role
from protocols.scorecard.holdout import verdicts
from protocols.state import pack, unpack


class Verdicts(Role):
    """`banks`: all of them in plan order; `own`: this bank's verdict. The result: whether all say yes."""

    def __init__(self, party: str, banks: tuple[str, ...], own: bool):
        self._others = tuple(name for name in banks if name != party)
        self._own, self._agreed, self._taken = own, own, 0

    def start(self) -> list[Message]:
        """Tell all others."""
        return verdicts(self._own, self._others)

    @property
    def expects(self) -> str | None:
        """One other bank after another."""
        return self._others[self._taken] if self._taken < len(self._others) else None

    def handle(self, message: Message) -> list[Message]:
        """Take one verdict; MalformedMessage for anything else."""
        due = self.expects is not None and (message.peer, message.kind) == (self.expects, "verdict")
        if not due or message.payload not in (b"\0", b"\1"):
            raise MalformedMessage(f"expected a verdict of {self.expects or 'nobody'}, got {message.kind} of "
                                   f"{len(message.payload)} bytes from {message.peer}")
        self._agreed = self._agreed and message.payload == b"\1"
        self._taken += 1
        return []

    def result(self) -> bool | None:
        """Whether every bank says yes, once all have spoken."""
        return self._agreed if self.expects is None else None

    def snapshot(self) -> bytes:
        """What was said so far."""
        return pack({"agreed": self._agreed, "taken": self._taken})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        kept = unpack(state)
        self._agreed, self._taken = kept["agreed"], kept["taken"]
