"""Policies in plain words: one sentence per setting, from one table, with a neutral form for unknown settings."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from protocols.canonical import canonical_json
from protocols.node.verifier.reading import NodeEvidence


def policies_in_words(nodes: Mapping[str, NodeEvidence], words: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every policy that a node shows, with the runs that name it, in order of node and digest."""
    return [{"party": name, "digest": digest, "runs": _runs_under(node, digest),
             "sentences": list(_sentences(policy, words))}
            for name, node in sorted(nodes.items()) for digest, policy in sorted(node.policies.items())]


def _runs_under(node: NodeEvidence, digest: str) -> list[str]:
    return [run for run, agreed in sorted(node.agreements.items())
            if node.name in agreed.statements and agreed.policy(node.name) == digest]


def _sentences(policy: Mapping[str, Any], words: Mapping[str, Any]) -> Iterator[str]:
    for peer, pinned in sorted(policy["peers"].items()):
        yield words["setting_peer"].format(peer=peer, fingerprint=pinned["fingerprint"][:16],
                                           rows=_value(pinned.get("maximum_rows"), words))
        if "maximum_rows_per_quarter" in pinned:
            rows = _value(pinned["maximum_rows_per_quarter"], words)
            yield words["setting_peer_quarter"].format(peer=peer, rows=rows)
    known = words["setting"]
    for name in sorted(policy.keys() - {"peers"}, key=lambda name: (_place(name, known), name)):
        text = known.get(name, words["setting_unknown"]).format(name=name, value=_value(policy[name], words))
        if text:
            yield text


def _place(name: str, known: Mapping[str, str]) -> int:
    """Settings in the order of the table, unknown ones last."""
    return list(known).index(name) if name in known else len(known)


def _value(value: Any, words: Mapping[str, Any]) -> str:
    if value is None or value == [] or value == {}:
        return str(words["none"])
    if isinstance(value, list):
        return str(words["list"]).join(_value(each, words) for each in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else canonical_json(value).decode()
