"""A federation's evidence to tamper with: the homes of three nodes after one run, and what a node's key can sign."""
from __future__ import annotations

from pathlib import Path

from protocols.agreement import SignedAgreement, sign_statement, statement
from protocols.audit import Checkpoint, Record, SignedCheckpoint
from protocols.crypto.identity import IdentityKey, fingerprint
from protocols.merkle import MerkleTree
from protocols.node.audit_log import AuditLog
from protocols.node.evidence import derived_files, manifest_of
from protocols.node.identity_files import write_identity
from protocols.node.verifier.findings import Report
from protocols.node.verifier.names import MANIFEST_CONTEXT
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
            message = log.checkpoint_message(held)
            signed_back = logs[receiver].record_peer_checkpoint(sender, TRUST[sender], message)
            log.record_countersigned(receiver, TRUST[receiver], signed_back)
    for log in logs.values():
        log.append("run", {"run": RUN, "state": "finished"})
        log.close()


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
        for name, content in derived_files(lines, [Record.decode(line) for line in lines], [tree.size]).items():
            (folder / name).write_bytes(content)
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
