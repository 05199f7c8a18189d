"""At the end of a run each party gives the other a signed checkpoint of its audit log, and gets it back countersigned.

    held           how many records of the receiver's log the sender already holds a checkpoint of (8 bytes)
    checkpoint     signed size and root, with the proof that the log only grew since then
    countersigned  the checkpoint as the receiver signed it back, with the number of the record that keeps it
"""
from __future__ import annotations

import struct
from collections.abc import Callable

from protocols.errors import MalformedMessage
from protocols.role import Message, Role
from protocols.state import pack, unpack

_HELD = struct.Struct("<Q")


class CheckpointExchange(Role):
    """Both sides run it.

    `make(since)` gives the own message, `take(message)` checks and records the peer's and gives it countersigned,
    `keep(message)` checks and records what the peer countersigned.
    """

    def __init__(self, peer: str, make: Callable[[int], bytes], held: int, take: Callable[[bytes], bytes],
                 keep: Callable[[bytes], object]):
        self._peer, self._make, self._held, self._take, self._keep = peer, make, held, take, keep
        self._sent = self._got = self._kept = False

    def start(self) -> list[Message]:
        """Say what is held already."""
        return [Message(self._peer, "held", _HELD.pack(self._held))]

    def handle(self, message: Message) -> list[Message]:
        """Answer `held` with the own checkpoint, the peer's checkpoint with a countersignature; keep the peer's."""
        if message.kind == "held" and not self._sent and len(message.payload) == _HELD.size:
            self._sent = True
            return [Message(self._peer, "checkpoint", self._make(_HELD.unpack(message.payload)[0]))]
        if message.kind == "checkpoint" and not self._got:
            countersigned = self._take(message.payload)
            self._got = True
            return [Message(self._peer, "countersigned", countersigned)]
        if message.kind == "countersigned" and self._sent and not self._kept:
            self._keep(message.payload)
            self._kept = True
            return []
        raise MalformedMessage(f"exchange of checkpoints: got {message.kind}, which was not due")

    def result(self) -> bool | None:
        """True once both checkpoints are on their way and countersigned."""
        return (self._sent and self._got and self._kept) or None

    def snapshot(self) -> bytes:
        """Which of the three is done."""
        return pack({"sent": self._sent, "got": self._got, "kept": self._kept})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        done = unpack(state)
        self._sent, self._got, self._kept = done["sent"], done["got"], done["kept"]
