"""Bulks at the hub: payloads that travel once for several receivers, and sums of several parties' payloads.

    fan-out   one sender, any number of receivers: its bytes as they came
    sum       each contributor puts one summand; they are added as they come, so that a slot costs one payload
              whatever their number. Nobody gets a summand apart, and the hub holds nothing that opens one

Memory only: after a restart of the hub the senders put again. A slot goes when all its receivers dropped it, or with
its run. Room is shared: a run never holds more than is still free, so that the next run finds some too; who does not
find room is told to come again (RESOURCE_EXHAUSTED). An incomplete sum is charged twice its size: there is always
room for one more summand, so that full slots never keep each other from becoming complete.
"""
from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from grpc import StatusCode

from coordinator.bulk_usage import Usage
from coordinator.hub_calls import Refused
from protocols.crypto.aggregate import MOST_SUMMANDS, add
from protocols.wire.codec import CHUNK_BYTES, MAX_BULK_BYTES
from protocols.wire.hub_pb2 import BulkHeader

MAX_DROPPED = 4096  # slots per run of which it is remembered who dropped them
MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What the hub holds at most; a run also never holds more than is still free."""

    bulk_bytes: int = MAX_BULK_BYTES
    run_bytes: int = 2048 * MIB
    total_bytes: int = 4096 * MIB
    run_slots: int = 256
    party_calls: int = 16  # of one party for one run at a time


@dataclass(eq=False)
class Slot:
    """One bulk: what its senders agree on, what came so far, and, once it is complete, its pieces."""

    receivers: tuple[str, ...]
    contributors: tuple[str, ...]  # none: fan-out of `owner`
    owner: str
    size: int
    charged: int  # bytes of room
    spare_taken: bool = False  # a summand on its way in uses the room kept for it
    digests: dict[str, bytes] = field(default_factory=dict)  # sender -> SHA-256 of what it put
    pieces: list[bytes] | None = None  # of CHUNK_BYTES each, the last one shorter
    total: bytearray | None = None
    adding: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def missing(self) -> list[str]:
        """Contributors that have not put yet."""
        return [name for name in self.contributors if name not in self.digests]

    def check(self, header: BulkHeader) -> bool:
        """True if the sender has put these very bytes; refused when the header contradicts what came before."""
        if not self.contributors and header.sender != self.owner:
            raise Refused(StatusCode.PERMISSION_DENIED, f"slot {header.slot} belongs to {self.owner}")
        same = (tuple(header.receivers), tuple(header.contributors), header.size)
        if same != (self.receivers, self.contributors, self.size):
            raise Refused(StatusCode.INVALID_ARGUMENT, f"slot {header.slot}: expected the receivers, contributors and "
                          f"size that {self.owner} gave; its senders must agree on them")
        held = self.digests.get(header.sender)
        if held is not None and held != header.sha256:
            raise Refused(StatusCode.INVALID_ARGUMENT, f"slot {header.slot}: {header.sender} has put other bytes "
                          f"there; a slot is used once")
        return held is not None


@dataclass(eq=False)
class Claim:
    """Room for one payload on its way in: bytes charged for it, or the spare room of an incomplete sum."""

    charged: int = 0
    spare_of: Slot | None = None


@dataclass(eq=False)
class RunBulks:
    """The slots of one run, and who waits for them."""

    usage: Usage
    slots: dict[str, Slot] = field(default_factory=dict)
    dropped: OrderedDict[str, set[str]] = field(default_factory=OrderedDict)
    calls: Counter[str] = field(default_factory=Counter)
    held: int = 0  # bytes, with those on their way in
    arriving: int = 0  # puts under way
    ended: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self.changed.set()
        self.changed = asyncio.Event()

    def finished(self, slot: str, receivers: tuple[str, ...]) -> bool:
        """True if every receiver has dropped the slot."""
        return set(receivers) <= self.dropped.get(slot, set())

    def check_alive(self) -> None:
        """Refuse what goes on after the end of the run."""
        if self.ended:
            raise Refused(StatusCode.FAILED_PRECONDITION, "the run has ended")


class BulkStore:
    """All bulks of a hub. For one event loop; sums and digests are computed in threads."""

    def __init__(self, limits: Limits | None = None):
        self.limits = limits or Limits()
        self._runs: dict[str, RunBulks] = {}
        self._held = 0
        self._workers = ThreadPoolExecutor(os.cpu_count(), "bulk")

    @property
    def runs(self) -> list[str]:
        """Runs of which something is kept."""
        return list(self._runs)

    @property
    def held(self) -> int:
        """Bytes held for all runs."""
        return self._held

    def usage(self, run: str) -> Usage:
        """What a run used so far."""
        return self._run(run).usage

    def forget(self, run: str) -> None:
        """The run has ended: let go of all it held and wake who waits for it."""
        bulks = self._runs.pop(run, None)
        if bulks is None:
            return
        bulks.ended = True
        for name in list(bulks.slots):
            self._remove(bulks, name)
        bulks.wake()

    def close(self) -> None:
        """Give the threads back."""
        self._workers.shutdown(cancel_futures=True)

    @contextmanager
    def call(self, run: str, party: str) -> Iterator[RunBulks]:
        """Count a call of a party; refused beyond its number of calls at a time."""
        bulks = self._run(run)
        if bulks.calls[party] >= self.limits.party_calls:
            raise Refused(StatusCode.RESOURCE_EXHAUSTED, f"{party} has {self.limits.party_calls} calls about bulks "
                                                         f"under way; come again")
        bulks.calls[party] += 1
        try:
            yield bulks
        finally:
            bulks.calls[party] -= 1

    # put

    def is_known(self, bulks: RunBulks, header: BulkHeader) -> bool:
        """True if nothing is to be done: the bytes are there, or nobody wants them any more. Refused when wrong."""
        bulks.check_alive()
        slot = bulks.slots.get(header.slot)
        if slot is not None:
            return slot.check(header)
        self._check_limits(header)
        return bulks.finished(header.slot, tuple(header.receivers))

    @contextmanager
    def room(self, bulks: RunBulks, header: BulkHeader) -> Iterator[Claim]:
        """Reserve room for a payload on its way in; refused when there is none now."""
        claim = self._claim(bulks, header)
        bulks.arriving += 1
        self._hold(bulks, claim.charged)
        try:
            yield claim
        finally:
            bulks.arriving -= 1
            self._hold(bulks, -claim.charged)
            if claim.spare_of is not None:
                claim.spare_of.spare_taken = False

    async def keep(self, bulks: RunBulks, header: BulkHeader, pieces: list[bytes], claim: Claim) -> bool:
        """Take a whole payload, in pieces of CHUNK_BYTES; True if it was there already. Refused as `is_known`."""
        digest = await self._in_thread(_digest, pieces)
        if digest != header.sha256:
            raise Refused(StatusCode.INVALID_ARGUMENT, f"slot {header.slot}: the data does not have the digest of its "
                                                       f"header; put it again")
        if self.is_known(bulks, header):
            return True
        slot = bulks.slots.get(header.slot) or self._new_slot(bulks, header, claim)
        if header.contributors:
            return await self._add(bulks, slot, header, pieces)
        slot.digests[header.sender] = header.sha256
        slot.pieces = pieces
        bulks.wake()
        return False

    def _claim(self, bulks: RunBulks, header: BulkHeader) -> Claim:
        slot = bulks.slots.get(header.slot)
        if slot is not None and not slot.spare_taken:
            slot.spare_taken = True
            return Claim(spare_of=slot)
        need = header.size if slot is not None else _need(header)
        limits = self.limits
        if bulks.held + need > min(limits.run_bytes, limits.total_bytes - self._held):
            raise Refused(StatusCode.RESOURCE_EXHAUSTED, f"no room for {need} bytes in slot {header.slot}: the run "
                          f"holds {bulks.held} of at most {limits.run_bytes}, all runs {self._held} of "
                          f"{limits.total_bytes}; come again")
        if slot is None and len(bulks.slots) + bulks.arriving >= limits.run_slots:
            raise Refused(StatusCode.RESOURCE_EXHAUSTED, f"the run has {limits.run_slots} slots in use; come again")
        return Claim(need)

    def _new_slot(self, bulks: RunBulks, header: BulkHeader, claim: Claim) -> Slot:
        """The slot of a first payload, to which its claim passes."""
        if claim.charged < _need(header):  # claimed for a slot that is gone since
            raise Refused(StatusCode.ABORTED, f"slot {header.slot} has changed; come again")
        made = Slot(tuple(header.receivers), tuple(header.contributors), header.sender, header.size, claim.charged,
                    spare_taken=True)
        claim.charged, claim.spare_of = 0, made
        bulks.slots[header.slot] = made
        return made

    async def _add(self, bulks: RunBulks, slot: Slot, header: BulkHeader, pieces: list[bytes]) -> bool:
        """Add a summand to its slot; the slot is removed again if its first summand is none."""
        async with slot.adding:
            bulks.check_alive()
            if bulks.slots.get(header.slot) is not slot:
                raise Refused(StatusCode.ABORTED, f"slot {header.slot} has changed; come again")
            if slot.check(header):
                return True
            try:
                slot.total, seconds = await self._in_thread(_timed_add, slot.total, pieces)
                slot.digests[header.sender] = header.sha256
            finally:
                if not slot.digests and bulks.slots.get(header.slot) is slot:
                    self._remove(bulks, header.slot)
            bulks.usage.add_cpu_s += seconds
            bulks.usage.summands += 1
            if not slot.missing:
                await self._complete(bulks, slot)
        bulks.wake()
        return False

    async def _complete(self, bulks: RunBulks, slot: Slot) -> None:
        slot.pieces = await self._in_thread(_split, slot.total)
        slot.total = None
        self._hold(bulks, min(slot.charged, slot.size) - slot.charged)
        slot.charged = min(slot.charged, slot.size)

    # get and drop

    async def wait(self, bulks: RunBulks, name: str, party: str, wait_s: float) -> Slot | None:
        """The slot as `party` may read it, complete or not, after at most `wait_s`; None if nobody has put there."""
        end = time.monotonic() + wait_s
        while True:
            bulks.check_alive()
            slot, changed = self._readable(bulks, name, party), bulks.changed
            left = end - time.monotonic()
            if left <= 0 or (slot is not None and slot.pieces is not None):
                return slot
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), left)

    def drop(self, bulks: RunBulks, name: str, party: str) -> None:
        """`party` needs the slot no more. It goes when no receiver does; dropping twice changes nothing."""
        slot = bulks.slots.get(name)
        if slot is not None:
            self._check_receiver(slot, name, party)
        bulks.dropped.setdefault(name, set()).add(party)
        while len(bulks.dropped) > MAX_DROPPED:
            bulks.dropped.popitem(last=False)
        if slot is not None and bulks.finished(name, slot.receivers):
            self._remove(bulks, name)
            bulks.wake()

    def _readable(self, bulks: RunBulks, name: str, party: str) -> Slot | None:
        slot = bulks.slots.get(name)
        if slot is not None:
            self._check_receiver(slot, name, party)
        elif party in bulks.dropped.get(name, ()):
            raise Refused(StatusCode.FAILED_PRECONDITION, f"slot {name} was dropped by {party}")
        return slot

    def _check_receiver(self, slot: Slot, name: str, party: str) -> None:
        if party not in slot.receivers:
            raise Refused(StatusCode.PERMISSION_DENIED, f"{party} is no receiver of slot {name}")

    # room

    def _check_limits(self, header: BulkHeader) -> None:
        if len(header.contributors) > MOST_SUMMANDS:
            raise Refused(StatusCode.INVALID_ARGUMENT, f"slot {header.slot}: expected at most {MOST_SUMMANDS} "
                          f"contributors to one sum, got {len(header.contributors)}; add up in groups")
        limits = self.limits
        if header.size > limits.bulk_bytes or _need(header) > min(limits.run_bytes, limits.total_bytes // 2):
            raise Refused(StatusCode.INVALID_ARGUMENT, f"slot {header.slot}: {header.size} bytes are more than a bulk "
                          f"may have at this hub; give its process more room (--bulk-mib)")

    def _run(self, run: str) -> RunBulks:
        return self._runs.setdefault(run, RunBulks(Usage()))

    def _remove(self, bulks: RunBulks, name: str) -> None:
        slot = bulks.slots.pop(name)
        self._hold(bulks, -slot.charged)
        slot.charged = 0

    def _hold(self, bulks: RunBulks, size: int) -> None:
        bulks.held += size
        self._held += size
        bulks.usage.peak_bytes = max(bulks.usage.peak_bytes, bulks.held)

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._workers, function, *arguments)


def _need(header: BulkHeader) -> int:
    """Room for a slot's first payload, bytes: a sum also keeps room for the next summand."""
    return header.size * (2 if header.contributors else 1)


def _digest(pieces: list[bytes]) -> bytes:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _timed_add(total: bytearray | None, pieces: list[bytes]) -> tuple[bytearray, float]:
    """The sum with one more summand, and the CPU seconds that took. Empties `pieces`."""
    began = time.thread_time()
    part = bytearray()
    pieces.reverse()
    while pieces:  # so that the payload is in memory once
        part += pieces.pop()
    return add(total, part), time.thread_time() - began


def _split(total: bytearray) -> list[bytes]:
    return [bytes(total[start:start + CHUNK_BYTES]) for start in range(0, len(total), CHUNK_BYTES)]
