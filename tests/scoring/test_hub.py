"""Joint scoring through the coordinator's hub: the same answers, nothing for the hub to read, bounded memory."""
from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import grpc
import pytest

from coordinator import calls as relay
from coordinator.hub import Hub, server
from parties.bank.scoring.transport import HUB_CALL, HubTransport
from parties.platform.scoring.hub_door import HUB_SERVE, HubDoor
from protocols.errors import MalformedMessage
from protocols.node.tls import CHANNEL_OPTIONS, NodeTls
from protocols.wire import codec
from protocols.wire.hub_pb2 import Answered, Called, Callee, CallFrame, CallReply, CallRequest
from tests.coordinator.hub.test_hub import FakeRegistry
from tests.scoring.asking import Asking, scorer, service_of
from tests.scoring.homes import MODEL, Homes

pytestmark = pytest.mark.slow  # processes, servers or many threads at once


class Relay:
    """A hub on a port, and what passed through it."""

    def __init__(self, homes: Homes, admits=lambda party: True):
        self.homes, self.hub, self.seen = homes, Hub(FakeRegistry(), admits), []
        original = self.hub.calls._answered

        async def answered(asked, served, within_s):
            body = await original(asked, served, within_s)
            self.seen += [asked.body, body]
            return body

        self.hub.calls._answered = answered

    async def __aenter__(self) -> Relay:
        self.server, port = server(self.hub, NodeTls.load(self.homes.bank.parent / "coordinator"), "127.0.0.1:0")
        await self.server.start()
        self.address = f"127.0.0.1:{port}"
        return self

    async def __aexit__(self, *gone) -> None:
        await self.server.stop(0)

    @contextlib.asynccontextmanager
    async def door(self, answer):
        """The platform's, attached."""
        running = asyncio.create_task(HubDoor(self.address, self.homes.platform, answer).run())
        try:
            async with asyncio.timeout(10):
                while "platform" not in self.hub.calls._served:
                    await asyncio.sleep(0.01)
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def transport(self, role: str = "bank", callee: str = "platform") -> HubTransport:
        return HubTransport(self.address, getattr(self.homes, role), callee)

    @contextlib.asynccontextmanager
    async def channel(self, role: str):
        credentials = NodeTls.load(getattr(self.homes, role)).channel_credentials()
        async with grpc.aio.secure_channel(self.address, credentials, CHANNEL_OPTIONS) as channel:
            yield channel


async def echo(caller: str, method: str, body: bytes, deadline: float | None) -> bytes:
    return caller.encode() + b" " + method.encode() + b" " + body


def code_of(error: pytest.ExceptionInfo) -> grpc.StatusCode:
    return error.value.code()


def test_answers_through_the_hub_are_those_of_a_direct_call_and_the_hub_can_read_nothing(homes):
    async def run():
        with service_of(homes) as service:
            async with Relay(homes) as hub, hub.door(service.gate.call):
                asking = Asking(homes)
                asks = [asking.ask(n) for n in range(40)]
                async with scorer(asking, hub.transport()) as client:
                    answers = await asyncio.gather(*(client.score(ask, MODEL, 10) for ask in asks))
                return answers, hub, asks

    answers, hub, asks = asyncio.run(run())
    assert [a.status for a in answers] == ["answered"] * 40
    expected = [round(float(value) * 32) for value in homes.partials()[:40]]
    assert all(a.lacks or abs(a.partial - e) <= 1 for a, e in zip(answers, expected, strict=True))
    assert len(hub.seen) == 4  # hello and one call, both ways
    for secret in (MODEL.encode(), b"credit-scoring", asks[0].token, asks[0].use):
        assert not any(secret in seen for seen in hub.seen)
    assert hub.hub.calls._bytes == 0 and not hub.hub.calls._of_caller


def test_a_platform_that_is_not_there_leaves_and_comes_back(homes):
    async def run():
        causes = []
        with service_of(homes) as service:
            async with Relay(homes) as hub:
                asking = Asking(homes)
                async with scorer(asking, hub.transport()) as client:
                    causes.append((await client.score(asking.ask(1), MODEL, 5)).cause)
                    for _ in range(2):
                        async with hub.door(service.gate.call):
                            causes.append((await client.score(asking.ask(2), MODEL, 5)).cause)
                        async with asyncio.timeout(5):
                            while hub.hub.calls._served:
                                await asyncio.sleep(0.01)
                    causes.append((await client.score(asking.ask(3), MODEL, 5)).cause)
        return causes

    assert asyncio.run(run()) == ["not at the hub", None, None, "not at the hub"]


def test_a_hub_that_is_down_is_a_cause(homes):
    async def run():
        async with Relay(homes) as hub:
            transport = hub.transport()
        asking = Asking(homes)
        async with scorer(asking, transport) as client:
            return (await client.score(asking.ask(1), MODEL, 2)).cause

    assert asyncio.run(run()) == "the hub is not reachable"


