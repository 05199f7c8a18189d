"""Evidence: what a node hands to an auditor, and nothing else.

    OUT/<node>/log.jsonl               the audit log, up to its last signed checkpoint
    OUT/<node>/checkpoints.jsonl       its signed checkpoints
    OUT/<node>/agreements/RUN.json     the signed agreements the log names
    OUT/<node>/policies/DIGEST.json    the policies that were in force
    OUT/<node>/openings.json           the openings ledger: numbers by run, kind and learner
    OUT/<node>/traffic.json            messages and bytes by run, receiver and kind
    OUT/<node>/proofs.json             consistency of all checkpoints, inclusion of each agreement and opening
    OUT/<node>/installation.json       digest of the code, packages with versions, parameter sets
    OUT/<node>/requirements.lock       the dependency lock that came with the code, if it did
    OUT/<node>/manifest.json           SHA-256 and size of every other file
    OUT/<node>/manifest.sig            signature of the node's identity over the manifest, 128 hex digits

Only these are read from the home folder, by name: no key, vault or table is ever opened. Texts with absolute paths or
private keys are refused. `protocols.node.verifier` checks the folder offline.
"""
from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from protocols.audit import MAX_RECORD_BYTES, Record, SignedCheckpoint, named_agreement
from protocols.canonical import canonical_json
from protocols.crypto.identity import IdentityKey
from protocols.errors import TrustError, UsageError
from protocols.merkle import MerkleTree
from protocols.node.audit_log import AuditLog, LogInUse
from protocols.node.identity_files import load_identity
from protocols.node.installation import installation_file, lock_path
from protocols.node.redaction import refuse_leaks
from protocols.node.verifier.derived import openings_file, proofs_file, traffic_file
from protocols.node.verifier.names import (
    AGREEMENTS,
    CHECKPOINTS,
    INSTALLATION,
    LOCK,
    LOG,
    MANIFEST,
    MANIFEST_CONTEXT,
    OPENINGS,
    POLICIES,
    PROOFS,
    SIGNATURE,
    TRAFFIC,
)

AUDIT_FOLDER = Path("state") / "audit"


@dataclass(frozen=True)
class Exported:
    """What was written: the node, its folder, number of records and of files."""

    node: str
    folder: Path
    records: int
    files: int


def export(home: Path, out: Path) -> Exported:
    """Write the evidence of the node at `home` to `out`/<node>.

    A running daemon keeps its log open: then the export ends at the last checkpoint it signed; otherwise a checkpoint
    is signed first. UsageError if there is no log, or evidence of this node in `out` already.
    """
    source, identity = home / AUDIT_FOLDER, load_identity(home)
    node = _node_of(source)
    _settle(source, node, identity)
    files = _collect(source)
    for name, content in files.items():
        refuse_leaks(name, content)
    records = files[LOG].count(b"\n")
    files |= _manifest(node, identity, files)
    return Exported(node, _write(out, node, files), records, len(files))


def manifest_of(node: str, files: dict[str, bytes]) -> bytes:
    """The canonical manifest of a node's files, by relative name."""
    listed = {name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
              for name, content in files.items()}
    return canonical_json({"version": 1, "node": node, "files": listed})


def _manifest(node: str, identity: IdentityKey, files: dict[str, bytes]) -> dict[str, bytes]:
    manifest = manifest_of(node, files)
    return {MANIFEST: manifest, SIGNATURE: identity.sign(MANIFEST_CONTEXT, manifest).hex().encode()}


def _node_of(source: Path) -> str:
    """The node's name, from the first record of its log."""
    try:
        with open(source / LOG, "rb") as file:
            line = file.readline(MAX_RECORD_BYTES + 1)
    except OSError:
        raise UsageError("expected a node's home with state/audit/log.jsonl, found none; "
                         "name the home folder of a node that has run") from None
    node = Record.decode(line.removesuffix(b"\n")).body.get("node")
    if not isinstance(node, str):
        raise TrustError("the first record of log.jsonl does not name its node; restore the newest copy")
    return node


def _settle(source: Path, node: str, identity: IdentityKey) -> None:
    try:
        with AuditLog(source, node, identity) as log:
            log.checkpoint()
    except LogInUse:
        return  # its daemon is running and signs checkpoints itself


def _collect(source: Path) -> dict[str, bytes]:
    """The files to export, cut to what the last checkpoint covers."""
    checkpoints = _whole_lines(source / CHECKPOINTS)
    if not checkpoints:
        raise UsageError("the audit log has no signed checkpoint yet; try again after the run, or stop the node")
    sizes = [SignedCheckpoint.decode(line).checkpoint.size for line in checkpoints]
    lines = _whole_lines(source / LOG)[:sizes[-1]]
    if len(lines) < sizes[-1] or sizes != sorted(set(sizes)):
        raise TrustError("log.jsonl does not fit its own checkpoints: it was changed or cut; restore the newest copy")
    records = [Record.decode(line) for line in lines]
    files = {LOG: _joined(lines), CHECKPOINTS: _joined(checkpoints)}
    files |= derived_files(lines, records, sizes) | {INSTALLATION: installation_file()}
    lock = lock_path()
    if lock is not None:
        files[LOCK] = lock.read_bytes()
    for run in (named_agreement(record)[0] for record in records if record.kind == "agreement"):
        files[f"{AGREEMENTS}/{run}.json"] = (source / AGREEMENTS / f"{run}.json").read_bytes()
    for path in sorted((source / POLICIES).glob("*.json")):
        files[f"{POLICIES}/{path.name}"] = path.read_bytes()
    return files


def derived_files(lines: list[bytes], records: list[Record], sizes: list[int]) -> dict[str, bytes]:
    """Ledger, traffic totals and proofs of a log whose checkpoints cover `sizes` records, the last one all of them."""
    tree = MerkleTree()
    for line in lines:
        tree.append(line)
    return {OPENINGS: openings_file(records), TRAFFIC: traffic_file(records),
            PROOFS: proofs_file(tree, records, sizes)}


def _whole_lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1]


def _joined(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _write(out: Path, node: str, files: dict[str, bytes]) -> Path:
    folder, draft = out / node, out / f".{node}.part"
    if folder.exists():
        raise UsageError(f"evidence of {node} is in the output folder already; choose an empty one")
    shutil.rmtree(draft, ignore_errors=True)
    for name, content in files.items():
        path = draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return draft.rename(folder)
