"""The bank's way to the platform, as a service uses it that is put together before its event loop runs."""
from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from coordinator.certs import PartySpec, init_federation
from parties.bank.scoring.transport import DirectTransport, TransportFailed
from protocols.node.supervise import free_port


async def _called(transport: DirectTransport) -> None:
    try:
        await transport.call("Hello", b"", 2.0)
    finally:
        await transport.close()


def test_a_transport_made_before_the_loop_calls_in_it(tmp_path: Path) -> None:
    init_federation(tmp_path, [PartySpec("bank", "bank"), PartySpec("platform", "platform")], days=1)
    transport = DirectTransport(f"127.0.0.1:{free_port()}", tmp_path / "bank")
    with pytest.raises(TransportFailed, match="not reachable|no answer in time"):
        asyncio.run(_called(transport))


def test_a_transport_that_never_called_closes(tmp_path: Path) -> None:
    init_federation(tmp_path, [PartySpec("bank", "bank"), PartySpec("platform", "platform")], days=1)
    asyncio.run(DirectTransport("127.0.0.1:1", tmp_path / "bank").close())
