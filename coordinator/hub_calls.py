"""What every call at the hub has in common: who calls, whether it may, and how a refusal becomes a gRPC status."""
from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from protocols.errors import MalformedMessage, ProtocolError, SealscoreError, TrustError
from protocols.json_object import json_object
from protocols.node.tls import peer_name
from protocols.wire import codec

Frame = TypeVar("Frame", bound=Message)
FIRST_FRAME_S = 10.0
KNOWN_S = 0.5  # a run's state is read again after that; its parties never change
MAX_KNOWN = 256  # runs of which that is remembered
ENDED = ("finished", "failed", "cancelling", "cancelled")


class HubRegistry(Protocol):
    """What the hub needs of the coordinator's registry. Called from worker threads."""

    def run(self, run: str) -> dict[str, Any]:
        """At least plan_json, state and cause; UsageError for an unknown run."""

    def run_state(self, run: str) -> str | None: ...

    def record_progress(self, run: str, party: str, event: dict[str, Any]) -> None: ...

    def party_online(self, party: str, catalogue: dict[str, Any]) -> None: ...


class Refused(Exception):
    """Why the hub ends a call: a gRPC status code and a sentence."""

    def __init__(self, code: grpc.StatusCode, sentence: str):
        super().__init__(sentence)
        self.code = code


@contextlib.asynccontextmanager
async def answering(context: Any) -> AsyncIterator[None]:
    """Turn what is wrong with a call into its gRPC status."""
    try:
        yield
    except Refused as refusal:
        await context.abort(refusal.code, str(refusal))
    except TrustError as error:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
    except ProtocolError as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    except SealscoreError as error:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))


async def first_frame(requests: AsyncIterator[bytes], kind: type[Frame], body: str, names: str) -> Frame:
    """The frame that opens a stream, which must come soon and hold `body`; a refusal says what it `names`."""
    expected = f"expected a first frame that names the {names}"
    try:
        first = await asyncio.wait_for(anext(requests), FIRST_FRAME_S)
    except (TimeoutError, StopAsyncIteration):
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, expected) from None
    frame = codec.decode(kind, first, codec.MAX_FRAME_BYTES)
    if frame.WhichOneof("body") != body:
        raise MalformedMessage(expected)
    return frame


@dataclass(frozen=True)
class Standing:
    """What the registry says of a run: its state, and the names of its parties."""

    state: str
    parties: frozenset[str]


class Callers:
    """Who may call: names of certificates, parties that the coordinator admits now, and parties of runs.

    A step of a run is dozens of calls, so what the registry says of a run that goes on is remembered for a moment.
    """

    def __init__(self, registry: HubRegistry, admits: Callable[[str], bool] = lambda party: True):
        self._registry, self._admits = registry, admits
        self._known: OrderedDict[str, tuple[float, Standing]] = OrderedDict()  # by run, with the time it was read

    def check_sender(self, party: str, context: Any) -> None:
        """Refuse a call in another name than that of the client's certificate, and of who is no party now."""
        certified = peer_name(context.auth_context())
        if certified != party:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, f"a call in the name of {party} with a certificate of "
                                                             f"{certified}")
        if not self._admits(party):
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, f"{party} is no party of this federation; the coordinator "
                                                             f"adds it with `sealscore coordinator add {party}`")

    async def check_member(self, run: str, party: str) -> Standing:
        """How a run stands; refused when there is no such run or `party` is none of its parties."""
        read_at, standing = self._known.get(run, (0.0, None))
        if standing is None or time.monotonic() - read_at > KNOWN_S:
            standing = await self._read(run, standing)
        if party not in standing.parties:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, f"{party} is no party of run {run}")
        return standing

    async def _read(self, run: str, before: Standing | None) -> Standing:
        """Ask the registry. The end of a run is not remembered: it may be resumed at any time."""
        now, state = time.monotonic(), await asyncio.to_thread(self._registry.run_state, run)
        if state is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"no run {run} at this coordinator")
        parties = before.parties if before else parties_of(await asyncio.to_thread(self._registry.run, run))
        self._known.pop(run, None)
        if state not in ENDED:
            self._known[run] = now, Standing(state, parties)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return Standing(state, parties)


def parties_of(row: dict[str, Any]) -> frozenset[str]:
    """The names of a run's parties, from its plan."""
    return frozenset(json_object(row["plan_json"].encode(), "a plan").get("parties", {}))
