"""What a protocol role is: a state machine that turns messages into messages and touches nothing else.

The daemon, the simulator and the tests drive every role the same way: `start`, then `handle` for each message
from a peer, until `result` is not None. Between calls `snapshot` gives all state as bytes, `restore` takes it back
in a new process: together with the messages persisted by the driver that is what makes a run resumable.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from protocols.openings import kind_of

SUM = "+"  # the peer from which a sum comes; no party can have this name


@dataclass(frozen=True)
class Opening:
    """A declared route from share to plaintext: `kind` is an entry of `protocols/openings.py`, else PolicyRefused."""

    kind: str
    learner: str  # the party that learns the values
    count: int  # how many numbers are opened

    def __post_init__(self) -> None:
        kind_of(self.kind)


@dataclass(frozen=True, repr=False)
class Message:
    """One protocol message for (or from) one peer."""

    peer: str
    kind: str
    payload: bytes
    opening: Opening | None = None
    slot: str = ""  # not empty: the payload travels by way of this slot of the hub, its name used once in a phase
    contributors: tuple[str, ...] = ()  # not empty: a summand; the peer gets one sum over these parties, from SUM

    def __repr__(self) -> str:
        return f"Message({self.peer!r}, {self.kind!r}, {len(self.payload)} bytes)"


class Role(ABC):
    """A party's part in one protocol."""

    peer_public: bytes | None = None  # the peer's public key once it came, where the driver has to keep it
    pieces: Callable[[str], bytes | None] = {}.get  # where `restore` finds pieces by name; the driver sets it

    @abstractmethod
    def start(self) -> list[Message]:
        """The messages this side begins with, none if the other does."""

    @abstractmethod
    def handle(self, message: Message) -> list[Message]:
        """What one message of the peer leads to. A message that is not due, or not well formed, is an error."""

    @abstractmethod
    def result(self) -> Any | None:
        """What the protocol was run for, None until it is known."""

    @abstractmethod
    def snapshot(self) -> bytes:
        """All state between two calls, secrets included: for the vault only."""

    @abstractmethod
    def restore(self, state: bytes) -> None:
        """Continue from a snapshot, in a role made with the same inputs."""

    def new_pieces(self) -> dict[str, bytes]:
        """State that will not change any more, since the last call, by name: written once and left out of snapshots."""
        return {}

    def prepare(self) -> None:  # noqa: B027 - most roles have nothing to do ahead
        """Work ahead while the peer works; called before every wait."""

    @property
    def expects(self) -> str | None:
        """The peer, or SUM, whose message is to be handed in next; None where any will do."""
        return None

    @property
    def summands(self) -> tuple[str, ...]:
        """Where SUM is expected: over whose messages."""
        return ()

    @property
    def progress(self) -> tuple[int, int] | None:
        """(steps done, steps in all), None where a protocol has only one."""
        return None
