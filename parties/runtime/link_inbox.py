"""The receiving half of a link: messages of the peer in order, each exactly once, within a bound."""
from __future__ import annotations

from collections import deque

from parties.runtime.link_store import LinkStore
from protocols.crypto.sealing import SealingContext
from protocols.errors import ProtocolError
from protocols.wire.chunks import Assembler, Route, WireMessage
from protocols.wire.envelope_pb2 import Envelope

INBOX_BYTES = 8 * 1024 * 1024  # nothing more is taken from the peer while so much waits to be handled


class Inbox:
    """Assembles, orders and deduplicates. `handled` is the last seq whose effect is durable."""

    def __init__(self, context: SealingContext, store: LinkStore, max_message_bytes: int):
        self._store = store
        self._route = Route(context.run, context.peer, context.own, context.agreement)
        self._assembler = Assembler(self._route, max_message_bytes)
        self.handled = store.last_handled()
        self._next = self.handled + 1
        self._waiting: deque[WireMessage] = deque()
        self._waiting_bytes = 0
        self._unhandled: dict[int, bytes] = {}  # digests of what was received and is not yet durable

    @property
    def has_room(self) -> bool:
        """False while the peer should wait."""
        return self._waiting_bytes < INBOX_BYTES

    @property
    def waiting(self) -> bool:
        """Whether a whole message is there to be taken."""
        return bool(self._waiting)

    def restart_message(self) -> None:
        """Forget a message received in part: its sender starts it again in the next session."""
        self._assembler.reset()

    def add(self, envelope: Envelope) -> None:
        """Take an envelope; ProtocolError if it is not of the next message nor of an equal earlier one."""
        self._assembler.check_route(envelope)
        if envelope.seq > self._next:
            raise ProtocolError(f"expected message {self._next}, got message {envelope.seq}")
        if envelope.seq < self._next:
            self._check_repeated(envelope)
            return
        message = self._assembler.add(envelope)
        if message:
            self._waiting.append(message)
            self._waiting_bytes += len(message.payload)
            self._unhandled[message.seq] = message.digest
            self._next += 1

    def _check_repeated(self, envelope: Envelope) -> None:
        known = self._unhandled.get(envelope.seq) or self._store.handled_digest(envelope.seq)
        if known != envelope.digest:
            raise ProtocolError(f"message {envelope.seq} came again with other content")

    def take(self) -> WireMessage | None:
        """The next message for the driver, or None."""
        if not self._waiting:
            return None
        message = self._waiting.popleft()
        self._waiting_bytes -= len(message.payload)
        return message

    def acknowledge(self, seq: int) -> None:
        """Everything up to `seq` is durable; ProtocolError if it was never received."""
        if seq >= self._next:
            raise ProtocolError(f"cannot acknowledge message {seq}: only {self._next - 1} were received")
        for known in [s for s in self._unhandled if s <= seq]:
            del self._unhandled[known]
        self.handled = max(self.handled, seq)
