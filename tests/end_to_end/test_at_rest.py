"""A whole run with protected keys: it works, and no secret is in a home, a log, evidence, a process list.

Keys of all three nodes are sealed under a secret that a command prints. The nodes run under the recorder, so the test
knows the secrets of the runs: HE keys, blinding scalars, salts, shares. Then everything that is on the disks and in
/proc is searched for them.
"""
from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization

from coordinator.demo.federation import FEATURE, LABEL, Table
from protocols.errors import MalformedMessage
from protocols.node import protection
from protocols.node.identity_files import load_identity, read_private
from protocols.state import unpack
from tests.end_to_end import support
from tests.end_to_end.leaks import Detector, Needle, secret_needles
from tests.end_to_end.recorded import RecordedFederation
from tests.end_to_end.recording import entries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SECRET = "unlock these keys, and tell nobody"


class ProtectedFederation(RecordedFederation):
    """Keys sealed before anything starts; the bank's score files too."""

    def prepare(self) -> None:
        super().prepare()
        source = self.folder / "secret"
        source.write_text(SECRET + "\n")
        source.chmod(0o600)
        for node in self.nodes:
            path = self.home(node) / f"{node}.toml"
            more = f'\n[keys]\nprotection = "command"\ncommand = ["/bin/cat", "{source}"]\n'
            path.write_text(path.read_text() + more + ("[scores]\nsealed = true\n" if node == LABEL else ""))
            done = support.sealscore("keys", "protect", str(path))
            assert done.returncode == 0 and SECRET not in done.stdout + done.stderr, done.stderr


