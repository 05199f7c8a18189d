"""Two engines and an adversarial hub between them, without sockets and with a clock that the test turns."""
from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parties.runtime.link_engine import HEARTBEAT_S, RETRY_S, SILENCE_S, WINDOW_CHUNKS, Engine
from parties.runtime.link_inbox import INBOX_BYTES
from parties.runtime.link_store import Outgoing
from protocols.crypto.identity import IdentityKey
from protocols.crypto.sealing import SealingContext
from protocols.errors import ProtocolError
from protocols.wire import codec
from protocols.wire.codec import CHUNK_BYTES
from protocols.wire.hub_pb2 import (
    HELLO_INITIATOR,
    HELLO_REQUEST,
    PEER_ATTACHED,
    PEER_DETACHED,
    RUN_CANCELLED,
    SEALED,
    Header,
    HubFrame,
    Notice,
    Relay,
)

RUN = "r-" + "ab" * 8
KEYS = {"bank": IdentityKey.generate(), "platform": IdentityKey.generate()}
OTHER = {"bank": "platform", "platform": "bank"}


def notice(kind: int, party: str = "", cause: str = "") -> bytes:
    return codec.encode(HubFrame(notice=Notice(kind=kind, party=party, cause=cause)))


class Net:
    """Both parties, their stores, and the hub: queues of frames that a test may change."""

    def __init__(self, make_store: Callable, **changes):
        self.now = 100.0
        self.refused: dict[str, Counter] = {"bank": Counter(), "platform": Counter()}
        self.stores = {"bank": make_store(), "platform": make_store()}
        self.changes = changes
        self.attached: set[str] = set()
        self.wire: dict[str, deque[bytes]] = {"bank": deque(), "platform": deque()}  # towards that party
        self.log: dict[str, list[bytes]] = {"bank": [], "platform": []}
        self.got: dict[str, list[bytes]] = {"bank": [], "platform": []}
        self.engines: dict[str, Engine] = {}
        for party in ("bank", "platform"):
            self.restart(party)

    def context(self, party: str) -> SealingContext:
        values = {"run": RUN, "agreement": bytes(32), "own": party, "peer": OTHER[party], "identity": KEYS[party],
                  "peer_public": KEYS[OTHER[party]].public, **self.changes.get(party, {})}
        return SealingContext(**values)

    def restart(self, party: str) -> None:
        """The process of a party dies and comes back with its store."""
        self.detach(party)
        self.engines[party] = Engine(self.context(party), self.stores[party], 2**30, self.now,
                                     lambda kind: self.refused[party].update([kind]))

    def attach(self, party: str) -> None:
        self.detach(party)
        self.attached.add(party)
        if OTHER[party] in self.attached:
            self.wire[party].append(notice(PEER_ATTACHED, OTHER[party]))
            self.wire[OTHER[party]].append(notice(PEER_ATTACHED, party))

    def detach(self, party: str) -> None:
        if party in self.attached:
            self.attached.remove(party)
            self.wire[party].clear()
            self.engines[party].reset()
            if OTHER[party] in self.attached:
                self.wire[OTHER[party]].append(notice(PEER_DETACHED, party))

    def pump(self, party: str) -> bool:
        """One frame from a party into the hub."""
        frame = self.engines[party].next_frame(self.now) if party in self.attached else None
        if frame is not None and OTHER[party] in self.attached:
            self.wire[OTHER[party]].append(frame)
            self.log[party].append(frame)
        return frame is not None

    def deliver(self, party: str) -> bool:
        """One frame from the hub to a party, and what follows from it."""
        if not self.wire[party]:
            return False
        self.engines[party].receive(self.wire[party].popleft(), self.now)
        return True

    def handle(self, party: str) -> bool:
        """The driver of a party takes one message, makes it durable and acknowledges."""
        message = self.engines[party].inbox.take()
        if message is None:
            return False
        self.got[party].append(message.payload)
        self.stores[party].record(message.seq, message.digest)
        self.engines[party].inbox.acknowledge(message.seq)
        return True

    def settle(self, handling: bool = True) -> None:
        for _ in range(5000):
            moved = [self.pump(p) | self.deliver(p) | (handling and self.handle(p)) for p in self.engines]
            if not any(moved):
                return
        raise AssertionError("no end to the frames")

    def connect(self) -> None:
        for party in self.engines:
            self.attach(party)
        self.settle()


