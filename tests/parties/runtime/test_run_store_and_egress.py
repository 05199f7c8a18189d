"""One step is one transaction, the same bytes go out again, and nothing undeclared passes the door."""
from __future__ import annotations

import hashlib
import sqlite3

import pytest

from parties.runtime.egress import Egress, Handled
from parties.runtime.run_store import RunStore
from parties.runtime.vault import Vault
from protocols.crypto.identity import IdentityKey
from protocols.errors import PolicyRefused, SealscoreError, TrustError, UsageError
from protocols.node.audit_log import AuditLog
from protocols.role import Message, Opening

RUN = "r-00000000000000aa"


@pytest.fixture
def store(tmp_path):
    store = RunStore(tmp_path / "run" / "run.db")
    yield store
    store.close()


@pytest.fixture
def audit(tmp_path):
    with AuditLog(tmp_path / "audit", "bank", IdentityKey.generate()) as log:
        yield log


def test_the_file_is_private(store, tmp_path):
    assert (tmp_path / "run" / "run.db").stat().st_mode & 0o777 == 0o600


def test_a_step_that_fails_leaves_nothing(store):
    store.commit({"state": b"one"}, [("align.size", 0, b"a")])
    with pytest.raises(SealscoreError, match="after message 0"):
        store.commit({"state": b"two"}, [("align.points", 0, b"b")], handled=(5, b"d" * 32))
    assert store.get("state") == b"one" and store.last_sequence() == 1 and store.last_handled() == 0


def test_messages_survive_the_process_with_the_same_bytes(tmp_path):
    path = tmp_path / "run.db"
    first = RunStore(path)
    first.commit({"state": b"s"}, [("train.setup", 0, b"\0\1"), ("train.init", 0, b"\2")], handled=(1, b"d" * 32))
    first.close()
    again = RunStore(path)
    assert [(again.next_outgoing(n).seq, again.next_outgoing(n).payload) for n in (0, 1)] == [(1, b"\0\1"), (2, b"\2")]
    assert again.last_handled() == 1 and again.handled_digest(1) == b"d" * 32 and again.next_outgoing(2) is None
    again.trim(1)
    assert again.next_outgoing(0).seq == 2 and again.last_sequence() == 2
    again.close()


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
    door.release("train", 3, [Message("platform", "coefficients", b"abc", opening)], {"s": b"1"}, Handled(1, b"d" * 32))
    kinds = [(r.kind, r.body) for r in audit.records() if r.kind in ("egress", "opening")]
    assert [kind for kind, _ in kinds] == ["egress", "opening"]
    assert kinds[0][1]["sha256"] == hashlib.sha256(b"abc").hexdigest() and kinds[1][1]["count"] == 7
    assert door.openings() == {"coefficients": 7} and store.next_outgoing(0).kind == "train.coefficients"


@pytest.mark.parametrize(("kind", "opening"), [
    ("train", Opening("scores.training", "bank", 5)), ("score", Opening("coefficients", "bank", 5)),
])
def test_an_undeclared_opening_does_not_pass(store, audit, kind, opening):
    with pytest.raises(PolicyRefused, match="may not open"):
        Egress(RUN, kind, store, audit).release("train", 0, [Message("bank", "x", b"", opening)], {}, None)
    assert store.last_sequence() == 0 and [r for r in audit.records() if r.kind == "egress"] == []


def test_an_opening_passes_once(store, audit):
    door = Egress(RUN, "train", store, audit)
    message = Message("bank", "scores.test", b"1", Opening("scores.test", "bank", 5))
    door.release("evaluate", 0, [message], {}, None)
    with pytest.raises(PolicyRefused, match="once"):
        door.release("evaluate", 0, [message], {}, None)
    assert store.last_sequence() == 1


def test_a_changed_half_is_refused(tmp_path):
    vault = Vault(tmp_path / "vault", IdentityKey.generate())
    digest = vault.put("m-00000000000000aa", {"status": "pending", "coefficients": [1.5]})
    assert vault.get("m-00000000000000aa")["coefficients"] == [1.5] and vault.digest("m-00000000000000aa") == digest
    path = tmp_path / "vault" / "m-00000000000000aa.json"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(path.read_bytes().replace(b"1.5", b"2.5"))
    with pytest.raises(TrustError):
        vault.get("m-00000000000000aa")


@pytest.mark.parametrize("model", ["m-00000000000000bb", "../../etc/passwd", "m-1"])
def test_an_unknown_model_is_a_clear_error(tmp_path, model):
    with pytest.raises(UsageError):
        Vault(tmp_path / "vault", IdentityKey.generate()).get(model)
