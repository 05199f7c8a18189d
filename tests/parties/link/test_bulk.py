"""Bulks and a hub that is killed: what was under way goes on, what was there is put again."""
from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parties.runtime.bulk import Bulk
from parties.runtime.hub_client import HubClient
from protocols.errors import RunFailed
from protocols.wire import codec
from protocols.wire.hub_pb2 import BulkChunk
from tests.parties.link.conftest import RUN


@pytest.fixture
def bulk(hub, federation: Path) -> Iterator[Callable[..., Bulk]]:
    clients: list[HubClient] = []

    def make(party: str, **more) -> Bulk:
        clients.append(HubClient(hub.address, federation / party))
        return Bulk(clients[-1], RUN, 20.0, **more)

    yield make
    for client in clients:
        client.close()


def test_a_put_goes_on_after_the_hub_was_killed_in_its_middle(bulk: Callable, hub) -> None:
    data, frames = random.Random(1).randbytes(40_000_000), []

    def slowly(direction: str, frame: bytes) -> None:
        frames.append(direction)
        time.sleep(0.01)

    sender, receiver = bulk("bank", on_frame=slowly), bulk("platform")
    putting = threading.Thread(target=sender.put, args=("big", data, ["platform"]))
    putting.start()
    while len(frames) < 20:
        time.sleep(0.01)
    hub.kill()
    hub.start()
    putting.join(30)
    assert not putting.is_alive()
    assert len(frames) > 20 + len(data) // codec.CHUNK_BYTES  # from the beginning
    assert receiver.get("big", 10) == data


def test_a_get_goes_on_after_the_hub_was_killed_and_the_sender_put_again(bulk: Callable, hub) -> None:
    data = random.Random(2).randbytes(20_000_000)
    sender, got, came = bulk("bank"), [], []

    def slowly(direction: str, frame: bytes) -> None:
        came.append(direction)
        time.sleep(0.02)

    sender.put("large", data, ["platform"])
    receiver = bulk("platform", on_frame=slowly)
    getting = threading.Thread(target=lambda: got.append(receiver.get("large", 60)))
    getting.start()
    while len(came) < 5:
        time.sleep(0.01)
    hub.kill()
    hub.start()
    sender.put("large", data, ["platform"])
    getting.join(40)
    assert got == [data]


def test_every_frame_is_seen_and_counted(bulk: Callable) -> None:
    frames: dict[str, list[bytes]] = {"out": [], "in": []}
    sender = bulk("bank", on_frame=lambda direction, frame: frames[direction].append(frame))
    sender.put("s", bytes(codec.CHUNK_BYTES + 1), ["platform"])
    bodies = [codec.decode(BulkChunk, frame, codec.MAX_FRAME_BYTES).WhichOneof("body") for frame in frames["out"]]
    assert bodies == ["header", "data", "data"]
    assert sender.bytes_out == sum(map(len, frames["out"]))
    assert sender.bytes_in == sum(map(len, frames["in"]))


def test_a_failure_names_the_phase_and_the_run_that_ended(bulk: Callable, hub) -> None:
    hub.set_state("cancelled")
    time.sleep(0.6)  # the hub knows how a run stands for half a second
    sender = bulk("bank")
    sender.phase = "train"
    text = "ended at coordinator in phase train: the hub refused a call of bank about a bulk: run r-.* has ended"
    with pytest.raises(RunFailed, match=text):
        sender.put("s", b"x", ["platform"])
