"""What follows from a log alone: openings ledger, traffic totals and proofs. Export writes it, verification checks it.

    openings.json   {"openings": [{"run", "phase", "what", "learner", "times", "numbers"}, …], "version": 1}
    traffic.json    {"traffic": [{"run", "to", "what", "messages", "bytes"}, …], "version": 1}
    proofs.json     {"consistency": [{"from", "to", "proof"}, …], "inclusion": [{"index", "proof"}, …], "size",
                     "version": 1}

Proofs are those of RFC 6962 §2.1: of each checkpoint that it continues the one before, and of every agreement and
opening that it is in the log of the last checkpoint. With a proof and the checkpoint a single record can be shown to
somebody who has not the log.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from protocols.audit import Record, exact_fields, from_hex
from protocols.canonical import canonical_json, parse_canonical_json
from protocols.errors import MalformedMessage, TrustError
from protocols.merkle import HASH_BYTES, MerkleTree, leaf_hash, verify_consistency, verify_inclusion
from protocols.node.verifier.names import MAX_FILE_BYTES

PROVED_KINDS = ("agreement", "opening")


def openings_of(records: Iterable[Record]) -> list[dict[str, Any]]:
    """By run, phase, kind and learner: how often something was opened, and how many numbers in all."""
    rows = _totals((r for r in records if r.kind == "opening"), ("run", "phase", "what", "learner"), "count")
    return [{**key, "times": times, "numbers": total} for key, times, total in rows]


def traffic_of(records: Iterable[Record]) -> list[dict[str, Any]]:
    """By run, receiver and kind of message: how many left, and how many bytes in all."""
    rows = _totals((r for r in records if r.kind == "egress"), ("run", "to", "what"), "bytes")
    return [{**key, "messages": times, "bytes": total} for key, times, total in rows]


def openings_file(records: Iterable[Record]) -> bytes:
    """openings.json of a log."""
    return canonical_json({"version": 1, "openings": openings_of(records)})


def traffic_file(records: Iterable[Record]) -> bytes:
    """traffic.json of a log."""
    return canonical_json({"version": 1, "traffic": traffic_of(records)})


def proofs_file(tree: MerkleTree, records: Sequence[Record], sizes: Sequence[int]) -> bytes:
    """proofs.json of a log whose checkpoints cover `sizes` records each, the last one all of them."""
    consistency = [{"from": old, "to": new, "proof": _hex(tree.consistency_proof(old, new))}
                   for old, new in zip(sizes, sizes[1:], strict=False)]
    inclusion = [{"index": index, "proof": _hex(tree.inclusion_proof(index))} for index in _proved(records)]
    return canonical_json({"version": 1, "size": tree.size, "consistency": consistency, "inclusion": inclusion})


def check_proofs(data: bytes, lines: Sequence[bytes], records: Sequence[Record], roots: Sequence[tuple[int, bytes]]
                 ) -> None:
    """Every proof holds, and there is one for each pair of checkpoints and each record that needs one.

    `lines` are the encoded records, `roots` the size and root of each signed checkpoint. TrustError otherwise.
    """
    told = exact_fields(parse_canonical_json(data, MAX_FILE_BYTES), "version", "size", "consistency", "inclusion")
    size, root = roots[-1]
    if told["version"] != 1 or told["size"] != size:
        raise TrustError(f"expected proofs of version 1 for the {size} records of the last checkpoint")
    steps = [exact_fields(entry, "from", "to", "proof") for entry in _listed(told["consistency"])]
    if [(step["from"], step["to"]) for step in steps] != [
            (old, new) for (old, _), (new, _) in zip(roots, roots[1:], strict=False)]:
        raise TrustError("expected one consistency proof for each pair of neighbouring checkpoints")
    for step, (old, old_root), (new, new_root) in zip(steps, roots, roots[1:], strict=False):
        verify_consistency(old, old_root, new, new_root, _hashes(step["proof"]))
    entries = [exact_fields(entry, "index", "proof") for entry in _listed(told["inclusion"])]
    if [entry["index"] for entry in entries] != _proved(records):
        raise TrustError("expected one inclusion proof for each agreement and opening of the log")
    for entry in entries:
        index = entry["index"]
        verify_inclusion(leaf_hash(lines[index]), index, size, _hashes(entry["proof"]), root)


def total_by(rows: Iterable[dict[str, Any]], by: str, amount: str) -> dict[str, int]:
    """Sums of `amount` by the value of `by`, in order of that value."""
    sums: dict[str, int] = {}
    for row in rows:
        sums[row[by]] = sums.get(row[by], 0) + row[amount]
    return dict(sorted(sums.items()))


def _totals(records: Iterable[Record], names: tuple[str, ...], amount: str
            ) -> list[tuple[dict[str, str], int, int]]:
    """(values of `names`, number of records, sum of `amount`), in order of the values."""
    sums: dict[tuple[str, ...], tuple[int, int]] = {}
    for record in records:
        key, value = tuple(str(record.body.get(name, "unnamed")) for name in names), record.body.get(amount)
        times, total = sums.get(key, (0, 0))
        sums[key] = times + 1, total + (value if type(value) is int else 0)
    return [(dict(zip(names, key, strict=True)), *found) for key, found in sorted(sums.items())]


def _proved(records: Iterable[Record]) -> list[int]:
    return [record.index for record in records if record.kind in PROVED_KINDS]


def _hex(hashes: Iterable[bytes]) -> list[str]:
    return [digest.hex() for digest in hashes]


def _hashes(value: Any) -> list[bytes]:
    return [from_hex(text, HASH_BYTES) for text in _listed(value)]


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise MalformedMessage("expected a list")
    return value
