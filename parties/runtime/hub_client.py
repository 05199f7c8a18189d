"""The party's short calls to the hub: progress reports, and hello with its catalogue. Its channel carries bulks too."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc

from protocols.errors import ProtocolError, SealscoreError, TrustError
from protocols.node.tls import CHANNEL_OPTIONS, NodeTls, diagnose
from protocols.wire import codec
from protocols.wire.hub_pb2 import Ack, PartyCatalogue, ProgressEvent

REPORT = "/sealscore.hub.v1.Hub/Report"
HELLO = "/sealscore.hub.v1.Hub/Hello"
_UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


class HubUnreachable(SealscoreError):
    """The hub does not answer now; the call may be repeated."""


class HubClient:
    """Calls to one hub in the name of the node at `home`. Thread-safe; TrustError if its TLS files do not hold."""

    def __init__(self, hub_address: str, home: Path, timeout_s: float = 10.0):
        self._address, self.timeout_s = hub_address, timeout_s
        self._tls = NodeTls.load(home)
        self.channel = grpc.secure_channel(hub_address, self._tls.channel_credentials(), CHANNEL_OPTIONS)

    @property
    def name(self) -> str:
        """The node's name in its certificate."""
        return self._tls.name

    def report(self, run: str, phase: str, state: str, **values: Any) -> None:
        """Report progress: step, steps, fraction, eta_s, bytes_out, bytes_in, cause, next_step, body (a JSON dict).

        Idempotent. HubUnreachable may be retried; ProtocolError means that the report itself was refused.
        """
        body = values.pop("body", None)
        sentences = {name: printable(values.pop(name, "")) for name in ("cause", "next_step")}
        event = ProgressEvent(party=self._tls.name, run=run, phase=phase, state=state, **sentences, **values,
                              body_json=json.dumps(body, sort_keys=True, allow_nan=False).encode() if body else b"")
        self._call(REPORT, codec.encode(event))

    def hello(self, catalogue: dict[str, Any]) -> None:
        """Say that this party is there, with the names and types of its columns. Errors as in `report`."""
        data = json.dumps(catalogue, sort_keys=True, allow_nan=False).encode()
        self._call(HELLO, codec.encode(PartyCatalogue(party=self._tls.name, catalogue_json=data)))

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()

    def _call(self, method: str, request: bytes) -> None:
        try:
            answer = self.channel.unary_unary(method)(request, timeout=self.timeout_s)
        except grpc.RpcError as error:
            raise self.fault(error) from None
        codec.decode(Ack, answer, 0)

    def fault(self, error: grpc.RpcError) -> SealscoreError:
        """What went wrong: HubUnreachable (may be repeated), TrustError (certificates) or ProtocolError (refused)."""
        code = error.code()
        if code not in _UNREACHABLE:
            return ProtocolError(f"the hub at {self._address} refused: {error.details()}")
        fault = diagnose(self._address, self._tls)
        return TrustError(fault) if fault else HubUnreachable(f"the hub at {self._address} does not answer")


def printable(text: str) -> str:
    """A sentence as the wire takes it: printable characters only, cut at its limit."""
    return "".join(c if c.isprintable() else " " for c in text)[:codec.MAX_SENTENCE_CHARS]
