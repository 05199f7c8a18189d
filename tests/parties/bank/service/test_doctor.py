"""`sealscore doctor` at a bank that decides: one line per thing, each fault found and said, nothing made or changed."""
from __future__ import annotations

import datetime as dt
import json
import os
import socket
from pathlib import Path

import pytest
from sqlalchemy import text

from coordinator.certs import Authority, Validity
from parties.bank.service.doctor import examine
from parties.bank.service.process import READY
from parties.bank.store import migrate
from parties.bank.store.migrate import VERSION_TABLE
from parties.bank.store.opening import node_engine
from parties.runtime.config import LoadedParty
from parties.runtime.scoring.persons import KEY_FILE, PersonKey
from protocols.node.identity_files import write_private


def found(file: Path) -> dict[str, tuple[str, str]]:
    """{check: (state, what was found)}; every check must have one line."""
    findings = list(examine(LoadedParty(file, "bank")))
    assert all("\n" not in one.found for one in findings)
    told = {one.check.removeprefix("decisions "): (one.state, one.found) for one in findings}
    assert len(told) == len(findings)
    return told


def edited(file: Path, old: str, new: str) -> Path:
    content = file.read_text(encoding="utf-8")
    assert old in content
    file.write_text(content.replace(old, new), encoding="utf-8")
    return file


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_node_that_is_ready(file):
    before = sorted(file.parent.rglob("*"))
    told = found(file)
    assert {name: state for name, (state, _) in told.items()} == {
        "rulebook": "ok", "store": "ok", "model": "warning", "keys": "ok", "tls": "ok", "listen": "ok", "grpc": "ok"}
    assert f"revision {migrate.head()}" in told["store"][1] and "first start" in told["keys"][1]
    assert [path for path in sorted(file.parent.rglob("*")) if "decisions.db" not in path.name] == [
        path for path in before if "decisions.db" not in path.name]


def test_without_the_section_there_is_nothing_to_say(file):
    content = file.read_text(encoding="utf-8")
    file.write_text(content[:content.index("[decisions]")], encoding="utf-8")
    assert found(file) == {}


def test_a_section_that_does_not_hold_is_one_problem(file):
    told = list(examine(LoadedParty(edited(file, 'listen = "127.0.0.1:0"', 'listen = "0.0.0.0:1"'), "bank")))
    assert [one.state for one in told] == ["problem"] and "decisions.tls" in told[0].found


def test_each_fault_is_found_and_the_others_are_still_looked_at(file):
    (file.parent / "rulebook" / "pricing.toml").unlink()
    engine = node_engine(LoadedParty(file, "bank"))
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0001'"))
    engine.dispose()
    PersonKey.load(file.parent)
    (file.parent / KEY_FILE).chmod(0o644)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        edited(file, 'listen = "127.0.0.1:0"', f'listen = "127.0.0.1:{port}"\nmodel = "m-0123456789abcdef"')
        told = found(file)
    states = {name: state for name, (state, _) in told.items()}
    assert states == {"rulebook": "problem", "store": "problem", "model": "problem", "keys": "problem", "tls": "ok",
                      "listen": "problem", "grpc": "ok"}
    assert "0001" in told["store"][1] and "persons.key" in told["keys"][1] and str(port) in told["listen"][1]


def test_an_address_is_free_ours_or_somebody_elses(file):
    port = free_port()
    edited(file, 'listen = "127.0.0.1:0"', f'listen = "127.0.0.1:{port}"')
    assert "free" in found(file)["listen"][1]
    ready = file.parent / "state" / READY
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        ready.write_text(json.dumps({"pid": os.getpid(), "http": f"127.0.0.1:{port}"}))
        assert "this node's service" in found(file)["listen"][1]
        for stale in ({"pid": 2**22 + 1, "http": f"127.0.0.1:{port}"}, {"pid": os.getpid(), "http": "127.0.0.1:1"},
                      {"pid": "x"}, [], None):
            ready.write_text(json.dumps(stale))
            assert found(file)["listen"][0] == "problem"


@pytest.mark.parametrize(("days", "state"), [(400, "ok"), (5, "warning"), (-1, "problem")])
def test_certificates_end(file, days, state):
    home, until = file.parent, dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    validity = Validity(until - dt.timedelta(days=900), until)
    certificate, key = Authority.generate(validity).issue("service", validity)
    (home / "service.crt").write_bytes(certificate)
    write_private(home / "service.key", key)
    file.write_text(file.read_text(encoding="utf-8") + '\n[decisions.tls]\ncertificate = "service.crt"\n'
                    'key = "service.key"\n', encoding="utf-8")
    assert found(file)["tls"][0] == state
    (home / "service.key").chmod(0o644)
    assert found(file)["tls"][0] == "problem"
    (home / "service.key").chmod(0o600)
    (home / "service.crt").write_text("nothing")
    assert found(file)["tls"][0] == "problem"
