"""Single sealed calls between parties outside runs, such as joint scoring where no direct connection is allowed.

    Serve   a party that takes calls keeps one stream open: it dials out; a newer stream of a party replaces the older
    Call    another party's call waits here until that party has answered, or until its deadline

What passes is sealed between the two parties under their pinned identities: the hub sees names, method, size and
timing, keeps a call in memory until it is answered, and forgets it then. Bounded: calls of one caller, calls to one
party, and bytes in all; what does not fit is refused at once, so that a slow party holds nobody else up.
"""
from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from coordinator.hub_calls import Callers, Refused, answering, first_frame
from protocols.errors import MalformedMessage
from protocols.wire import codec
from protocols.wire import hub_pb2 as wire

CALLS_OF_CALLER = 64
CALLS_TO_CALLEE = 128
MOST_BYTES = 128 * 1024 * 1024
DEFAULT_S = 10.0

log = logging.getLogger("sealscore.hub")


@dataclass(eq=False, repr=False)
class _Served:
    """One party's stream. `asked`: numbers of calls that go out, None to end; `frames`: those that are not out yet;
    `open`: what waits for its answer."""

    party: str
    asked: asyncio.Queue[int | None] = field(default_factory=asyncio.Queue)
    frames: dict[int, bytes] = field(default_factory=dict)
    open: dict[int, asyncio.Future[bytes]] = field(default_factory=dict)
    last: int = 0

    def end(self) -> None:
        """Nobody will answer any more."""
        for waiting in self.open.values():
            if not waiting.done():
                waiting.set_exception(Refused(grpc.StatusCode.UNAVAILABLE, f"{self.party} has left the hub"))
        self.asked.put_nowait(None)


class CallRelay:
    """Both services. From one event loop."""

    def __init__(self, callers: Callers):
        self._callers = callers
        self._served: dict[str, _Served] = {}
        self._of_caller: Counter[str] = Counter()
        self._bytes = 0

    async def call(self, request: bytes, context: Any) -> bytes:
        """One call, answered by the party it is for."""
        async with answering(context):
            asked = codec.decode(wire.CallRequest, request, codec.MAX_FRAME_BYTES)
            self._callers.check_sender(asked.caller, context)
            served = self._served.get(asked.callee)
            if served is None:
                raise Refused(grpc.StatusCode.NOT_FOUND, f"{asked.callee} takes no calls at this hub now")
            with self._room(asked, served, len(request)):
                body = await self._answered(asked, served, _within_s(context))
            return codec.encode(wire.CallReply(body=body))

    async def _answered(self, asked: wire.CallRequest, served: _Served, within_s: float) -> bytes:
        served.last += 1
        number, waiting = served.last, asyncio.get_running_loop().create_future()
        served.open[number] = waiting
        called = wire.Called(number=number, caller=asked.caller, method=asked.method, body=asked.body,
                             within_ms=max(1, int(within_s * 1000)))
        served.frames[number] = codec.encode(wire.CallFrame(called=called))
        served.asked.put_nowait(number)
        try:
            return await asyncio.wait_for(waiting, within_s)
        except TimeoutError:
            raise Refused(grpc.StatusCode.DEADLINE_EXCEEDED, f"{served.party} did not answer in time") from None
        finally:
            del served.open[number]
            served.frames.pop(number, None)  # not even out yet

    @contextlib.contextmanager
    def _room(self, asked: wire.CallRequest, served: _Served, size: int) -> Iterator[None]:
        """Count a call while it waits; refused when too many do."""
        if self._of_caller[asked.caller] >= CALLS_OF_CALLER or len(served.open) >= CALLS_TO_CALLEE or \
                self._bytes + size > MOST_BYTES:
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls wait at the hub; ask again later")
        self._of_caller[asked.caller] += 1
        self._bytes += size
        try:
            yield
        finally:
            self._of_caller[asked.caller] -= 1
            self._of_caller += Counter()  # drops zeros
            self._bytes -= size

    async def serve(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        """Hand calls to one party until either side ends the stream."""
        served = await self._admit(requests, context)
        await context.send_initial_metadata(())  # tells the party that it is admitted
        if (older := self._served.get(served.party)) is not None:
            older.end()
        self._served[served.party] = served
        log.info("%s takes calls", served.party)
        reader = asyncio.create_task(self._read(served, requests))
        try:
            while (number := await served.asked.get()) is not None:
                if (frame := served.frames.pop(number, None)) is not None:
                    yield frame
        finally:
            reader.cancel()
            await asyncio.wait([reader])
            if self._served.get(served.party) is served:
                del self._served[served.party]
            served.end()
            log.info("%s takes no more calls on this stream", served.party)

    async def _admit(self, requests: AsyncIterator[bytes], context: Any) -> _Served:
        async with answering(context):
            frame = await first_frame(requests, wire.CallFrame, "callee", "party")
            self._callers.check_sender(frame.callee.party, context)
            return _Served(frame.callee.party)

    async def _read(self, served: _Served, requests: AsyncIterator[bytes]) -> None:
        """Hand answers to whom they are for; one that comes too late is dropped, a malformed one ends the stream."""
        try:
            async for data in requests:
                frame = codec.decode(wire.CallFrame, data, codec.MAX_FRAME_BYTES)
                if frame.WhichOneof("body") != "answered":
                    raise MalformedMessage("expected an answer")
                waiting = served.open.get(frame.answered.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(frame.answered.body)
        except MalformedMessage as error:
            log.warning("%s: %s", served.party, error)
        finally:
            served.end()


def _within_s(context: Any) -> float:
    left = context.time_remaining()
    return DEFAULT_S if left is None else max(0.001, min(left, codec.MAX_CALL_MS / 1000))
