"""Editing coordinator.toml: comments stay, nothing else changes, errors leave everything as it was; a running node."""
from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

import pytest

from coordinator import members, supervisor
from coordinator.config import load_config
from coordinator.registry import Registry
from protocols.errors import SealscoreError, TrustError, UsageError
from protocols.node.enrol import JoinRequest
from protocols.node.identity_files import load_trust
from tests.coordinator.joining import Trial


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    trial = Trial(tmp_path_factory.mktemp("made"))
    for name, role in (("alpha", "bank"), ("beta", "platform")):
        trial.join(name, role)
    trial.certs("request", trial.home("gamma"), "--name", "gamma", "--role", "platform")
    return trial.root


@pytest.fixture
def trial(made, tmp_path) -> Trial:
    return Trial.copied(made, tmp_path / "t")


def request(trial: Trial, name: str) -> JoinRequest:
    return JoinRequest.decode(trial.request(name).read_bytes(), name)


def files(trial: Trial) -> dict[str, bytes]:
    root = trial.config.parent
    return {str(p): p.read_bytes() for p in [trial.config, *root.glob("parties/**/*")] if p.is_file()}


def test_what_a_person_wrote_stays_as_it_was(trial):
    head = "# ours\n[node]   # the node\nname = \"coordinator\"\n"
    trial.config.write_text(head + trial.config.read_text() + "\n# about the registry\n[registry]\n# none\n")
    trial.config.chmod(0o640)
    before = trial.config.read_text()
    trial.add("gamma")
    after = trial.config.read_text()
    assert after.startswith(before) and set(load_config(trial.config).parties) == {"alpha", "beta", "gamma"}
    trial.coordinator("remove", "gamma")
    assert trial.config.read_text() == before and trial.config.stat().st_mode & 0o777 == 0o640
    trial.coordinator("remove", "beta")
    left = trial.config.read_text()
    assert "# about the registry\n[registry]" in left and "beta" not in left and left.startswith(head)
    assert not list(trial.config.parent.glob("*.new"))


def test_a_supernode_key_counts_only_under_its_party_s_signature(trial):
    """Of a party that was added: the request; of one that `certs init` made: the file beside the key."""
    config = load_config(trial.config)
    key = config.resolve(config.parties["beta"].supernode_public_key)
    assert members.signed_key(config, "beta") == key.read_text()
    kept = members.request_path(config, "beta")
    kept.unlink()
    with pytest.raises(SealscoreError, match="beta.sig"):
        members.signed_key(config, "beta")
    beside = trial.home("beta") / "flower" / "supernode.sig"
    shutil.copy(beside, key.with_suffix(".sig"))
    assert members.signed_key(config, "beta") == key.read_text()
    shutil.copy(trial.home("alpha") / "flower" / "supernode.sig", key.with_suffix(".sig"))
    with pytest.raises(TrustError, match="does not sign its SuperNode key"):
        members.signed_key(config, "beta")


def test_a_key_that_was_removed_is_not_taken_again(trial):
    trial.add("gamma")
    trial.coordinator("remove", "gamma")
    with pytest.raises(TrustError, match="retired"):
        members.add(trial.config, "gamma", request(trial, "gamma"))
    trial.certs("request", trial.home("gamma"), "--rotate-supernode")
    trial.add("gamma")


def test_refusals_leave_everything_as_it_was(trial):
    before = files(trial)
    for name, kind, words in (("alpha", UsageError, "is a party already"), ("delta", UsageError, "is of gamma")):
        with pytest.raises(kind, match=words):
            members.add(trial.config, name, request(trial, "gamma"))
    with pytest.raises(UsageError, match="no party gamma"):
        members.remove(trial.config, "gamma")
    with pytest.raises(UsageError, match="no party gamma"):
        members.rekey(trial.config, "gamma", request(trial, "gamma"))
    assert files(trial) == before


def test_another_identity_does_not_take_over_a_name(trial):
    shutil.rmtree(trial.home("beta"))
    trial.certs("request", trial.home("beta"), "--name", "beta", "--role", "platform")
    before = files(trial)
    with pytest.raises(TrustError, match="another identity"):
        members.rekey(trial.config, "beta", request(trial, "beta"))
    assert files(trial) == before


@pytest.mark.parametrize("entry", ["[parties]\ndelta = {}\n", "[parties.delta]\n{}\n[parties.epsilon]\n{}\n"])
def test_a_file_that_cannot_be_edited_safely_is_left_alone(trial, entry):
    inline = 'role = "bank", identity = "' + "ab" * 32 + '", supernode_public_key = "parties/alpha.pub"'
    text = entry.replace("delta = {}", f"delta = {{ {inline} }}").replace("{}", inline.replace(", ", "\n"))
    if "epsilon" in entry:
        text = text.replace("[parties.delta]", '[parties."delta"] # one\n[registry]\n[parties.zeta]')
    trial.config.write_text(text)
    before = files(trial)
    with pytest.raises(SealscoreError):
        members.remove(trial.config, "delta")
    assert files(trial) == before


