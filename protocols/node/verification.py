"""Offline verification of exported evidence against identity keys that are kept outside it.

What it shows, for every node in `trust`:
- each file is what the node signed, and no file or folder was added, removed, renamed or exchanged;
- the log is complete up to its last signed checkpoint, in order, and belongs to that identity;
- every checkpoint any *other* node holds of it is a prefix of it: a log rewritten and signed again is caught at the
  first checkpoint that a peer held;
- agreements are signed by every party of their plan, are the same at all nodes, are named by the log, come before the
  first opening of their run, and name policies that are shown and that pin the same identities.

What it cannot show: that a node recorded everything it did, and changes after the last checkpoint a peer holds; the
report says for every node how far its peers vouch.
"""
from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from protocols.agreement import SignedAgreement
from protocols.audit import Record, SignedCheckpoint, from_hex, held_checkpoint, named_agreement
from protocols.crypto.identity import SIGNATURE_BYTES, fingerprint
from protocols.crypto.identity import verify as verify_signature
from protocols.errors import ProtocolError, TrustError, UsageError
from protocols.merkle import MerkleTree
from protocols.node.audit_log import AGREEMENTS, CHECKPOINTS, LOG, POLICIES
from protocols.node.evidence import FILE_NAMES, MANIFEST, MANIFEST_CONTEXT, SIGNATURE
from protocols.plan import parse_canonical_json
from protocols.policy import Policy

MAX_FILE_BYTES = 512 * 1024 * 1024
MAX_POLICY_BYTES = 1024 * 1024


@dataclass
class NodeReport:
    """What the evidence of one node says."""

    fingerprint: str
    records: int = 0
    root: str = ""
    kinds: dict[str, int] = field(default_factory=dict)
    openings: dict[str, dict[str, int]] = field(default_factory=dict)  # by learner and kind: numbers opened
    egress_bytes: dict[str, int] = field(default_factory=dict)  # by peer
    agreements: list[str] = field(default_factory=list)  # runs
    vouched: dict[str, int] = field(default_factory=dict)  # by peer: records covered by the newest checkpoint it holds


@dataclass
class Report:
    """Problems break the evidence; notes are for the reader. Both are sentences that name the file."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    nodes: dict[str, NodeReport] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Nothing is wrong."""
        return not self.problems

    @contextmanager
    def checking(self, where: str) -> Iterator[None]:
        """Turn the failure of a check into a problem of the file `where`."""
        try:
            yield
        except (TrustError, ProtocolError) as error:
            self.problems.append(f"{where}: {error}")
        except OSError as error:
            self.problems.append(f"{where}: could not be read ({error.strerror})")


@dataclass
class _Node:
    """A node's files and what was understood of them."""

    name: str
    public: bytes
    files: dict[str, bytes]
    tree: MerkleTree = field(default_factory=MerkleTree)
    records: list[Record] = field(default_factory=list)
    agreements: dict[str, SignedAgreement] = field(default_factory=dict)

    def at(self, file: str) -> str:
        return f"{self.name}/{file}"


def verify(directory: Path, trust: Mapping[str, bytes]) -> Report:
    """Check the evidence folders in `directory` against raw public keys by node name; UsageError if there are none."""
    if not directory.is_dir():
        raise UsageError("expected a folder of evidence, found none; make it with `sealscore audit export`")
    report = Report()
    nodes = _read_nodes(directory, trust, report)
    for node in nodes.values():
        _check_node(node, trust, report)
    for holder in nodes.values():
        _check_held(holder, nodes, report)
    _check_same_agreements(nodes, report)
    for node in nodes.values():
        _summarise(node, report)
    return report


def _read_nodes(directory: Path, trust: Mapping[str, bytes], report: Report) -> dict[str, _Node]:
    found = {entry.name: entry for entry in os.scandir(directory)}
    for name in sorted(found.keys() - trust.keys()):
        report.problems.append(f"{_shown(name)}: no node of that name is trusted, and evidence holds nothing else")
    nodes = {}
    for name in sorted(trust):
        if name not in found or not found[name].is_dir(follow_symlinks=False):
            report.problems.append(f"{name}: expected a folder of evidence of this trusted node, found none")
            continue
        nodes[name] = _Node(name, trust[name], dict(_read_files(Path(found[name].path), name, "", report)))
        report.nodes[name] = NodeReport(fingerprint(trust[name]))
    return nodes


