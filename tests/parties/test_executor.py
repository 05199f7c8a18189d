"""The executor runs only what is installed: foreign archives are answered with an error and told to the daemon."""
from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from parties.runtime import client_app, local_api
from parties.runtime.executor import FAULT, REFUSED, Executor
from protocols.node import archive


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[tuple[str, dict]] = []
    names = (*client_app.METHODS, "refused")
    handlers = {m: (lambda body, m=m: calls.append((m, body)) or {"ok": True, "seen": m}) for m in names}
    server = local_api.serve(tmp_path / "local" / "s", handlers)
    monkeypatch.setenv(client_app.SOCKET_VARIABLE, str(tmp_path / "local" / "s"))
    for name in ("_task_id", "_run_id", "_node_id"):  # what Flower sets when a task is claimed
        monkeypatch.setattr(TaskIdentity, name, 1)
    yield SimpleNamespace(calls=calls, executor=Executor("127.0.0.1:1", b"s" * 32, tmp_path / "local" / "s"))
    server.stop(0.1)


def message(kind: str = "query.agree", content: RecordDict | None = None) -> Message:
    made = Message(content if content is not None else client_app.pack({"run": "r-1"}), 1, kind)
    made.metadata.__dict__["_message_id"] = "m1"
    return made


def reply(daemon, msg: Message, content: bytes, announced: str) -> Message:
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={"run": "../../etc"})
    return daemon.executor._reply(msg, context, SimpleNamespace(content=content), announced)


@pytest.mark.parametrize("method", client_app.METHODS)
def test_our_archive_lets_the_message_through(daemon, method: str):
    answer = reply(daemon, message(f"query.{method}"), *archive.build())
    assert client_app.unpack(answer.content) == {"ok": True, "seen": method}
    assert daemon.calls == [(method, {"run": "r-1"})]


CHANGED = archive.build()[0].replace(b"client_app:app", b"other_name:app")


@pytest.mark.parametrize("content", [b"", b"not a zip", CHANGED])
def test_a_foreign_archive_is_refused_and_told(daemon, content: bytes):
    announced = hashlib.sha256(content).hexdigest()
    answer = reply(daemon, message(), content, announced)
    assert answer.has_error() and answer.error.code == REFUSED
    assert [m for m, _ in daemon.calls] == ["refused"] and daemon.calls[0][1]["sha256"] == announced


def test_an_archive_with_another_hash_is_refused(daemon):
    answer = reply(daemon, message(), archive.build()[0], "0" * 64)
    assert answer.error.code == REFUSED and [m for m, _ in daemon.calls] == ["refused"]


@pytest.mark.parametrize("kind", ["train.agree", "query.shell", "query", "evaluate"])
def test_unknown_messages_are_faults_without_text(daemon, kind: str):
    answer = reply(daemon, message(kind), *archive.build())
    assert answer.error.code == FAULT and answer.error.reason == "the party's client failed; see its log"
    assert daemon.calls == []


def test_a_malformed_body_is_a_refusal(daemon):
    answer = reply(daemon, message(content=RecordDict()), *archive.build())
    assert client_app.unpack(answer.content)["ok"] is False and daemon.calls == []


def test_a_daemon_that_is_down_is_a_reply(daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(client_app.SOCKET_VARIABLE, str(tmp_path / "none"))
    answer = reply(daemon, message(), *archive.build())
    assert "not running" in client_app.unpack(answer.content)["error"]
