"""Bulks over real mutual TLS: who may put, get and drop what, what is added, restarts, runs that end."""
from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from coordinator.bulk import MIB
from coordinator.bulk_usage import Usage, UsageFiles, read_usage
from parties.runtime.hub_client import HubUnreachable
from protocols.errors import MalformedMessage, RunFailed
from protocols.node.tls import NodeTls
from protocols.wire import codec
from protocols.wire.hub_pb2 import BulkAck
from tests.coordinator.bulk.threaded_hub import (
    BANKS,
    CODES,
    OTHER_RUN,
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
    end = time.monotonic() + 10
    while hub.store.usage(RUN).gets < 1 and time.monotonic() < end:  # counted once the receiver has it all
        time.sleep(0.01)
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


def test_a_drop_that_nobody_waits_for_lets_go_of_the_slot(bulk: Callable, hub: ThreadedHub) -> None:
    receiver = bulk("bank-1")
    bulk("platform").put("s", b"abc", ["bank-1"])
    assert receiver.get("s", 1) == b"abc"
    receiver.drop_later("s")
    assert soon(lambda: hub.store.held == 0 and not receiver._calls)


def test_a_drop_that_nobody_waits_for_may_fail_or_come_late(bulk: Callable, hub: ThreadedHub) -> None:
    late, alone = bulk("bank-1"), bulk("bank-2")
    late.close()
    late.drop_later("s")
    assert soon(lambda: not late._calls)
    hub.stop()
    try:
        alone.drop_later("s")
        assert soon(lambda: not alone._calls)
    finally:
        hub.start()


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


def test_usage_adds_up_over_the_hubs_lives(tmp_path: Path) -> None:
    first = UsageFiles(tmp_path)
    for puts in (1, 2):  # what was counted by then
        first.write(RUN, Usage(puts=puts, add_cpu_s=0.5, peak_bytes=10 * puts), ended=False)
    second = UsageFiles(tmp_path)
    second.write(RUN, Usage(puts=5, add_cpu_s=0.25, peak_bytes=7), ended=True)
    assert read_usage(tmp_path, RUN) == Usage(puts=7, add_cpu_s=0.75, peak_bytes=20)
    assert read_usage(tmp_path, OTHER_RUN) is None
    (tmp_path / "hub" / f"{RUN}.json").write_text("[")
    assert read_usage(tmp_path, RUN) == Usage()
