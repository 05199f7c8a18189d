"""Bulks over real mutual TLS: who may put, get and drop what, what is added, what is refused, and how much is held."""
from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from coordinator import bulk_calls
from coordinator.bulk import MIB, Limits
from coordinator.bulk_usage import read_usage
from coordinator.certs import PartySpec, init_federation
from parties.runtime import bulk as bulk_client
from parties.runtime.bulk import Bulk
from parties.runtime.hub_client import HubClient, HubUnreachable
from protocols.crypto.aggregate import MOST_SUMMANDS
from protocols.errors import MalformedMessage, ProtocolError, RunFailed
from protocols.node.tls import CHANNEL_OPTIONS, NodeTls
from protocols.wire import codec
from protocols.wire.hub_pb2 import BulkAck, BulkChunk, BulkHeader, BulkOffer, BulkRequest, NotReady
from tests.coordinator.hub.bulk_hub import OTHER_RUN, PARTIES, RUN, UNKNOWN_RUN, ThreadedHub, summand, total

BANKS = ("bank-1", "bank-2", "bank-3")
LIMITS = Limits(bulk_bytes=12 * MIB, run_bytes=16 * MIB, total_bytes=32 * MIB, run_slots=8, party_calls=4)
CODES = grpc.StatusCode


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


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch, bulk: Callable) -> Callable[..., Bulk]:
    """As `bulk`, giving up soon whatever the size."""
    monkeypatch.setattr(bulk_client, "SLOWEST_BYTES_PER_S", 1e12)
    return lambda party, run=RUN: bulk(party, run, deadline_s=0.2)


# fan-out


@pytest.mark.parametrize("size", [1, codec.CHUNK_BYTES, codec.CHUNK_BYTES + 1, 5_000_000])
def test_one_put_is_got_by_every_receiver(bulk: Callable, size: int) -> None:
    data = random.Random(size).randbytes(size)
    sender = bulk("platform")
    sender.put("share:1", data, BANKS)
    assert size < sender.bytes_out < size + 1024 + size // 1000
    for name in BANKS:
        receiver = bulk(name)
        assert receiver.get("share:1", 2, hashlib.sha256(data).digest()) == data
        assert size < receiver.bytes_in < size + 1024 + size // 1000


def test_a_get_waits_for_the_put(bulk: Callable) -> None:
    threading.Timer(0.3, bulk("platform").put, ("s", b"late", ["bank-1"])).start()
    assert bulk("bank-1").get("s", 10) == b"late"


def test_what_is_not_there_is_none_in_time(bulk: Callable) -> None:
    began = time.monotonic()
    receiver = bulk("bank-1")
    assert receiver.get("s", 0) is None
    assert receiver.get("s", 0.4) is None
    assert 0.4 <= time.monotonic() - began < 3
    assert receiver.missing == ()


def test_only_receivers_get_and_drop(bulk: Callable, raw: Callable) -> None:
    bulk("platform").put("s", b"x", ["bank-1"])
    for outsider in ("bank-2", "platform"):
        with pytest.raises(RunFailed, match=f"{outsider} is no receiver of slot s"):
            bulk(outsider).get("s", 1)
        with pytest.raises(RunFailed, match="is no receiver"):
            bulk(outsider).drop("s")
    assert raw("Get", "bank-2", [request()])[0] == CODES.PERMISSION_DENIED  # in the receiver's name
    assert raw("Drop", "bank-2", [request()])[0] == CODES.PERMISSION_DENIED
    assert bulk("bank-1").get("s", 1) == b"x"


def test_a_slot_goes_when_all_receivers_dropped_it(bulk: Callable, hub: ThreadedHub) -> None:
    sender, first, second = bulk("platform"), bulk("bank-1"), bulk("bank-2")
    sender.put("s", b"abc", ["bank-1", "bank-2"])
    assert first.drop("s") and first.drop("s")
    assert first.get("s", 1) == second.get("s", 1) == b"abc"
    assert second.drop("s")
    assert hub.store.held == 0
    with pytest.raises(RunFailed, match="slot s was dropped by bank-2"):
        second.get("s", 1)
    sender.put("s", b"abc", ["bank-1", "bank-2"])  # a sender that did not hear of it does no harm
    assert hub.store.held == 0


