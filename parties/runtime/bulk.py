"""Bulks of one run at the hub: what is the same for several receivers, or what the hub adds up, travels here once.

    put     blocks until the hub has it, over restarts of the hub and while it has no room
    get     None while it is not there; what came is checked for length and, if one party sent it, for its digest
    drop    this party needs it no more; `drop_later` does not wait for the hub's word

The hub keeps bulks in memory only: whoever learns that it was started again puts again what is not acknowledged.
What the bytes are worth is not checked here: a sealed message between the parties names the slot and what is in it.
"""
from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import grpc

from parties.runtime.hub_client import HubClient, HubUnreachable
from protocols.errors import MalformedMessage, ProtocolError, RunFailed, SealscoreError
from protocols.wire import codec
from protocols.wire.hub_pb2 import BulkAck, BulkChunk, BulkHeader, BulkOffer, BulkRequest

PUT = "/sealscore.hub.v1.Hub/Put"
GET = "/sealscore.hub.v1.Hub/Get"
DROP = "/sealscore.hub.v1.Hub/Drop"
BACKOFF_S = (0.1, 2.0)  # first and longest pause before a call is repeated
SLOWEST_BYTES_PER_S = 1_000_000  # a transfer may take this long beyond the deadline
LAST_ATTEMPT_S = 2.0
MAX_ACK_BYTES = 16
_FULL = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED)


