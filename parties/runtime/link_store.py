"""What a link needs to be durable: the outbox towards one peer of one run, and what of the peer was handled."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, repr=False)
class Outgoing:
    """A row of the outbox: written in the same transaction as the state that made it, before anything is sent."""

    seq: int  # 1, 2, 3, … without gaps
    kind: str
    round: int
    payload: bytes

    def __repr__(self) -> str:
        return f"Outgoing({self.seq}, {self.kind!r}, {len(self.payload)} bytes)"


class LinkStore(Protocol):
    """One run, one peer. The link calls it from its own threads, one call at a time."""

    def next_outgoing(self, after: int) -> Outgoing | None:
        """The row with the lowest seq above `after`, or None. The payload of a seq never changes."""

    def last_sequence(self) -> int:
        """The highest seq ever put into the outbox, trimmed or not; 0 at first."""

    def trim(self, through: int) -> None:
        """The peer has made every message up to seq `through` durable: those rows may go."""

    def last_handled(self) -> int:
        """The highest seq of the peer whose effect is durable here; 0 at first."""

    def handled_digest(self, seq: int) -> bytes | None:
        """The digest recorded with a handled message, 32 bytes."""
