"""All links of one run, and the payloads that travel by way of the hub's slots.

The driver hands in what a role expects next: a message of one peer, or the sum of several parties' summands. Messages
of other peers wait in their links meanwhile. Bulks are put when they are new, and again when a stream to the hub was
made anew: a hub that was restarted has lost them.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from parties.runtime.bulk import Bulk
from parties.runtime.bulk_reference import FAN, SUM_OF, FanReference, sum_slot
from parties.runtime.hub_client import HubUnreachable
from parties.runtime.link import Link
from parties.runtime.run_store import Handled, RunStore
from protocols.errors import MalformedMessage, ProtocolError, RunFailed
from protocols.role import SUM, Message

RECEIVE_S = 1.0
NOTICE_S = 4.0  # the hub looks once a second whether a run was cancelled


@dataclass(frozen=True, repr=False)
class Inbound:
    """A message for a role; the links' messages that it rests on; the slot that may go once it was handled."""

    message: Message
    handled: tuple[Handled, ...]
    slot: str | None = None


class Mailroom:
    """`links`: one per peer, not started. Used by the driver's thread; `close` may come from any."""

    def __init__(self, links: dict[str, Link], bulk: Bulk, store: RunStore):
        self._links, self._bulk, self._store = links, bulk, store
        self._held: dict[str, Any] = {}  # taken from a link, and not handed in yet
        self._put: set[str] = set()
        self._streams = 0

    def start(self) -> None:
        """Start all links."""
        for link in self._links.values():
            link.start()

    def close(self) -> None:
        """Close all links and end transfers."""
        self._bulk.close()
        for link in self._links.values():
            link.close()

    # what happened

    def set_phase(self, phase: str) -> None:
        """What a failure names."""
        self._bulk.phase = phase
        for link in self._links.values():
            link.phase = phase

    @property
    def bytes_out(self) -> int:
        """Bytes of all frames sent."""
        return self._bulk.bytes_out + sum(link.bytes_out for link in self._links.values())

    @property
    def bytes_in(self) -> int:
        """Bytes of all frames that came."""
        return self._bulk.bytes_in + sum(link.bytes_in for link in self._links.values())

    @property
    def cancelled(self) -> str | None:
        """What the coordinator said when it ended the run."""
        return next((link.cancelled for link in self._links.values() if link.cancelled), None)

    # out

    def send(self) -> None:
        """There is more in the store: put bulks, wake the links."""
        for link in self._links.values():
            link.send_persisted()
        self._put_bulks()

    def _put_bulks(self) -> None:
        streams = sum(link.streams for link in self._links.values())
        if streams != self._streams:
            self._streams, self._put = streams, set()
        for slot in self._store.slots():
            bulk = None if slot in self._put else self._store.bulk(slot)
            if bulk is not None:
                self._at_hub(partial(self._bulk.put, slot, bulk.payload, bulk.receivers, bulk.contributors))
                self._put.add(slot)

    def _at_hub(self, call: Callable[[], Any]) -> Any:
        """What the call gives; None for a run that was cancelled meanwhile, of which the links hear a moment later."""
        try:
            return call()
        except HubUnreachable as error:
            next_step = "start the coordinator, then resume the run"
            raise RunFailed("coordinator", self._bulk.phase, str(error), next_step) from None
        except RunFailed:
            end = time.monotonic() + NOTICE_S
            while not self.cancelled and time.monotonic() < end:
                time.sleep(0.05)
            if not self.cancelled:
                raise
            return None

    def drain(self, timeout_s: float) -> bool:
        """Wait until every peer has acknowledged everything; False after `timeout_s`."""
        self._put_bulks()
        return all(link.drain(timeout_s / len(self._links)) for link in self._links.values())

    # in

    def receive(self, phase: str, expected: str, contributors: Iterable[str]) -> Inbound | None:
        """What `expected` (a peer, or SUM over `contributors`) sent in this phase; None when it is not there soon."""
        self._put_bulks()
        if expected == SUM:
            return self._receive_sum(phase, tuple(contributors))
        if expected not in self._links:
            raise ProtocolError(f"this run has no link to {expected}")
        head = self._head(expected, phase)
        if head is None:
            return None
        kind = head.kind.removeprefix(f"{phase}.")
        if kind.startswith(SUM_OF):
            raise MalformedMessage(f"{expected} sent a summand where a message was due")
        if not kind.startswith(FAN):
            return self._done({expected: head}, Message(expected, kind, head.payload), None)
        reference = FanReference.unpack(head.payload)
        data = self._at_hub(partial(self._bulk.get, reference.slot, RECEIVE_S, reference.digest))
        if data is None:
            return None
        message = Message(expected, kind.removeprefix(FAN), reference.open(data))
        return self._done({expected: head}, message, reference.slot)

    def _receive_sum(self, phase: str, contributors: tuple[str, ...]) -> Inbound | None:
        heads = {peer: self._head(peer, phase) for peer in contributors}
        if not all(heads.values()):
            return None
        references = {(head.kind, head.payload) for head in heads.values()}
        kind, payload = references.pop()
        kind = kind.removeprefix(f"{phase}.")
        if references or not kind.startswith(SUM_OF):
            raise MalformedMessage("the summands are not all of the same step")
        slot = sum_slot(payload)
        data = self._at_hub(partial(self._bulk.get, slot, RECEIVE_S))
        return None if data is None else self._done(heads, Message(SUM, kind.removeprefix(SUM_OF), data), slot)

    def _head(self, peer: str, phase: str) -> Any:
        """The next message of a peer, kept here until it can be handed in."""
        if peer not in self._held:
            inbound = self._links[peer].receive(RECEIVE_S)
            if inbound is None:
                return None
            self._held[peer] = inbound
        if not self._held[peer].kind.startswith(f"{phase}."):
            raise MalformedMessage(f"{peer} sent {self._held[peer].kind} while phase {phase} was due here")
        return self._held[peer]

    def _done(self, heads: dict[str, Any], message: Message, slot: str | None) -> Inbound:
        for peer in heads:
            del self._held[peer]
        return Inbound(message, tuple(Handled(p, h.seq, h.digest) for p, h in heads.items()), slot)

    def acknowledge(self, inbound: Inbound) -> None:
        """Its effect is durable."""
        for entry in inbound.handled:
            self._links[entry.peer].acknowledge(entry.seq)
        if inbound.slot is not None:
            self._bulk.drop_later(inbound.slot)
