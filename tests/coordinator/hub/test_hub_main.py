"""The hub as its own process over the real registry."""
from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.certs import PartySpec, init_federation
from coordinator.registry import Registry
from parties.runtime.hub_client import HubClient, HubUnreachable
from protocols.errors import MalformedMessage, ProtocolError

RUN = "r-" + "5" * 16


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub-main") / "certs"
    init_federation(root, [PartySpec("bank", "bank"), PartySpec("platform", "platform")], 1)
    return root


def start(homes: Path, url: str, port: int = 0) -> subprocess.Popen:
    command = [sys.executable, "-m", "coordinator.hub_main", "--home", str(homes / "coordinator"), "--port", str(port),
               "--registry", url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen, number: int = signal.SIGTERM) -> tuple[int, str]:
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    return process.returncode, err


def test_reports_and_hellos_reach_the_registry_and_sigterm_ends_the_hub(homes: Path, tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path / 'r.db'}")
    registry.create_run(RUN, json.dumps({"parties": {"bank": {}, "platform": {}}}), "0" * 64)
    process = start(homes, f"sqlite:///{tmp_path / 'r.db'}")
    address = json.loads(process.stdout.readline())["hub"]
    client = HubClient(address, homes / "bank")
    try:
        client.hello({"accounts": {"age": "number"}})
        client.report(RUN, "train", "running", step=3, steps=12, fraction=0.25, bytes_out=5, cause="a\nb",
                      body={"rows": 10})
        row = registry.progress(RUN)[0]
        assert (row["party"], row["step"], row["cause"], row["body_json"]) == ("bank", 3, "a b", '{"rows": 10}')
        assert registry.parties()["bank"]["catalogue"] == {"accounts": {"age": "number"}}
        with pytest.raises(ProtocolError, match="refused: no run"):
            client.report("r-" + "6" * 16, "train", "running")
        with pytest.raises(MalformedMessage, match="state"):
            client.report(RUN, "train", "done")
    finally:
        code, _ = finish(process)
    assert code == 0
    with pytest.raises(HubUnreachable):
        client.report(RUN, "train", "finished")
    client.close()
    registry.close()


def test_a_port_that_is_taken_is_one_sentence(homes: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'r.db'}"
    first = start(homes, url)
    port = int(json.loads(first.stdout.readline())["hub"].rpartition(":")[2])
    second = start(homes, url, port)
    _, err = second.communicate(timeout=20)
    assert second.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}; is another hub running?" in err
    assert "Traceback" not in err
    assert finish(first, signal.SIGINT)[0] == 0
