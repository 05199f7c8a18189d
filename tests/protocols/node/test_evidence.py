"""Evidence of a whole federation: it holds as exported, and every change to it is found and named."""
from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from protocols.agreement import SignedAgreement, sign_statement, statement
from protocols.audit import Checkpoint, Record, SignedCheckpoint
from protocols.crypto.identity import IdentityKey, fingerprint
from protocols.errors import TrustError, UsageError
from protocols.merkle import MerkleTree
from protocols.node import audit_cli
from protocols.node.audit_log import AuditLog
from protocols.node.evidence import MANIFEST_CONTEXT, export, manifest_of
from protocols.node.identity_files import trust_json, write_identity
from protocols.node.verification import Report, verify
from protocols.plan import Plan, canonical_json
from protocols.policy import Policy

RUN = "r-0123456789abcdef"
AT = "2026-01-31T12:00:00.000Z"
KEYS = {name: IdentityKey.generate() for name in ("bank", "coordinator", "platform")}
TRUST = {name: key.public for name, key in KEYS.items()}
PEERS = {"bank": "platform", "platform": "bank"}
PLAN = Plan.model_validate({
    "purpose": "credit-scoring", "label_party": "bank", "feature_parties": ["platform"],
    "parties": {"bank": {"table": "loans", "columns": ["age"]}, "platform": {"table": "users", "columns": ["pay"]}}})


def policy_of(party: str, peer_key: bytes | None = None) -> bytes:
    pinned = fingerprint(peer_key or TRUST[PEERS[party]])
    policy = Policy.model_validate({"purposes": ["credit-scoring"], "peers": {PEERS[party]: {"fingerprint": pinned}}})
    return canonical_json(policy.model_dump(mode="json"))


def agreement_of(digests: dict[str, str]) -> bytes:
    statements = {party: statement(party, RUN, PLAN, digest) for party, digest in digests.items()}
    return SignedAgreement(RUN, PLAN, statements, {party: sign_statement(KEYS[party], text)
                                                   for party, text in statements.items()}).encode()


def home_of(root: Path, node: str) -> Path:
    home = root / node
    home.mkdir()
    write_identity(home, KEYS[node])
    (home / "state").mkdir()
    (home / "state" / "vault.json").write_text("rows and keys")
    return home


def open_log(home: Path) -> AuditLog:
    return AuditLog(home / "state" / "audit", home.name, KEYS[home.name])


def play(homes: dict[str, Path]) -> None:
    """A run as the nodes record it: agree, work, open, exchange checkpoints."""
    logs = {name: open_log(home) for name, home in homes.items()}
    digests = {party: logs[party].keep_policy(policy_of(party)) for party in PEERS}
    for log in logs.values():
        log.keep_agreement(RUN, agreement_of(digests))
    for i in range(6):
        logs["bank"].append("egress", {"run": RUN, "to": "platform", "what": "ask", "bytes": 1000 + i})
        logs["platform"].append("egress", {"run": RUN, "to": "bank", "what": "reply", "bytes": 10})
    logs["bank"].append("opening", {"run": RUN, "what": "score", "learner": "bank", "count": 200})
    logs["platform"].append("refusal", {"what": "archive", "cause": "cannot read /home/jo/app.py"})
    for sender, log in logs.items():
        for receiver in logs.keys() - {sender}:
            held = logs[receiver].held(sender)
            logs[receiver].record_peer_checkpoint(sender, TRUST[sender], log.checkpoint_message(held))
    for log in logs.values():
        log.append("run", {"run": RUN, "state": "finished"})
        log.close()


