"""Evidence changed by a node itself, with its key: its peers' logs and the parties' signatures still tell."""
from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from protocols.agreement import SignedAgreement, sign_statement, statement
from protocols.audit import Checkpoint, Record, SignedCheckpoint
from protocols.crypto.identity import IdentityKey
from protocols.node.evidence import export
from protocols.node.verifier.examine import verify_evidence as verify
from protocols.node.verifier.names import MANIFEST_CONTEXT
from protocols.plan import canonical_json
from protocols.policy import Policy
from tests.protocols.node.evidence_federation import (
    AT,
    KEYS,
    PEERS,
    PLAN,
    RUN,
    TRUST,
    agreement_of,
    home_of,
    lines_of,
    open_log,
    policy_of,
    problems,
    renumbered,
    resign,
    write_lines,
)

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


@pytest.mark.parametrize("node", ["bank", "platform"])
def test_no_record_that_a_peer_vouches_for_can_be_dropped_or_moved(evidence, node):
    """One record after the other, everything signed again by the node's key."""
    vouched = max(verify(evidence, TRUST).nodes[node].vouched.values())
    pristine = lines_of(evidence / node / "log.jsonl")
    for at in range(1, vouched):
        for changed in ([*pristine[:at], *pristine[at + 1:]],
                        [*pristine[:at], *pristine[at:at + 2][::-1], *pristine[at + 2:]]):
            resign(evidence / node, renumbered(changed))
            found = problems(verify(evidence, TRUST))
            assert f"{node}/log.jsonl" in found and ("rewritten" in found or "cut" in found)


def test_what_no_peer_holds_rests_on_the_nodes_word_and_the_report_says_so(evidence):
    lines = lines_of(evidence / "bank" / "log.jsonl")
    resign(evidence / "bank", lines[:-1])
    report = verify(evidence, TRUST)
    assert report.problems == []
    assert any(str(note).startswith("bank: peers vouch for the first") for note in report.notes)


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
    assert any("checkpoints of coordinator were not checked" in str(note) for note in report.notes)


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
    assert any(str(note).startswith(f"platform signed the agreement of run {RUN}") for note in report.notes)


@pytest.mark.parametrize("codes", [("a", "b"), ([1], [2]), ({}, None)])
def test_parties_that_signed_different_code_are_found(evidence, codes):
    digests = {party: next((evidence / party / "policies").iterdir()).stem for party in PEERS}
    texts = {party: statement(party, RUN, PLAN, digests[party], code=code)
             for party, code in zip(sorted(PEERS), codes, strict=True)}
    signed = SignedAgreement(RUN, PLAN, texts, {party: sign_statement(KEYS[party], text)
                                                for party, text in texts.items()})
    replace_agreement(evidence, "bank", signed.encode())
    assert f"bank/agreements/{RUN}.json: the parties signed that they run different code" in problems(
        verify(evidence, TRUST))
