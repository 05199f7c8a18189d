"""A slow line in user space, for kernels without netem: one process relays one party's TCP connections.

`python -m tests.benchmarks.relay LISTEN=UPSTREAM …` (HOST:PORT each) prints `ready`. All its connections share one
line; each direction has a rate and a delay of its own. TLS passes through untouched.

    rate      a virtual clock for each direction: a piece leaves when those before it have left, and takes size / rate
              (the token bucket of ITU-T I.371 A.1 as "virtual scheduling", with a depth of one piece)
    delay     from leaving at one end to arriving at the other; a new connection waits for the round trip of its SYN
    memory    a connection holds at most PENDING pieces in each direction; then it is not read, and the sender's TCP
              waits, as it does while more than QUEUE_S of others' bytes wait for the line

A line `DELAY_MS MBIT` on standard input changes both (MBIT 0: no limit) and is answered with what was relayed since
the last one, as JSON: bytes up and down, and how late pieces arrived (milliseconds) because this process had to wait.
What it does not show: losses, and what TCP makes of them or of a pause (slow start).
"""
from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass, field

PIECE = 16 * 1024
PENDING = 512
QUEUE_S = 0.02


@dataclass
class Line:
    """One direction, shared by all connections."""

    delay_s: float = 0.0
    bytes_per_s: float = float("inf")
    carried: int = 0
    late_s: list[float] = field(default_factory=list)  # of the pieces since the last report
    _free_at: float = 0.0

    async def enter(self, size: int) -> float:
        """Take a piece of `size` bytes, waiting while the line's queue is full; the loop's time of its arrival."""
        clock = asyncio.get_running_loop().time
        while (excess := self._free_at - clock() - QUEUE_S) > 0:
            await asyncio.sleep(excess)
        self._free_at = max(clock(), self._free_at) + size / self.bytes_per_s
        self.carried += size
        return self._free_at + self.delay_s


class Relay:
    """Both directions of one party's line, and the ports at which it begins."""

    def __init__(self):
        self.up, self.down = Line(), Line()
        self._open: set[asyncio.StreamWriter] = set()
        self._servers: list[asyncio.Server] = []

    def shape(self, delay_ms: float, mbit: float) -> None:
        """From now on: milliseconds one way, megabits per second each way (0: no limit)."""
        for line in (self.up, self.down):
            line.delay_s = delay_ms / 1000
            line.bytes_per_s = mbit * 125_000 if mbit else float("inf")

    async def listen(self, own: str, upstream: str) -> int:
        """Relay what connects to `own` (HOST:PORT, port 0: any) to `upstream`; the port."""
        (host, port), (far, far_port) = _address(own), _address(upstream)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._connection(reader, writer, far, far_port)

        server = await asyncio.start_server(connected, host, port, limit=2 * PIECE)
        self._servers.append(server)
        return server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End all connections; what is under way is lost."""
        for server in self._servers:
            server.close()
        while self._open:
            for writer in self._open:
                writer.transport.abort()
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)  # the loop lets go of their sockets

    async def _connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        """One connection until either end is gone; one that could not be made is closed."""
        self._open.add(writer)
        ends = [writer]
        try:
            await asyncio.sleep(self.up.delay_s + self.down.delay_s)
            far_reader, far_writer = await asyncio.open_connection(host, port, limit=2 * PIECE)
            ends.append(far_writer)
            self._open.add(far_writer)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(_way(reader, far_writer, self.up))
                ways.create_task(_way(far_reader, writer, self.down))
        except* OSError:  # reset or refused: both ends learn it by the close
            for end in ends:
                end.transport.abort()
        finally:
            for end in ends:
                end.close()
                self._open.discard(end)

    def report(self) -> dict[str, float]:
        """What was relayed since the last report."""
        late = sorted(self.up.late_s + self.down.late_s)
        told = {"bytes_up": self.up.carried, "bytes_down": self.down.carried,
                "late_ms_mean": round(1000 * sum(late) / len(late), 2) if late else 0.0,
                "late_ms_99": round(1000 * late[int(0.99 * len(late))], 2) if late else 0.0}
        for line in (self.up, self.down):
            line.carried, line.late_s = 0, []
        return told


async def _way(source: asyncio.StreamReader, sink: asyncio.StreamWriter, line: Line) -> None:
    """Carry one direction of one connection; its end travels like its bytes."""
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(PENDING)
    async with asyncio.TaskGroup() as both:
        both.create_task(_arrive(pieces, sink, line))
        while data := await source.read(PIECE):
            await pieces.put((await line.enter(len(data)), data))
        await pieces.put((await line.enter(0), b""))


async def _arrive(pieces: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter, line: Line) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        due, data = await pieces.get()
        if (left := due - clock()) > 0:
            await asyncio.sleep(left)
        if not data:
            with contextlib.suppress(OSError):  # the other direction has ended it already
                sink.write_eof()
            return
        line.late_s.append(clock() - due)
        sink.write(data)
        await sink.drain()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


async def main(routes: list[str]) -> None:
    """Serve until standard input ends."""
    relay, commands = Relay(), asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    for route in routes:
        await relay.listen(*route.split("="))
    print("ready", flush=True)
    while line := await commands.readline():
        print(json.dumps(relay.report()), flush=True)
        relay.shape(*map(float, line.split()))
    await relay.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
