"""Evidence of a whole federation holds as exported, and whatever anybody changes is found and named."""
from __future__ import annotations

import json
import os
import random
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocols.crypto.identity import IdentityKey
from protocols.errors import TrustError, UsageError
from protocols.node import audit_cli
from protocols.node.evidence import export
from protocols.node.identity_files import trust_json
from protocols.node.standalone import standalone_source
from protocols.node.verifier.examine import verify_evidence as verify
from protocols.node.verifier.names import LOCK, MANIFEST_CONTEXT
from protocols.policy import Policy
from tests.protocols.node.evidence_federation import (
    KEYS,
    RUN,
    TRUST,
    files_of,
    home_of,
    lines_of,
    open_log,
    policy_of,
    problems,
    write_lines,
)

LOCK_STRIDE = 40  # as long as everything else together, and only its digest counts: fewer of its bytes are tried

# As exported

def test_exported_evidence_holds_and_says_what_happened(pristine):
    report = verify(pristine, TRUST)
    assert report.problems == []
    bank = report.nodes["bank"]
    assert bank.openings == {"bank": {"score": 200}}
    assert bank.egress_bytes == {"platform": 6015}
    assert bank.agreements == [RUN]
    assert bank.kinds["egress"] == 6
    assert set(bank.vouched) == {"coordinator", "platform"}
    assert any("peers vouch for the first" in str(note) for note in report.notes)


def test_evidence_holds_only_what_is_declared(pristine):
    names = {str(path.relative_to(pristine / "bank")) for path in files_of(pristine / "bank")}
    digest = Policy.model_validate_json(policy_of("bank")).digest()
    assert names == {"log.jsonl", "checkpoints.jsonl", f"agreements/{RUN}.json", f"policies/{digest}.json",
                     "openings.json", "traffic.json", "proofs.json", "installation.json", "requirements.lock",
                     "manifest.json", "manifest.sig"}


def test_evidence_holds_no_key_no_path_and_no_data(pristine, homes):
    everything = b"".join(path.read_bytes() for path in files_of(pristine))
    for home in homes.values():
        assert str(home).encode() not in everything
    for word in (b"PRIVATE KEY", b"rows and keys", b"/home/", b"/tmp/"):
        assert word not in everything


def test_a_second_run_of_export_needs_an_empty_place(homes, pristine, tmp_path):
    with pytest.raises(UsageError, match="already"):
        export(homes["bank"], pristine)
    assert verify(pristine, TRUST).holds
    assert not list(pristine.glob(".*"))


def test_export_beside_a_running_daemon_ends_at_its_checkpoint(tmp_path):
    home = home_of(tmp_path, "bank")
    with open_log(home) as log:
        log.append("run", {"run": RUN})
        with pytest.raises(UsageError, match="no signed checkpoint"):
            export(home, tmp_path / "early")
        log.checkpoint()
        log.append("run", {"run": RUN})
        assert export(home, tmp_path / "out").records == 2
    assert verify(tmp_path / "out", {"bank": TRUST["bank"]}).holds
    assert export(home, tmp_path / "later").records == 3