def _read_files(folder: Path, node: str, prefix: str, report: Report) -> Iterator[tuple[str, bytes]]:
    """Relative name and content of every expected file; everything else is a problem."""
    entries: list[os.DirEntry[str]] = []
    with report.checking(f"{node}/{prefix}"):
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    if prefix and not entries:
        report.problems.append(f"{node}/{prefix}: an empty folder that is no part of the evidence")
    for entry in entries:
        name = prefix + entry.name
        if entry.is_dir(follow_symlinks=False) and name in (AGREEMENTS, POLICIES):
            yield from _read_files(Path(entry.path), node, name + "/", report)
        elif name in (MANIFEST, SIGNATURE) or FILE_NAMES.fullmatch(name):
            with report.checking(f"{node}/{name}"):
                yield name, _content(entry.path)
        else:
            report.problems.append(f"{node}/{_shown(name)}: a file or folder that is no part of the evidence")


def _content(path: str) -> bytes:
    """Bytes of a regular file of bounded size; links and devices are refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise TrustError("expected a readable file, found a link or another thing") from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
            raise TrustError(f"expected a regular file of at most {MAX_FILE_BYTES} bytes")
        return file.read(MAX_FILE_BYTES + 1)


def _check_node(node: _Node, trust: Mapping[str, bytes], report: Report) -> None:
    with report.checking(node.at(MANIFEST)):
        _check_signature(node)
        _check_manifest(node, report)
    steps: list[tuple[str, Callable[[_Node], None]]] = [
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
    with report.checking(node.at(LOG)):
        _check_openings(node)


def _check_signature(node: _Node) -> None:
    manifest, text = _file(node, MANIFEST), _file(node, SIGNATURE).decode("ascii", errors="replace")
    try:
        verify_signature(node.public, MANIFEST_CONTEXT, manifest, from_hex(text, SIGNATURE_BYTES))
    except (TrustError, ProtocolError) as error:
        raise TrustError(f"{node.at(SIGNATURE)} does not sign it: {error}") from None


def _check_manifest(node: _Node, report: Report) -> None:
    """Every file, and only those, with the hash and size the node signed."""
    manifest = parse_canonical_json(_file(node, MANIFEST), MAX_FILE_BYTES)
    if not isinstance(manifest, dict) or set(manifest) != {"version", "node", "files"} or manifest["version"] != 1:
        raise TrustError("expected a manifest of version 1")
    if manifest["node"] != node.name or not isinstance(manifest["files"], dict):
        raise TrustError(f"expected the manifest of {node.name}, got another node's")
    covered, present = manifest["files"], node.files.keys() - {MANIFEST, SIGNATURE}
    for name in sorted(covered.keys() - present):
        report.problems.append(f"{node.at(_shown(name))}: listed in the manifest, but missing")
    for name in sorted(present - covered.keys()):
        report.problems.append(f"{node.at(name)}: not listed in the manifest")
    for name in sorted(present & covered.keys()):
        content = node.files[name]
        if covered[name] != {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}:
            report.problems.append(f"{node.at(name)}: changed since {node.name} signed the manifest")


def _check_log(node: _Node) -> None:
    """Every line a record, numbered in order, each salt used once, the first one naming this node and identity."""
    salts = set()
    for number, line in enumerate(_lines(node, LOG)):
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


def _check_checkpoints(node: _Node) -> None:
    """Signed by the node, strictly growing, each one the root of that many records, the last one of all."""
    size = 0
    for line in _lines(node, CHECKPOINTS):
        checkpoint = SignedCheckpoint.decode(line).check(node.name, node.public)
        if checkpoint.size <= size:
            raise TrustError(f"a checkpoint of {checkpoint.size} records after one of {size}")
        size = checkpoint.size
        if size > node.tree.size or node.tree.root(size) != checkpoint.root:
            raise TrustError(f"the log does not have the root signed at {size} records: it was changed")
    if size == 0 or size != node.tree.size:
        raise TrustError(f"the last checkpoint covers {size} of {node.tree.size} records")


def _check_named_agreements(node: _Node) -> None:
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


def _check_agreement(node: _Node, file: str, trust: Mapping[str, bytes]) -> None:
    agreement = SignedAgreement.decode(node.files[file])
    if file != f"{AGREEMENTS}/{agreement.run}.json":
        raise TrustError(f"holds the agreement of run {agreement.run}")
    agreement.check(trust)
    node.agreements[agreement.run] = agreement
    if node.name in agreement.statements:
        policy = agreement.policy(node.name)
        if f"{POLICIES}/{policy}.json" not in node.files:
            raise TrustError(f"names policy {policy[:16]}… as in force, which the evidence does not show")


def _check_policy(node: _Node, file: str, trust: Mapping[str, bytes]) -> None:
    """A policy under its own digest, pinning the identities that the auditor trusts."""
    content = node.files[file]
    try:
        policy = Policy.model_validate(parse_canonical_json(content, MAX_POLICY_BYTES))
    except ValidationError:
        raise TrustError("expected a policy, got something that does not validate as one") from None
    if file != f"{POLICIES}/{hashlib.sha256(content).hexdigest()}.json" or policy.digest() not in file:
        raise TrustError("a policy that is not named by its digest")
    for peer, pinned in policy.peers.items():
        if peer in trust and pinned.fingerprint != fingerprint(trust[peer]):
            raise TrustError(f"pins another identity of {peer} than the trusted one")


def _check_openings(node: _Node) -> None:
    """No opening of a run before its agreement."""
    agreed = set()
    for record in node.records:
        if record.kind == "agreement":
            agreed.add(record.body.get("run"))
        elif record.kind == "opening" and record.body.get("run") not in agreed:
            raise TrustError(f"record {record.index} opens numbers of a run that has no agreement before it")


def _check_held(holder: _Node, nodes: Mapping[str, _Node], report: Report) -> None:
    """The checkpoints that `holder` keeps of other nodes must be prefixes of their logs."""
    untrusted = set()
    for record in holder.records:
        refused = record.kind == "refusal" and record.body.get("what") == "checkpoint" and "checkpoint" in record.body
        if record.kind != "checkpoint.peer" and not refused:
            continue
        with report.checking(f"{holder.at(LOG)} record {record.index}"):
            peer, signed = held_checkpoint(record)
            if peer == holder.name:
                raise TrustError(f"{peer} vouches for itself")
            if peer in nodes:
                size = _check_prefix(nodes[peer], signed, holder.name)
                vouched = report.nodes[peer].vouched
                vouched[holder.name] = max(size, vouched.get(holder.name, 0))
            else:
                untrusted.add(peer)
    for peer in sorted(untrusted):
        report.notes.append(f"{holder.at(LOG)}: checkpoints of {peer} were not checked, there is no evidence of it")


def _check_prefix(node: _Node, signed: SignedCheckpoint, holder: str) -> int:
    """The size of a checkpoint of `node` once it is shown to be a prefix of its log."""
    checkpoint = signed.check(node.name, node.public)
    size, root = checkpoint.size, checkpoint.root
    if size > node.tree.size:
        raise TrustError(f"{node.name}/{LOG} has {node.tree.size} records, {holder} holds a checkpoint of {size}: "
                         "the log was cut")
    if node.tree.root(size) != root:
        raise TrustError(f"{node.name}/{LOG} is not the log whose first {size} records {holder} holds a checkpoint of: "
                         "it was rewritten")
    return size


def _check_same_agreements(nodes: Mapping[str, _Node], report: Report) -> None:
    for run in sorted({run for node in nodes.values() for run in node.agreements}):
        holders = {node.name: node.files[f"{AGREEMENTS}/{run}.json"] for node in nodes.values()
                   if run in node.agreements}
        first = min(holders)
        for name in sorted(holders):
            if holders[name] != holders[first]:
                report.problems.append(f"{name}/{AGREEMENTS}/{run}.json: not the agreement that {first} has")
        for party in sorted(nodes[first].agreements[run].plan.parties):
            if party in nodes and party not in holders:
                report.notes.append(f"{party} signed the agreement of run {run} but does not show it: "
                                    "it stopped before the run began there, or keeps it back")


def _summarise(node: _Node, report: Report) -> None:
    summary = report.nodes[node.name]
    summary.records, summary.root = node.tree.size, node.tree.root().hex()
    summary.kinds = dict(sorted(Counter(record.kind for record in node.records).items()))
    openings = [record for record in node.records if record.kind == "opening"]
    for learner, group in _grouped(openings, "learner").items():
        summary.openings[learner] = {kind: _total(part, "count") for kind, part in _grouped(group, "what").items()}
    egress = [record for record in node.records if record.kind == "egress"]
    summary.egress_bytes = {peer: _total(group, "bytes") for peer, group in _grouped(egress, "to").items()}
    summary.agreements = sorted(node.agreements)
    vouched = max(summary.vouched.values(), default=0)
    if vouched < summary.records:
        report.notes.append(f"{node.name}: peers vouch for the first {vouched} of {summary.records} records; "
                            "the rest rests on its own signature")


def _grouped(records: list[Record], by: str) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(str(record.body.get(by, "unnamed")), []).append(record)
    return dict(sorted(groups.items()))


def _total(records: list[Record], what: str) -> int:
    amounts: list[Any] = [record.body.get(what) for record in records]
    return sum(amount for amount in amounts if type(amount) is int)


def _lines(node: _Node, file: str) -> list[bytes]:
    *lines, tail = _file(node, file).split(b"\n")
    if tail or not lines:
        raise TrustError("does not end with a whole line")
    return lines


def _file(node: _Node, name: str) -> bytes:
    if name not in node.files:
        raise TrustError(f"{node.at(name)} is missing")
    return node.files[name]


def _shown(name: str) -> str:
    """A file's name as it can be printed anywhere."""
    return name.encode("ascii", errors="backslashreplace").decode()
