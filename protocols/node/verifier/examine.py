"""Offline verification of exported evidence against identity keys that are kept outside it.

What it shows, for every node in `trust`:
- each file is what the node signed, and no file or folder was added, removed, renamed or exchanged;
- the log is complete up to its last signed checkpoint, in order, and belongs to that identity; ledger, traffic totals
  and proofs are those of the log;
- every checkpoint any *other* node holds of it is a prefix of it: a log rewritten and signed again is caught at the
  first checkpoint that a peer held; and a witness that forgot what it countersigned is caught by the owner's copy;
- agreements are signed by every party of their plan, are the same at all nodes, are named by the log, come before the
  first opening of their run, and name policies that are shown and that pin the same identities.

What it cannot show: that a node recorded everything it did, and changes after the last checkpoint a peer holds; the
report says for every node how far its peers vouch.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from protocols.errors import UsageError
from protocols.node.verifier.checks import check_node
from protocols.node.verifier.derived import openings_of, total_by, traffic_of
from protocols.node.verifier.findings import Report
from protocols.node.verifier.locked import differences
from protocols.node.verifier.reading import NodeEvidence, read_nodes
from protocols.node.verifier.witnesses import check_countersigned, check_held, check_same_agreements


def verify_evidence(directory: Path, trust: Mapping[str, bytes]) -> Report:
    """Check the evidence folders in `directory` against raw public keys by node name; UsageError if there are none."""
    return examine(directory, trust)[0]


def examine(directory: Path, trust: Mapping[str, bytes]) -> tuple[Report, dict[str, NodeEvidence]]:
    """The findings, and the evidence of every node as it was understood."""
    if not directory.is_dir():
        raise UsageError("expected a folder of evidence, found none; make it with `sealscore audit export`")
    report = Report()
    nodes = read_nodes(directory, trust, report)
    for node in nodes.values():
        check_node(node, trust, report)
    for node in nodes.values():
        check_held(node, nodes, report)
        check_countersigned(node, nodes, report)
    check_same_agreements(nodes, report)
    for node in nodes.values():
        _note_installation(node, report)
        _summarise(node, report)
    return report, nodes


def _note_installation(node: NodeEvidence, report: Report) -> None:
    """Runs that were signed under other code than the node had when it exported; packages other than its lock pins."""
    told = {"code": node.installation.get("code"), "packages": node.installation.get("packages_sha256"),
            "parameters": node.installation.get("parameters_sha256")}
    for run, agreement in sorted(node.agreements.items()):
        signed = agreement.statements.get(node.name, {})
        changed = [name for name, digest in told.items() if name in signed and digest and signed[name] != digest]
        if changed:
            report.note("signed_under", node=node.name, run=run, changed=tuple(changed))
    away = differences(node.installation.get("packages", {}), node.lock)
    if node.installation and (away.other or away.missing):
        report.note("lock_differs", node=node.name, other=away.other, missing=away.missing)


def _summarise(node: NodeEvidence, report: Report) -> None:
    summary = report.nodes[node.name]
    summary.records, summary.root = node.tree.size, node.tree.root().hex()
    summary.kinds = dict(sorted(Counter(record.kind for record in node.records).items()))
    openings = openings_of(node.records)
    for learner in sorted({row["learner"] for row in openings}):
        own = [row for row in openings if row["learner"] == learner]
        summary.openings[learner] = total_by(own, "what", "numbers")
    summary.egress_bytes = total_by(traffic_of(node.records), "to", "bytes")
    summary.agreements = sorted(node.agreements)
    summary.vouched = dict(sorted(summary.vouched.items()))
    vouched = max(summary.vouched.values(), default=0)
    if vouched < summary.records:
        report.note("vouched", node=node.name, vouched=vouched, records=summary.records)
