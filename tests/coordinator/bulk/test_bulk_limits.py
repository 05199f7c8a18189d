"""Bulks: how much is held, who waits for room, and bytes that are no bulk."""
from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from coordinator import bulk_calls
from coordinator.bulk import MIB
from protocols.crypto.aggregate import MOST_SUMMANDS
from protocols.errors import MalformedMessage, ProtocolError, RunFailed
from protocols.node.tls import NodeTls
from protocols.wire import codec
from protocols.wire.hub_pb2 import BulkChunk, BulkOffer, NotReady
from tests.coordinator.bulk.threaded_hub import (
    BANKS,
    CODES,
    LIMITS,
    OTHER_RUN,
    PARTIES,
    RUN,
    UNKNOWN_RUN,
    ThreadedHub,
    chunk,
    header,
    request,
    soon,
    summand,
    total,
)

# limits


def test_a_put_without_room_waits_until_there_is_some(bulk: Callable, hub: ThreadedHub) -> None:
    sender = bulk("platform", deadline_s=10.0)
    sender.put("a", bytes(12 * MIB), ["bank-1"])
    waiting = threading.Thread(target=sender.put, args=("b", bytes(12 * MIB), ["bank-1"]))
    waiting.start()
    time.sleep(0.3)
    assert waiting.is_alive()
    bulk("bank-1").drop("a")
    waiting.join(10)
    assert bulk("bank-1").get("b", 1) == bytes(12 * MIB)
    assert hub.store.usage(RUN).peak_bytes <= LIMITS.run_bytes


def test_a_run_leaves_room_for_the_next(bulk: Callable, hasty: Callable) -> None:
    bulk("platform").put("a", bytes(8 * MIB), ["bank-1"])
    bulk("platform").put("b", bytes(8 * MIB), ["bank-1"])
    with pytest.raises(RunFailed, match="no room at the hub: no room for 4 bytes in slot c: the run holds 16777216 of"):
        hasty("platform").put("c", b"four", ["bank-1"])
    bulk("platform", OTHER_RUN).put("a", bytes(8 * MIB), ["bank-1"])
    with pytest.raises(RunFailed, match="no room"):
        hasty("platform", OTHER_RUN).put("b", bytes(1 * MIB), ["bank-1"])


def test_full_slots_do_not_keep_a_sum_from_its_last_summand(bulk: Callable, hasty: Callable) -> None:
    parts = [summand(250_000, n) for n in range(2)]  # 4 MB: two incomplete sums fill the run
    for name in ("x", "y"):
        bulk("bank-1").put(name, parts[0], ["platform"], BANKS[:2])
    with pytest.raises(RunFailed, match="no room"):
        hasty("platform").put("z", bytes(MIB), ["bank-1"])
    for name in ("x", "y"):
        bulk("bank-2").put(name, parts[1], ["platform"], BANKS[:2])
        assert bulk("platform").get(name, 1) == total(*parts)


def test_slots_calls_and_sizes_are_limited(bulk: Callable, hasty: Callable, hub: ThreadedHub) -> None:
    for n in range(LIMITS.run_slots):
        bulk("platform").put(f"s{n}", b"x", ["bank-1"])
    with pytest.raises(RunFailed, match="8 slots in use"):
        hasty("platform").put("s8", b"x", ["bank-1"])
    with pytest.raises(RunFailed, match="more than a bulk may have"):
        bulk("platform").put("t", bytes(12 * MIB + 1), ["bank-1"])
    with pytest.raises(MalformedMessage, match="at most 3 bytes, got 4"):
        bulk("platform", OTHER_RUN).put("s", b"four", ["bank-1"])
        bulk("bank-1", OTHER_RUN, max_bytes=3).get("s", 1)
    receiver = bulk("bank-2")
    threads = [threading.Thread(target=receiver.get, args=("none", 1.0)) for _ in range(LIMITS.party_calls)]
    for thread in threads:
        thread.start()
    soon(lambda: hub.store._runs[RUN].calls["bank-2"] == LIMITS.party_calls)
    with pytest.raises(RunFailed, match="calls about bulks under way"):
        hasty("bank-2").put("u", b"x", ["bank-1"])
    for thread in threads:
        thread.join(5)


def test_too_many_summands_for_a_word_are_refused(raw: Callable, hub: ThreadedHub, monkeypatch) -> None:
    many = [f"bank-{n:02}" for n in range(MOST_SUMMANDS + 1)]
    monkeypatch.setattr(hub.hub._callers, "check_sender", lambda party, context: None)
    hub.hub._callers._known.clear()
    monkeypatch.setattr("coordinator.hub_calls.parties_of", lambda row: frozenset({*PARTIES, *many}))
    code, details = raw("Put", "bank-1", [header(sender=many[0], contributors=many), chunk(b"x")])
    assert code == CODES.INVALID_ARGUMENT
    assert "at most 15 contributors" in details


def test_a_party_that_stops_in_the_middle_of_a_put_loses_its_room(hub: ThreadedHub, federation: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_calls, "CHUNK_DEADLINE_S", 0.5)
    go_on = threading.Event()

    def frames() -> Iterator[bytes]:
        yield header(bytes(MIB))
        yield chunk(bytes(codec.CHUNK_BYTES))
        go_on.wait(10)

    with grpc.secure_channel(hub.address, NodeTls.load(federation / "platform").channel_credentials()) as channel:
        call = channel.stream_unary("/sealscore.hub.v1.Hub/Put").future(frames(), timeout=10)
        assert soon(lambda: hub.store.held == MIB)
        assert call.code() == CODES.DEADLINE_EXCEEDED
        go_on.set()
    assert soon(lambda: hub.store.held == 0)


