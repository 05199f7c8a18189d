"""One step is one transaction, the same bytes go out again, and nothing undeclared passes the door."""
from __future__ import annotations

import hashlib
import sqlite3

import pytest

from parties.runtime.bulk_reference import FanReference, sum_slot
from parties.runtime.egress import Egress
from parties.runtime.run_store import Handled, RunStore, Send, StoredBulk
from protocols.crypto.identity import IdentityKey
from protocols.errors import MalformedMessage, PolicyRefused, SealscoreError, TrustError
from protocols.node.at_rest import run_box
from protocols.node.audit_log import AuditLog
from protocols.role import Message, Opening

RUN = "r-00000000000000aa"
BOX = run_box(IdentityKey.generate(), RUN)


@pytest.fixture
def store(tmp_path):
    store = RunStore(tmp_path / "run" / "run.db", BOX)
    yield store
    store.close()


@pytest.fixture
def audit(tmp_path):
    with AuditLog(tmp_path / "audit", "bank", IdentityKey.generate()) as log:
        yield log


def test_the_file_is_private(store, tmp_path):
    assert (tmp_path / "run" / "run.db").stat().st_mode & 0o777 == 0o600


def test_a_step_that_fails_leaves_nothing(store):
    store.commit({"state": b"one"}, [Send("platform", "align.size", 0, b"a")])
    with pytest.raises(SealscoreError, match="after message 0"):
        store.commit({"state": b"two"}, [Send("platform", "align.points", 0, b"b")],
                     [Handled("platform", 5, b"d" * 32)])
    link = store.towards("platform")
    assert store.get("state") == b"one" and link.last_sequence() == 1 and link.last_handled() == 0


def test_messages_survive_the_process_with_the_same_bytes(tmp_path):
    path = tmp_path / "run.db"
    first = RunStore(path, BOX)
    sends = [Send("platform", "train.setup", 0, b"\0\1"), Send("other", "x.y", 0, b"o"),
             Send("platform", "train.init", 0, b"\2")]
    first.commit({"state": b"s"}, sends, [Handled("platform", 1, b"d" * 32)])
    first.close()
    store = RunStore(path, BOX)
    again = store.towards("platform")
    assert [(again.next_outgoing(n).seq, again.next_outgoing(n).payload) for n in (0, 1)] == [(1, b"\0\1"), (2, b"\2")]
    assert again.last_handled() == 1 and again.handled_digest(1) == b"d" * 32 and again.next_outgoing(2) is None
    again.trim(1)
    assert again.next_outgoing(0).seq == 2 and again.last_sequence() == 2
    other = store.towards("other")
    assert other.next_outgoing(0).payload == b"o" and other.last_handled() == 0 and store.waiting()
    again.trim(2)
    other.trim(1)
    assert not store.waiting() and other.last_sequence() == 1
    store.close()


def test_a_payload_for_several_peers_is_kept_once_until_all_have_it(store, audit):
    door = Egress(RUN, "train", store, audit)
    door.release("train", 0, [Message(p, "backward.request", b"secret", slot="r.1") for p in ("a", "b")], {}, ())
    assert store.slots() == ["train:r.1"]
    bulk = store.bulk("train:r.1")
    assert bulk.receivers == ("a", "b") and bulk.contributors == () and b"secret" not in bulk.payload
    rows = [store.towards(p).next_outgoing(0) for p in ("a", "b")]
    assert rows[0].kind == "train.fan.backward.request" and rows[0].payload == rows[1].payload
    reference = FanReference.unpack(rows[0].payload)
    assert reference.open(bulk.payload) == b"secret" and reference.digest == hashlib.sha256(bulk.payload).digest()
    with pytest.raises(TrustError, match="hub changed it"):
        reference.open(bulk.payload[:-1] + b"x")
    store.towards("a").trim(1)
    assert store.slots() == ["train:r.1"]
    store.towards("b").trim(1)
    assert store.slots() == [] and store.bulk("train:r.1") is None


def test_what_was_acknowledged_is_gone_with_the_next_step_or_when_nothing_is_owed(store, tmp_path):
    store.commit({"s": b"1"}, [Send(p, "x.y", 0, b"q" * 99, "slot") for p in ("a", "b")], (),
                 [StoredBulk("slot", ("a", "b"), (), b"bulk")])
    kept = sqlite3.connect(tmp_path / "run" / "run.db")
    count = "SELECT (SELECT COUNT(*) FROM outbox), (SELECT COUNT(*) FROM bulk)"
    store.towards("a").trim(1)
    assert store.towards("a").next_outgoing(0) is None and store.slots() == ["slot"]
    assert kept.execute(count).fetchone() == (2, 1)
    store.commit({"s": b"2"})
    assert kept.execute(count).fetchone() == (1, 1)
    store.towards("b").trim(1)
    assert kept.execute(count).fetchone() == (0, 0) and not store.waiting()
    assert store.towards("a").last_sequence() == 1 and store.has("s") and not store.has("t")
    kept.close()