def test_export_refuses_what_evidence_must_not_show(tmp_path):
    home = home_of(tmp_path, "bank")
    with open_log(home) as log:
        log.keep_policy(b'{"vault":"/home/jo/vault"}')
    with pytest.raises(UsageError, match="an absolute path"):
        export(home, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_export_of_a_tampered_home_is_refused(tmp_path):
    home = home_of(tmp_path, "bank")
    with open_log(home) as log:
        log.append("egress", {"bytes": 5})
        log.checkpoint()
    path = home / "state" / "audit" / "log.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"bytes":5', b'"bytes":4'))
    with pytest.raises(TrustError):
        export(home, tmp_path / "out")


def test_export_needs_a_home_that_has_run(tmp_path):
    with pytest.raises(UsageError, match="home folder"):
        export(home_of(tmp_path, "bank"), tmp_path / "out")


# Changed by somebody without a key

@pytest.fixture(scope="module")
def standalone(tmp_path_factory) -> Callable[[Path, dict[str, bytes]], Any]:
    """`verify_evidence` as the verifier's one file defines it."""
    path = tmp_path_factory.mktemp("alone") / "verify.py"
    path.write_text(standalone_source(), encoding="utf-8")
    return runpy.run_path(str(path))["verify_evidence"]


def flip_every(evidence: Path, folder: Path, step: int, bit: Callable[[int], int], verify: Callable[..., Any]) -> int:
    """Flip one bit at sampled positions of a folder's files, one at a time; every flip must be found. The count."""
    tried = 0
    for path in files_of(folder):
        content = path.read_bytes()
        stride = step * LOCK_STRIDE if path.name == LOCK else step
        for at in range(random.Random(path.name).randrange(stride), len(content), stride):
            changed = bytearray(content)
            changed[at] ^= 1 << bit(at)
            path.write_bytes(changed)
            report = verify(evidence, TRUST)
            assert str(path.relative_to(evidence)) in problems(report), f"byte {at} of {path.name}"
            tried += 1
        path.write_bytes(content)
    assert verify(evidence, TRUST).holds
    return tried


def test_any_changed_byte_is_found_and_its_file_named(evidence, standalone):
    assert flip_every(evidence, evidence, 307, lambda at: at % 8, standalone) > 80


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("node", sorted(TRUST))
def test_every_changed_byte_is_found(evidence, standalone, node):
    """All of them where SEALSCORE_EVERY_BYTE is set, which takes half an hour, else a dense sample."""
    size = sum(path.stat().st_size for path in files_of(evidence / node) if path.name != LOCK)
    step = 1 if "SEALSCORE_EVERY_BYTE" in os.environ else 41
    tried = flip_every(evidence, evidence / node, step, lambda at: at * 5 % 8, standalone)
    assert tried * step > 0.95 * size > 5_000


@pytest.mark.parametrize("change", [
    lambda lines, i: [*lines[:i], *lines[i + 1:]], lambda lines, i: [*lines[:i], lines[i], *lines[i:]],
    lambda lines, i: [*lines[:i], *lines[i:i + 2][::-1], *lines[i + 2:]],
], ids=["dropped", "doubled", "swapped"])
def test_a_dropped_doubled_or_swapped_line_is_found(evidence, standalone, change):
    for path in (path for path in files_of(evidence) if path.suffix == ".jsonl"):
        lines = lines_of(path)
        for at in range(len(lines)):
            changed = change(lines, at)
            if changed != lines:
                write_lines(path, changed)
                assert f"{path.relative_to(evidence)}: " in problems(standalone(evidence, TRUST))
        write_lines(path, lines)
    assert standalone(evidence, TRUST).holds


@pytest.mark.parametrize("change", [
    lambda c: c + b"\n", lambda c: c + b" ", lambda c: b"\n" + c, lambda c: c[:-1], lambda c: b"", lambda c: c + c,
    lambda c: c.replace(b"\n", b"\r\n") if b"\n" in c else c.upper() + b" ", lambda c: b"\xef\xbb\xbf" + c,
], ids=["newline", "space", "leading", "shortened", "emptied", "doubled", "line ends", "mark"])
def test_longer_and_shorter_files_are_found(evidence, change):
    for path in files_of(evidence):
        content = path.read_bytes()
        path.write_bytes(change(content))
        assert str(path.relative_to(evidence)) in problems(verify(evidence, TRUST))
        path.write_bytes(content)


def test_removed_and_renamed_files_are_found(evidence):
    for path in files_of(evidence):
        moved = path.with_name("x" + path.name)
        path.rename(moved)
        assert str(path.relative_to(evidence)) in problems(verify(evidence, TRUST))
        moved.rename(path)


@pytest.mark.parametrize("name", [
    "extra.txt", "bank/extra.txt", "bank/.hidden", "bank/agreements/r-ffffffffffffffff.json", "bank/policies/x.json",
    "bank/policies/" + "0" * 64 + ".json", "bank/agreements/deeper/x", "bank/log.jsonl.bak", "eve/log.jsonl",
    "bank/\udcff"])
def test_added_files_are_found(evidence, name):
    path = evidence / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"{}")
    found = problems(verify(evidence, TRUST))
    assert name.split("/")[0] in found
    found.encode()


@pytest.mark.parametrize("name", ["eve", "bank/extra", "coordinator/policies", "bank/agreements/more"])
def test_added_folders_are_found(evidence, name):
    (evidence / name).mkdir()
    assert name.split("/")[-1] in problems(verify(evidence, TRUST))