def test_the_same_again_is_nothing_and_other_bytes_are_refused(bulk: Callable, hub: ThreadedHub) -> None:
    sender = bulk("platform")
    data = bytes(3_000_000)
    sender.put("s", data, ["bank-1"])
    sender.put("s", data, ["bank-1"])
    assert hub.store.held == len(data)
    with pytest.raises(RunFailed, match="platform has put other bytes"):
        sender.put("s", data[:-1] + b"1", ["bank-1"])
    with pytest.raises(RunFailed, match="must agree"):
        sender.put("s", data, ["bank-1", "bank-2"])
    with pytest.raises(RunFailed, match="slot s belongs to platform"):
        bulk("bank-2").put("s", data, ["bank-1"])
    assert bulk("bank-1").get("s", 1) == data


# sums


def test_summands_are_added_whatever_their_order(bulk: Callable, hub: ThreadedHub, federation: Path) -> None:
    before = read_usage(federation / "coordinator", RUN)
    parts = {name: summand(20_000, n) for n, name in enumerate(BANKS)}
    receiver = bulk("platform")
    for name in ("bank-2", "bank-3"):
        bulk(name).put("sum", parts[name], ["platform"], BANKS)
        bulk(name).put("sum", parts[name], ["platform"], BANKS)  # counts once
    assert receiver.get("sum", 0.1) is None
    assert receiver.missing == ("bank-1",)
    assert hub.store.held == 2 * len(parts["bank-1"])  # the sum, and room for one summand
    bulk("bank-1").put("sum", parts["bank-1"], ["platform"], BANKS)
    assert receiver.get("sum", 1) == total(*parts.values())
    assert hub.store.held == len(parts["bank-1"])
    usage = hub.store.usage(RUN)
    assert (usage.puts, usage.gets, usage.summands) == (5, 1, 3)
    assert usage.add_cpu_s > 0
    assert usage.bytes_in > 3 * len(parts["bank-1"]) and usage.bytes_out > len(parts["bank-1"])
    hub.do(hub.hub.bulks.write_usage())
    written = read_usage(federation / "coordinator", RUN)
    assert written.summands - (before.summands if before else 0) == 3


def test_concurrent_contributors_are_all_counted(bulk: Callable) -> None:
    parts = {name: summand(100_000, n) for n, name in enumerate(BANKS)}
    threads = [threading.Thread(target=bulk(name).put, args=("sum", part, ["platform"], BANKS))
               for name, part in parts.items() for _ in range(2)]
    for thread in threads:
        thread.start()
    got = bulk("platform").get("sum", 20)
    for thread in threads:
        thread.join(20)
    assert got == total(*parts.values())


def test_contributors_must_agree_and_each_counts_with_one_payload(bulk: Callable) -> None:
    parts = [summand(10, n) for n in range(3)]
    bulk("bank-1").put("sum", parts[0], ["platform"], BANKS)
    refusals = [(("sum", parts[1], ["platform", "bank-3"], BANKS), "must agree"),
                (("sum", parts[1], ["platform"], BANKS[:2]), "must agree"),
                (("sum", parts[1], ["platform"]), "belongs to bank-1|must agree"),
                (("sum", summand(11, 1), ["platform"], BANKS), "must agree")]
    for arguments, text in refusals:
        with pytest.raises(RunFailed, match=text):
            bulk("bank-2").put(*arguments)
    with pytest.raises(RunFailed, match="other bytes"):
        bulk("bank-1").put("sum", parts[2], ["platform"], BANKS)
    with pytest.raises(MalformedMessage, match="one of the contributors"):
        bulk("platform").put("sum", parts[2], ["platform"], BANKS)


def test_what_is_no_summand_leaves_the_slot_free(bulk: Callable, hub: ThreadedHub) -> None:
    good = [summand(10, n) for n in range(2)]
    with pytest.raises(RunFailed, match="expected a summand"):
        bulk("bank-1").put("sum", os.urandom(len(good[0])), ["platform"], BANKS[:2])
    assert hub.store.held == 0
    bulk("bank-2").put("sum", good[0], ["platform"], BANKS[:2])
    with pytest.raises(RunFailed, match="expected a summand"):
        bulk("bank-1").put("sum", os.urandom(len(good[0])), ["platform"], BANKS[:2])
    bulk("bank-1").put("sum", good[1], ["platform"], BANKS[:2])
    assert bulk("platform").get("sum", 1) == total(*good)


def test_a_contributor_gets_no_sum_unless_it_is_a_receiver(bulk: Callable) -> None:
    bulk("bank-1").put("sum", summand(10, 1), ["bank-2"], BANKS[:1])
    with pytest.raises(RunFailed, match="is no receiver"):
        bulk("bank-1").get("sum", 1)