@pytest.fixture(scope="module")
def homes(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("homes")
    made = {name: home_of(root, name) for name in KEYS}
    play(made)
    return made


@pytest.fixture(scope="module")
def pristine(homes, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "evidence"
    for home in homes.values():
        export(home, out)
    return out


@pytest.fixture
def evidence(pristine, tmp_path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "evidence"))


def files_of(evidence: Path) -> list[Path]:
    return sorted(path for path in evidence.rglob("*") if path.is_file())


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def write_lines(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def resign(folder: Path, lines: list[bytes] | None = None, key: IdentityKey | None = None) -> None:
    """What a node with its key can do: a new log, one checkpoint over it, and a fresh manifest over all files."""
    node, key = folder.name, key or KEYS[folder.name]
    if lines is not None:
        tree = MerkleTree()
        for line in lines:
            tree.append(line)
        write_lines(folder / "log.jsonl", lines)
        signed = SignedCheckpoint.sign(key, Checkpoint(node, tree.size, tree.root(), AT))
        write_lines(folder / "checkpoints.jsonl", [signed.encode()])
    listed = {str(path.relative_to(folder)): path.read_bytes() for path in files_of(folder)
              if not path.name.startswith("manifest")}
    manifest = manifest_of(node, listed)
    (folder / "manifest.json").write_bytes(manifest)
    (folder / "manifest.sig").write_bytes(key.sign(MANIFEST_CONTEXT, manifest).hex().encode())


def renumbered(lines: list[bytes]) -> list[bytes]:
    records = [Record.decode(line) for line in lines]
    return [Record(i, r.at, r.kind, r.body, r.salt).encode() for i, r in enumerate(records)]


def problems(report: Report) -> str:
    assert not report.holds
    return "\n".join(report.problems)


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
    assert any("peers vouch for the first" in note for note in report.notes)


def test_evidence_holds_only_what_is_declared(pristine):
    names = {str(path.relative_to(pristine / "bank")) for path in files_of(pristine / "bank")}
    digest = Policy.model_validate_json(policy_of("bank")).digest()
    assert names == {"log.jsonl", "checkpoints.jsonl", f"agreements/{RUN}.json", f"policies/{digest}.json",
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

def flip_every(evidence: Path, step: int, bit: Callable[[int], int]) -> int:
    """Flip one bit at sampled positions of every file, one at a time; every flip must be found. Returns the count."""
    tried = 0
    for path in files_of(evidence):
        content = path.read_bytes()
        for at in range(random.Random(path.name).randrange(step), len(content), step):
            changed = bytearray(content)
            changed[at] ^= 1 << bit(at)
            path.write_bytes(changed)
            report = verify(evidence, TRUST)
            assert str(path.relative_to(evidence)) in problems(report), f"byte {at} of {path.name}"
            tried += 1
        path.write_bytes(content)
    assert verify(evidence, TRUST).holds
    return tried


def test_any_changed_byte_is_found_and_its_file_named(evidence):
    assert flip_every(evidence, 101, lambda at: at % 8) > 100


@pytest.mark.slow
def test_changed_bytes_are_found_all_over(evidence):
    assert flip_every(evidence, 7, lambda at: 5) > 1_500


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


# Changed by the node itself, with its key

def test_signing_again_unchanged_holds(evidence):
    resign(evidence / "bank", lines_of(evidence / "bank" / "log.jsonl"))
    assert verify(evidence, TRUST).problems == []


@pytest.mark.parametrize("rewrite", [
    lambda lines: [line.replace(b'"bytes":1003', b'"bytes":9') for line in lines],
    lambda lines: renumbered(lines[:4] + lines[5:]),
    lambda lines: renumbered([*lines[:3], lines[4], lines[3], *lines[5:]]),
    lambda lines: lines[:4],
    lambda lines: renumbered([*lines[:4], lines[2], *lines[4:]]),
    lambda lines: [Record(i, r.at, r.kind, r.body).encode() for i, r in enumerate(map(Record.decode, lines))],
], ids=["changed", "removed", "reordered", "cut", "inserted", "salts renewed"])
@pytest.mark.parametrize("node", ["bank", "platform"])
def test_a_log_rewritten_and_signed_again_is_caught_by_its_peers(evidence, node, rewrite):
    log = evidence / node / "log.jsonl"
    lines = rewrite(lines_of(log)) if node == "bank" else rewrite(
        [line.replace(b'"bytes":10,', b'"bytes":1003,') for line in lines_of(log)])
    resign(evidence / node, lines)
    found = problems(verify(evidence, TRUST))
    assert f"{node}/log.jsonl is not the log" in found or f"{node}/log.jsonl has" in found


def test_what_no_peer_holds_rests_on_the_nodes_word_and_the_report_says_so(evidence):
    lines = lines_of(evidence / "bank" / "log.jsonl")
    resign(evidence / "bank", lines[:-1])
    report = verify(evidence, TRUST)
    assert report.problems == []
    assert any(note.startswith("bank: peers vouch for the first") for note in report.notes)


def test_dropping_the_peers_checkpoints_breaks_the_peers_own_log(evidence):
    """Bank and platform would have to rewrite together; the coordinator still holds both."""
    for node in ("bank", "platform"):
        lines = [line for line in lines_of(evidence / node / "log.jsonl") if b'"checkpoint.peer"' not in line]
        lines = [line.replace(b'"bytes":1003', b'"bytes":9') for line in lines]
        resign(evidence / node, renumbered(lines))
    assert "coordinator/log.jsonl record" in problems(verify(evidence, TRUST))


def appended(evidence: Path, node: str, kind: str, body: dict) -> None:
    lines = lines_of(evidence / node / "log.jsonl")
    resign(evidence / node, [*lines, Record(len(lines), AT, kind, body).encode()])


def test_a_node_cannot_vouch_for_itself(evidence):
    signed = SignedCheckpoint.decode(lines_of(evidence / "bank" / "checkpoints.jsonl")[-1])
    appended(evidence, "bank", "checkpoint.peer", {"peer": "bank", **signed.to_json()})
    assert "bank vouches for itself" in problems(verify(evidence, TRUST))


@pytest.mark.parametrize("body", [{}, {"peer": "platform"}, {"peer": "platform", "checkpoint": {}, "signature": "0"}])
def test_held_checkpoints_must_be_checkpoints(evidence, body):
    appended(evidence, "bank", "checkpoint.peer", body)
    assert "bank/log.jsonl record" in problems(verify(evidence, TRUST))


def test_a_held_checkpoint_must_be_signed_by_its_peer(evidence):
    forged = SignedCheckpoint.sign(KEYS["bank"], Checkpoint("platform", 1, bytes(32), AT))
    appended(evidence, "bank", "checkpoint.peer", {"peer": "platform", **forged.to_json()})
    found = problems(verify(evidence, TRUST))
    assert "bank/log.jsonl record" in found and "platform/" not in found


def test_a_refused_fork_is_evidence_against_its_author(evidence):
    fork = SignedCheckpoint.sign(KEYS["bank"], Checkpoint("bank", 2, bytes(32), AT))
    appended(evidence, "platform", "refusal", {"what": "checkpoint", "peer": "bank", "cause": "x", **fork.to_json()})
    assert "bank/log.jsonl is not the log whose first 2 records platform holds" in problems(verify(evidence, TRUST))


def test_checkpoints_of_an_untrusted_node_are_noted(evidence):
    shutil.rmtree(evidence / "coordinator")
    report = verify(evidence, {name: TRUST[name] for name in PEERS})
    assert report.problems == []
    assert any("checkpoints of coordinator were not checked" in note for note in report.notes)


def test_an_opening_needs_an_agreement_before_it(evidence):
    appended(evidence, "platform", "opening", {"run": "r-ffffffffffffffff", "what": "score", "count": 1})
    assert "has no agreement before it" in problems(verify(evidence, TRUST))


def test_two_records_cannot_share_a_salt(evidence):
    lines = lines_of(evidence / "bank" / "log.jsonl")
    salt = Record.decode(lines[0]).salt
    resign(evidence / "bank", [*lines, Record(len(lines), AT, "run", {}, salt).encode()])
    assert "same salt" in problems(verify(evidence, TRUST))


def test_a_log_without_its_first_record_is_refused(evidence):
    resign(evidence / "bank", renumbered(lines_of(evidence / "bank" / "log.jsonl")[1:]))
    assert "does not open the log of bank" in problems(verify(evidence, TRUST))


@pytest.mark.parametrize("rewrite", [lambda lines: [], lambda lines: lines[:-1], lambda lines: lines[::-1],
                                     lambda lines: [*lines, lines[-1]]], ids=["none", "cut", "reversed", "twice"])
def test_checkpoints_must_grow_and_cover_the_log(evidence, rewrite):
    path = evidence / "bank" / "checkpoints.jsonl"
    assert len(lines_of(path)) > 1
    write_lines(path, rewrite(lines_of(path)))
    resign(evidence / "bank")
    assert "bank/checkpoints.jsonl" in problems(verify(evidence, TRUST))


def test_a_checkpoint_must_be_the_root_of_the_log(evidence):
    path = evidence / "bank" / "checkpoints.jsonl"
    last = SignedCheckpoint.decode(lines_of(path)[-1]).checkpoint
    false = SignedCheckpoint.sign(KEYS["bank"], Checkpoint("bank", last.size, bytes(32), AT))
    write_lines(path, [*lines_of(path)[:-1], false.encode()])
    resign(evidence / "bank")
    assert "bank/checkpoints.jsonl: the log does not have the root" in problems(verify(evidence, TRUST))


def test_records_are_numbered_without_gaps(evidence):
    lines = lines_of(evidence / "bank" / "log.jsonl")
    resign(evidence / "bank", [*lines, Record(len(lines) + 1, AT, "run", {}).encode()])
    assert "records are missing or out of order" in problems(verify(evidence, TRUST))


def sign_manifest(folder: Path, change: Callable[[dict], dict]) -> None:
    manifest = canonical_json(change(json.loads((folder / "manifest.json").read_bytes())))
    (folder / "manifest.json").write_bytes(manifest)
    (folder / "manifest.sig").write_bytes(KEYS[folder.name].sign(MANIFEST_CONTEXT, manifest).hex().encode())


@pytest.mark.parametrize("change", [lambda m: m | {"version": 2}, lambda m: m | {"more": 1}, lambda m: {},
                                    lambda m: [], lambda m: m | {"files": []}])
def test_a_manifest_of_another_form_is_refused(evidence, change):
    sign_manifest(evidence / "bank", change)
    assert "bank/manifest.json: expected" in problems(verify(evidence, TRUST))


def test_a_node_cannot_leave_a_file_out_of_its_manifest(evidence):
    sign_manifest(evidence / "bank", lambda m: m | {"files": {k: v for k, v in m["files"].items() if k != "log.jsonl"}})
    assert problems(verify(evidence, TRUST)) == "bank/log.jsonl: not listed in the manifest"


# Agreements and policies

def replace_agreement(evidence: Path, node: str, content: bytes) -> None:
    """Rewrite the agreement together with the record that names it, as the node could before any checkpoint."""
    (evidence / node / "agreements" / f"{RUN}.json").write_bytes(content)
    lines = []
    for record in map(Record.decode, lines_of(evidence / node / "log.jsonl")):
        body = record.body
        if record.kind == "agreement":
            body = {**body, "sha256": hashlib.sha256(content).hexdigest()}
        lines.append(Record(record.index, record.at, record.kind, body, record.salt).encode())
    resign(evidence / node, lines)


def test_another_agreement_at_one_party_is_found(evidence):
    digests = {party: Policy.model_validate_json(policy_of(party)).digest() for party in PEERS}
    statements = {party: statement(party, RUN, PLAN, digest, note="x") for party, digest in digests.items()}
    other = SignedAgreement(RUN, PLAN, statements,
                            {party: sign_statement(KEYS[party], text) for party, text in statements.items()})
    replace_agreement(evidence, "platform", other.encode())
    assert f"platform/agreements/{RUN}.json: not the agreement that bank has" in problems(verify(evidence, TRUST))


def test_a_run_has_one_agreement(evidence):
    named = next(r for r in map(Record.decode, lines_of(evidence / "bank" / "log.jsonl")) if r.kind == "agreement")
    appended(evidence, "bank", "agreement", named.body)
    assert "names two agreements of one run" in problems(verify(evidence, TRUST))


def test_an_agreement_stands_under_its_own_run(evidence):
    folder = evidence / "bank"
    content = (folder / "agreements" / f"{RUN}.json").read_bytes()
    (folder / "agreements" / "r-ffffffffffffffff.json").write_bytes(content)
    appended(evidence, "bank", "agreement",
             {"run": "r-ffffffffffffffff", "sha256": hashlib.sha256(content).hexdigest()})
    assert f"r-ffffffffffffffff.json: holds the agreement of run {RUN}" in problems(verify(evidence, TRUST))


def test_an_agreement_signed_by_one_party_for_both_is_found(evidence):
    content = json.loads((evidence / "bank" / "agreements" / f"{RUN}.json").read_bytes())
    text = content["agreement"]["statements"]["platform"]
    content["signatures"]["platform"] = sign_statement(KEYS["bank"], text).hex()
    replace_agreement(evidence, "bank", canonical_json(content))
    assert f"bank/agreements/{RUN}.json: the signature" in problems(verify(evidence, TRUST))


def test_a_policy_that_was_in_force_must_be_shown(evidence):
    for path in (evidence / "bank" / "policies").iterdir():
        path.unlink()
    (evidence / "bank" / "policies").rmdir()
    resign(evidence / "bank")
    assert f"bank/agreements/{RUN}.json: names policy" in problems(verify(evidence, TRUST))


def test_a_policy_must_pin_the_trusted_identities(tmp_path):
    home = home_of(tmp_path, "bank")
    with open_log(home) as log:
        log.keep_policy(policy_of("bank", IdentityKey.generate().public))
    export(home, tmp_path / "out")
    home_of(tmp_path, "platform")
    with open_log(tmp_path / "platform"):
        pass
    export(tmp_path / "platform", tmp_path / "out")
    found = problems(verify(tmp_path / "out", {name: TRUST[name] for name in PEERS}))
    assert "bank/policies/" in found and "pins another identity of platform" in found


def test_an_agreement_the_log_names_must_be_shown(evidence):
    (evidence / "coordinator" / "agreements" / f"{RUN}.json").unlink()
    (evidence / "coordinator" / "agreements").rmdir()
    resign(evidence / "coordinator")
    assert "coordinator/log.jsonl: agreements/" in problems(verify(evidence, TRUST))


def test_a_party_that_signed_but_never_recorded_the_run_is_noted(tmp_path):
    """A daemon may die between the other's agreement and its own: no fault, but the auditor is told."""
    homes = {party: home_of(tmp_path, party) for party in PEERS}
    logs = {party: open_log(home) for party, home in homes.items()}
    digests = {party: logs[party].keep_policy(policy_of(party)) for party in PEERS}
    logs["bank"].keep_agreement(RUN, agreement_of(digests))
    for party, log in logs.items():
        log.close()
        export(homes[party], tmp_path / "out")
    report = verify(tmp_path / "out", {party: TRUST[party] for party in PEERS})
    assert report.problems == []
    assert any(note.startswith(f"platform signed the agreement of run {RUN}") for note in report.notes)


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