def test_a_summand_goes_to_the_hub_under_its_slot(store, audit):
    summand = Message("bank", "forward.reply", b"numbers", slot="forward.1", contributors=("a", "b"))
    Egress(RUN, "train", store, audit).release("train", 0, [summand], {}, ())
    row = store.towards("bank").next_outgoing(0)
    assert row.kind == "train.sum.forward.reply" and sum_slot(row.payload) == "train:forward.1"
    bulk = store.bulk("train:forward.1")
    assert (bulk.receivers, bulk.contributors, bulk.payload) == (("bank",), ("a", "b"), b"numbers")


@pytest.mark.parametrize("data", [b"", b"x" * 64, b"y" * 64 + "ä".encode(), b"z" * 64 + b"UPPER", b"q" * 200])
def test_what_refers_to_no_slot_is_refused(data):
    with pytest.raises(MalformedMessage, match="reference"):
        FanReference.unpack(data)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"a b", b"q" * 97])
def test_what_names_no_slot_is_refused(data):
    with pytest.raises(MalformedMessage, match="reference"):
        sum_slot(data)


def test_what_is_erased_is_gone_from_the_file(store, tmp_path):
    secret = b"a secret that must not stay " * 40
    store.put("keys", secret)
    store.commit({"keys": None})
    store.close()
    with sqlite3.connect(tmp_path / "run" / "run.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    database.close()
    left = b"".join(path.read_bytes() for path in (tmp_path / "run").iterdir())
    assert secret[:28] not in left


def test_every_message_is_recorded_before_it_may_leave(store, audit):
    door = Egress(RUN, "train", store, audit)
    opening = Opening("coefficients", "platform", 7)
    door.release("train", 3, [Message("platform", "coefficients", b"abc", opening)], {"s": b"1"},
                 [Handled("platform", 1, b"d" * 32)])
    kinds = [(r.kind, r.body) for r in audit.records() if r.kind in ("egress", "opening")]
    assert [kind for kind, _ in kinds] == ["egress", "opening"]
    assert kinds[0][1]["sha256"] == hashlib.sha256(b"abc").hexdigest() and kinds[1][1]["count"] == 7
    assert door.openings() == {"coefficients": 7}
    assert store.towards("platform").next_outgoing(0).kind == "train.coefficients"


@pytest.mark.parametrize(("kind", "opening"), [
    ("train", Opening("scores.batch", "bank", 5)), ("score", Opening("coefficients", "bank", 5)),
])
def test_an_undeclared_opening_does_not_pass(store, audit, kind, opening):
    with pytest.raises(PolicyRefused, match="may not open"):
        Egress(RUN, kind, store, audit).release("train", 0, [Message("bank", "x", b"", opening)], {}, ())
    assert store.towards("bank").last_sequence() == 0 and [r for r in audit.records() if r.kind == "egress"] == []


def test_what_a_plan_rules_out_does_not_pass(store, audit):
    door = Egress(RUN, "train", store, audit, release="shared")
    with pytest.raises(PolicyRefused, match="may not open coefficients when release = 'shared'"):
        door.release("train", 0, [Message("bank", "x", b"", Opening("coefficients", "bank", 5))], {}, ())
    assert door.openings() == {} and store.towards("bank").next_outgoing(0) is None


def test_an_opening_passes_once(store, audit):
    door = Egress(RUN, "train", store, audit)
    message = Message("bank", "scores.test", b"1", Opening("scores.test", "bank", 5))
    door.release("evaluate", 0, [message], {}, ())
    with pytest.raises(PolicyRefused, match="once"):
        door.release("evaluate", 0, [message], {}, ())
    assert store.towards("bank").last_sequence() == 1


def test_training_scores_open_as_often_as_the_plan_says(store, audit):
    def message() -> Message:
        return Message("bank", "scores.training", b"1", Opening("scores.training", "bank", 500))

    for _ in range(2):  # the second door is that of the run continued after a crash
        Egress(RUN, "train", store, audit, score_openings=2).release("train", 0, [message()], {}, ())
    door = Egress(RUN, "train", store, audit, score_openings=2)
    with pytest.raises(PolicyRefused, match="2 times, not more"):
        door.release("train", 0, [message()], {}, ())
    assert door.openings() == {"scores.training": 1000} and store.towards("bank").last_sequence() == 2
    assert sum(record.kind == "opening" for record in audit.records()) == 2
    with pytest.raises(PolicyRefused, match="may not open"):
        Egress(RUN, "score", store, audit, score_openings=2).release("score", 0, [message()], {}, ())


def test_an_opening_passes_once_to_each_learner(store, audit):
    door = Egress(RUN, "train", store, audit)
    told = [Message(p, "step.size", b"1", Opening("step.size", p, 1)) for p in ("a", "b")]
    door.release("train", 0, told, {}, ())
    assert door.openings() == {"step.size": 2}
    with pytest.raises(PolicyRefused, match="once"):
        door.release("train", 0, told[:1], {}, ())