@pytest.fixture
def net(memory_store: Callable) -> Net:
    made = Net(memory_store)
    made.connect()
    return made


def relay_of(frame: bytes) -> Relay:
    return codec.decode(HubFrame, frame, codec.MAX_FRAME_BYTES).relay


def test_messages_arrive_in_order_and_the_outbox_empties(net: Net) -> None:
    payloads = [b"", b"x", bytes(CHUNK_BYTES), bytes(3 * CHUNK_BYTES + 1), b"last"]
    for payload in payloads:
        net.stores["bank"].put("k", payload)
        net.stores["platform"].put("k", payload)
    net.settle()
    assert net.got == {"bank": payloads, "platform": payloads}
    assert all(e.delivered for e in net.engines.values())
    assert not net.stores["bank"].rows
    assert not any(net.refused.values())


def test_a_sender_stops_at_the_window_while_the_peer_does_not_take(net: Net) -> None:
    net.stores["bank"].put("big", bytes(INBOX_BYTES + 40 * CHUNK_BYTES))
    net.stores["bank"].put("big", bytes(40 * CHUNK_BYTES))
    net.settle(handling=False)
    for _ in range(6):  # heartbeats do not take anything either
        net.now += HEARTBEAT_S
        net.settle(handling=False)
    sent = net.engines["bank"].traffic.out_by_kind["big"] // CHUNK_BYTES
    whole = INBOX_BYTES // CHUNK_BYTES + 40
    assert whole <= sent <= whole + WINDOW_CHUNKS
    net.settle()
    assert [len(p) for p in net.got["platform"]] == [INBOX_BYTES + 40 * CHUNK_BYTES, 40 * CHUNK_BYTES]


@pytest.mark.parametrize("who", ["bank", "platform"])
def test_what_was_not_handled_comes_again_with_the_same_bytes(net: Net, who: str) -> None:
    """The receiver dies before it handled; then the sender dies before it heard the acknowledgement."""
    other = OTHER[who]
    net.stores[who].put("k", b"payload")
    net.settle(handling=False)
    net.restart(other)
    net.attach(other)
    net.settle()
    assert net.got[other] == [b"payload"]
    net.stores[who].rows[1] = Outgoing(1, "k", 0, b"payload")
    net.restart(who)
    net.attach(who)
    net.settle()
    assert net.got[other] == [b"payload"]
    assert net.engines[who].failure is None
    assert net.engines[who].delivered


def test_a_message_that_comes_again_with_other_content_ends_the_link(net: Net) -> None:
    """The bank's session is made to send seq 1 again: an equal copy is dropped, another one is not."""
    net.stores["bank"].put("k", b"payload")
    net.settle()
    engine = net.engines["bank"]
    for payload, fails in ((b"payload", False), (b"changed", True)):
        engine._cursor = 0
        net.stores["bank"].rows[1] = Outgoing(1, "k", 0, payload)
        net.settle()
        assert (net.engines["platform"].failure is not None) == fails
    assert "other content" in str(net.engines["platform"].failure)
    assert net.got["platform"] == [b"payload"]


def test_a_skipped_message_ends_the_link(net: Net) -> None:
    net.stores["bank"].put("k", b"1")
    net.stores["bank"].put("k", b"2")
    net.engines["bank"]._cursor = 1
    net.settle()
    assert "expected message 1, got message 2" in str(net.engines["platform"].failure)
    assert net.refused["platform"] == {"peer": 1}


def test_a_gap_in_ones_own_outbox_is_an_error_here(net: Net) -> None:
    net.stores["bank"].put("k", b"1")
    net.stores["bank"].put("k", b"2")
    del net.stores["bank"].rows[1]
    with pytest.raises(ProtocolError, match="outbox"):
        net.settle()


def test_an_acknowledgement_of_what_was_never_sent_ends_the_link(net: Net) -> None:
    """A store restored from a backup: the peer has handled more than this side ever sent."""
    net.stores["platform"].handled = {1: bytes(32), 2: bytes(32)}
    net.restart("platform")
    net.attach("platform")
    net.settle()
    assert "one of the two stores was replaced" in str(net.engines["bank"].failure)


