"""How the ServerApp asks parties: identity by registered key, repeats of what is lost, clear ends."""
from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from flwr.app import ConfigRecord, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from coordinator import server_app
from coordinator.conductor import Abandoned
from coordinator.server_app import GridExchange
from protocols.errors import RunFailed

KEYS = {"bank": b"key-bank", "platform": b"key-platform"}


class FakeGrid:
    """Two connected nodes; `errors[party]` is a list of error codes to answer with first."""

    def __init__(self, keys: dict[str, bytes]):
        self.nodes = [SimpleNamespace(node_id=i, public_key=k, name="liar") for i, k in enumerate(keys.values(), 1)]
        self.errors: dict[int, list[int]] = {}
        self.pushed: list = []

    def get_nodes(self):
        return self.nodes

    def push_messages(self, messages):
        ids = [f"m{len(self.pushed) + i}" for i in range(len(messages))]
        self.pushed += messages
        return ids

    def pull_messages(self, ids):
        return [self._reply(message_id, self.pushed[int(message_id[1:])]) for message_id in ids]

    def _reply(self, message_id, message):
        node = message.metadata.dst_node_id
        codes = self.errors.get(node) or []
        error = SimpleNamespace(code=codes.pop(0)) if codes else None
        content = RecordDict({"sealscore": ConfigRecord({"body": json.dumps({"ok": True, "node": node}).encode()})})
        return SimpleNamespace(metadata=SimpleNamespace(reply_to_message_id=message_id), error=error,
                               has_error=lambda: error is not None, content=content)


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> FakeGrid:
    for name in ("_task_id", "_run_id", "_node_id"):  # what Flower sets in the process of a ServerApp
        monkeypatch.setattr(TaskIdentity, name, 1)
    return FakeGrid(KEYS)


def ask(grid: FakeGrid, clock=None):
    exchange = GridExchange(grid, KEYS, clock) if clock else GridExchange(grid, KEYS)
    return exchange("agree", {"bank": {"a": 1}, "platform": {"a": 2}}, lambda: None)


def test_parties_are_known_by_their_key(grid: FakeGrid):
    grid.nodes.reverse()
    assert {p: r["node"] for p, r in ask(grid).items()} == {"bank": 1, "platform": 2}
    assert {m.metadata.message_type for m in grid.pushed} == {"query.agree"}


@pytest.mark.parametrize("code", sorted(server_app.TRANSIENT))
def test_transient_errors_are_asked_again(grid: FakeGrid, code: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_app, "RETRY_S", 0.0)
    grid.errors[2] = [code, code]
    assert ask(grid)["platform"]["ok"] and len(grid.pushed) == 4


@pytest.mark.parametrize(("code", "words"), [(100, "refused the application archive"), (2, "client failed"), (7, "7")])
def test_other_errors_end_the_run(grid: FakeGrid, code: int, words: str):
    grid.errors[1] = [code]
    with pytest.raises(RunFailed, match=words) as caught:
        ask(grid)
    assert caught.value.party == "bank"


def test_a_party_that_never_connects_is_named(grid: FakeGrid):
    del grid.nodes[1]
    ticks = iter(range(0, 10_000, 30))
    with pytest.raises(RunFailed, match="platform.*did not answer within 60 s"):
        ask(grid, lambda: float(next(ticks)))


def test_a_message_that_was_lost_is_sent_again(grid: FakeGrid):
    grid.pull_messages = lambda ids: [grid._reply(i, grid.pushed[int(i[1:])]) for i in ids if i != "m1"]
    ticks = iter(range(0, 10_000, 10))
    assert ask(grid, lambda: float(next(ticks)))["platform"]["node"] == 2
    assert [m.metadata.dst_node_id for m in grid.pushed] == [1, 2, 2]


def test_a_party_that_never_answers_is_named(grid: FakeGrid):
    grid.pull_messages = lambda ids: []
    ticks = iter(range(0, 10_000, 50))
    with pytest.raises(RunFailed, match="bank.*did not answer within 180 s"):
        ask(grid, lambda: float(next(ticks)))


@pytest.mark.parametrize("body", [b"[]", b"\xff", b"{", "text"])
def test_replies_that_are_no_object_end_the_run(grid: FakeGrid, body):
    real = grid._reply

    def reply(message_id, message):
        answer = real(message_id, message)
        answer.content = RecordDict({"sealscore": ConfigRecord({"body": body})})
        return answer

    grid._reply = reply
    with pytest.raises(RunFailed, match="not one JSON object"):
        ask(grid)


@pytest.mark.parametrize("call", ["get_nodes", "push_messages", "pull_messages"])
def test_a_fault_of_flower_is_nobody_s_failure(grid: FakeGrid, call: str):
    def fault(*_args):
        raise RuntimeError("401")

    setattr(grid, call, fault)
    with pytest.raises(Abandoned, match="SuperLink.*RuntimeError"):
        ask(grid)
