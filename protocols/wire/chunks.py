"""Large messages in chunks: splitting, and assembling under a bound."""
from __future__ import annotations

from dataclasses import dataclass

from protocols.errors import MalformedMessage
from protocols.wire.codec import CHUNK_BYTES, VERSION, chunk_count, message_digest
from protocols.wire.envelope_pb2 import Envelope


@dataclass(frozen=True)
class Route:
    """The fields that are equal in every envelope of one direction of a run."""

    run: str
    sender: str
    receiver: str
    agreement: bytes


@dataclass(frozen=True, repr=False)
class WireMessage:
    """One whole message: `seq` 1, 2, 3, … and `digest` as `message_digest` gives it."""

    seq: int
    kind: str
    round: int
    payload: bytes
    digest: bytes

    @classmethod
    def of(cls, seq: int, kind: str, round_number: int, payload: bytes) -> WireMessage:
        """A message with its digest computed."""
        return cls(seq, kind, round_number, payload, message_digest(kind, round_number, payload))

    @property
    def chunks(self) -> int:
        """How many envelopes it takes."""
        return chunk_count(len(self.payload))

    def chunk(self, route: Route, number: int) -> Envelope:
        """Envelope `number` (from 0) of the message."""
        start = number * CHUNK_BYTES
        return Envelope(version=VERSION, run=route.run, round=self.round, sender=route.sender,
                        receiver=route.receiver, kind=self.kind, agreement=route.agreement, seq=self.seq,
                        chunk=number, chunks=self.chunks, size=len(self.payload), digest=self.digest,
                        payload=self.payload[start:start + CHUNK_BYTES])

    def __repr__(self) -> str:
        return f"WireMessage({self.seq}, {self.kind!r}, {len(self.payload)} bytes)"


class Assembler:
    """Puts the envelopes of one message at a time together, in order, within `max_message_bytes`."""

    def __init__(self, route: Route, max_message_bytes: int):
        self._route, self._max = route, max_message_bytes
        self._first: Envelope | None = None
        self._parts: list[bytes] = []

    def reset(self) -> None:
        """Forget an unfinished message: its sender starts it again."""
        self._first, self._parts = None, []

    def add(self, envelope: Envelope) -> WireMessage | None:
        """Take the next envelope; the message when it is whole. MalformedMessage for any other envelope."""
        self.check_route(envelope)
        if envelope.size > self._max:
            raise MalformedMessage(f"expected a message of at most {self._max} bytes, got one of {envelope.size}")
        if envelope.chunk != len(self._parts) or not self._same_message(envelope):
            raise MalformedMessage(f"expected chunk {len(self._parts)} of the message in hand, got chunk "
                                   f"{envelope.chunk} of message {envelope.seq}")
        self._first = self._first or envelope
        self._parts.append(envelope.payload)
        return self._whole(envelope) if len(self._parts) == envelope.chunks else None

    def check_route(self, envelope: Envelope) -> None:
        """MalformedMessage if an envelope belongs to another run, pair of parties or agreement."""
        for field in ("run", "sender", "receiver", "agreement"):
            if getattr(envelope, field) != getattr(self._route, field):
                raise MalformedMessage(f"an envelope with another {field} than this session's")

    def _same_message(self, envelope: Envelope) -> bool:
        first = self._first
        return first is None or all(getattr(first, field) == getattr(envelope, field)
                                    for field in ("seq", "kind", "round", "chunks", "size", "digest"))

    def _whole(self, envelope: Envelope) -> WireMessage:
        payload = b"".join(self._parts)
        self.reset()
        message = WireMessage.of(envelope.seq, envelope.kind, envelope.round, payload)
        if message.digest != envelope.digest:
            raise MalformedMessage(f"message {envelope.seq} does not have the digest it announced")
        return message
