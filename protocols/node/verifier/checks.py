"""The checks of one node's evidence: its signature, its log, and every other file against the log."""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from protocols.audit import Record, SignedCheckpoint, exact_fields, from_hex, named_agreement
from protocols.canonical import canonical_json, parse_canonical_json
from protocols.crypto.identity import SIGNATURE_BYTES, fingerprint, verify
from protocols.errors import ProtocolError, TrustError
from protocols.node.verifier.agreed import read_agreement
from protocols.node.verifier.derived import check_proofs, openings_file, traffic_file
from protocols.node.verifier.findings import Report
from protocols.node.verifier.locked import pins_of
from protocols.node.verifier.names import (
    AGREEMENTS,
    CHECKPOINTS,
    INSTALLATION,
    LOCK,
    LOG,
    MANIFEST,
    MANIFEST_CONTEXT,
    MAX_FILE_BYTES,
    MAX_POLICY_BYTES,
    OPENINGS,
    POLICIES,
    PROOFS,
    SIGNATURE,
    TRAFFIC,
)
from protocols.node.verifier.reading import NodeEvidence

ALLOWED_BITS = {4096: 109, 8192: 218, 16384: 438}
"""Largest coefficient modulus, special prime included, with 128-bit security and a ternary key by ring degree
(HomomorphicEncryption.org standard, November 2018, table 1)."""


def check_node(node: NodeEvidence, trust: Mapping[str, bytes], report: Report) -> None:
    """Everything that a node's folder shows by itself; problems go into `report` under the name of the file."""
    with report.checking(node.at(MANIFEST)):
        _check_signature(node)
        _check_manifest(node, report)
    steps: list[tuple[str, Callable[[NodeEvidence], None]]] = [
        (LOG, _check_log), (CHECKPOINTS, _check_checkpoints), (LOG, _check_named_agreements)]
    for file, check in steps:
        with report.checking(node.at(file)):
            check(node)
    for file in sorted(node.files):
        with report.checking(node.at(file)):
            if file.startswith(AGREEMENTS):
                _check_agreement(node, file, trust)
            elif file.startswith(POLICIES):
                _check_policy(node, file, trust)
    derived: list[tuple[str, Callable[[NodeEvidence], None]]] = [
        (LOG, _check_openings), (OPENINGS, _check_ledger), (TRAFFIC, _check_traffic), (PROOFS, _check_proofs),
        (INSTALLATION, _check_installation), (LOCK, _check_lock)]
    for file, check in derived:
        with report.checking(node.at(file)):
            check(node)


def _check_signature(node: NodeEvidence) -> None:
    manifest, text = node.file(MANIFEST), node.file(SIGNATURE).decode("ascii", errors="replace")
    try:
        verify(node.public, MANIFEST_CONTEXT, manifest, from_hex(text, SIGNATURE_BYTES))
    except (TrustError, ProtocolError) as error:
        raise TrustError(f"{node.at(SIGNATURE)} does not sign it: {error}") from None


def _check_manifest(node: NodeEvidence, report: Report) -> None:
    """Every file, and only those, with the hash and size the node signed."""
    manifest = parse_canonical_json(node.file(MANIFEST), MAX_FILE_BYTES)
    if not isinstance(manifest, dict) or set(manifest) != {"version", "node", "files"} or manifest["version"] != 1:
        raise TrustError("expected a manifest of version 1")
    if manifest["node"] != node.name or not isinstance(manifest["files"], dict):
        raise TrustError(f"expected the manifest of {node.name}, got another node's")
    covered, present = manifest["files"], node.files.keys() - {MANIFEST, SIGNATURE}
    for name in sorted(covered.keys() - present):
        shown = name.encode("ascii", errors="backslashreplace").decode()
        report.problems.append(f"{node.at(shown)}: listed in the manifest, but missing")
    for name in sorted(present - covered.keys()):
        report.problems.append(f"{node.at(name)}: not listed in the manifest")
    for name in sorted(present & covered.keys()):
        content = node.files[name]
        if covered[name] != {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}:
            report.problems.append(f"{node.at(name)}: changed since {node.name} signed the manifest")


def _check_log(node: NodeEvidence) -> None:
    """Every line a record, numbered in order, each salt used once, the first one naming this node and identity."""
    salts = set()
    for number, line in enumerate(node.lines(LOG)):
        record = Record.decode(line)
        if record.index != number:
            raise TrustError(f"line {number + 1} is record {record.index}: records are missing or out of order")
        node.tree.append(line)
        node.records.append(record)
        salts.add(record.salt)
    if len(salts) != len(node.records):
        raise TrustError("two records have the same salt")
    opened = {"event": "opened", "node": node.name, "identity": fingerprint(node.public)}
    if not node.records or node.records[0].kind != "log" or node.records[0].body != opened:
        raise TrustError(f"the first record does not open the log of {node.name} under its trusted identity")


def _check_checkpoints(node: NodeEvidence) -> None:
    """Signed by the node, strictly growing, each one the root of that many records, the last one of all."""
    size = 0
    for line in node.lines(CHECKPOINTS):
        checkpoint = SignedCheckpoint.decode(line).check(node.name, node.public)
        if checkpoint.size <= size:
            raise TrustError(f"a checkpoint of {checkpoint.size} records after one of {size}")
        size = checkpoint.size
        if size > node.tree.size or node.tree.root(size) != checkpoint.root:
            raise TrustError(f"the log does not have the root signed at {size} records: it was changed")
        node.sizes.append(size)
    if size == 0 or size != node.tree.size:
        raise TrustError(f"the last checkpoint covers {size} of {node.tree.size} records")


