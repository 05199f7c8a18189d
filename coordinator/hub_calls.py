"""What every call at the hub has in common: who calls, whether it may, and how a refusal becomes a gRPC status."""
from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import grpc

from protocols.errors import MalformedMessage, ProtocolError, SealscoreError, TrustError
from protocols.node.tls import peer_name


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


class Callers:
    """Who may call: names of certificates, parties that the coordinator admits now, and parties of runs."""

    def __init__(self, registry: HubRegistry, admits: Callable[[str], bool] = lambda party: True):
        self._registry, self._admits = registry, admits

    def check_sender(self, party: str, context: Any) -> None:
        """Refuse a call in another name than that of the client's certificate, and of who is no party now."""
        certified = peer_name(context.auth_context())
        if certified != party:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, f"a call in the name of {party} with a certificate of "
                                                             f"{certified}")
        if not self._admits(party):
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, f"{party} is no party of this federation; the coordinator "
                                                             f"adds it with `sealscore coordinator add {party}`")

    async def check_member(self, run: str, party: str) -> dict[str, Any]:
        """The registry's row of a run; refused when there is no such run or `party` is none of its parties."""
        if await asyncio.to_thread(self._registry.run_state, run) is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"no run {run} at this coordinator")
        row = await asyncio.to_thread(self._registry.run, run)
        if party not in parties_of(row):
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, f"{party} is no party of run {run}")
        return row


def parties_of(row: dict[str, Any]) -> frozenset[str]:
    """The names of a run's parties, from its plan."""
    return frozenset(json_object(row["plan_json"].encode()).get("parties", {}))


def json_object(data: bytes) -> dict[str, Any]:
    """JSON bytes as a dict; MalformedMessage otherwise."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedMessage("bytes that are not JSON") from None
    if not isinstance(value, dict):
        raise MalformedMessage("expected a JSON object")
    return value
