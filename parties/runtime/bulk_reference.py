"""Messages whose payload travels by way of the hub's slots: what is sealed on the link only refers to it.

    PHASE.fan.KIND    the same payload for several peers, encrypted under a key of its own that only the references
                      carry: key (32 bytes), SHA-256 of the ciphertext (32 bytes), slot
    PHASE.sum.KIND    a summand: the peer asks the hub for the sum in this slot
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from parties.runtime.run_store import Send, StoredBulk
from protocols.errors import MalformedMessage, TrustError
from protocols.role import Message
from protocols.wire.codec import is_slot

FAN, SUM_OF = "fan.", "sum."
_KEY_BYTES = _DIGEST_BYTES = 32
_NONCE = bytes(12)  # every key encrypts one payload


@dataclass(frozen=True, repr=False)
class FanReference:
    """Where a payload for several peers is, and what opens it."""

    slot: str
    key: bytes
    digest: bytes

    def pack(self) -> bytes:
        return self.key + self.digest + self.slot.encode()

    @classmethod
    def unpack(cls, data: bytes) -> FanReference:
        """MalformedMessage for anything but what `pack` gives."""
        slot = _slot(data[_KEY_BYTES + _DIGEST_BYTES:])
        return cls(slot, data[:_KEY_BYTES], data[_KEY_BYTES:_KEY_BYTES + _DIGEST_BYTES])

    def open(self, ciphertext: bytes) -> bytes:
        """The payload. TrustError when it is not what the peer put there."""
        try:
            return ChaCha20Poly1305(self.key).decrypt(_NONCE, ciphertext, self.slot.encode())
        except InvalidTag:
            raise TrustError(f"slot {self.slot} does not hold what the peer put there; the hub changed it") from None


def sum_slot(data: bytes) -> str:
    """The slot that a reference to a sum names."""
    return _slot(data)


def _slot(data: bytes) -> str:
    slot = data.decode("ascii", errors="replace")
    if not is_slot(slot):
        raise MalformedMessage("expected a reference to a slot of the hub")
    return slot


def refer(phase: str, step: int, messages: Iterable[Message]) -> tuple[list[Send], list[StoredBulk]]:
    """What goes into the outbox for a role's messages, and the bulks that go beside it."""
    sends: list[Send] = []
    bulks: dict[str, StoredBulk] = {}
    references: dict[str, bytes] = {}
    messages = list(messages)
    for message in messages:
        slot = f"{phase}:{message.slot}"
        if not message.slot:
            sends.append(Send(message.peer, f"{phase}.{message.kind}", step, message.payload))
        elif message.contributors:
            bulks[slot] = StoredBulk(slot, (message.peer,), message.contributors, message.payload)
            sends.append(Send(message.peer, f"{phase}.{SUM_OF}{message.kind}", step, slot.encode(), slot))
        else:
            if slot not in bulks:
                receivers = tuple(m.peer for m in messages if m.slot == message.slot)
                key = os.urandom(_KEY_BYTES)
                bulks[slot] = StoredBulk(slot, receivers, (), _sealed(key, slot, message.payload))
                references[slot] = FanReference(slot, key, hashlib.sha256(bulks[slot].payload).digest()).pack()
            sends.append(Send(message.peer, f"{phase}.{FAN}{message.kind}", step, references[slot], slot))
    return sends, list(bulks.values())


def _sealed(key: bytes, slot: str, payload: bytes) -> bytes:
    return ChaCha20Poly1305(key).encrypt(_NONCE, payload, slot.encode())
