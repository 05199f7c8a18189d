"""The canary: every planted route to an opening is found, recorded and refuses the start; a clean home is not."""
from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from coordinator import canary
from coordinator.certs import PartySpec, init_federation
from protocols.crypto.keys import KeyPair
from protocols.errors import TrustError
from protocols.node.evidence import AUDIT_FOLDER
from protocols.node.identity_files import load_identity
from tests.packaging.project import ROOT, clean_environment

RUN = """
import json, sys
from pathlib import Path
{before}
from coordinator import canary
try:
    outcome = canary.sing(Path(sys.argv[1]), "coordinator")
    print(json.dumps(outcome.to_json()))
except Exception as error:
    print(type(error).__name__, error)
try:
    import protocols.crypto.keys
    print("imported")
except ImportError as error:
    print(error)
"""


@pytest.fixture
def home(tmp_path) -> Path:
    init_federation(tmp_path / "fed", [PartySpec("bank", "bank")], 30)
    return tmp_path / "fed" / "coordinator"


def sung(home: Path, before: str = "") -> list[str]:
    """Lines that a fresh process prints: this one has loaded everything."""
    done = subprocess.run([sys.executable, "-c", RUN.format(before=before), str(home)], cwd=ROOT,
                          env=clean_environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def records(home: Path) -> list[dict]:
    lines = (home / AUDIT_FOLDER / "log.jsonl").read_text().splitlines()
    return [record["body"] for record in map(json.loads, lines) if record["kind"] == "canary"]


def test_a_clean_coordinator_opens_nothing_and_says_so(home) -> None:
    told, after = sung(home)
    outcome = json.loads(told)
    assert outcome["succeeded"] == [] and outcome["secrets_tried"] >= 6 and outcome["files_read"] >= 4
    assert "does not load it" in after, "from then on nothing that decrypts can be imported"
    assert records(home) == [outcome]


@pytest.mark.parametrize("module", ["tenseal", "protocols.crypto.keys", "parties.runtime.vault"])
def test_a_loaded_decryptor_is_refused(home, module) -> None:
    told, _ = sung(home, f"import {module}")
    assert told.startswith("TrustError the coordinator does not start:") and " is loaded" in told


def examined(home: Path, monkeypatch) -> tuple[str, ...]:
    """What is found but for modules: this process has loaded them all."""
    monkeypatch.setattr(canary, "_module_routes", list)
    return canary.examine(home).succeeded


@pytest.mark.parametrize("name", ["state/runs/r-00000000000000aa/run.db", "state/vault/m-1.sealed",
                                  "flower/supernode.key", "old/releases.db"])
def test_files_that_only_a_party_has_are_found(home, monkeypatch, name) -> None:
    assert examined(home, monkeypatch) == ()
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_bytes(b"x")
    assert "a party's" in examined(home, monkeypatch)[0]


def test_secret_keys_are_found_whatever_their_file_is_called(home, monkeypatch) -> None:
    (home / "notes.txt").write_bytes(b"left here by mistake " + KeyPair.generate().secret_bytes())
    assert examined(home, monkeypatch) == ("secret keys in notes.txt below coordinator",)


def planted(monkeypatch, key: bytes) -> None:
    """A canary whose key is known."""
    monkeypatch.setattr(canary, "CANARY", ChaCha20Poly1305(key).encrypt(bytes(12), b"a line", canary.SLOT))


def key_in_a_file(home: Path) -> bytes:
    (home / "k").write_bytes(key := os.urandom(32))
    return key


def key_of_the_identity(home: Path) -> bytes:
    pem = (home / "identity/identity.key").read_bytes()
    return base64.b64decode(pem.split(b"\n")[1])[-32:]


def key_derived_from_the_identity(home: Path) -> bytes:
    return load_identity(home).derived(b"vault")


@pytest.mark.parametrize("plant", [key_in_a_file, key_of_the_identity, key_derived_from_the_identity])
def test_a_key_that_opens_the_canary_is_found(home, monkeypatch, plant) -> None:
    planted(monkeypatch, plant(home))
    assert examined(home, monkeypatch) == ("a secret below its home opens the canary",)


def test_the_committed_canary_does_not_open_by_chance(home, monkeypatch) -> None:
    assert len(canary.CANARY) > 64 and not any(canary._opens(os.urandom(32)) for _ in range(100))


def test_what_was_found_is_recorded_before_the_start_is_refused(home, monkeypatch) -> None:
    monkeypatch.setattr(canary, "refuse_decryptors", lambda: None)
    monkeypatch.setattr(canary, "_module_routes", list)
    planted(monkeypatch, key_in_a_file(home))
    with pytest.raises(TrustError, match="does not start: a secret below its home opens the canary"):
        canary.sing(home, "coordinator")
    assert records(home)[0]["succeeded"] == ["a secret below its home opens the canary"]


def test_the_coordinator_sings_before_it_starts_anything(home, monkeypatch) -> None:
    """`serve` with a party's file below the home ends with a sentence and a code, and no process was started."""
    (home / "vault").mkdir()
    (home / "vault/m-1.sealed").write_bytes(b"x")
    (home / "coordinator.toml").write_text("[listen]\n")
    done = subprocess.run([sys.executable, "-c", "import sys; from coordinator.cli import main; "
                           "sys.exit(main(sys.argv[1:]))", "serve", str(home / "coordinator.toml")], cwd=ROOT,
                          env=clean_environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the coordinator does not start: a party's m-1.sealed below coordinator;")
    assert done.stderr.count("\n") == 1 and not (home / "logs").exists()


def test_every_module_that_the_import_contract_forbids_is_refused_at_the_start() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [c for c in contracts if c["name"] == "the coordinator can hold no decryption key"]
    assert set(contract["forbidden_modules"]) <= set(canary.DECRYPTORS)


HUB = ("import sys; from coordinator.hub_main import main; sys.exit(main(['--home', HOME, '--port', '0', '--config', "
       "FILE, '--registry', 'sqlite:///' + HOME + '/r.db']))")
SERVER_APP = "from coordinator import server_app; server_app.main(None, None)"


def started(home: Path, code: str, before: str) -> subprocess.CompletedProcess[str]:
    """A process of the coordinator that has loaded something before."""
    (home / "coordinator.toml").write_text("[listen]\n")
    file = str(home / "coordinator.toml")
    return subprocess.run([sys.executable, "-c", f"HOME, FILE = {str(home)!r}, {file!r}\n{before}\n{code}"], cwd=ROOT,
                          env=clean_environment() | {"SEALSCORE_COORDINATOR": file}, capture_output=True, text=True,
                          timeout=60, check=False)


@pytest.mark.parametrize(("process", "code", "module"), [
    ("hub", HUB, "tenseal"), ("ServerApp", SERVER_APP, "protocols.crypto.keys"),
])
def test_hub_and_server_app_do_not_start_with_a_decryptor_and_record_it(home, process, code, module) -> None:
    done = started(home, code, f"import {module}")
    sentence = f"the coordinator's {process} does not start: "
    assert done.returncode == 1 and sentence in done.stderr.splitlines()[-1] and "is loaded" in done.stderr
    (outcome,) = records(home)
    assert outcome["process"] == process and outcome["succeeded"][0].endswith(" is loaded")
    assert process != "hub" or (done.stderr.startswith(f"error: {sentence}") and done.stderr.count("\n") == 1)


def test_a_server_app_that_loaded_nothing_goes_on_and_records_that(home) -> None:
    done = started(home, SERVER_APP, "")
    assert "does not start" not in done.stderr and done.returncode, "this one has no run to conduct"
    assert [(outcome["process"], outcome["succeeded"]) for outcome in records(home)] == [("ServerApp", [])]