def test_after_a_restart_the_senders_put_again(bulk: Callable, hub: ThreadedHub) -> None:
    parts = {name: summand(5000, n) for n, name in enumerate(BANKS)}
    one, two, receiver = bulk("bank-1", deadline_s=20.0), bulk("bank-2", deadline_s=20.0), bulk("platform")
    one.put("sum", parts["bank-1"], ["platform"], BANKS)
    hub.stop()
    late = threading.Thread(target=two.put, args=("sum", parts["bank-2"], ["platform"], BANKS))  # meets no hub
    late.start()
    time.sleep(0.3)
    hub.start()
    late.join(20)
    bulk("bank-3").put("sum", parts["bank-3"], ["platform"], BANKS)
    assert receiver.get("sum", 0.2) is None
    assert receiver.missing == ("bank-1",)
    one.put("sum", parts["bank-1"], ["platform"], BANKS)
    assert receiver.get("sum", 5) == total(*parts.values())


def test_without_a_hub_a_put_ends_after_its_deadline_and_a_get_gives_none(bulk: Callable, hub: ThreadedHub) -> None:
    one, two = bulk("bank-1", deadline_s=0.5), bulk("bank-2", deadline_s=0.5)
    hub.stop()
    try:
        with pytest.raises(HubUnreachable):
            one.put("s", b"x", ["platform"])
        assert two.get("s", 0.1) is None
        assert two.drop("s") is False
        time.sleep(0.6)
        with pytest.raises(HubUnreachable):
            two.get("s", 5)
    finally:
        hub.start()


# who, and which run


def test_strangers_and_other_runs_stay_out(bulk: Callable, raw: Callable) -> None:
    bulk("platform").put("s", b"x", ["bank-1"])
    with pytest.raises(RunFailed, match="third is no party of run"):
        bulk("third").put("t", b"x", ["bank-1"])
    with pytest.raises(RunFailed, match="third is no party of run"):
        bulk("third").get("s", 1)
    with pytest.raises(RunFailed, match="third is no party of run"):
        bulk("platform").put("t", b"x", ["bank-1", "third"])
    with pytest.raises(RunFailed, match="no run"):
        bulk("platform", UNKNOWN_RUN).put("s", b"x", ["bank-1"])
    assert bulk("bank-1", OTHER_RUN).get("s", 0.1) is None
    assert raw("Put", "bank-2", [header(), chunk(b"x")])[0] == CODES.PERMISSION_DENIED  # in the platform's name


def test_a_party_that_is_not_admitted_any_more_stays_out(bulk: Callable, hub: ThreadedHub) -> None:
    hub.admitted.discard("platform")
    try:
        with pytest.raises(RunFailed, match="platform is no party of this federation"):
            bulk("platform").put("s", b"x", ["bank-1"])
    finally:
        hub.admitted.add("platform")


@pytest.mark.parametrize("state", ["finished", "failed", "cancelling", "cancelled"])
def test_a_run_that_ended_is_forgotten_and_takes_nothing(bulk: Callable, hub: ThreadedHub, state: str) -> None:
    bulk("platform").put("s", bytes(MIB), ["bank-1"])
    waiting: list[str] = []

    def wait() -> None:
        try:
            bulk("bank-2").get("other", 20)
        except RunFailed as failure:
            waiting.append(failure.cause)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.2)
    hub.registry.states[RUN] = state
    assert soon(lambda: RUN not in hub.store.runs)
    thread.join(5)
    assert "has ended" in waiting[0]
    assert hub.store.held == 0
    with pytest.raises(RunFailed, match=f"has ended .{state}.") as failed:
        bulk("platform").put("s", b"x", ["bank-1"])
    assert failed.value.party == "coordinator"
    with pytest.raises(RunFailed, match="has ended"):
        bulk("bank-1").get("s", 1)
    assert bulk("bank-1").drop("s")


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
    monkeypatch.setattr(bulk_calls, "parties_of", lambda row: frozenset({*PARTIES, *many}))
    monkeypatch.setattr(hub.hub._callers, "check_sender", lambda party, context: None)
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


def test_an_ack_says_what_was_known(hub: ThreadedHub, federation: Path) -> None:
    with grpc.secure_channel(hub.address, NodeTls.load(federation / "platform").channel_credentials()) as channel:
        put = channel.stream_unary("/sealscore.hub.v1.Hub/Put")
        acks = [codec.decode(BulkAck, put(iter([header(), chunk(b"x")]), timeout=5), 16) for _ in range(2)]
    assert [ack.known for ack in acks] == [False, True]


def test_closing_ends_what_waits(bulk: Callable) -> None:
    receiver = bulk("bank-1")
    threading.Timer(0.3, receiver.close).start()
    began = time.monotonic()
    assert receiver.get("s", 20) is None
    assert time.monotonic() - began < 5
    with pytest.raises(HubUnreachable):
        receiver.put("s", b"x", ["bank-2"])