def test_a_receiver_that_does_not_read_holds_up_only_itself(hub: ThreadedHub, bulk: Callable, federation: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_calls, "CHUNK_DEADLINE_S", 1.0)
    bulk("platform").put("s", bytes(12 * MIB), ["bank-1", "bank-2"])
    with grpc.secure_channel(hub.address, NodeTls.load(federation / "bank-1").channel_credentials()) as channel:
        call = channel.unary_stream("/sealscore.hub.v1.Hub/Get")(request(), timeout=20)
        next(call)
        assert bulk("bank-2").get("s", 5) == bytes(12 * MIB)
        bulk("bank-2", OTHER_RUN).put("s", b"x", ["bank-1"])
        assert bulk("bank-1", OTHER_RUN).get("s", 1) == b"x"
        assert soon(lambda: hub.store._runs[RUN].calls["bank-1"] == 0)
        with pytest.raises(grpc.RpcError) as error:
            list(call)
        assert error.value.code() == CODES.DEADLINE_EXCEEDED


# bytes that are no bulk


@pytest.mark.parametrize("frames", [
    [], [b""], [b"\xff" * 9], [chunk(b"x")], [header()], [header(), header()], [header(), chunk(b"xy")],
    [header(), chunk(b"x"), chunk(b"y")], [header(b"xy"), chunk(b"x"), chunk(b"y")], [header(), chunk(b"y")],
    [header(), chunk(b"x") + b"\xf8\x01\x01"], [header(size=(1 << 30) + 1)], [header(size=0)], [header(slot="A")],
    [header(receivers=[])], [header(receivers=["bank-2", "bank-1"])], [header(contributors=["bank-1"])],
    [header(sha256=b"")], [header(run="x")],
    [BulkChunk(offer=BulkOffer(size=1)).SerializeToString()], [BulkChunk(not_ready=NotReady()).SerializeToString()],
    [header(), BulkChunk(not_ready=NotReady()).SerializeToString()]])
def test_puts_that_are_refused_leave_nothing(raw: Callable, hub: ThreadedHub, frames: list[bytes]) -> None:
    assert raw("Put", "platform", frames)[0] == CODES.INVALID_ARGUMENT
    assert hub.store.held == 0
    assert raw("Put", "platform", [header(), chunk(b"x")])[0] == CODES.OK


def test_drawn_damage_to_a_header_is_refused_or_is_another_header(raw: Callable, hub: ThreadedHub) -> None:
    good, draw = header(), random.Random(7)
    allowed = (CODES.OK, CODES.INVALID_ARGUMENT, CODES.PERMISSION_DENIED, CODES.NOT_FOUND, CODES.RESOURCE_EXHAUSTED)
    for _ in range(150):
        position = draw.randrange(len(good))
        damaged = good[:position] + bytes([good[position] ^ draw.randrange(1, 256)]) + good[position + 1:]
        assert raw("Put", "platform", [damaged, chunk(b"x")])[0] in allowed
    assert hub.store.held <= LIMITS.run_slots


@pytest.mark.parametrize(("method", "one", "code"), [
    ("Get", b"\xff", CODES.INVALID_ARGUMENT), ("Get", request(slot="A"), CODES.INVALID_ARGUMENT),
    ("Get", request(wait_ms=20_001), CODES.INVALID_ARGUMENT), ("Get", request(version=2), CODES.INVALID_ARGUMENT),
    ("Get", request() + b"\xf8\x01\x01", CODES.INVALID_ARGUMENT), ("Get", request(run=UNKNOWN_RUN), CODES.NOT_FOUND),
    ("Drop", request(wait_ms=1), CODES.INVALID_ARGUMENT), ("Drop", b"", CODES.INVALID_ARGUMENT),
    ("Drop", request(run=UNKNOWN_RUN), CODES.NOT_FOUND)])
def test_requests_that_are_refused(raw: Callable, method: str, one: bytes, code: grpc.StatusCode) -> None:
    assert raw(method, "bank-1", [one])[0] == code


def test_bytes_other_than_announced_are_an_error(bulk: Callable) -> None:
    bulk("platform").put("s", b"bytes", ["bank-1"])
    with pytest.raises(ProtocolError, match="without the announced digest"):
        bulk("bank-1").get("s", 1, hashlib.sha256(b"other").digest())


def test_a_hub_that_changes_bytes_of_one_sender_is_noticed(bulk: Callable, hub: ThreadedHub) -> None:
    bulk("platform").put("s", b"bytes", ["bank-1"])
    hub.store._runs[RUN].slots["s"].pieces = [b"bytez"]
    with pytest.raises(ProtocolError, match="without the digest of their header"):
        bulk("bank-1").get("s", 1)
    hub.store._runs[RUN].slots["s"].pieces = [b"byte"]
    with pytest.raises(MalformedMessage, match="expected 5 bytes in chunk 0, got 4"):
        bulk("bank-1").get("s", 1)