def test_links_and_pipes_are_refused(evidence, tmp_path):
    log = evidence / "bank" / "log.jsonl"
    log.rename(tmp_path / "log.jsonl")
    log.symlink_to(tmp_path / "log.jsonl")
    assert "bank/log.jsonl: expected a readable file" in problems(verify(evidence, TRUST))
    log.unlink()
    os.mkfifo(log)
    assert "bank/log.jsonl: expected a regular file" in problems(verify(evidence, TRUST))
    log.unlink()
    log.mkdir()
    assert "bank/log.jsonl" in problems(verify(evidence, TRUST))


def test_a_linked_folder_is_refused(evidence, tmp_path):
    (evidence / "bank").rename(tmp_path / "bank")
    (evidence / "bank").symlink_to(tmp_path / "bank")
    assert "bank: expected a folder" in problems(verify(evidence, TRUST))


def test_a_missing_node_is_found(evidence):
    shutil.rmtree(evidence / "platform")
    assert "platform: expected a folder of evidence" in problems(verify(evidence, TRUST))


def test_exchanged_nodes_are_found(evidence):
    (evidence / "bank").rename(evidence / "x")
    (evidence / "platform").rename(evidence / "bank")
    (evidence / "x").rename(evidence / "platform")
    found = problems(verify(evidence, TRUST))
    assert "bank/manifest.sig does not sign it" in found and "platform/manifest.sig does not sign it" in found


def test_a_manifest_of_another_node_is_refused_even_under_the_right_key(evidence):
    manifest = (evidence / "platform" / "manifest.json").read_bytes()
    (evidence / "bank" / "manifest.json").write_bytes(manifest)
    (evidence / "bank" / "manifest.sig").write_bytes(KEYS["bank"].sign(MANIFEST_CONTEXT, manifest).hex().encode())
    assert "bank/manifest.json: expected the manifest of bank" in problems(verify(evidence, TRUST))


def test_evidence_under_other_keys_does_not_hold(pristine):
    for name in TRUST:
        assert f"{name}/manifest.sig" in problems(verify(pristine, {**TRUST, name: IdentityKey.generate().public}))


# The command

@pytest.fixture
def trust_file(tmp_path) -> Path:
    path = tmp_path / "trust.json"
    path.write_bytes(trust_json(TRUST))
    return path


def test_the_command_says_that_evidence_holds(evidence, trust_file, capsys):
    assert audit_cli.main(["verify", str(evidence), "--trust", str(trust_file)]) == 0
    out = capsys.readouterr().out
    assert "the evidence holds" in out and "numbers opened to bank: score 200" in out


def test_the_command_ends_with_an_error_on_a_changed_byte(evidence, trust_file, capsys):
    path = evidence / "bank" / "log.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"bytes":1003', b'"bytes":1004'))
    assert audit_cli.main(["verify", str(evidence), "--trust", str(trust_file)]) == 1
    assert "FAIL: bank/log.jsonl: changed since bank signed the manifest" in capsys.readouterr().out
    assert audit_cli.main(["verify", str(evidence), "--trust", str(trust_file), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["holds"] is False and report["problems"]


def test_the_command_wants_trust_from_outside(evidence, capsys):
    (evidence / "trust.json").write_bytes(trust_json(TRUST))
    assert audit_cli.main(["verify", str(evidence), "--trust", str(evidence / "trust.json")]) == 2
    assert "outside the evidence" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["verify", "nowhere", "--trust", "nothing"], ["export", "nowhere", "--out", "x"],
                                       ["verify"], ["gossip"]])
def test_wrong_arguments_are_one_sentence(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert audit_cli.main(arguments) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


def test_export_by_command(homes, tmp_path, capsys):
    for home in homes.values():
        assert audit_cli.main(["export", str(home), "--out", str(tmp_path / "e"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["node"] == "bank"
    assert verify(tmp_path / "e", TRUST).holds


def test_there_must_be_evidence(tmp_path, trust_file, capsys):
    assert audit_cli.main(["verify", str(tmp_path / "nowhere"), "--trust", str(trust_file)]) == 2
    assert "expected a folder of evidence" in capsys.readouterr().err
