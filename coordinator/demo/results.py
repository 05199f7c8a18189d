"""What the demo writes at the end: metrics.json, report.html, evidence/ and trust.json beside it."""
from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coordinator.demo.federation import FEATURE, LABEL, Federation, Table, run_module
from coordinator.demo.report import render_report
from protocols.crypto.identity import fingerprint
from protocols.node.evidence import export
from protocols.node.identity_files import load_trust
from protocols.plan import Plan

PHASES = ("align", "encode", "train", "evaluate", "publish")
MEANING = {
    "membership": "one bit per identifier: is it among the peer's too",
    "membership.joint": "one bit per person whom a platform shares with the bank: do all other platforms know it too",
    "coefficients": "each party's own coefficients, at the end, flooded by 2^-12",
    "step.norms": "two norms of the power iteration, to the bank",
    "step.size": "the step size, a power of the square root of 2, to the platform",
    "scores.calibration": "the platform's part of each calibration row's score, to the bank, rounded to 2^-5",
    "scores.test": "the platform's part of each test row's score, to the bank, rounded to 2^-5",
    "verdict": "whether the joint model was better than the bank's own, to the platform",
}


def party_facts(federation: Federation, party: str, run: str) -> dict[str, Any]:
    """What the demo, which owns both nodes, reads from a party's own files: its report, ledger and model half."""
    path = federation.home(party) / "state" / "runs" / run / "run.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        rows = dict(database.execute("SELECT name, value FROM fact WHERE name IN ('report', 'ledger.openings') "
                                     "OR name LIKE 'spent.%'"))
    database.close()
    vault = federation.home(party) / "state" / "vault" / f"m-{run.removeprefix('r-')}.json"
    return {name: json.loads(value) for name, value in rows.items()} | {"half": json.loads(vault.read_bytes())["half"]}


def oracle(federation: Federation, plan: Plan, tables: dict[str, Table], facts: dict[str, Any]) -> dict[str, Any]:
    """Fit the pooled comparison in a process of its own."""
    spec, out = federation.folder / "oracle-spec.json", federation.folder / "oracle.json"
    halves = {party: {key: facts[party]["half"][key] for key in ("encoder", "whitening")} for party in tables}
    content = {"plan": json.loads(plan.canonical()), "tables": {p: t.section for p, t in tables.items()},
               "halves": halves}
    spec.write_text(json.dumps(content), encoding="utf-8")
    run_module("coordinator.demo.oracle", "--spec", str(spec), "--out", str(out))
    return json.loads(out.read_text(encoding="utf-8"))


def collect(
    summary: dict[str, Any], facts: dict[str, Any], pooled: dict[str, Any], rows: dict[str, int], wall_s: float
) -> dict[str, Any]:
    """The metrics file: the contract of the demo."""
    report = facts[LABEL]["report"]
    joint, alone = report["metrics"]["joint"], report["metrics"]["bank_only"]
    training, uplift = report["training"], report["metrics"]["uplift"]
    return {
        "run": summary["run"], "model_id": summary["model_id"],
        "rows_bank": rows[LABEL], "rows_platform": max(n for party, n in rows.items() if party != LABEL),
        "rows_aligned": _aligned(report),
        "rows_train": training["rows"], "rows_calibration": report["rows"]["calibration"],
        "rows_test": report["rows"]["test"], "columns_bank": training["columns"],
        "columns_platform": training["columns_peer"],
        "auc_joint": joint["auc"], "ks_joint": joint["ks"], "log_loss_joint": joint["log_loss"],
        "auc_bank_only": alone["auc"], "ks_bank_only": alone["ks"], "log_loss_bank_only": alone["log_loss"],
        "auc_uplift": uplift["difference"], "auc_uplift_low": uplift["low"], "auc_uplift_high": uplift["high"],
        "auc_pooled_oracle": pooled["metrics"]["auc"], "ks_pooled_oracle": pooled["metrics"]["ks"],
        "rows_aligned_oracle": pooled["rows_aligned"],
        "note": "auc_pooled_oracle joins both tables in the clear; the demo harness computes it for comparison only",
        "steps": training["steps"], "wall_s": round(wall_s, 2), "phases": _phases(facts),
        "openings": _openings(facts),
    }


def _aligned(report: dict[str, Any]) -> int:
    return report["training"]["rows"] + report["rows"]["calibration"] + report["rows"]["test"]


