"""The privacy report as data: what each party learned, from verified evidence alone, with its words in one language.

Deterministic: the same evidence and language give the same bytes, whoever derives them and wherever.
"""
from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from protocols.node.verifier.agreed import Agreed
from protocols.node.verifier.checks import ALLOWED_BITS
from protocols.node.verifier.derived import openings_of, total_by, traffic_of
from protocols.node.verifier.findings import Report
from protocols.node.verifier.locked import differences
from protocols.node.verifier.names import LOCK, MANIFEST
from protocols.node.verifier.reading import NodeEvidence, Nodes
from protocols.node.verifier.rules import policies_in_words
from protocols.node.verifier.words_en import WORDS_EN
from protocols.node.verifier.words_zh import WORDS_ZH

LANGUAGES = {"en": WORDS_EN, "zh": WORDS_ZH}
DELTA_OF_REPORT = 1e-6
NOISED_BY = {"commons.histogram": "commons_rho", "commons.moments": "commons_rho", "woe.counts": "woe_rho"}
"""Openings that carry noise, and the setting of the plan's model that says how much: ρ of zero-concentrated
differential privacy, once for all openings of a run under the same setting."""
OPENED_AS_SUMS = ("scores.calibration", "scores.test", "scores.batch", "step.norms")
"""Of several platforms the learner gets only the sum, to which each of them records its part (scorecard/README.md)."""


def privacy_report(report: Report, nodes: Nodes, lang: str) -> dict[str, Any]:
    """The whole report as plain JSON; `report` and `nodes` are those of evidence that holds."""
    words, runs = LANGUAGES[lang], _runs(nodes)
    openings = _openings(nodes, runs, words)
    return {
        "version": 1, "lang": lang, "title": words["title"], "nodes": sorted(nodes), "digest": evidence_digest(nodes),
        "period": _period(nodes, runs), "notes": [note.told(words) for note in report.notes],
        "parties": [_party(name, report, nodes, runs, openings, words) for name in sorted(nodes)],
        "runs": [_run(agreed, openings, words) for agreed in runs.values()],
        "decisions": _decisions(nodes), "leakage": _leakage(openings, words),
        "not_opened": sorted(words["opening"].keys() - {row["kind"] for row in openings}),
        "epsilon": _epsilon_sentences(runs, openings, words),
        "adversary": _adversary(runs, words),
        "traffic": [_traffic(node, words) for _, node in sorted(nodes.items())],
        "policies": policies_in_words(nodes, words),
        "parameters": _parameters(nodes), "installations": _installations(nodes, words),
        "not_guaranteed": words["not_text"],
    }


