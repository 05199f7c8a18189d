"""`sealscore doctor`: each thing that can be wrong is found, said with what to do, and nothing secret is printed."""
from __future__ import annotations

import datetime as dt
import json
import shutil
import socket
import sqlite3
from pathlib import Path

import pytest

from coordinator.certs import Authority, Validity
from protocols.crypto.identity import IdentityKey, fingerprint
from protocols.node import doctor_cli, health
from protocols.node.doctor_cli import examine
from protocols.node.health import Finding
from protocols.node.identity_files import load_identity
from protocols.node.joining import _load_key
from protocols.node.node_file import NodeFile
from tests.coordinator.joining import Trial

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Three nodes; their addresses are free ports, so nobody answers."""
    trial = Trial(tmp_path_factory.mktemp("made"))
    text = trial.config.read_text()
    for port in ("18443", "18444", "18445"):
        with socket.socket() as probe:
            probe.bind((HERE, 0))
            text = text.replace(port, str(probe.getsockname()[1]))
    trial.config.write_text(text)
    trial.join("beta", "platform")
    trial.join("alpha", "bank")
    home, peer = trial.home("alpha"), fingerprint(load_identity(trial.home("beta")).public)
    (home / "customers.csv").write_text("id,label,x\n" + "".join(f"{n},{n % 2},77788899{n}\n" for n in range(400)))
    node = (home / "bank.toml").read_text()
    (home / "bank.toml").write_text(
        node + '[tables.customers]\npath = "customers.csv"\nid = "id"\nlabel = "label"\n[tables.customers.columns]\n'
        'x = { type = "number" }\n')
    policy = (home / "policy.toml").read_text()
    (home / "policy.toml").write_text(policy + f'[peers.beta]\nfingerprint = "{peer}"\n')
    return trial.root


@pytest.fixture
def root(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "t"))


@pytest.fixture
def home(root) -> Path:
    return root / "alpha"


def found(path: Path) -> list[Finding]:
    return examine(NodeFile.read(path), None)


def of(findings: list[Finding], check: str, state: str) -> list[str]:
    return [f"{f.found} {f.todo}" for f in findings if f.check == check and f.state == state]


def test_a_sound_bank_has_only_addresses_that_do_not_answer(home):
    findings = found(home / "bank.toml")
    assert {f.check for f in findings if f.state == "problem"} == {"hub", "front"}
    assert of(findings, "tables", "ok") == ["customers: 400 rows, 1 columns as declared "]
    assert of(findings, "peers", "ok") and of(findings, "supernode key", "ok") and of(findings, "disk", "ok")
    assert all(f.todo for f in findings if f.check in ("hub", "front"))


def test_a_sound_coordinator_has_no_problem(root, capsys):
    path = root / "fed/coordinator/coordinator.toml"
    assert doctor_cli.main([str(path)]) == 0
    assert "0 problems" in capsys.readouterr().out
    assert doctor_cli.main([str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_nothing_secret_is_printed(home, capsys):
    assert doctor_cli.main([str(home / "bank.toml"), "--json"]) == 1
    printed = capsys.readouterr().out
    secrets = [line for p in home.rglob("*.key") for line in p.read_text().splitlines() if "-----" not in line]
    assert secrets and not [line for line in secrets if line in printed] and "77788899" not in printed


def test_keys_that_others_can_read(home):
    (home / "tls/node.key").chmod(0o640)
    home.chmod(0o755)
    findings = found(home / "bank.toml")
    assert "chmod 600" in of(findings, "private files", "problem")[0]
    assert "chmod 700" in of(findings, "private files", "warning")[0]


@pytest.mark.parametrize(("days", "state", "check"), [(10, "warning", "certificate"), (-1, "problem", "certificate")])
def test_certificates_that_end_soon_or_have_ended(root, home, days, state, check):
    authority = Authority.load(root / "fed/ca")
    now = dt.datetime.now(dt.UTC)
    validity = Validity(now - dt.timedelta(days=30), now + dt.timedelta(days=days))
    key = _load_key(home / "tls/node.key")
    (home / "tls/node.crt").write_bytes(authority.certify("alpha", key.public_key(), validity))
    told = of(found(home / "bank.toml"), check, state)
    assert "--renew" in told[0] if state == "warning" else "expired" in told[0]


def test_files_that_do_not_belong_together(root, home):
    shutil.copy(root / "beta/tls/node.key", home / "tls/node.key")
    shutil.copy(root / "beta/identity/identity.pub", home / "identity/identity.pub")
    shutil.copy(root / "beta/flower/supernode.pub", home / "flower/supernode.pub")
    findings = found(home / "bank.toml")
    assert "is not the key of" in of(findings, "certificate", "problem")[0]
    assert of(findings, "identity", "problem") and of(findings, "supernode key", "problem")


def test_a_certificate_of_another_name(home):
    text = (home / "bank.toml").read_text()
    (home / "bank.toml").write_text(text.replace('name = "alpha"', 'name = "delta"'))
    assert "it is for alpha" in of(found(home / "bank.toml"), "certificate", "problem")[0]


@pytest.mark.parametrize(("name", "digest", "words"), [
    ("beta", "ab" * 32, "announced"), ("self", None, "this node itself"), ("twin", "beta", "the same fingerprint")])
def test_pinned_peers_that_cannot_be_right(root, home, name, digest, words):
    path = home / "policy.toml"
    real = load_identity(root / "beta").fingerprint
    pinned = {"beta": real, None: load_identity(home).fingerprint}.get(digest, digest)
    text = path.read_text()
    text = text.replace(f'\nfingerprint = "{real}"', f'\nfingerprint = "{pinned}"') if name == "beta" else \
        text + f'[peers.{name}]\nfingerprint = "{pinned}"\n'
    path.write_text(text)
    assert words in of(found(home / "bank.toml"), "peers", "problem")[0]


def test_a_loose_policy_and_a_bad_table(home):
    path = home / "policy.toml"
    path.write_text(path.read_text().replace("minimum_intersection_rows = 1000", "minimum_intersection_rows = 256"))
    (home / "customers.csv").write_text("id,label,x\n1,0,secret-cell\n2,1,3\n")
    findings = found(home / "bank.toml")
    assert "256" in of(findings, "policy", "warning")[0]
    told = of(findings, "tables", "problem")
    assert "customers.csv" in told[0] and "secret-cell" not in told[0]


def test_configuration_that_is_wrong_is_one_problem(home):
    (home / "policy.toml").write_text("nonsense = 1\n")
    assert "nonsense" in of(found(home / "bank.toml"), "configuration", "problem")[0]


def test_failed_runs_that_keep_keys(home):
    folder = home / "state/runs/r-00000000000000aa"
    folder.mkdir(parents=True)
    db = sqlite3.connect(folder / "run.db")
    db.execute("CREATE TABLE fact (name TEXT PRIMARY KEY, value BLOB NOT NULL)")
    db.execute("INSERT INTO fact VALUES ('state', ?), ('keys', 'k')", (b'{"state": "failed"}',))
    db.commit()
    db.close()
    (folder / "run.db").chmod(0o600)
    assert "runs resume" in of(found(home / "bank.toml"), "runs", "warning")[0]
    (folder / "run.db").write_bytes(b"no database")
    assert "cannot be read" in of(found(home / "bank.toml"), "runs", "problem")[0]


def test_disk_and_versions(home, monkeypatch, tmp_path):
    monkeypatch.setattr(health, "OUT_BYTES", 1 << 60)
    lock = tmp_path / "requirements.lock"
    lock.write_text("typer==0.0.1 \\\n    --hash=sha256:00\n")
    findings = examine(NodeFile.read(home / "bank.toml"), lock)
    assert of(findings, "disk", "problem") and "typer" in of(findings, "versions", "warning")[0]


def test_the_coordinators_parties(root):
    path, home = root / "fed/coordinator/coordinator.toml", root / "fed/coordinator"
    shutil.copy(home / "parties/alpha.pub", home / "parties/beta.pub")
    told = of(found(path), "parties", "problem")
    assert "is not that of beta.json" in told[0] and "rekey beta" in told[0]
    (home / "parties/beta.json").unlink()
    assert "beta.sig" in of(found(path), "parties", "problem")[0]
    shutil.copy(home / "parties/alpha.json", home / "parties/beta.json")
    assert "is not that of beta.json" in of(found(path), "parties", "problem")[0]
    other = IdentityKey.generate().public.hex()
    path.write_text(path.read_text().replace(load_identity(root / "alpha").public.hex(), other))
    assert any("is not that of alpha.json" in told for told in of(found(path), "parties", "problem"))
    path.write_text(path.read_text().replace('front = "127.0.0.1', 'front = "hub.example'))
    assert of(found(path), "hosts", "problem") and of(found(path), "listeners", "problem")


def test_a_port_that_is_taken(root):
    path = root / "fed/coordinator/coordinator.toml"
    with socket.socket() as busy:
        busy.bind((HERE, 0))
        busy.listen()
        text = path.read_text()
        old = text.split('front = "127.0.0.1:')[1].split('"')[0]
        path.write_text(text.replace(old, str(busy.getsockname()[1])))
        assert "cannot be used" in of(found(path), "listeners", "problem")[0]


def test_a_file_of_no_node_is_refused(tmp_path, capsys):
    (tmp_path / "x.toml").write_text("a = 1\n")
    assert doctor_cli.main([str(tmp_path / "x.toml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