def test_a_message_beyond_the_limit_ends_the_link(net: Net) -> None:
    net.engines["platform"].inbox._assembler._max = 10
    net.stores["bank"].put("k", bytes(11))
    net.settle()
    assert "at most 10 bytes" in str(net.engines["platform"].failure)


def test_replayed_frames_are_refused_and_counted_and_nothing_is_handled_twice(net: Net) -> None:
    net.stores["bank"].put("k", b"payload")
    net.settle()
    sealed = [f for f in net.log["bank"] if relay_of(f).header.kind == SEALED]
    for frame in sealed:
        net.engines["platform"].receive(frame, net.now)
    net.settle()
    assert net.refused["platform"] == {"replay": len(sealed)}
    assert net.got["platform"] == [b"payload"]
    assert net.engines["platform"].in_session


def test_a_replayed_hello_is_refused_and_the_session_stands(net: Net) -> None:
    hello = next(f for f in net.log["bank"] if relay_of(f).header.kind == HELLO_INITIATOR)
    net.engines["platform"].receive(hello, net.now)
    assert net.refused["platform"] == {"replay": 1}
    net.stores["bank"].put("k", b"after")
    net.settle()
    assert net.got["platform"] == [b"after"]


def test_a_hello_replayed_to_a_restarted_responder_never_becomes_a_session(net: Net) -> None:
    """It no longer knows that it has seen the hello; the answer is of no use to who replays it."""
    hello = next(f for f in net.log["bank"] if relay_of(f).header.kind == HELLO_INITIATOR)
    old = [f for f in net.log["bank"] if relay_of(f).header.kind == SEALED]
    net.restart("platform")
    net.engines["platform"].receive(hello, net.now)
    for frame in old:
        net.engines["platform"].receive(frame, net.now)
    assert not net.engines["platform"].in_session
    net.stores["bank"].put("k", b"after")
    net.attach("platform")
    net.settle()
    assert net.got["platform"] == [b"after"]


def test_reordered_frames_are_refused_and_the_messages_still_arrive_once(net: Net) -> None:
    for text in (b"1", b"2", b"3"):
        net.stores["bank"].put("k", text)
    while net.pump("bank"):
        pass
    wire = net.wire["platform"]
    wire[0], wire[1] = wire[1], wire[0]
    net.settle()
    net.now += RETRY_S
    net.settle()
    net.now += RETRY_S
    net.settle()
    assert net.refused["platform"]["order"] == 1
    assert net.got["platform"] == [b"1", b"2", b"3"]
    assert net.engines["platform"].failure is None


def test_a_lost_frame_is_noticed_and_repaired(net: Net) -> None:
    net.stores["bank"].put("k", b"1")
    net.pump("bank")
    net.wire["platform"].clear()
    net.settle()
    for _ in range(3):  # the next heartbeat shows the gap, or silence does
        net.now += SILENCE_S
        net.settle()
    assert net.got["platform"] == [b"1"]


