"""The hub over real mutual TLS: who may attach, what is relayed, what is refused, and that memory is bounded."""
from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from coordinator import hub as hub_module
from coordinator import hub_calls
from coordinator.certs import PartySpec, init_federation
from coordinator.hub import MAILBOX_FRAMES, Hub, Mailbox, server
from protocols.errors import UsageError
from protocols.node.tls import CHANNEL_OPTIONS, NodeTls, diagnose
from protocols.wire import codec
from protocols.wire.hub_pb2 import (
    PEER_ATTACHED,
    PEER_DETACHED,
    RUN_CANCELLED,
    SEALED,
    Ack,
    Attach,
    Header,
    HubFrame,
    PartyCatalogue,
    ProgressEvent,
    Relay,
)

RUN, OTHER_RUN, UNKNOWN_RUN = ("r-" + c * 16 for c in "01f")


class FakeRegistry:
    """Two runs of bank and platform; remembers what it is told."""

    def __init__(self) -> None:
        self.states = {RUN: "running", OTHER_RUN: "running"}
        self.told: list[tuple] = []

    def run(self, run: str) -> dict:
        if run not in self.states:
            raise UsageError(f"no run {run!r}")
        plan = json.dumps({"parties": {"bank": {}, "platform": {}}})
        return {"plan_json": plan, "state": self.states[run], "cause": None}

    def run_state(self, run: str) -> str | None:
        return self.states.get(run)

    def record_progress(self, run: str, party: str, event: dict) -> None:
        self.told.append((run, party, event))

    def party_online(self, party: str, catalogue: dict) -> None:
        self.told.append((party, catalogue))


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub") / "certs"
    init_federation(root, [PartySpec("bank", "bank"), PartySpec("platform", "platform"),
                           PartySpec("third", "platform")], 2)
    return root