def test_a_party_in_a_run_is_not_removed(trial, capsys):
    config = load_config(trial.config)
    registry = Registry(config.registry_url)
    registry.create_run("r-00000000000000aa", json.dumps({"parties": {"alpha": {}, "beta": {}}}), "d")
    registry.close()
    trial.coordinator("remove", "beta", code=2)
    trial.certs("request", trial.home("beta"), "--rotate-supernode")
    trial.coordinator("rekey", "beta", "--request", trial.request("beta"), code=2)
    assert capsys.readouterr().err.count("r-00000000000000aa") == 2 and "beta" in load_config(trial.config).parties


def test_the_hub_admits_who_is_a_party_now(trial):
    admits = members.Admission(trial.config)
    assert admits("alpha") and not admits("gamma")
    trial.add("gamma")
    assert admits("gamma")
    trial.coordinator("remove", "gamma")
    assert not admits("gamma")
    kept = trial.config.read_text()
    trial.config.write_text("[listen")  # a slip of the editor turns nobody away
    assert admits("alpha")
    trial.config.write_text(kept)
    assert admits("alpha")


def test_trust_json_names_everybody(trial, capsys):
    capsys.readouterr()
    trial.coordinator("trust")
    path = trial.root / "trust.json"
    path.write_text(capsys.readouterr().out)
    assert set(load_trust(path)) == {"alpha", "beta", "coordinator"}


class FakeControl:
    """Keeps what was registered last."""

    registered: dict[str, bytes] = {}
    refuse = False

    def __init__(self, *_: object): ...

    def __enter__(self) -> FakeControl:
        return self

    def __exit__(self, *_: object) -> None: ...

    def register(self, parties: dict[str, bytes]) -> dict[str, int]:
        if FakeControl.refuse:
            raise UsageError("the SuperLink refuses")
        FakeControl.registered = parties
        return {name: index for index, name in enumerate(parties)}


@pytest.fixture
def running(trial, monkeypatch):
    """A node's watch without processes; its ready file names this process."""
    monkeypatch.setattr(supervisor, "Control", FakeControl)
    monkeypatch.setattr(supervisor, "WATCH_S", 0.05)
    monkeypatch.setattr(FakeControl, "refuse", False)
    monkeypatch.setattr(FakeControl, "registered", {})
    node = supervisor.CoordinatorNode(load_config(trial.config))
    (trial.config.parent / "state").mkdir(exist_ok=True)
    stop = threading.Event()
    node._take_parties()
    thread = threading.Thread(target=node.watch, args=(stop,))
    thread.start()
    yield node
    stop.set()
    thread.join()


def test_a_running_coordinator_takes_parties_as_they_come_and_go(trial, running, capsys):
    trial.add("gamma")
    assert "has taken it; nobody was restarted" in capsys.readouterr().out
    assert set(FakeControl.registered) == {"alpha", "beta", "gamma"}
    trial.certs("request", trial.home("gamma"), "--rotate-supernode")
    old = FakeControl.registered["gamma"]
    trial.coordinator("rekey", "gamma", "--request", trial.request("gamma"))
    assert FakeControl.registered["gamma"] != old
    trial.coordinator("remove", "gamma")
    assert set(FakeControl.registered) == {"alpha", "beta"}


def test_what_a_running_coordinator_refuses_is_told_and_it_goes_on(trial, running, monkeypatch, capsys):
    monkeypatch.setattr(FakeControl, "refuse", True)
    trial.add("gamma", code=1)
    assert "tries again: the SuperLink refuses" in capsys.readouterr().err
    monkeypatch.setattr(FakeControl, "refuse", False)
    running.reload()  # as SIGHUP does
    ready, end = trial.config.parent / "state" / "ready.json", time.monotonic() + 10
    while json.loads(ready.read_text())["reload_error"] and time.monotonic() < end:
        time.sleep(0.02)
    assert json.loads(ready.read_text())["reload_error"] is None and "gamma" in FakeControl.registered


def test_it_tries_again_by_itself(trial, running, monkeypatch):
    monkeypatch.setattr(supervisor, "RETRY_S", 0.1)
    monkeypatch.setattr(FakeControl, "refuse", True)
    trial.add("gamma", code=1)
    monkeypatch.setattr(FakeControl, "refuse", False)
    end = time.monotonic() + 10
    while "gamma" not in FakeControl.registered and time.monotonic() < end:
        time.sleep(0.02)
    assert "gamma" in FakeControl.registered
