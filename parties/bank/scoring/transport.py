"""How a sealed call reaches the platform: a transport carries bytes; what is in them only the two nodes can read."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import grpc

from protocols.errors import MalformedMessage
from protocols.node.tls import CHANNEL_OPTIONS, NodeTls
from protocols.scoring import messages as m
from protocols.wire import codec
from protocols.wire.hub_pb2 import CallReply, CallRequest

HUB_CALL = "/sealscore.hub.v1.Hub/Call"
PREFIX = "/sealscore.scoring.v1.Scoring/"
_OPTIONS = (
    ("grpc.max_receive_message_length", m.MAX_CALL_BYTES), ("grpc.max_send_message_length", m.MAX_CALL_BYTES),
    ("grpc.keepalive_time_ms", 10_000), ("grpc.keepalive_timeout_ms", 5_000), ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.enable_http_proxy", 0),
)


class TransportFailed(Exception):
    """No reply came; `str` is the cause in a few words, for a decision's record."""


class Transport(Protocol):
    """Carries one call and its reply."""

    async def call(self, method: str, body: bytes, timeout_s: float) -> bytes:
        """The reply; TransportFailed when none comes in time."""

    async def close(self) -> None:
        """Give up the connection."""


class _Channel:
    """Opened at the first call: a channel belongs to the loop that runs when it is made, and a service is put together
    before its loop runs. From one event loop."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials, options: Sequence[tuple[str, Any]]):
        self._address, self._credentials, self._options = address, credentials, options
        self._channel: grpc.aio.Channel | None = None
        self._methods: dict[str, grpc.aio.UnaryUnaryMultiCallable] = {}

    def method(self, path: str) -> grpc.aio.UnaryUnaryMultiCallable:
        """A unary call that takes and gives bytes."""
        if self._channel is None:
            self._channel = grpc.aio.secure_channel(self._address, self._credentials, self._options)
        if path not in self._methods:
            self._methods[path] = self._channel.unary_unary(path)
        return self._methods[path]

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()


class DirectTransport:
    """gRPC with mutual TLS to the platform's scoring process; from one event loop."""

    def __init__(self, address: str, home: Path):
        self._channel = _Channel(address, NodeTls.load(home).channel_credentials(), _OPTIONS)

    async def call(self, method: str, body: bytes, timeout_s: float) -> bytes:
        """One unary call."""
        try:
            return await self._channel.method(PREFIX + method)(body, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise TransportFailed(_CAUSES.get(error.code(), error.code().name.lower())) from None

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


class HubTransport:
    """Through the coordinator's hub to a platform that takes calls there; from one event loop. The hub sees names,
    sizes and timing."""

    def __init__(self, hub: str, home: Path, platform: str):
        tls = NodeTls.load(home)
        self._names = {"caller": tls.name, "callee": platform}
        self._channel = _Channel(hub, tls.channel_credentials(), CHANNEL_OPTIONS)

    async def call(self, method: str, body: bytes, timeout_s: float) -> bytes:
        """One unary call."""
        try:
            request = codec.encode(CallRequest(version=codec.VERSION, **self._names, method=method, body=body))
            reply = await self._channel.method(HUB_CALL)(request, timeout=timeout_s)
            return codec.decode(CallReply, reply, codec.MAX_FRAME_BYTES).body
        except grpc.aio.AioRpcError as error:
            raise TransportFailed(_HUB_CAUSES.get(error.code(), error.code().name.lower())) from None
        except MalformedMessage:
            raise TransportFailed("a call or reply that the hub does not carry") from None

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


_CAUSES = {
    grpc.StatusCode.DEADLINE_EXCEEDED: "no answer in time", grpc.StatusCode.UNAVAILABLE: "not reachable",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "busy", grpc.StatusCode.UNAUTHENTICATED: "certificate not accepted",
}
_HUB_CAUSES = _CAUSES | {
    grpc.StatusCode.UNAVAILABLE: "the hub is not reachable", grpc.StatusCode.NOT_FOUND: "not at the hub",
    grpc.StatusCode.PERMISSION_DENIED: "the hub does not accept this bank",
}