@pytest.fixture(scope="module")
def running(federation: Path) -> Iterator[tuple[str, FakeRegistry]]:
    """The hub in a thread with a loop of its own; its address and registry."""
    registry, ready, loop = FakeRegistry(), queue.Queue(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        hub = Hub(registry)
        made, port = server(hub, NodeTls.load(federation / "coordinator"), "127.0.0.1:0")
        await made.start()
        watcher = asyncio.create_task(hub.watch())
        ready.put(f"127.0.0.1:{port}")
        await stop.wait()
        watcher.cancel()
        await made.stop(0.1)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    yield ready.get(timeout=10), registry
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()
    assert not thread.is_alive()


PEER = {"bank": "platform", "platform": "bank"}
ATTACH = Attach(version=1, run=RUN, party="bank", peer="platform")


class Stream:
    """A party's stream, frame by frame."""

    def __init__(self, channel: grpc.Channel, party: str, run: str = RUN, first: bytes | None = None):
        self._out: queue.Queue = queue.Queue()
        attach = codec.encode(HubFrame(attach=Attach(version=1, run=run, party=party, peer=PEER.get(party, "bank"))))
        self._out.put(attach if first is None else first)
        self.call = channel.stream_stream("/sealscore.hub.v1.Hub/Attach")(iter(self._out.get, None), timeout=20)

    def send(self, frame: bytes) -> None:
        self._out.put(frame)

    def next(self) -> HubFrame:
        return codec.decode(HubFrame, next(self.call), codec.MAX_FRAME_BYTES)

    def expect_notice(self, kind: int, party: str = "") -> None:
        notice = self.next().notice
        assert (notice.kind, notice.party) == (kind, party)

    def status(self) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as error:
            for _ in self.call:
                pass
        return error.value.code(), error.value.details()

    def close(self) -> None:
        self._out.put(None)
        self.call.cancel()


@pytest.fixture
def channel(federation: Path, running: tuple) -> Iterator[Callable[[str], grpc.Channel]]:
    made: list[grpc.Channel] = []

    def connect(party: str) -> grpc.Channel:
        credentials = NodeTls.load(federation / party).channel_credentials()
        made.append(grpc.secure_channel(running[0], credentials, CHANNEL_OPTIONS))
        return made[-1]

    yield connect
    for one in made:
        one.close()


OPAQUE, AFTER = b"opaque, and no shorter than a tag", b"another one, which comes afterwards"


@pytest.fixture
def stream(channel: Callable) -> Iterator[Callable[..., Stream]]:
    made: list[Stream] = []

    def attach(party: str, run: str = RUN, certificate: str | None = None, first: bytes | None = None) -> Stream:
        made.append(Stream(channel(certificate or party), party, run, first))
        return made[-1]

    yield attach
    for one in made:
        one.close()


def sealed(sender: str = "bank", receiver: str = "platform", run: str = RUN, body: bytes = OPAQUE) -> bytes:
    header = Header(version=1, run=run, sender=sender, receiver=receiver, kind=SEALED, session=bytes(16))
    return codec.encode(HubFrame(relay=Relay(header=header, body=body)))


@pytest.fixture
def pair(stream: Callable) -> tuple[Stream, Stream]:
    bank = stream("bank")
    bank.call.initial_metadata()
    platform = stream("platform")
    bank.expect_notice(PEER_ATTACHED, "platform")
    platform.expect_notice(PEER_ATTACHED, "bank")
    return bank, platform


def test_frames_pass_unchanged_in_order(pair: tuple[Stream, Stream]) -> None:
    bank, platform = pair
    frames = [sealed(body=bytes([n]) * 1000) for n in range(40)]
    for frame in frames:
        bank.send(frame)
    assert [next(platform.call) for _ in frames] == frames
    platform.send(sealed("platform", "bank"))
    assert next(bank.call) == sealed("platform", "bank")


def test_the_largest_frame_passes_and_a_larger_one_does_not(pair: tuple[Stream, Stream]) -> None:
    bank, platform = pair
    room = codec.MAX_FRAME_BYTES - len(sealed(body=b"x" * 900_000)) + 900_000
    bank.send(sealed(body=b"x" * room))
    assert len(next(platform.call)) == codec.MAX_FRAME_BYTES
    header = codec.decode(HubFrame, sealed(), 1000).relay.header
    bank.send(HubFrame(relay=Relay(header=header, body=b"x" * (room + 1))).SerializeToString(deterministic=True))
    code, details = bank.status()
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "at most 1048576 bytes" in details


def test_detaching_is_told_and_frames_for_the_absent_are_dropped(pair: tuple[Stream, Stream], stream: Callable) -> None:
    bank, platform = pair
    platform.close()
    bank.expect_notice(PEER_DETACHED, "platform")
    for _ in range(3 * MAILBOX_FRAMES):
        bank.send(sealed())
    again = stream("platform")
    bank.expect_notice(PEER_ATTACHED, "platform")
    again.expect_notice(PEER_ATTACHED, "bank")
    bank.send(sealed(body=AFTER))
    while (frame := again.next()).relay.body != AFTER:
        assert frame.relay.body == OPAQUE


def test_a_newer_stream_of_a_party_replaces_the_older(pair: tuple[Stream, Stream], stream: Callable) -> None:
    bank, platform = pair
    newer = stream("platform")
    newer.expect_notice(PEER_ATTACHED, "bank")
    assert platform.status()[0] == grpc.StatusCode.ABORTED
    bank.expect_notice(PEER_ATTACHED, "platform")
    bank.send(sealed())
    assert newer.next().relay.body == OPAQUE


def test_runs_are_apart(pair: tuple[Stream, Stream], stream: Callable) -> None:
    bank, _ = pair
    elsewhere = stream("platform", OTHER_RUN)
    elsewhere.call.initial_metadata()
    bank.send(sealed(run=OTHER_RUN))
    assert bank.status()[0] == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("frame", [sealed("third", "platform"), sealed("platform", "bank")])
def test_a_frame_in_anothers_name_ends_the_stream(pair: tuple[Stream, Stream], frame: bytes) -> None:
    bank, platform = pair
    bank.send(frame)
    code, details = bank.status()
    assert code == grpc.StatusCode.PERMISSION_DENIED
    assert "in the name of another party" in details
    platform.expect_notice(PEER_DETACHED, "bank")


@pytest.mark.parametrize("frame", [b"", b"\xff" * 9, sealed() + b"\x98\x06\x01",
                                   codec.encode(HubFrame(attach=ATTACH))])
def test_what_is_no_frame_ends_the_stream(pair: tuple[Stream, Stream], frame: bytes) -> None:
    bank, _ = pair
    bank.send(frame)
    assert bank.status()[0] == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(("party", "run", "certificate", "code", "text"), [
    ("bank", RUN, "platform", grpc.StatusCode.PERMISSION_DENIED, "in the name of bank with a certificate of platform"),
    ("bank", UNKNOWN_RUN, None, grpc.StatusCode.NOT_FOUND, "no run"),
    ("third", RUN, None, grpc.StatusCode.PERMISSION_DENIED, "third is no party of run"),
])
def test_who_may_not_attach(stream: Callable, party, run, certificate, code, text) -> None:
    got, details = stream(party, run, certificate).status()
    assert got == code
    assert text in details


@pytest.mark.parametrize("first", [b"", b"\x00", sealed()])
def test_the_first_frame_names_the_run(stream: Callable, first: bytes) -> None:
    assert stream("bank", first=first).status()[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_a_stream_that_says_nothing_is_ended(channel: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_calls, "FIRST_FRAME_S", 0.2)
    silent = threading.Event()
    call = channel("bank").stream_stream("/sealscore.hub.v1.Hub/Attach")(iter(lambda: silent.wait(10) or None, None))
    with pytest.raises(grpc.RpcError) as error:
        next(call)
    silent.set()
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_cancelled_run_is_told_once(pair: tuple[Stream, Stream], running: tuple) -> None:
    running[1].states[RUN] = "cancelling"
    try:
        for one in pair:
            one.expect_notice(RUN_CANCELLED)
    finally:
        running[1].states[RUN] = "running"
    pair[0].send(sealed())
    assert pair[1].next().relay.body == OPAQUE


def test_a_slow_receiver_holds_its_sender_back(stream: Callable, channel: Callable) -> None:
    """64 MiB for a receiver that does not read: the sender gets rid of a bounded part, then of all."""
    platform = stream("platform")
    platform.call.initial_metadata()
    total, sent = 128, 0

    def requests() -> Iterator[bytes]:
        nonlocal sent
        yield codec.encode(HubFrame(attach=ATTACH))
        for _ in range(total):
            sent += 1
            yield sealed(body=bytes(512 * 1024))
        time.sleep(0.5)

    bank = channel("bank").stream_stream("/sealscore.hub.v1.Hub/Attach")(requests(), timeout=30)
    platform.expect_notice(PEER_ATTACHED, "bank")
    time.sleep(1.5)
    assert MAILBOX_FRAMES <= sent < total - 32
    for _ in range(total):
        assert len(platform.next().relay.body) == 512 * 1024
    assert sent == total
    bank.cancel()


def call(channel: grpc.Channel, method: str, request: bytes) -> bytes:
    return channel.unary_unary(f"/sealscore.hub.v1.Hub/{method}")(request, timeout=10)


def event(**changes: object) -> bytes:
    values = {"party": "bank", "run": RUN, "phase": "train", "state": "running", "step": 2, "steps": 12,
              "fraction": 0.25, "bytes_out": 10, "body_json": b'{"a":1}', **changes}
    return ProgressEvent(**values).SerializeToString(deterministic=True)


def test_progress_reaches_the_registry(channel: Callable, running: tuple) -> None:
    assert call(channel("bank"), "Report", event()) == codec.encode(Ack())
    run, party, values = running[1].told[-1]
    assert (run, party) == (RUN, "bank")
    assert values == {"phase": "train", "state": "running", "step": 2, "steps": 12, "fraction": 0.25, "eta_s": 0.0,
                      "bytes_out": 10, "bytes_in": 0, "cause": "", "next_step": "", "body_json": '{"a":1}'}


def test_only_a_party_of_the_run_reports_on_it(channel: Callable, running: tuple) -> None:
    for party, run, code in (("third", RUN, grpc.StatusCode.PERMISSION_DENIED),
                             ("bank", UNKNOWN_RUN, grpc.StatusCode.NOT_FOUND)):
        with pytest.raises(grpc.RpcError) as error:
            call(channel(party), "Report", event(party=party, run=run))
        assert error.value.code() == code
    assert not [told for told in running[1].told if told[0] == UNKNOWN_RUN or told[1] == "third"]


@pytest.mark.parametrize(("method", "request_bytes", "code"), [
    ("Report", event(party="platform"), grpc.StatusCode.PERMISSION_DENIED),
    ("Report", event(state="done"), grpc.StatusCode.INVALID_ARGUMENT),
    ("Report", event(fraction=float("nan")), grpc.StatusCode.INVALID_ARGUMENT),
    ("Report", event(cause="\x1b[31m"), grpc.StatusCode.INVALID_ARGUMENT),
    ("Report", event(body_json=b"x" * 65537), grpc.StatusCode.INVALID_ARGUMENT),
    ("Report", event(body_json=b"\xff"), grpc.StatusCode.INVALID_ARGUMENT),
    ("Report", event() + b"\xf8\x01\x01", grpc.StatusCode.INVALID_ARGUMENT),
    ("Hello", PartyCatalogue(party="platform", catalogue_json=b"{}").SerializeToString(),
     grpc.StatusCode.PERMISSION_DENIED),
    ("Hello", PartyCatalogue(party="bank", catalogue_json=b"[]").SerializeToString(),
     grpc.StatusCode.INVALID_ARGUMENT),
    ("Hello", PartyCatalogue(party="bank", catalogue_json=b"[" * 100_000).SerializeToString(),
     grpc.StatusCode.INVALID_ARGUMENT),
])
def test_reports_that_are_refused(channel: Callable, running: tuple, method, request_bytes, code) -> None:
    before = len(running[1].told)
    with pytest.raises(grpc.RpcError) as error:
        call(channel("bank"), method, request_bytes)
    assert error.value.code() == code
    assert len(running[1].told) == before


def test_a_client_without_a_certificate_or_of_another_authority_does_not_get_in(federation, running, tmp_path) -> None:
    ca = (federation / "bank" / "tls" / "ca.crt").read_bytes()
    other = tmp_path / "other"
    init_federation(other, [PartySpec("bank", "bank")], 1)
    tls = NodeTls.load(other / "bank")
    for credentials in (grpc.ssl_channel_credentials(ca), grpc.ssl_channel_credentials(ca, tls.key, tls.certificate)):
        with grpc.secure_channel(running[0], credentials) as insecure, pytest.raises(grpc.RpcError) as error:
            call(insecure, "Report", event())
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    (other / "bank" / "tls" / "ca.crt").write_bytes(ca)
    mixed = NodeTls(other / "bank", "bank", ca, tls.certificate, tls.key)
    assert "does not accept this node's certificate" in diagnose(running[0], mixed)
    assert diagnose(running[0], NodeTls.load(federation / "bank")) is None


def test_a_mailbox_is_bounded_and_closing_it_wakes_everybody() -> None:
    async def main() -> None:
        box = Mailbox(2)
        assert await box.put(b"1") and await box.put(b"2")
        third = asyncio.create_task(box.put(b"3"))
        await asyncio.sleep(0.01)
        assert not third.done()
        assert await box.get() == b"1"
        assert await third
        fourth = asyncio.create_task(box.put(b"4"))
        await asyncio.sleep(0.01)
        box.close()
        assert await fourth is False
        assert await box.get() is None

    asyncio.run(main())


def test_a_party_that_leaves_its_notices_unread_is_detached() -> None:
    async def main() -> None:
        box = Mailbox()
        for _ in range(hub_module.MAILBOX_NOTICES):
            box.notify(b"n")
        assert await box.get() == b"n"
        for _ in range(2):
            box.notify(b"n")
        assert await box.get() is None

    asyncio.run(main())


def test_a_port_that_is_taken_is_an_error(federation: Path, running: tuple) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match="cannot listen"):
            server(Hub(FakeRegistry()), NodeTls.load(federation / "coordinator"), running[0])

    asyncio.run(main())