def test_nobody_calls_or_serves_in_anothers_name(homes):
    async def run():
        async with Relay(homes, lambda party: party != "platform") as hub, hub.channel("bank") as channel:
            for caller in ("platform", "other"):
                request = CallRequest(version=1, caller=caller, callee="bank", method="Score", body=b"x")
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await channel.unary_unary(HUB_CALL)(codec.encode(request), timeout=5)
                assert code_of(error) == grpc.StatusCode.PERMISSION_DENIED
            for role, party in (("bank", "platform"), ("platform", "platform")):
                async with hub.channel(role) as other:
                    stream = other.stream_stream(HUB_SERVE)()
                    await stream.write(codec.encode(CallFrame(callee=Callee(version=1, party=party))))
                    with pytest.raises(grpc.aio.AioRpcError) as error:
                        await stream.read()
                    assert code_of(error) == grpc.StatusCode.PERMISSION_DENIED
            assert not hub.hub.calls._served

    asyncio.run(run())


def test_a_slow_party_holds_only_its_calls_up_and_deadlines_free_the_memory(homes, monkeypatch):
    monkeypatch.setattr(relay, "CALLS_OF_CALLER", 5)
    never = asyncio.Event

    async def slow(*call) -> bytes:
        await never().wait()
        return b"!"

    async def run():
        async with Relay(homes) as hub, hub.door(slow):
            transport = hub.transport()
            began = [asyncio.create_task(transport.call("Score", bytes(10_000), 1.0)) for _ in range(5)]
            async with asyncio.timeout(5):
                while hub.hub.calls._of_caller["bank"] < 5:
                    await asyncio.sleep(0.01)
            assert 50_000 < hub.hub.calls._bytes < 60_000
            with pytest.raises(Exception, match="busy"):
                await transport.call("Score", b"x", 1.0)
            ended = await asyncio.gather(*began, return_exceptions=True)
            assert [str(one) for one in ended] == ["no answer in time"] * 5
            async with asyncio.timeout(5):
                while hub.hub.calls._bytes:
                    await asyncio.sleep(0.01)
            (served,) = hub.hub.calls._served.values()
            assert not served.open and not served.frames and not hub.hub.calls._of_caller
            await transport.close()

    asyncio.run(run())


def test_bytes_in_all_are_bounded(homes, monkeypatch):
    monkeypatch.setattr(relay, "MOST_BYTES", 1000)

    async def run():
        async with Relay(homes) as hub, hub.door(echo):
            transport = hub.transport()
            assert await transport.call("Score", b"y" * 900, 5) == b"bank Score " + b"y" * 900
            with pytest.raises(Exception, match="busy"):
                await transport.call("Score", b"y" * 1000, 5)
            with pytest.raises(Exception, match="does not carry"):
                await transport.call("Score", bytes(codec.MAX_CALL_BYTES + 1), 5)
            await transport.close()

    asyncio.run(run())


def test_a_newer_stream_takes_over_and_a_malformed_one_ends(homes):
    async def run():
        async with Relay(homes) as hub, hub.channel("platform") as channel:
            first, second = (channel.stream_stream(HUB_SERVE)() for _ in range(2))
            for stream in (first, second):
                await stream.write(codec.encode(CallFrame(callee=Callee(version=1, party="platform"))))
                await stream.initial_metadata()
            assert await first.read() is grpc.aio.EOF
            transport = hub.transport()
            asked = asyncio.create_task(transport.call("Hello", b"x", 5))
            called = codec.decode(CallFrame, await second.read(), codec.MAX_FRAME_BYTES).called
            assert (called.caller, called.method, called.body) == ("bank", "Hello", b"x") and called.within_ms <= 5000
            for number in (called.number + 7, called.number):
                await second.write(codec.encode(CallFrame(answered=Answered(number=number, body=b"%d" % number))))
            assert await asked == b"%d" % called.number
            asked = asyncio.create_task(transport.call("Hello", b"x", 5))
            await second.read()
            await second.write(b"garbage")
            with pytest.raises(Exception, match="not reachable"):
                await asked
            assert await second.read() is grpc.aio.EOF
            await transport.close()

    asyncio.run(run())


GOOD = [
    (CallRequest(version=1, caller="bank", callee="platform", method="Score", body=b"x"), {
        "version": 2, "caller": "Bank", "callee": "bank", "method": "score", "body": b""}),
    (CallReply(body=b"x"), {"body": b""}),
    (Callee(version=1, party="platform"), {"version": 0, "party": ""}),
    (Called(number=1, caller="bank", method="Score", within_ms=5, body=b"x"), {
        "number": 0, "caller": "", "method": "Sco re", "within_ms": 60_001, "body": b""}),
    (Answered(number=1, body=b"x"), {"number": 0, "body": b""}),
]


@pytest.mark.parametrize(("message", "bad"), GOOD, ids=lambda value: type(value).__name__)
def test_every_value_of_a_calls_message_has_its_rule(message, bad):
    assert codec.decode(type(message), codec.encode(message), codec.MAX_FRAME_BYTES) == message
    for field, value in bad.items():
        changed = type(message)()
        changed.CopyFrom(message)
        setattr(changed, field, value)
        with pytest.raises(MalformedMessage, match=field):
            codec.encode(changed)
    with pytest.raises(MalformedMessage):
        codec.encode(CallFrame())


def test_the_nodes_file_names_one_way(homes):
    path = Path(homes.bank / "bank.toml")
    text = path.read_text()
    for way, good in (('address = "127.0.0.1:1"', True), ("hub = true", True), ("", False),
                      ('address = "127.0.0.1:1"\nhub = true', False)):
        path.write_text(f"{text}\n[scoring.platforms.platform]\n{way}\n")
        if good:
            assert "platform" in homes.party("bank").config.scoring.platforms
        else:
            with pytest.raises(Exception, match="either address"):
                homes.party("bank")
