"""The relay that stands for a slow line: its delay, its rate, its bound, and how it ends."""
from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable

from protocols.node.supervise import free_port
from tests.benchmarks.relay import PENDING, PIECE, Relay
from tests.benchmarks.wan import LineProcess, crossings

HOST = "127.0.0.1"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def through(handler: Handler, body: Callable[[Relay, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
            delay_ms: float = 0.0, mbit: float = 0.0) -> None:
    """Run `body(relay, reader, writer)` at the near end of a line to `handler`."""
    tasks: set[asyncio.Task] = set()

    async def handled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await handler(reader, writer)
        finally:
            writer.transport.abort()

    async def run() -> None:
        server, relay = await asyncio.start_server(handled, HOST, 0), Relay()
        relay.shape(delay_ms, mbit)
        port = await relay.listen(f"{HOST}:0", f"{HOST}:{server.sockets[0].getsockname()[1]}")
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            await asyncio.wait_for(body(relay, reader, writer), 20)
        finally:
            writer.transport.abort()
            await relay.close()
            server.close()
            await asyncio.wait(tasks)

    asyncio.run(run())


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(PIECE):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


def test_bytes_and_the_end_arrive_unchanged():
    async def body(relay, reader, writer):
        data = os.urandom(3_000_001)
        sending = asyncio.create_task(send(writer, data))
        assert await reader.read(-1) == data
        await sending
        told = relay.report()
        assert (told["bytes_up"], told["bytes_down"]) == (len(data), len(data))
        assert relay.report()["bytes_up"] == 0

    through(echo, body, delay_ms=1)


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
    writer.write_eof()


def test_each_way_takes_its_delay():
    async def body(relay, reader, writer):
        writer.write(b"x")
        await reader.readexactly(1)  # the connection itself takes a round trip before
        began = time.monotonic()
        writer.write(b"y")
        await reader.readexactly(1)
        assert 0.1 <= time.monotonic() - began < 1.0

    through(echo, body, delay_ms=50)


def test_all_connections_share_the_rate():
    async def body(relay, reader, writer):
        port = writer.get_extra_info("peername")[1]
        second, other = await asyncio.open_connection(HOST, port)
        size, began = 500_000, time.monotonic()
        sending = [asyncio.create_task(send(end, bytes(size))) for end in (writer, other)]
        got = await asyncio.gather(reader.read(-1), second.read(-1))
        spent = time.monotonic() - began
        await asyncio.gather(*sending)
        other.close()
        assert [len(data) for data in got] == [size, size]
        assert 2 * size * 8 / 16e6 <= spent < 5  # half a second at 16 Mbit/s, were it alone on the machine

    through(echo, body, mbit=16)


def test_a_rate_that_is_changed_holds_at_once():
    async def body(relay, reader, writer):
        relay.shape(0, 8)
        began = time.monotonic()
        sending = asyncio.create_task(send(writer, bytes(400_000)))
        await reader.read(-1)
        await sending
        assert time.monotonic() - began >= 0.4 * (1 - PIECE / 400_000)

    through(echo, body)


def test_a_receiver_that_does_not_read_stops_the_sender():
    over = asyncio.Event()

    async def deaf(reader, writer):
        writer.transport.pause_reading()
        await over.wait()

    async def body(relay, reader, writer):
        block, sent = bytes(PIECE), 0
        for _ in range(40 * PENDING):
            writer.write(block)
            try:
                await asyncio.wait_for(writer.drain(), 1.0)
            except TimeoutError:
                break
            sent += PIECE
        assert sent < 30 * PENDING * PIECE  # what the kernel's buffers take on both sides comes on top of ours
        assert relay.up.carried < (PENDING + 2) * PIECE + 16 * 2**20
        over.set()

    through(deaf, body)


def test_a_far_end_that_refuses_or_resets_closes_the_near_end():
    async def abort(reader, writer):
        await reader.read(1)
        writer.transport.abort()

    async def body(relay, reader, writer):
        writer.write(b"x")
        try:
            assert await reader.read(-1) == b""
        except ConnectionResetError:
            return

    through(abort, body, delay_ms=1)

    async def nobody():
        relay = Relay()
        port = await relay.listen(f"{HOST}:0", f"{HOST}:1")
        reader, writer = await asyncio.open_connection(HOST, port)
        assert await asyncio.wait_for(reader.read(-1), 10) == b""
        writer.close()
        await relay.close()

    asyncio.run(nobody())


def test_the_process_is_shaped_over_its_standard_input():
    with socket.create_server((HOST, 0)) as far, LineProcess(f"{HOST}:{(port := free_port())}={HOST}:"
                                                             f"{far.getsockname()[1]}") as line:
        assert line.shape(5, 100) == {"bytes_up": 0, "bytes_down": 0, "late_ms_mean": 0.0, "late_ms_99": 0.0}
        with socket.create_connection((HOST, port), 10) as near, far.accept()[0] as end:
            near.sendall(b"hello")
            assert end.recv(5, socket.MSG_WAITALL) == b"hello"
        assert line.shape(0, 0)["bytes_up"] == 5


def test_rounds_of_a_pass_are_those_of_three_products():
    """Forward, residual, backward: each a request and a reply that wait for what was before."""
    assert crossings(1, 3) - crossings(1, 2) == 6 * 2
