"""What a protocol role is: a state machine that turns messages into messages and touches nothing else.

The daemon, the simulator and the tests drive every role the same way: `start`, then `handle` for each message
from a peer, until `result` is not None. Between calls `snapshot` gives all state as bytes, `restore` takes it back
in a new process: together with the messages persisted by the driver that is what makes a run resumable.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Opening:
    """A declared route from share to plaintext: `kind` is a row of the protocol's leakage table."""

    kind: str
    learner: str  # the party that learns the values
    count: int  # how many numbers are opened


@dataclass(frozen=True, repr=False)
class Message:
    """One protocol message for (or from) one peer."""

    peer: str
    kind: str
    payload: bytes
    opening: Opening | None = None

    def __repr__(self) -> str:
        return f"Message({self.peer!r}, {self.kind!r}, {len(self.payload)} bytes)"


class Role(Protocol):
    """A party's part in one protocol."""

    def start(self) -> list[Message]: ...

    def handle(self, message: Message) -> list[Message]: ...

    def result(self) -> Any | None: ...

    def snapshot(self) -> bytes: ...

    def restore(self, state: bytes) -> None: ...
