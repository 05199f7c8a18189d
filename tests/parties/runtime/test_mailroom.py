"""What a driver gets from several peers: in the order that its role expects, and summed where it is a sum."""
from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from parties.runtime import mailroom
from parties.runtime.bulk_reference import refer
from parties.runtime.hub_client import HubUnreachable
from parties.runtime.mailroom import Mailroom
from parties.runtime.run_store import RunStore
from protocols.crypto.box import Box
from protocols.errors import MalformedMessage, ProtocolError, RunFailed
from protocols.role import SUM, Message


@dataclass
class FakeLink:
    """A link whose messages were put there by hand."""

    waiting: deque = field(default_factory=deque)
    acknowledged: list[int] = field(default_factory=list)
    cancelled: str | None = None
    streams: int = 1
    bytes_out: int = 10
    bytes_in: int = 1
    phase: str = ""

    def receive(self, timeout_s: float):
        return self.waiting.popleft() if self.waiting else None

    def add(self, kind: str, payload: bytes) -> None:
        self.waiting.append(SimpleNamespace(seq=len(self.acknowledged) + len(self.waiting) + 1, kind=kind,
                                            payload=payload, digest=b"d" * 32))

    def acknowledge(self, seq: int) -> None:
        self.acknowledged.append(seq)

    def send_persisted(self) -> None:
        return None


@dataclass
class FakeBulk:
    """Slots by name."""

    slots: dict[str, bytes] = field(default_factory=dict)
    puts: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    fault: Exception | None = None
    phase: str = "train"
    bytes_out: int = 100
    bytes_in: int = 7

    def put(self, slot: str, data: bytes, receivers, contributors) -> None:
        self._check()
        self.puts.append(slot)

    def get(self, slot: str, timeout_s: float, sha256: bytes | None = None) -> bytes | None:
        self._check()
        return self.slots.get(slot)

    def drop_later(self, slot: str) -> None:
        self.dropped.append(slot)

    def _check(self) -> None:
        if self.fault:
            raise self.fault


@pytest.fixture
def room(tmp_path, monkeypatch):
    monkeypatch.setattr(mailroom, "NOTICE_S", 0.3)
    store = RunStore(tmp_path / "run.db", Box(bytes(32)))
    links, bulk = {"a": FakeLink(), "b": FakeLink()}, FakeBulk()
    yield Mailroom(links, bulk, store), links, bulk, store
    store.close()


def test_only_the_expected_peer_s_message_is_handed_in_and_the_others_wait(room) -> None:
    mail, links, _, _ = room
    links["b"].add("train.second", b"2")
    assert mail.receive("train", "a", ()) is None
    links["a"].add("train.first", b"1")
    first = mail.receive("train", "a", ())
    assert first.message == Message("a", "first", b"1") and [h.peer for h in first.handled] == ["a"]
    second = mail.receive("train", "b", ())
    mail.acknowledge(second)
    assert second.message.kind == "second" and links["b"].acknowledged == [1] and links["a"].acknowledged == []


def test_a_sum_waits_for_all_and_rests_on_all_their_messages(room) -> None:
    mail, links, bulk, _ = room
    links["a"].add("train.sum.forward.reply", b"train:forward.1")
    assert mail.receive("train", SUM, ("a", "b")) is None
    links["b"].add("train.sum.forward.reply", b"train:forward.1")
    assert mail.receive("train", SUM, ("a", "b")) is None  # the hub has not got all
    bulk.slots["train:forward.1"] = b"the sum"
    got = mail.receive("train", SUM, ("a", "b"))
    assert got.message == Message(SUM, "forward.reply", b"the sum")
    assert sorted(h.peer for h in got.handled) == ["a", "b"]
    mail.acknowledge(got)
    assert bulk.dropped == ["train:forward.1"] and links["a"].acknowledged == links["b"].acknowledged == [1]


@pytest.mark.parametrize(("kind", "payload"), [
    ("train.sum.forward.reply", b"train:forward.2"), ("train.sum.backward.reply", b"train:forward.1"),
    ("train.forward.reply", b"train:forward.1"),
])
def test_summands_of_different_steps_are_refused(room, kind, payload) -> None:
    mail, links, _, _ = room
    links["a"].add("train.sum.forward.reply", b"train:forward.1")
    links["b"].add(kind, payload)
    with pytest.raises(MalformedMessage, match="same step"):
        mail.receive("train", SUM, ("a", "b"))


def test_a_summand_where_a_message_is_due_and_another_phase_are_refused(room) -> None:
    mail, links, _, _ = room
    links["a"].add("train.sum.x", b"train:x")
    with pytest.raises(MalformedMessage, match="summand"):
        mail.receive("train", "a", ())
    links["b"].add("align.points", b"")
    with pytest.raises(MalformedMessage, match="while phase train was due"):
        mail.receive("train", "b", ())
    with pytest.raises(ProtocolError, match="no link to stranger"):
        mail.receive("train", "stranger", ())


def test_a_payload_for_several_comes_from_its_slot(room) -> None:
    mail, links, bulk, _ = room
    sends, bulks = refer("train", 0, [Message(p, "ask", b"payload", slot="ask.1") for p in ("a", "b")])
    links["a"].add(sends[0].kind, sends[0].payload)
    assert mail.receive("train", "a", ()) is None
    bulk.slots["train:ask.1"] = bulks[0].payload
    got = mail.receive("train", "a", ())
    assert got.message == Message("a", "ask", b"payload") and got.slot == "train:ask.1"


def test_bulks_are_put_once_and_again_after_a_new_stream(room) -> None:
    mail, links, bulk, store = room
    sends, bulks = refer("train", 0, [Message(p, "ask", b"payload", slot="ask.1") for p in ("a", "b")])
    store.commit({}, sends, (), bulks)
    mail.send()
    mail.send()
    assert bulk.puts == ["train:ask.1"]
    links["b"].streams += 1
    mail.receive("train", "a", ())
    assert bulk.puts == ["train:ask.1"] * 2
    for peer in ("a", "b"):
        store.towards(peer).trim(1)
    links["b"].streams += 1
    mail.send()
    assert bulk.puts == ["train:ask.1"] * 2 and mail.bytes_out == 120 and mail.bytes_in == 9


def test_a_hub_that_stays_away_is_a_resumable_failure(room) -> None:
    mail, links, bulk, _ = room
    links["a"].add("train.sum.x", b"train:x")
    bulk.fault = HubUnreachable("the hub did not answer")
    with pytest.raises(RunFailed) as failure:
        mail.receive("train", SUM, ("a",))
    assert failure.value.party == "coordinator" and "resume the run" in failure.value.next_step


def test_a_refused_slot_of_a_cancelled_run_is_a_cancellation(room) -> None:
    mail, links, bulk, _ = room
    links["a"].add("train.sum.x", b"train:x")
    bulk.fault = RunFailed("coordinator", "train", "the run has ended (cancelled)", "start a new one")
    with pytest.raises(RunFailed, match="has ended"):
        mail.receive("train", SUM, ("a",))
    links["b"].cancelled = "cancelled"
    assert mail.receive("train", SUM, ("a",)) is None and mail.cancelled == "cancelled"
