"""The bank's way to the platform, as a service uses it that is put together before its event loop runs."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from coordinator.certs import PartySpec, init_federation
from parties.bank.scoring.transport import DirectTransport, HubTransport, Transport, TransportFailed
from protocols.node.supervise import free_port

WAYS: dict[str, Callable[[str, Path], Transport]] = {
    "direct": DirectTransport, "hub": lambda address, home: HubTransport(address, home, "platform")}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("federation")
    init_federation(folder, [PartySpec("bank", "bank"), PartySpec("platform", "platform")], days=1)
    return folder / "bank"


async def _called(transport: Transport) -> None:
    try:
        await transport.call("Hello", b"x", 2.0)
    finally:
        await transport.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_transport_made_before_the_loop_calls_in_it(home: Path, way: str) -> None:
    transport = WAYS[way](f"127.0.0.1:{free_port()}", home)
    with pytest.raises(TransportFailed, match="not reachable|no answer in time"):
        asyncio.run(_called(transport))


@pytest.mark.parametrize("way", WAYS)
def test_a_transport_that_never_called_closes(home: Path, way: str) -> None:
    asyncio.run(WAYS[way]("127.0.0.1:1", home).close())