def _check_named_agreements(node: NodeEvidence) -> None:
    """Each agreement of the log is there with its digest; each file is named by the log."""
    named = [named_agreement(record) for record in node.records if record.kind == "agreement"]
    expected = {f"{AGREEMENTS}/{run}.json": digest for run, digest in named}
    if len(expected) != len(named):
        raise TrustError("names two agreements of one run")
    for name in sorted(expected.keys() | {name for name in node.files if name.startswith(AGREEMENTS)}):
        if name not in expected:
            raise TrustError(f"{name} is named by no record")
        if name not in node.files or hashlib.sha256(node.files[name]).hexdigest() != expected[name]:
            raise TrustError(f"{name} is not what the log names")


def _check_agreement(node: NodeEvidence, file: str, trust: Mapping[str, bytes]) -> None:
    agreement = read_agreement(node.files[file], trust)
    if file != f"{AGREEMENTS}/{agreement.run}.json":
        raise TrustError(f"holds the agreement of run {agreement.run}")
    node.agreements[agreement.run] = agreement
    if node.name in agreement.statements:
        policy = agreement.policy(node.name)
        if f"{POLICIES}/{policy}.json" not in node.files:
            raise TrustError(f"names policy {policy[:16]}… as in force, which the evidence does not show")


def _check_policy(node: NodeEvidence, file: str, trust: Mapping[str, bytes]) -> None:
    """A policy under its own digest, pinning the identities that the auditor trusts."""
    content = node.files[file]
    policy = parse_canonical_json(content, MAX_POLICY_BYTES)
    peers = policy.get("peers") if isinstance(policy, dict) else None
    if not isinstance(peers, dict) or not peers or "purposes" not in policy or policy.get("version") != 1:
        raise TrustError("expected a policy of version 1 with purposes and peers, got something else")
    digest = hashlib.sha256(content).hexdigest()
    if file != f"{POLICIES}/{digest}.json":
        raise TrustError("a policy that is not named by its digest")
    for peer, pinned in peers.items():
        found = pinned.get("fingerprint") if isinstance(pinned, dict) else None
        if not isinstance(found, str):
            raise TrustError("expected a policy that pins the fingerprint of every peer")
        if peer in trust and found != fingerprint(trust[peer]):
            raise TrustError(f"pins another identity of {peer} than the trusted one")
    node.policies[digest] = policy


def _check_openings(node: NodeEvidence) -> None:
    """No opening of a run before its agreement."""
    agreed = set()
    for record in node.records:
        if record.kind == "agreement":
            agreed.add(str(record.body.get("run")))
        elif record.kind == "opening" and str(record.body.get("run")) not in agreed:
            raise TrustError(f"record {record.index} opens numbers of a run that has no agreement before it")


def _check_ledger(node: NodeEvidence) -> None:
    if node.file(OPENINGS) != openings_file(node.records):
        raise TrustError("not the ledger that follows from the openings of the log")


def _check_traffic(node: NodeEvidence) -> None:
    if node.file(TRAFFIC) != traffic_file(node.records):
        raise TrustError("not the totals that follow from the messages of the log")


def _check_proofs(node: NodeEvidence) -> None:
    content = node.file(PROOFS)
    if not node.sizes or node.sizes[-1] != len(node.records):
        raise TrustError("without checkpoints of the whole log no proof can be checked")
    roots = [(size, node.tree.root(size)) for size in node.sizes]
    check_proofs(content, node.lines(LOG), node.records, roots)


def _check_installation(node: NodeEvidence) -> None:
    """Digests follow from what is listed, and every parameter set has the 128-bit security that it is said to have."""
    content = parse_canonical_json(node.file(INSTALLATION), MAX_POLICY_BYTES)
    told = exact_fields(content, "version", "sealscore", "python", "code", "packages", "packages_sha256", "parameters",
                        "parameters_sha256")
    if told["version"] != 1:
        raise TrustError("expected an installation of version 1")
    for name in ("packages", "parameters"):
        if told[f"{name}_sha256"] != hashlib.sha256(canonical_json(told[name])).hexdigest():
            raise TrustError(f"{name}_sha256 is not the digest of the {name} listed")
    texts = all(isinstance(told[name], str) for name in ("sealscore", "python", "code"))
    if not texts or not isinstance(told["packages"], dict) or not isinstance(told["parameters"], list):
        raise TrustError("expected versions and a digest as texts, packages by name and a list of parameter sets")
    for parameters in told["parameters"]:
        _check_parameters(parameters)
    if not all(isinstance(found, str) for found in told["packages"].values()):
        raise TrustError("expected each package with its version as text")
    node.installation = told


def _check_lock(node: NodeEvidence) -> None:
    """A lock may be missing: a node can be installed without one, and the report says so."""
    if LOCK in node.files:
        node.lock = pins_of(node.files[LOCK])


def _check_parameters(told: Any) -> None:
    told = exact_fields(told, "name", "degree", "primes", "plain_modulus")
    primes = told["primes"]
    numbers = [told["degree"], *(primes if isinstance(primes, list) else [None])]
    if not isinstance(told["name"], str) or not all(type(number) is int and number > 1 for number in numbers):
        raise TrustError("expected a parameter set with its name, degree and primes")
    bits, most = sum(prime.bit_length() for prime in primes), ALLOWED_BITS.get(told["degree"], 0)
    if not 0 < bits <= most:
        raise TrustError(f"parameter set {told['name']} has {bits} bits of modulus at degree {told['degree']}, "
                         f"128-bit security allows {most}")