class Bulk:
    """Puts, gets and drops bulks of `run` in the name of the node of `client`. Thread-safe."""

    def __init__(self, client: HubClient, run: str, deadline_s: float = 120.0,
                 max_bytes: int = codec.MAX_BULK_BYTES,
                 on_frame: Callable[[str, bytes], None] = lambda direction, frame: None):
        """`deadline_s`: how long to go on without the hub, or without room there. `on_frame("out"|"in", bytes)` sees
        every frame and must return soon.
        """
        self.phase = "bulk"  # what a failure names; the driver keeps it up to date
        self.missing: tuple[str, ...] = ()  # contributors of whom the last `get` that gave None has heard nothing
        self.bytes_out = self.bytes_in = 0  # of all frames
        self._client, self._run, self._deadline_s = client, run, deadline_s
        self._max_bytes, self._on_frame = max_bytes, on_frame
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._calls: set[grpc.Call] = set()  # under way
        self._away_since: float | None = None  # since when the hub has not answered

    def close(self) -> None:
        """End every call under way: a `put` with HubUnreachable, a `get` with None."""
        self._closed.set()
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.cancel()

    def put(self, slot: str, data: bytes, receivers: Sequence[str], contributors: Sequence[str] = ()) -> None:
        """Put `data` for `receivers`, as it is or as this party's summand among `contributors`; again is no harm.

        HubUnreachable after the deadline; RunFailed when the hub refuses or has no room until then; TrustError for
        certificates; MalformedMessage for a slot, names or a size that the wire does not take.
        """
        header = BulkHeader(version=codec.VERSION, run=self._run, slot=slot, sender=self._client.name,
                            receivers=sorted(receivers), contributors=sorted(contributors), size=len(data),
                            sha256=hashlib.sha256(data).digest())
        first = codec.encode(BulkChunk(header=header))
        end = time.monotonic() + self._deadline_s + len(data) / SLOWEST_BYTES_PER_S
        for pause in _pauses():
            if self._closed.is_set():  # a call that is made now may be answered before it is cancelled
                raise HubUnreachable(f"the put into slot {slot} was ended from this side")
            try:
                call = self._client.channel.stream_unary(PUT).future(self._frames(first, data), timeout=_left(end))
                with self._under_way(call):
                    codec.decode(BulkAck, self._came(call.result()), MAX_ACK_BYTES)
                return
            except grpc.FutureCancelledError:
                raise HubUnreachable(f"the put into slot {slot} was ended from this side") from None
            except grpc.RpcError as error:
                self._retry(error, end, pause)

    def get(self, slot: str, timeout_s: float, sha256: bytes | None = None) -> bytes | None:
        """The bulk, or None when it is not complete after `timeout_s` (see `missing`) or this object was closed.

        `sha256`: what a sealed message said; without it only what the hub itself says is checked. Errors as in `put`;
        ProtocolError for bytes that are not what was announced.
        """
        end, pauses = time.monotonic() + timeout_s, _pauses()
        self.missing = ()
        while True:
            try:
                data = self._try_get(slot, max(0.0, end - time.monotonic()), sha256)
            except grpc.RpcError as error:
                data = None
                self._note(error)
                self._closed.wait(min(next(pauses), max(0.0, end - time.monotonic())))
            if data is not None or self._closed.is_set() or time.monotonic() >= end:
                return data

    def drop(self, slot: str) -> bool:
        """This party needs the slot no more. False if the hub does not answer: it forgets with the run anyway.

        RunFailed if this party is no receiver of the slot.
        """
        request = self._request(slot, 0.0)
        try:
            answer = self._client.channel.unary_unary(DROP)(request, timeout=self._client.timeout_s)
        except grpc.RpcError as error:
            if error.code() in _FULL:
                return False
            if isinstance(fault := self._fault(error), HubUnreachable):
                return False
            raise fault from None
        self._gone(request)
        codec.decode(BulkAck, self._came(answer), MAX_ACK_BYTES)
        return True

    def drop_later(self, slot: str) -> None:
        """As `drop`, without waiting for the answer: on a distant line that would cost every step a round trip.

        A drop that fails costs room at the hub until the run ends, and nothing else.
        """
        request = self._gone(self._request(slot, 0.0))
        call = self._client.channel.unary_unary(DROP).future(request, timeout=self._client.timeout_s)
        with self._lock:
            self._calls.add(call)
        call.add_done_callback(self._dropped)
        if self._closed.is_set():
            call.cancel()

    def _dropped(self, call: grpc.Future) -> None:
        """On gRPC's thread: count what came."""
        with self._lock:
            self._calls.discard(call)
        if not call.cancelled() and call.exception() is None:
            self._came(call.result())

    # out

    def _request(self, slot: str, wait_s: float) -> bytes:
        return codec.encode(BulkRequest(version=codec.VERSION, run=self._run, slot=slot, party=self._client.name,
                                        wait_ms=min(int(wait_s * 1000), codec.MAX_BULK_WAIT_MS)))

    def _frames(self, first: bytes, data: bytes) -> Iterator[bytes]:
        yield self._gone(first)
        view = memoryview(data)
        for start in range(0, len(data), codec.CHUNK_BYTES):
            yield self._gone(codec.encode(BulkChunk(data=bytes(view[start:start + codec.CHUNK_BYTES]))))

    def _gone(self, frame: bytes) -> bytes:
        with self._lock:
            self.bytes_out += len(frame)
        self._on_frame("out", frame)
        return frame

    # in

    def _try_get(self, slot: str, wait_s: float, sha256: bytes | None) -> bytes | None:
        request = self._gone(self._request(slot, wait_s))
        limit = wait_s + self._deadline_s + self._max_bytes / SLOWEST_BYTES_PER_S
        call = self._client.channel.unary_stream(GET)(request, timeout=limit)
        with self._under_way(call):
            chunk = self._next(call)
            if chunk.WhichOneof("body") == "not_ready":
                self.missing = tuple(chunk.not_ready.missing)
                return None
            if chunk.WhichOneof("body") != "offer":
                raise MalformedMessage(f"slot {slot}: expected an offer of the hub")
            data, digest = self._data(slot, chunk.offer, call)
        if sha256 is not None and sha256 != (digest or hashlib.sha256(data).digest()):
            raise ProtocolError(f"slot {slot}: {len(data)} bytes without the announced digest; the hub or the sender "
                                f"changed them")
        return data

    @contextmanager
    def _under_way(self, call: grpc.Call) -> Iterator[None]:
        """Let `close` cancel a call, and end it in any case."""
        with self._lock:
            self._calls.add(call)
        if self._closed.is_set():
            call.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._calls.discard(call)
            call.cancel()

    def _data(self, slot: str, offer: BulkOffer, call: Iterator[bytes]) -> tuple[bytes, bytes]:
        """The bytes that were offered, and the digest of what one party sent; none of a sum."""
        if offer.size > self._max_bytes:
            raise MalformedMessage(f"slot {slot}: expected at most {self._max_bytes} bytes, got {offer.size}; raise "
                                   f"maximum_message_bytes in the policy")
        whole, digest = io.BytesIO(), hashlib.sha256()
        for number in range(codec.chunk_count(offer.size)):
            piece = self._next(call).data
            if len(piece) != codec.chunk_length(offer.size, number):
                raise MalformedMessage(f"slot {slot}: expected {codec.chunk_length(offer.size, number)} bytes in chunk "
                                       f"{number}, got {len(piece)}")
            whole.write(piece)
            if offer.sender:
                digest.update(piece)
        if offer.sender and digest.digest() != offer.sha256:
            raise ProtocolError(f"slot {slot}: {offer.size} bytes of {offer.sender} without the digest of their header")
        return whole.getvalue(), digest.digest() if offer.sender else b""

    def _next(self, call: Iterator[bytes]) -> BulkChunk:
        data = next(call, None)
        if data is None:
            raise MalformedMessage("expected a chunk of the hub, got the end of the call")
        return codec.decode(BulkChunk, self._came(data), codec.MAX_FRAME_BYTES)

    def _came(self, frame: bytes) -> bytes:
        self._away_since = None
        with self._lock:
            self.bytes_in += len(frame)
        self._on_frame("in", frame)
        return frame

    # faults

    def _retry(self, error: grpc.RpcError, end: float, pause: float) -> None:
        """Wait before a put is repeated, or raise what ends it."""
        fault = self._fault(error)
        lasting = not isinstance(fault, HubUnreachable) and error.code() not in _FULL
        if lasting or time.monotonic() >= end or self._closed.wait(pause):
            raise fault from None

    def _note(self, error: grpc.RpcError) -> None:
        """Raise what a get may not wait for: a refusal, or a hub that has been away beyond the deadline."""
        if self._closed.is_set():
            return
        fault, now = self._fault(error), time.monotonic()
        if error.code() in _FULL:
            self._away_since = None
            return
        self._away_since = self._away_since or now
        if not isinstance(fault, HubUnreachable) or now - self._away_since > self._deadline_s:
            raise fault from None

    def _fault(self, error: grpc.RpcError) -> SealscoreError:
        fault = self._client.fault(error)
        if error.code() in _FULL:
            return RunFailed("coordinator", self.phase, f"no room at the hub: {error.details()}",
                             "give the hub more room (--bulk-mib) or run less at a time, then resume the run")
        if error.code() == grpc.StatusCode.UNAUTHENTICATED or not isinstance(fault, ProtocolError):
            return fault
        return RunFailed("coordinator", self.phase, f"the hub refused a call of {self._client.name} about a bulk: "
                         f"{error.details()}", "see why the run ended, or start a new one")


def _left(end: float) -> float:
    """Seconds that an attempt may take: the last one has time enough to hear why the hub refuses."""
    return max(LAST_ATTEMPT_S, end - time.monotonic())


def _pauses() -> Iterator[float]:
    """Seconds to wait before the second call, the third, …"""
    pause, longest = BACKOFF_S
    while True:
        yield pause
        pause = min(2 * pause, longest)
