"""What a run's file gives away to somebody who copies it, and what it takes back."""
from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from parties.runtime.run_store import RunStore, Send, StoredBulk
from protocols.crypto.identity import IdentityKey
from protocols.errors import TrustError
from protocols.node.at_rest import OPEN_FACTS, opened_fact, run_box

RUN, OTHER = "r-00000000000000aa", "r-00000000000000bb"
IDENTITY = IdentityKey.generate()
SECRET = b"a key, a seed, a share, a coefficient " * 30


@pytest.fixture
def store(tmp_path):
    store = RunStore(tmp_path / RUN / "run.db", run_box(IDENTITY, RUN))
    yield store
    store.close()


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def change(tmp_path: Path, query: str, *values: object) -> None:
    with closing(sqlite3.connect(tmp_path / RUN / "run.db")) as database, database:
        assert database.execute(query, values).rowcount > 0


def test_keys_states_and_messages_are_not_in_the_file(store, tmp_path) -> None:
    store.put("keys", SECRET)
    store.commit({"train.role": SECRET, "train.role/w": SECRET}, [Send("platform", "train.coefficients", 0, SECRET)])
    assert SECRET[:16] not in everything(tmp_path / RUN)
    assert store.get("keys") == store.get("train.role/w") == SECRET
    assert store.towards("platform").next_outgoing(0).payload == SECRET


def test_how_the_run_stands_is_readable_without_a_key(store, tmp_path) -> None:
    for name in (*OPEN_FACTS, "spent.train"):
        store.put(name, b"readable " + name.encode())
        assert opened_fact(run_box(IDENTITY, OTHER), name, store.get(name)) == store.get(name)
        assert b"readable " + name.encode() in everything(tmp_path / RUN)


def test_a_fact_under_another_name_is_refused(store, tmp_path) -> None:
    store.commit({"keys": b"one", "train.role": b"two"})
    change(tmp_path, "UPDATE fact SET value = (SELECT value FROM fact WHERE name = 'train.role') WHERE name = 'keys'")
    with pytest.raises(TrustError, match="fact keys: it was changed"):
        store.get("keys")


@pytest.mark.parametrize("column", ["kind = 'train.init'", "round = 7", "payload = zeroblob(40)"])
def test_a_changed_message_does_not_leave(store, tmp_path, column) -> None:
    store.commit({}, [Send("platform", "train.setup", 0, SECRET)])
    change(tmp_path, f"UPDATE outbox SET {column}")
    with pytest.raises(TrustError, match="message 1 to platform"):
        store.towards("platform").next_outgoing(0)


def test_messages_of_two_peers_cannot_be_exchanged(store, tmp_path) -> None:
    store.commit({}, [Send(peer, "evaluate.scores.test", 0, peer.encode()) for peer in ("bank-1", "bank-2")])
    change(tmp_path, "UPDATE outbox SET payload = (SELECT payload FROM outbox WHERE peer = 'bank-2') "
                     "WHERE peer = 'bank-1'")
    with pytest.raises(TrustError, match="to bank-1"):
        store.towards("bank-1").next_outgoing(0)


@pytest.mark.parametrize(("identity", "run"), [(IDENTITY, OTHER), (IdentityKey.generate(), RUN)])
def test_the_file_of_another_run_or_node_does_not_open(store, tmp_path, identity, run) -> None:
    store.put("keys", SECRET)
    other = RunStore(tmp_path / RUN / "run.db", run_box(identity, run))
    with pytest.raises(TrustError, match="start a new run"):
        other.get("keys")
    other.close()


def test_what_an_older_version_kept_in_the_clear_is_refused(store, tmp_path) -> None:
    store.put("keys", SECRET)
    change(tmp_path, "UPDATE fact SET value = ? WHERE name = 'keys'", SECRET)
    with pytest.raises(TrustError, match="older version"):
        store.get("keys")


def test_bulks_are_kept_as_they_came(store) -> None:
    """They are encrypted for their receivers or masked already."""
    store.commit({}, [Send("a", "x.y", 0, b"", "s")], (), [StoredBulk("s", ("a",), (), b"ciphertext")])
    assert store.bulk("s").payload == b"ciphertext"
