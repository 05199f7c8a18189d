"""A hub with a bulk store in a thread, a registry of two runs, and summands to put there."""
from __future__ import annotations

import asyncio
import hashlib
import json
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np

from coordinator.bulk import MIB, BulkStore, Limits
from coordinator.bulk_usage import UsageFiles
from coordinator.hub import Hub, server
from protocols.crypto.aggregate import HEADER_BYTES, TAG_BYTES
from protocols.crypto.params import wire_tag
from protocols.errors import UsageError
from protocols.node.tls import NodeTls
from protocols.wire.hub_pb2 import BulkChunk, BulkHeader, BulkRequest

RUN, OTHER_RUN, UNKNOWN_RUN = ("r-" + c * 16 for c in "23f")
BANKS = ("bank-1", "bank-2", "bank-3")
PARTIES = (*BANKS, "platform")
LIMITS = Limits(bulk_bytes=12 * MIB, run_bytes=16 * MIB, total_bytes=32 * MIB, run_slots=8, party_calls=4)
CODES = grpc.StatusCode


class Runs:
    """A registry with two runs of `PARTIES`."""

    def __init__(self) -> None:
        self.states = {RUN: "running", OTHER_RUN: "running"}

    def run(self, run: str) -> dict:
        if run not in self.states:
            raise UsageError(f"no run {run!r}")
        return {"plan_json": json.dumps({"parties": dict.fromkeys(PARTIES, {})}), "state": self.states[run],
                "cause": None}

    def run_state(self, run: str) -> str | None:
        return self.states.get(run)

    def record_progress(self, run: str, party: str, event: dict) -> None:
        raise NotImplementedError

    def party_online(self, party: str, catalogue: dict) -> None:
        raise NotImplementedError


class ThreadedHub:
    """A hub in a thread with a loop of its own; it can be stopped and started again on the same port."""

    def __init__(self, home: Path, limits: Limits | None = None):
        self._home, self._limits, self._port = home, limits, 0
        self.registry = Runs()
        self.admitted = {*PARTIES, "third"}
        self.start()

    def start(self) -> None:
        ready: queue.Queue = queue.Queue()
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._main(ready),))
        self._thread.start()
        self._port = ready.get(timeout=10)
        self.address = f"127.0.0.1:{self._port}"

    async def _main(self, ready: queue.Queue) -> None:
        self.store = BulkStore(self._limits)
        self.hub = Hub(self.registry, self.admitted.__contains__, self.store, UsageFiles(self._home))
        made, port = server(self.hub, NodeTls.load(self._home), f"127.0.0.1:{self._port}")
        await made.start()
        watcher = asyncio.create_task(self.hub.watch())
        ready.put(port)
        await self._stop.wait()
        watcher.cancel()
        await made.stop(0.1)
        await self.hub.bulks.write_usage()
        self.store.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._loop.close()

    def do(self, coroutine):
        """Run a coroutine in the hub's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


def summand(elements: int, seed: int) -> bytes:
    """A summand of full words below 2^60."""
    words = np.random.default_rng(seed).integers(0, 1 << 60, 2 + 2 * elements, dtype="<u8")
    return wire_tag("summand FULL") + words.tobytes()


def total(*summands: bytes) -> bytes:
    """Their sum, computed word by word in Python."""
    words = [np.frombuffer(s, "<u8", offset=TAG_BYTES).tolist() for s in summands]
    sums = np.array([sum(column) for column in zip(*words, strict=True)], dtype="<u8")
    assert len(summands[0]) >= HEADER_BYTES
    return summands[0][:TAG_BYTES] + sums.tobytes()


def header(data: bytes = b"x", **changes) -> bytes:
    values = {"version": 1, "run": RUN, "slot": "s", "sender": "platform", "receivers": ["bank-1"], "size": len(data),
              "sha256": hashlib.sha256(data).digest(), **changes}
    return BulkChunk(header=BulkHeader(**values)).SerializeToString(deterministic=True)


def chunk(data: bytes) -> bytes:
    return BulkChunk(data=data).SerializeToString(deterministic=True)


def request(**changes) -> bytes:
    values = {"version": 1, "run": RUN, "slot": "s", "party": "bank-1", **changes}
    return BulkRequest(**values).SerializeToString(deterministic=True)


def soon(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()