def test_a_message_cut_off_by_a_new_connection_starts_again(net: Net) -> None:
    payload = bytes(range(256)) * (5 * CHUNK_BYTES // 512)
    net.stores["bank"].put("k", payload)
    for _ in range(2):
        assert net.pump("bank")
        assert net.deliver("platform")
    net.attach("bank")
    net.settle()
    assert net.got["platform"] == [payload]
    assert net.engines["platform"].failure is None


@pytest.mark.parametrize(("party", "kind"), [("bank", HELLO_INITIATOR), ("platform", HELLO_REQUEST)])
def test_a_session_in_which_nothing_is_heard_is_made_anew(net: Net, party: str, kind: int) -> None:
    net.now += SILENCE_S + 1
    assert relay_of(net.engines[party].next_frame(net.now)).header.kind == kind
    assert not net.engines[party].in_session


def test_changed_and_unknown_bytes_are_refused_and_counted(net: Net) -> None:
    net.stores["bank"].put("k", b"payload")
    net.pump("bank")
    frame = net.wire["platform"].popleft()
    receive = net.engines["platform"].receive
    receive(frame[:-1] + bytes([frame[-1] ^ 1]), net.now)
    receive(frame + b"\x98\x06\x01", net.now)  # unknown field 99
    receive(b"\xff" * 40, net.now)
    receive(b"", net.now)
    assert net.refused["platform"] == {"malformed": 4}
    receive(frame, net.now)
    net.settle()
    assert net.got["platform"] == [b"payload"]


@pytest.mark.parametrize("change", [{"sender": "stranger"}, {"receiver": "stranger"}, {"run": "r-" + "00" * 8}])
def test_frames_of_others_are_refused_as_foreign(net: Net, change: dict) -> None:
    relay = relay_of(net.log["bank"][-1])
    for name, value in change.items():
        setattr(relay.header, name, value)
    net.engines["platform"].receive(codec.encode(HubFrame(relay=relay)), net.now)
    assert net.refused["platform"] == {"foreign": 1}


def test_a_frame_of_an_unknown_session_is_refused(net: Net) -> None:
    relay = relay_of(net.log["bank"][-1])
    relay.header.session = b"\x55" * 16
    net.engines["platform"].receive(codec.encode(HubFrame(relay=relay)), net.now)
    assert net.refused["platform"] == {"replay": 1}


@pytest.mark.parametrize("victim", ["bank", "platform"])
def test_another_identity_than_the_pinned_one_gets_no_session(memory_store: Callable, victim: str) -> None:
    net = Net(memory_store, **{OTHER[victim]: {"identity": IdentityKey.generate()}})
    net.stores["bank"].put("k", b"payload")
    net.stores["platform"].put("k", b"payload")
    net.connect()
    assert net.refused[victim]["identity"] == 1
    assert not any(e.in_session and e._cursor is not None for e in net.engines.values())
    assert net.got == {"bank": [], "platform": []}
    assert "telephone" in net.engines[victim].last_refusal


def test_another_agreement_gets_no_session(memory_store: Callable) -> None:
    net = Net(memory_store, bank={"agreement": b"\1" * 32})
    net.stores["bank"].put("k", b"payload")
    net.connect()
    assert net.refused["platform"] == {"agreement": 1}
    assert net.got["platform"] == []


def test_the_coordinator_ends_a_run(net: Net) -> None:
    net.engines["bank"].receive(notice(RUN_CANCELLED, cause="by the operator"), net.now)
    assert net.engines["bank"].stopped == "cancelled: by the operator"


def test_asking_for_hellos_is_rate_limited(net: Net) -> None:
    header = Header(version=1, run=RUN, sender="platform", receiver="bank", kind=HELLO_REQUEST)
    request = codec.encode(HubFrame(relay=Relay(header=header)))
    before = len(net.log["bank"])
    for _ in range(50):
        net.engines["bank"].receive(request, net.now)
        net.settle()
    assert len(net.log["bank"]) == before
    net.now += RETRY_S
    net.engines["bank"].receive(request, net.now)
    net.settle()
    assert net.engines["bank"].in_session
    assert sum(relay_of(f).header.kind == HELLO_INITIATOR for f in net.log["bank"]) == 2


STEPS = st.lists(st.tuples(st.sampled_from(["pump", "deliver", "handle", "put", "restart", "attach", "detach",
                                            "drop", "swap", "repeat", "flip", "wait"]),
                           st.sampled_from(["bank", "platform"])), max_size=120)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_whatever_happens_on_the_way_messages_arrive_exactly_once(memory_store: Callable, steps: list) -> None:
    net = Net(memory_store)
    net.connect()
    for number, (step, party) in enumerate(steps):
        wire = net.wire[party]
        if step == "put":
            net.stores[party].put("k", f"{party} {number}".encode())
        elif step == "drop" and wire:
            wire.popleft()
        elif step == "swap" and len(wire) > 1:
            wire[0], wire[1] = wire[1], wire[0]
        elif step == "repeat" and net.log[OTHER[party]]:
            wire.append(net.log[OTHER[party]][number % len(net.log[OTHER[party]])])
        elif step == "flip" and wire:
            wire[0] = wire[0][:-1] + bytes([wire[0][-1] ^ 1])
        elif step == "wait":
            net.now += 1.0
        elif step in ("pump", "deliver", "handle", "restart", "attach", "detach"):
            getattr(net, step)(party)
    net.connect()
    for _ in range(6):
        net.now += SILENCE_S
        net.settle()
    for party, other in OTHER.items():
        assert net.engines[party].failure is None
        assert net.got[party] == list(net.stores[other].sent.values())
        assert net.engines[party].delivered
