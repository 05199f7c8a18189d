"""A hub with small limits, clients of its parties, and calls that are made byte by byte."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from coordinator.certs import PartySpec, init_federation
from parties.runtime import bulk as bulk_client
from parties.runtime.bulk import Bulk
from parties.runtime.hub_client import HubClient
from protocols.node.tls import CHANNEL_OPTIONS, NodeTls
from tests.coordinator.bulk.threaded_hub import BANKS, CODES, LIMITS, OTHER_RUN, PARTIES, RUN, ThreadedHub


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bulk") / "certs"
    init_federation(root, [PartySpec(n, "bank" if n in BANKS else "platform") for n in (*PARTIES, "third")], 2)
    return root


@pytest.fixture(scope="module")
def running(federation: Path) -> Iterator[ThreadedHub]:
    made = ThreadedHub(federation / "coordinator", LIMITS)
    yield made
    made.stop()


@pytest.fixture
def hub(running: ThreadedHub) -> Iterator[ThreadedHub]:
    """The hub of the module without any bulk."""
    yield running
    running.registry.states.update({RUN: "running", OTHER_RUN: "running"})
    for run in running.store.runs:
        running._loop.call_soon_threadsafe(running.store.forget, run)


@pytest.fixture
def bulk(hub: ThreadedHub, federation: Path) -> Iterator[Callable[..., Bulk]]:
    clients: list[HubClient] = []

    def make(party: str, run: str = RUN, deadline_s: float = 5.0, **more) -> Bulk:
        clients.append(HubClient(hub.address, federation / party))
        return Bulk(clients[-1], run, deadline_s, **more)

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def raw(hub: ThreadedHub, federation: Path) -> Iterator[Callable[..., tuple[grpc.StatusCode, str]]]:
    """raw(method, party, frames) -> status and details of a call that is made byte by byte."""
    channels: dict[str, grpc.Channel] = {}

    def call(method: str, party: str, frames: list[bytes]) -> tuple[grpc.StatusCode, str]:
        if party not in channels:
            credentials = NodeTls.load(federation / party).channel_credentials()
            channels[party] = grpc.secure_channel(hub.address, credentials, CHANNEL_OPTIONS)
        name = f"/sealscore.hub.v1.Hub/{method}"
        try:
            if method == "Put":
                channels[party].stream_unary(name)(iter(frames), timeout=10)
            elif method == "Get":
                list(channels[party].unary_stream(name)(frames[0], timeout=10))
            else:
                channels[party].unary_unary(name)(frames[0], timeout=10)
        except grpc.RpcError as error:
            return error.code(), error.details()
        return CODES.OK, ""

    yield call
    for channel in channels.values():
        channel.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch, bulk: Callable) -> Callable[..., Bulk]:
    """As `bulk`, giving up soon whatever the size."""
    monkeypatch.setattr(bulk_client, "SLOWEST_BYTES_PER_S", 1e12)
    return lambda party, run=RUN: bulk(party, run, deadline_s=0.2)
