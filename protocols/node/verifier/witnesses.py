"""What nodes say of each other: checkpoints they hold, countersignatures, and the agreements of their runs."""
from __future__ import annotations

from protocols.audit import Countersigned, Record, SignedCheckpoint, held_checkpoint, kept_countersignature
from protocols.errors import ProtocolError, TrustError
from protocols.node.verifier.findings import Report
from protocols.node.verifier.names import AGREEMENTS, LOG
from protocols.node.verifier.reading import NodeEvidence, Nodes


def check_held(holder: NodeEvidence, nodes: Nodes, report: Report) -> None:
    """The checkpoints that `holder` keeps of other nodes are prefixes of their logs, and it countersigned them."""
    untrusted = set()
    for record in holder.records:
        refused = record.kind == "refusal" and record.body.get("what") == "checkpoint" and "checkpoint" in record.body
        if record.kind != "checkpoint.peer" and not refused:
            continue
        with report.checking(f"{holder.at(LOG)} record {record.index}"):
            peer, signed = held_checkpoint(record)
            if peer == holder.name:
                raise TrustError(f"{peer} vouches for itself")
            if peer not in nodes:
                untrusted.add(peer)
                continue
            size = _check_prefix(nodes[peer], signed, holder.name)
            if not refused:
                kept_countersignature(record, holder.name).check(holder.name, holder.public)
            _vouch(report, peer, holder.name, size)
    for peer in sorted(untrusted):
        report.note("unchecked", log=holder.at(LOG), peer=peer)


def check_countersigned(owner: NodeEvidence, nodes: Nodes, report: Report) -> None:
    """What others countersigned of the owner's log is a prefix of it, and stands in their logs as they signed."""
    for record in owner.records:
        if record.kind != "checkpoint.countersigned":
            continue
        with report.checking(f"{owner.at(LOG)} record {record.index}"):
            kept = kept_countersignature(record, owner.name)
            if kept.witness == owner.name:
                raise TrustError(f"{owner.name} vouches for itself")
            if kept.witness not in nodes:
                report.note("unknown_witness", log=owner.at(LOG), index=record.index, witness=kept.witness)
                continue
            witness = nodes[kept.witness]
            kept.check(witness.name, witness.public)
            size = _check_prefix(owner, kept.signed, witness.name)
            _vouch(report, owner.name, witness.name, size)
            _check_stands(kept, owner, witness, report)


def check_same_agreements(nodes: Nodes, report: Report) -> None:
    """All nodes show the same agreement of a run."""
    for run in sorted({run for node in nodes.values() for run in node.agreements}):
        holders = {node.name: node.files[f"{AGREEMENTS}/{run}.json"] for node in nodes.values()
                   if run in node.agreements}
        first = min(holders)
        for name in sorted(holders):
            if holders[name] != holders[first]:
                report.problems.append(f"{name}/{AGREEMENTS}/{run}.json: not the agreement that {first} has")
        for party in sorted(nodes[first].agreements[run].statements):
            if party in nodes and party not in holders:
                report.note("not_shown", party=party, run=run)


def _check_stands(kept: Countersigned, owner: NodeEvidence, witness: NodeEvidence, report: Report) -> None:
    """The witness signed which record of its log keeps the checkpoint: it is there, unless the evidence ends before.

    A witness that rewrites its log to forget what it saw contradicts its own countersignature.
    """
    if kept.index >= len(witness.records):
        report.note("ends_before", witness=witness.name, owner=owner.name, index=kept.index,
                    records=len(witness.records))
    elif _stands_as(witness.records[kept.index], witness.name) != kept:
        raise TrustError(f"{witness.name} signed that its record {kept.index} holds this checkpoint of {owner.name}, "
                         f"and {witness.at(LOG)} does not: it was rewritten")


def _stands_as(record: Record, witness: str) -> Countersigned | None:
    if record.kind != "checkpoint.peer":
        return None
    try:
        return kept_countersignature(record, witness)
    except ProtocolError:
        return None


def _vouch(report: Report, node: str, witness: str, size: int) -> None:
    vouched = report.nodes[node].vouched
    vouched[witness] = max(size, vouched.get(witness, 0))


def _check_prefix(node: NodeEvidence, signed: SignedCheckpoint, holder: str) -> int:
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