def privacy_json(told: Mapping[str, Any]) -> bytes:
    """The report as readable JSON, always the same bytes."""
    return (json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def evidence_digest(nodes: Nodes) -> str:
    """SHA-256 over all nodes' manifests in order of their names, hex: which evidence a report is about."""
    digest = hashlib.sha256(b"sealscore evidence v1\0")
    for _, node in sorted(nodes.items()):
        manifest = node.file(MANIFEST)
        digest.update(len(manifest).to_bytes(8, "big") + manifest)
    return digest.hexdigest()


def zcdp_epsilon(rho: float) -> float:
    """ε at δ = 10^-6 of ρ-zCDP: ρ + 2·sqrt(ρ·ln(1/δ)) (Bun, Steinke 2016, proposition 1.3)."""
    return rho + 2 * math.sqrt(rho * math.log(1 / DELTA_OF_REPORT))


def _runs(nodes: Nodes) -> dict[str, Agreed]:
    """All agreements in the order in which they were first recorded."""
    began: dict[str, str] = {}
    for node in nodes.values():
        for record in node.records:
            if record.kind == "agreement":
                run = record.body["run"]
                began[run] = min(began.get(run, record.at), record.at)
    found = {run: agreed for node in nodes.values() for run, agreed in node.agreements.items()}
    return {run: found[run] for run in sorted(found, key=lambda run: (began[run], run))}


def _period(nodes: Nodes, runs: Mapping[str, Agreed]) -> dict[str, Any]:
    times = [record.at for node in nodes.values() for record in node.records]
    return {"runs": len(runs), "first": min(times), "last": max(times)}


def _openings(nodes: Nodes, runs: Mapping[str, Agreed], words: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per run, learner, phase, kind and giver, in this order."""
    found: dict[tuple[str, str, str, str, str], list[dict[str, Any]]] = {}
    for source, node in sorted(nodes.items()):
        for row in openings_of(node.records):
            giver = "" if row["what"] in OPENED_AS_SUMS else source
            key = (row["run"], row["learner"], row["phase"], row["what"], giver)
            found.setdefault(key, []).append(row | {"source": source})
    order = list(runs)
    return [_opening(parts, runs, words) for _, parts in sorted(
        found.items(), key=lambda entry: (order.index(entry[0][0]), *entry[0][1:]))]


def _opening(parts: list[dict[str, Any]], runs: Mapping[str, Agreed], words: Mapping[str, Any]) -> dict[str, Any]:
    """One row out of the parts of a sum, or the one part of what is no sum."""
    first, source = parts[0], " + ".join(part["source"] for part in parts)
    tells, hides = _opening_words(first["what"], words["name"].format(name=source), words)
    return {"run": first["run"], "learner": first["learner"], "kind": first["what"], "source": source,
            "phase": first["phase"], "times": max(part["times"] for part in parts),
            "numbers": max(part["numbers"] for part in parts), "tells": tells, "hides": hides,
            "epsilon": _epsilon(first["what"], runs.get(first["run"]), words)}


def _opening_words(kind: str, source: str, words: Mapping[str, Any]) -> tuple[str, str]:
    tells, hides = words["opening"].get(kind, words["opening_unknown"])
    return tells.format(source=source, kind=kind).strip(), hides


def noise_of(kind: str, agreed: Agreed | None) -> float | None:
    """ρ of the noise on an opening of this kind under the run's plan; None where nothing was noised."""
    model = agreed.plan.get("model") if agreed else None
    rho = model.get(NOISED_BY.get(kind)) if isinstance(model, dict) else None
    return float(rho) if isinstance(rho, int | float) and rho > 0 else None


def _epsilon(kind: str, agreed: Agreed | None, words: Mapping[str, Any]) -> str:
    rho = noise_of(kind, agreed)
    return "∞" if rho is None else words["epsilon_noised"].format(value=f"{zcdp_epsilon(rho):.2f}", rho=f"{rho:g}")


def _party(name: str, report: Report, nodes: Nodes, runs: Mapping[str, Agreed], openings: list[dict[str, Any]],
           words: Mapping[str, Any]) -> dict[str, Any]:
    role, node, found = _role(name, nodes, runs), nodes[name], report.nodes[name]
    return {"name": name, "role": role, "fingerprint": found.fingerprint, "records": found.records,
            "vouched": found.vouched, "learned": _in_short(name, [r for r in openings if r["learner"] == name], words),
            "besides": words["besides_text"].get(role, ""), "sent": _sent(node, words)}


def _role(name: str, nodes: Nodes, runs: Mapping[str, Agreed]) -> str:
    """bank, platform, coordinator (keeps agreements of others), or "" for a node without a run."""
    for agreed in runs.values():
        if name in agreed.statements:
            return "bank" if name in agreed.label_parties else "platform"
    return "coordinator" if nodes[name].agreements else ""


def _in_short(name: str, rows: list[dict[str, Any]], words: Mapping[str, Any]) -> dict[str, Any]:
    """A sentence with the total, and the numbers by kind."""
    if not rows:
        return {"sentence": words["short_none"].format(party=name), "numbers": {}}
    numbers = total_by(rows, "kind", "numbers")
    sentence = words["short_openings"].format(party=name, numbers=f"{sum(numbers.values()):,}",
                                              runs=len({row["run"] for row in rows}))
    return {"sentence": sentence, "numbers": numbers}


def _sent(node: NodeEvidence, words: Mapping[str, Any]) -> str:
    rows = traffic_of(node.records)
    if not rows:
        return str(words["traffic_none"])
    total, messages = sum(row["bytes"] for row in rows), sum(row["messages"] for row in rows)
    return words["short_sent"].format(bytes=size_text(total), messages=f"{messages:,}")


def _model(model: Mapping[str, Any], words: Mapping[str, Any]) -> str:
    """What is trained or scored with, in words; plans of older versions have no kind."""
    kind = str(model.get("kind", "scorecard"))
    return words["run_models"].get(kind, kind).format(encoding=model.get("encoding", ""))


def _run(agreed: Agreed, openings: list[dict[str, Any]], words: Mapping[str, Any]) -> dict[str, Any]:
    plan, model = agreed.plan, agreed.plan.get("model")
    model = model if isinstance(model, dict) else {}
    kind = str(plan.get("kind", ""))
    between = words["list"]
    sentence = words["run_text"].format(
        kind=words["run_kinds"].get(kind, kind), purpose=plan.get("purpose", ""),
        banks=between.join(agreed.label_parties), platforms=between.join(agreed.feature_parties),
        model=_model(model, words), release=model.get("release", ""))
    return {"run": agreed.run, "sentence": sentence, "plan": plan,
            "openings": [row for row in openings if row["run"] == agreed.run]}


def _decisions(nodes: Nodes) -> list[dict[str, str]]:
    """What people at the nodes approved, rejected or revoked, in the order of the nodes' clocks."""
    rows = [{"at": record.at, "node": name, "event": str(record.body.get("event", "")),
             "about": str(record.body.get("run", record.body.get("model", ""))), "by": str(record.body.get("by", "")),
             "reason": str(record.body.get("reason") or "")}
            for name, node in nodes.items() for record in node.records if record.kind == "decision"]
    return sorted(rows, key=lambda row: (row["at"], row["node"], row["about"], row["event"]))


def _leakage(openings: list[dict[str, Any]], words: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per kind that was opened."""
    rows = []
    for kind, numbers in total_by(openings, "kind", "numbers").items():
        tells, hides = _opening_words(kind, words["someone"], words)
        losses = sorted({row["epsilon"] for row in openings if row["kind"] == kind})
        rows.append({"kind": kind, "numbers": numbers, "tells": tells, "hides": hides,
                     "epsilon": words["list"].join(losses)})
    return rows


def _epsilon_sentences(runs: Mapping[str, Agreed], openings: list[dict[str, Any]], words: Mapping[str, Any]
                       ) -> list[str]:
    """Per run what was noised, and what noised counts add up to for a person in all runs."""
    sentences, spent = [], 0.0
    for run, agreed in runs.items():
        opened = {row["kind"] for row in openings if row["run"] == run}
        noised = {NOISED_BY[kind]: noise_of(kind, agreed) for kind in sorted(opened & NOISED_BY.keys())}
        told = {setting: rho for setting, rho in noised.items() if rho is not None}
        for setting, rho in told.items():
            key = "epsilon_woe" if setting == "woe_rho" else "epsilon_run"
            sentences.append(words[key].format(run=run, rho=f"{rho:g}", value=f"{zcdp_epsilon(rho):.2f}"))
            spent += rho
        if not told:
            sentences.append(words["epsilon_none"].format(run=run))
    if spent and len(runs) > 1:
        sentences.append(words["epsilon_sum"].format(rho=f"{spent:g}", value=f"{zcdp_epsilon(spent):.2f}"))
    return sentences


def _adversary(runs: Mapping[str, Agreed], words: Mapping[str, Any]) -> list[str]:
    """The sentences that apply to the numbers of parties in these runs."""
    seats = [(len(agreed.label_parties), len(agreed.feature_parties)) for agreed in runs.values()]
    applies = {"platforms": any(platforms > 1 for _, platforms in seats), "banks": any(banks > 1 for banks, _ in seats),
               "pair": (1, 1) in seats}
    return [text for name, text in words["adversary_text"].items() if applies.get(name, True)]


def _traffic(node: NodeEvidence, words: Mapping[str, Any]) -> dict[str, Any]:
    """Totals of a node by kind of message, most bytes first."""
    rows = traffic_of(node.records)
    messages, sizes = total_by(rows, "what", "messages"), total_by(rows, "what", "bytes")
    kinds = [{"what": what, "words": _wire_words(what, words), "messages": messages[what], "bytes": sizes[what]}
             for what in sorted(sizes, key=lambda what: (-sizes[what], what))]
    return {"node": node.name, "messages": sum(messages.values()), "bytes": sum(sizes.values()), "kinds": kinds}


def _wire_words(what: str, words: Mapping[str, Any]) -> str:
    for prefix, text in words["wire"].items():
        if what == prefix or what.startswith(prefix.removesuffix(".") + "."):
            return text
    return words["wire_unknown"]


def _parameters(nodes: Nodes) -> list[dict[str, Any]]:
    """Every parameter set that a node has installed, once."""
    found = {json.dumps(each, sort_keys=True): each for node in nodes.values()
             for each in node.installation["parameters"]}
    return [{"name": each["name"], "degree": each["degree"], "allowed_bits": ALLOWED_BITS[each["degree"]],
             "modulus_bits": sum(prime.bit_length() for prime in each["primes"]), "security_bits": 128}
            for _, each in sorted(found.items())]


def _installations(nodes: Nodes, words: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"node": name, **{key: node.installation[key] for key in ("sealscore", "python", "code")},
             "packages": len(node.installation["packages"]), "packages_sha256": node.installation["packages_sha256"],
             "lock": _lock(node, words)} for name, node in sorted(nodes.items())]


def _lock(node: NodeEvidence, words: Mapping[str, Any]) -> dict[str, Any]:
    """The dependency lock that the node was installed from, and how its packages differ from it."""
    if LOCK not in node.files:
        return {"sha256": None, "sentence": words["lock_unknown"]}
    away, between = differences(node.installation["packages"], node.lock), words["list"]
    digest, names = hashlib.sha256(node.files[LOCK]).hexdigest(), ("other", "missing", "besides")
    found = {name: list(getattr(away, name)) for name in names}
    parts = [words["lock_same" if not away.other and not away.missing else "lock_away"].format(
        count=len(node.lock), digest=digest[:16])]
    parts += [words[f"lock_{name}"].format(packages=between.join(found[name]), count=len(found[name]))
              for name in names if found[name]]
    return {"sha256": digest, "pinned": len(node.lock), **found, "sentence": words["sentences"].join(parts)}


def size_text(count: int) -> str:
    """Bytes for a reader, decimal units: 950 B, 12.3 kB, 4.5 MB, 1.2 GB."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"
