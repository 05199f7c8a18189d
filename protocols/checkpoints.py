"""At the end of a run each party gives the other a signed checkpoint of its audit log.

    held        how many records of the receiver's log the sender already holds a checkpoint of (8 bytes)
    checkpoint  signed size and root, with the proof that the log only grew since then
"""
from __future__ import annotations

import struct
from collections.abc import Callable

from protocols.errors import MalformedMessage
from protocols.role import Message, Role
from protocols.state import pack, unpack

_HELD = struct.Struct("<Q")


class CheckpointExchange(Role):
    """Both sides run it. `make(since)` gives the own message, `take(message)` checks and records the peer's."""

    def __init__(self, peer: str, make: Callable[[int], bytes], held: int, take: Callable[[bytes], object]):
        self._peer, self._make, self._held, self._take = peer, make, held, take
        self._sent = self._got = False

    def start(self) -> list[Message]:
        """Say what is held already."""
        return [Message(self._peer, "held", _HELD.pack(self._held))]

    def handle(self, message: Message) -> list[Message]:
        """Answer `held` with the own checkpoint; take the peer's."""
        if message.kind == "held" and not self._sent and len(message.payload) == _HELD.size:
            self._sent = True
            return [Message(self._peer, "checkpoint", self._make(_HELD.unpack(message.payload)[0]))]
        if message.kind == "checkpoint" and not self._got:
            self._take(message.payload)
            self._got = True
            return []
        raise MalformedMessage(f"exchange of checkpoints: got {message.kind}, which was not due")

    def result(self) -> bool | None:
        """True once both checkpoints are on their way."""
        return (self._sent and self._got) or None

    def snapshot(self) -> bytes:
        """Which of the two is done."""
        return pack({"sent": self._sent, "got": self._got})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        kept = unpack(state)
        self._sent, self._got = kept["sent"], kept["got"]
