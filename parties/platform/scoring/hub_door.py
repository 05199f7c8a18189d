"""Calls that reach the platform through the coordinator's hub: one stream that this node opens, and opens again.

The hub names the caller by its certificate; the desk believes it no more than it believes a certificate on a direct
connection: without the bank's pinned identity there is no session.
"""
from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc

from parties.platform.scoring.gate import METHODS
from protocols.errors import MalformedMessage
from protocols.node.tls import CHANNEL_OPTIONS, NodeTls
from protocols.wire import codec
from protocols.wire.hub_pb2 import Answered, Called, Callee, CallFrame

log = logging.getLogger("sealscore.scoring")
HUB_SERVE = "/sealscore.hub.v1.Hub/Serve"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
STEADY_S = 30.0  # a stream that held so long ended for a new reason
MOST_CALLS = 256

Answer = Callable[[str, str, bytes, float | None], Awaitable[bytes]]
"""(caller, method, body, monotonic deadline) -> reply: `Gate.call`."""


class HubDoor:
    """`run` until cancelled."""

    def __init__(self, hub: str, home: Path, answer: Answer):
        self._hub, self._tls, self._answer = hub, NodeTls.load(home), answer
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Keep a stream to the hub; what ends it is logged."""
        pause_s = FIRST_PAUSE_S
        async with grpc.aio.secure_channel(self._hub, self._tls.channel_credentials(), CHANNEL_OPTIONS) as channel:
            while True:
                began = time.monotonic()
                try:
                    await self._stream(channel.stream_stream(HUB_SERVE)())
                except grpc.aio.AioRpcError as error:
                    log.warning("the hub at %s: %s", self._hub, error.details() or error.code().name.lower())
                except MalformedMessage as error:
                    log.warning("the hub at %s: %s", self._hub, error)
                finally:
                    self._drop()
                pause_s = FIRST_PAUSE_S if time.monotonic() - began > STEADY_S else min(2 * pause_s, LONGEST_PAUSE_S)
                await asyncio.sleep(pause_s)

    async def _stream(self, stream: grpc.aio.StreamStreamCall) -> None:
        await stream.write(codec.encode(CallFrame(callee=Callee(version=codec.VERSION, party=self._tls.name))))
        await stream.initial_metadata()
        log.info("takes calls through the hub at %s", self._hub)
        sending = asyncio.Lock()
        with contextlib.closing(_Ended(stream)):
            while (data := await stream.read()) is not grpc.aio.EOF:
                frame = codec.decode(CallFrame, data, codec.MAX_FRAME_BYTES)
                if frame.WhichOneof("body") != "called" or frame.called.method not in METHODS:
                    raise MalformedMessage("expected a call of joint scoring")
                if len(self._tasks) < MOST_CALLS:  # beyond, the caller's deadline says it
                    self._start(frame.called, stream, sending)

    def _start(self, called: Called, stream: grpc.aio.StreamStreamCall, sending: asyncio.Lock) -> None:
        task = asyncio.create_task(self._one(called, stream, sending))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _one(self, called: Called, stream: grpc.aio.StreamStreamCall, sending: asyncio.Lock) -> None:
        deadline = time.monotonic() + called.within_ms / 1000
        body = await self._answer(called.caller, called.method, called.body, deadline)
        try:
            frame = codec.encode(CallFrame(answered=Answered(number=called.number, body=body)))
        except MalformedMessage as error:
            log.warning("an answer that the hub does not carry: %s", error)
            return
        async with sending:
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the reader meets it too
                await stream.write(frame)

    def _drop(self) -> None:
        for task in list(self._tasks):
            task.cancel()


class _Ended:
    """Ends a stream when it is left."""

    def __init__(self, stream: grpc.aio.StreamStreamCall):
        self._stream = stream

    def close(self) -> None:
        """Tell the hub."""
        self._stream.cancel()
