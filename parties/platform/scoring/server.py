"""`sealscore platform scoring serve`: the process that answers banks online, over gRPC with mutual TLS.

Beside the service stand gRPC's own health (grpc.health.v1) and reflection; both need a certificate of the federation
too. The caller is the name in its certificate; what it says it must say under its pinned identity as well.
"""
from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from parties.platform.scoring.accounts import Accounts, open_accounts
from parties.platform.scoring.admissions import Admissions, Limits
from parties.platform.scoring.desk import Desk, Parts
from parties.platform.scoring.gate import METHODS, Gate
from parties.platform.scoring.hub_door import HubDoor
from parties.platform.scoring.models import OnlineModels
from parties.platform.scoring.online_store import OnlineStore, open_store
from parties.platform.scoring.shared import SharedHalves
from parties.runtime.config import LoadedParty
from parties.runtime.scoring.settings import ScoringConfig
from parties.runtime.vault import Vault
from protocols.crypto.identity import IdentityKey
from protocols.errors import ConfigError, PolicyRefused, SealscoreError, TrustError
from protocols.node.at_rest import scoring_box
from protocols.node.tls import NodeTls, peer_name
from protocols.scoring import messages as m
from protocols.scoring import scoring_pb2 as pb

log = logging.getLogger("sealscore.scoring")
SERVICE = pb.DESCRIPTOR.services_by_name["Scoring"].full_name
HAND_OVER_S = 15.0
FORGET_S = 3600.0
DEFAULT_DEADLINE_S = 5.0
_OPTIONS = (
    ("grpc.max_receive_message_length", m.MAX_CALL_BYTES), ("grpc.max_send_message_length", m.MAX_CALL_BYTES),
    ("grpc.so_reuseport", 0), ("grpc.keepalive_time_ms", 30_000), ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)


class Service:
    """Everything of the process but its loop; `close` gives up all files."""

    def __init__(self, party: LoadedParty, identity: IdentityKey):
        config = _checked(party)
        policy = party.policy
        self.party, self.config = party, config
        self._store: OnlineStore = open_store(config.store, party.home)
        limits = Limits(policy.maximum_scores_per_person_per_day, policy.maximum_snapshots_per_person)
        self._admissions = Admissions(party.state / "scoring" / "admissions.db", limits)
        self._accounts: Accounts = open_accounts(party, identity, self._admissions, config.audit_lag_s)
        parts = Parts(party.name, identity, policy, OnlineModels(party.state, identity, policy), self._store,
                      self._admissions, scoring_box(identity), self._accounts.behind,
                      shared=SharedHalves(Vault(party.state / "vault", identity)))
        self.desk = Desk(parts)
        self.gate = Gate(self.desk, frozenset(policy.peers), config.scores_per_s, config.queue)

    async def keep_accounts(self) -> None:
        """Hand openings to the audit log and forget what has expired, until cancelled."""
        forgotten = 0.0
        while True:
            await asyncio.sleep(HAND_OVER_S)
            with contextlib.suppress(SealscoreError):  # logged; the next turn tries again, `behind` closes the door
                await asyncio.to_thread(self.hand_over)
            await asyncio.to_thread(self._admissions.checkpoint)
            if time.monotonic() - forgotten > FORGET_S:
                await asyncio.to_thread(self._admissions.forget, int(datetime.now(UTC).timestamp()))
                forgotten = time.monotonic()

    def hand_over(self) -> None:
        """Once; SealscoreError when the audit log cannot take it."""
        try:
            self._accounts.hand_over()
        except SealscoreError as error:
            log.warning("openings are not in the audit log yet: %s", error)
            raise

    def close(self) -> None:
        """Answer what is being answered, hand over what is left, close the files."""
        self.gate.close()
        with contextlib.suppress(SealscoreError):  # logged; durable here, handed over at the next start
            self.hand_over()
        self._admissions.close()
        self._store.close()


def _checked(party: LoadedParty) -> ScoringConfig:
    config = party.config.scoring
    if config is None or config.listen is None:
        raise ConfigError("the node's file needs a section [scoring] with listen = \"HOST:PORT\"")
    if "online" not in party.policy.kinds:
        raise PolicyRefused("kinds", "this node's policy does not allow online scoring; add \"online\" to kinds")
    return config


async def serve(service: Service, stop: asyncio.Event, ready: Callable[[int], None]) -> None:
    """Answer until `stop`; `ready` is told the port once the first call can come."""
    server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=4 * service.config.queue)
    server.add_generic_rpc_handlers((_handlers(service.gate),))
    told = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(told, server)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    credentials = NodeTls.load(service.party.home).server_credentials()
    try:
        port = server.add_secure_port(service.config.listen, credentials)
    except RuntimeError:
        port = 0
    if not port:
        raise ConfigError(f"scoring.listen = {service.config.listen!r} is not free; choose another port")
    await server.start()
    for name in ("", SERVICE):
        await told.set(name, health_pb2.HealthCheckResponse.SERVING)
    keeping = [asyncio.create_task(service.keep_accounts())]
    if service.config.hub:
        door = HubDoor(service.party.config.coordinator.hub, service.party.home, service.gate.call)
        keeping.append(asyncio.create_task(door.run()))
    ready(port)
    await stop.wait()
    await told.enter_graceful_shutdown()
    await server.stop(5.0)
    for task in keeping:
        task.cancel()
    await asyncio.gather(*keeping, return_exceptions=True)


def _handlers(gate: Gate) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(SERVICE, {
        method: grpc.unary_unary_rpc_method_handler(_method(gate, method)) for method in METHODS})


def _method(gate: Gate, method: str) -> Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]:
    async def answer(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        try:
            caller = peer_name(context.auth_context())
        except TrustError as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        left = context.time_remaining()
        within_s = DEFAULT_DEADLINE_S if left is None else min(left, DEFAULT_DEADLINE_S)
        return await gate.call(caller, method, body, time.monotonic() + within_s)

    return answer