def _phases(facts: dict[str, Any]) -> dict[str, dict[str, float]]:
    """`bytes_platform` is that of all platforms together."""
    phases = {}
    for name in PHASES:
        spent = {party: facts[party].get(f"spent.{name}", {"seconds": 0, "bytes": 0}) for party in facts}
        phases[name] = {"seconds": round(max(s["seconds"] for s in spent.values()), 3)}
        phases[name] |= {f"bytes_{party}": spent[party]["bytes"] for party in spent}
        phases[name]["bytes_platform"] = sum(s["bytes"] for party, s in spent.items() if party != LABEL)
    return phases


def _openings(facts: dict[str, Any]) -> dict[str, int]:
    total: dict[str, int] = {}
    for party in facts:
        for kind, learners in facts[party].get("ledger.openings", {}).items():
            total[kind] = total.get(kind, 0) + sum(learners.values())
    return dict(sorted(total.items()))


def write_evidence(federation: Federation, out: Path) -> dict[str, str]:
    """Export every node's evidence to `out`/evidence and the identity keys to `out`/trust.json; fingerprints."""
    for node in federation.nodes:
        export(federation.home(node), out / "evidence")
    trust = federation.folder / "trust.json"
    (out / "trust.json").write_bytes(trust.read_bytes())
    return {name: fingerprint(key) for name, key in load_trust(trust).items()}


def write_report(
    out: Path, metrics: dict[str, Any], summary: dict[str, Any], facts: dict[str, Any], pooled: dict[str, Any],
    fingerprints: dict[str, str], source: str,
) -> Path:
    """The report a person looks at."""
    bank = facts[LABEL]["report"]
    data = {
        "title": "What the federation gained", "generated_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "model_id": metrics["model_id"],
        "rows": {name: metrics[f"rows_{name}"] for name in ("bank", "platform", "aligned", "train", "calibration",
                                                             "test")},
        "metrics": bank["metrics"] | {"oracle": pooled["metrics"]},
        "curves": bank["curves"], "calibration": bank["calibration"], "lift": bank["lift"],
        "columns": {party: facts[party]["report"]["columns"] for party in facts},
        "phases": metrics["phases"], "openings": metrics["openings"], "openings_meaning": MEANING,
        "learned": _learned(metrics, source, [party for party in facts if party != LABEL]),
        "agreement": {"digest": summary["agreement"], "parties": fingerprints},
    }
    return render_report(data, out / "report.html")


def _learned(metrics: dict[str, Any], source: str, platforms: list[str]) -> dict[str, list[str]]:
    aligned, holdout = metrics["rows_aligned"], metrics["rows_calibration"] + metrics["rows_test"]
    if len(platforms) > 1:
        return _learned_among_many(metrics, source, platforms)
    return {
        LABEL: [
            f"which {aligned:,} of its customers the platform knows too, and how many rows the platform brought",
            f"the number of the platform's whitened columns ({metrics['columns_platform']})",
            "the coefficients of its own columns",
            f"the platform's part of the score of {holdout:,} calibration and test rows, rounded to 2^-5; "
            "of no training row",
            "two norms from which the step size follows",
        ],
        FEATURE: [
            f"which {aligned:,} of its users the bank knows too, and how many rows the bank brought",
            f"the number of the bank's whitened columns ({metrics['columns_bank']})",
            "the coefficients of its own columns, and the step size",
            "whether the joint model was better than the bank's own; no label, no score, no residual",
        ],
        "coordinator": [
            "the plan, column names and missing rates, sizes and timing of sealed frames",
            "the metrics in the model card; no row, no coefficient, no key",
            f"data of this run: {source}",
        ],
    }


def _learned_among_many(metrics: dict[str, Any], source: str, platforms: list[str]) -> dict[str, list[str]]:
    aligned, holdout = metrics["rows_aligned"], metrics["rows_calibration"] + metrics["rows_test"]
    lead, *others = platforms
    each = [
        f"which of its users the bank knows too, which {aligned:,} of them every party knows, and the bank's rows",
        "the number of whitened columns of every party",
        "the coefficients of its own columns, and the step size",
        "whether the joint model was better than the bank's own; no label, no score, no residual",
    ]
    return {
        LABEL: [
            "which of its customers each platform knows too, and how many rows each brought",
            f"the number of whitened columns of each platform ({metrics['columns_platform']} in all)",
            "the coefficients of its own columns",
            f"the sum of all platforms' parts of the score of {holdout:,} calibration and test rows, each rounded to "
            "2^-5; of no training row, and of no platform apart",
            "two norms from which the step size follows",
        ],
        lead: each,
        **{party: [*each, f"a share of the residuals from {lead}, which is random without the bank's"]
           for party in others},
        "coordinator": [
            "the plan, column names and missing rates, sizes and timing of sealed frames",
            "ciphertexts that it added up, all masked at their source; the metrics in the model card",
            f"data of this run: {source}",
        ],
    }