@pytest.fixture(scope="module")
def fed(tables: dict[str, Table], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The federation after a training and a scoring; what was printed; command lines and environments meanwhile."""
    with ProtectedFederation(tmp_path_factory.mktemp("protected"), tables, minimum_rows=1000) as federation:
        plan = support.write_plan(federation.folder / "plan.toml", steps=2)
        seen = {"processes": processes(federation)}
        trained = support.launch(federation, plan)
        assert trained["state"] == "finished", trained["stderr"]
        scored = support.sealscore("score", trained["model_id"], "--json", federation=federation)
        assert scored.returncode == 0, scored.stderr
        seen["processes"] |= processes(federation)
        seen |= {"trained": trained, "scored": json.loads(scored.stdout), "printed": scored.stdout + scored.stderr}
        out = federation.folder / "evidence"
        for node in federation.nodes:
            assert support.sealscore("audit", "export", str(federation.home(node)), "--out", str(out)).returncode == 0
        yield federation, seen


def processes(federation: ProtectedFederation) -> dict[str, bytes]:
    """Command line and environment of every process below the nodes, by its number."""
    parents = {path.name: int(text.rpartition(")")[2].split()[1]) for path in Path("/proc").glob("[0-9]*")
               if (text := _text(path / "stat"))}
    found = {str(pid) for pid in federation._supervisor.pids().values()}
    while more := {pid for pid, parent in parents.items() if str(parent) in found} - found:
        found |= more
    return {pid: _bytes(Path("/proc") / pid / "cmdline") + b"\n" + _bytes(Path("/proc") / pid / "environ")
            for pid in found}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


def _text(path: Path) -> str:
    return _bytes(path).decode(errors="replace")


def needles(federation: ProtectedFederation, seen: dict[str, Any]) -> Iterator[Needle]:
    yield Needle("the secret of the keys", SECRET.encode())
    for node in federation.nodes:
        home = federation.home(node)
        yield from secret_needles(f"main key of {node}", protection._main(home)[1])
        for name in protection.KEY_FILES:
            if (home / name).exists():
                pem = read_private(home / name)
                yield from (Needle(f"{node}'s {name}", line) for line in pem.split(b"\n")[1:-2])
        key = serialization.load_pem_private_key(read_private(home / "identity/identity.key"), None)
        yield from secret_needles(f"identity of {node}", key.private_bytes_raw())
        yield from secret_needles(f"vault key of {node}", load_identity(home).derived(b"vault"))
    for party in (LABEL, FEATURE):
        half = support.vault_half(federation, party, seen["trained"]["model_id"])
        yield from (Needle(f"a coefficient of {party}", repr(c).encode()) for c in half["coefficients"])
        for entry in entries(federation.record(party)):
            if entry.what == "secret":
                yield from state_needles(f"{entry.name} of {party}", entry.data)


def state_needles(what: str, data: bytes) -> Iterator[Needle]:
    """Of every array and byte string in the state of a role; of what is no state, itself."""
    try:
        state = unpack(data)
    except MalformedMessage:
        yield from secret_needles(what, data[len(data) // 8:len(data) // 2] if len(data) > 10_000 else data)
        return
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            value = value.tobytes()
        if isinstance(value, bytes):
            yield from secret_needles(f"{what}, {name}", value)


@pytest.fixture(scope="module")
def detector(fed) -> Detector:
    made = Detector(needles(*fed))
    assert made.count > 500
    return made


def files_of(federation: ProtectedFederation) -> Iterator[tuple[str, bytes]]:
    """Every file below every home and in the evidence, but for what the recorder wrote."""
    folders = [*(federation.home(node) for node in federation.nodes), federation.folder / "evidence"]
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != "record.bin":
                yield str(path.relative_to(federation.folder)), _bytes(path)


def test_no_secret_is_in_a_home_a_log_or_the_evidence(fed, detector) -> None:
    federation, _ = fed
    searched = dict(files_of(federation))
    assert {f"{node}/logs/node.log" for node in federation.nodes} <= set(searched)
    assert "bank/state/runs/" + fed[1]["trained"]["run"] + "/run.db" in searched and len(searched) > 40
    assert {(name, what) for name, data in searched.items() for what in detector.find(data)} == set()


def test_no_secret_is_in_a_command_line_an_environment_or_on_the_screen(fed, detector) -> None:
    _, seen = fed
    text = b"\n".join(seen["processes"].values())
    assert len(seen["processes"]) >= 10 and b"flower-superlink" in text and b"hub_main" in text
    assert b"/proc/" in text and protection.LENT_VARIABLE.encode() in text
    assert detector.find(text) == [] and detector.find(seen["printed"].encode()) == []


def test_the_search_finds_each_kind_of_secret_where_it_is_planted(fed, detector) -> None:
    federation, _ = fed
    kept = [e for e in entries(federation.record(LABEL)) if e.what == "secret"]
    keys = next(e.data for e in kept if e.name == "keys")
    share = next(v for e in kept if e.name == "train.role" for v in unpack(e.data).values()
                 if isinstance(v, np.ndarray) and v.nbytes > 1000 and len(set(v.tobytes()[:24])) > 12)
    main = protection._main(federation.home(LABEL))[1]
    for plant in (keys, share.tobytes(), main, main.hex().encode(), repr(main).encode(), SECRET.encode(),
                  read_private(federation.home(LABEL) / "tls/node.key")):
        assert detector.find(b"some log line " + plant + b"\n")


def test_sealed_scores_are_read_by_the_banks_command(fed) -> None:
    federation, seen = fed
    run, folder = seen["scored"]["run"], federation.home(LABEL) / "state" / "scores"
    assert [path.name for path in folder.iterdir()] == [f"{run}.sealed"]
    done = support.sealscore("bank", "scores", str(federation.home(LABEL) / "bank.toml"), run)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[0] == "id,probability_of_default" and len(lines) > 1000


def test_keys_were_sealed_all_the_time_and_the_canary_sang(fed) -> None:
    federation, _ = fed
    for node in federation.nodes:
        assert set(protection.status(federation.home(node)).values()) == {"sealed"}
    canary, *processes = [r["body"] for r in support.audit_records(federation, "coordinator") if r["kind"] == "canary"]
    assert canary["succeeded"] == [] and canary["secrets_tried"] > 5
    assert [body["process"] for body in processes[:2]] == ["hub", "ServerApp"]
    assert not any(body["succeeded"] for body in processes)


def test_the_evidence_verifies_with_the_canary_in_it(fed) -> None:
    folder = fed[0].folder
    done = support.sealscore("audit", "verify", str(folder / "evidence"), "--trust", str(folder / "trust.json"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_processes_leave_no_core(fed) -> None:
    federation, _ = fed
    for pid in federation._supervisor.pids().values():
        limits = Path(f"/proc/{pid}/limits").read_text()
        line = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert set(line.removeprefix("Max core file size").split()[:2]) <= {"0", "1"}
    assert not list(federation.folder.rglob("core*.[0-9]*")) and os.getpid()
