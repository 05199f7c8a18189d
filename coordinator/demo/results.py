"""What the demo reads at the end and what it writes: report.html, evidence/, trust.json and the privacy report."""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coordinator.demo.federation import Federation, Table, is_bank, run_module
from coordinator.demo.learned import MEANING, learned
from coordinator.demo.metrics import Facts, Outcome
from coordinator.demo.report import render_report
from protocols.crypto.identity import fingerprint
from protocols.node.at_rest import opened_fact, opened_half, run_box
from protocols.node.evidence import export
from protocols.node.identity_files import load_identity, load_trust
from protocols.node.verifier.main import derive, write_page
from protocols.plan import Plan

TITLE = "What the federation gained"


def party_facts(federation: Federation, party: str, run: str) -> dict[str, Any]:
    """What the demo, which owns both nodes, reads from a party's own files: its report, ledger and model half."""
    path = federation.home(party) / "state" / "runs" / run / "run.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        rows = dict(database.execute("SELECT name, value FROM fact WHERE name IN ('report', 'ledger.openings') "
                                     "OR name LIKE 'spent.%'"))
    database.close()
    box, half = run_box(load_identity(federation.home(party)), run), f"m-{run.removeprefix('r-')}"
    facts = {name: json.loads(opened_fact(box, name, value)) for name, value in rows.items()}
    return facts | {"half": json.loads(opened_half(federation.home(party), half))}


def oracle(
    federation: Federation, plan: Plan, tables: dict[str, Table], facts: Facts, outcomes: Sequence[Outcome] = ()
) -> dict[str, Any]:
    """Fit the pooled comparison, and measure every other training on the same rows, in a process of its own."""
    spec, out = federation.folder / "oracle-spec.json", federation.folder / "oracle.json"
    content = {"plan": json.loads(plan.canonical()), "tables": {p: t.section for p, t in tables.items()},
               "halves": _halves(facts),
               "trainings": {o.training.name: {"plan": o.plan, "halves": _halves(o.facts)}
                             for o in outcomes if o.refused is None}}
    spec.write_text(json.dumps(content), encoding="utf-8")
    run_module("coordinator.demo.oracle", "--spec", str(spec), "--out", str(out))
    return json.loads(out.read_text(encoding="utf-8"))


def _halves(facts: Facts) -> dict[str, dict[str, Any]]:
    return {party: {key: told["half"][key] for key in ("encoder", "whitening", "coefficients") if key in told["half"]}
            for party, told in facts.items()}


def write_evidence(federation: Federation, out: Path) -> dict[str, str]:
    """Export every node's evidence to `out`/evidence and the identity keys to `out`/trust.json; fingerprints."""
    for node in federation.nodes:
        export(federation.home(node), out / "evidence")
    trust = federation.folder / "trust.json"
    (out / "trust.json").write_bytes(trust.read_bytes())
    return {name: fingerprint(key) for name, key in load_trust(trust).items()}


def write_privacy(out: Path) -> None:
    """What each party learned, as everybody derives it from `out`/evidence: privacy.json and privacy.html."""
    told, page = derive(out / "evidence", out / "trust.json", "en")
    write_page(out / "privacy.json", told)
    write_page(out / "privacy.html", page)


def write_report(
    out: Path, metrics: dict[str, Any], summary: dict[str, Any], facts: Facts, pooled: dict[str, Any],
    fingerprints: dict[str, str], source: str,
) -> Path:
    """The report a person looks at."""
    banks = [party for party in facts if is_bank(party)]
    first = facts[banks[0]]["report"]
    data = {
        "title": TITLE, "generated_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "model_id": metrics["model_id"],
        "rows": {name: metrics[f"rows_{name}"] for name in ("bank", "platform", "aligned", "train", "calibration",
                                                             "test")},
        "metrics": first["metrics"] | {"oracle": pooled["metrics"]},
        "curves": first["curves"], "calibration": first["calibration"], "lift": first["lift"],
        "columns": {party: facts[party]["report"]["columns"] for party in facts},
        "phases": metrics["phases"], "openings": metrics["openings"], "openings_meaning": MEANING,
        "learned": learned(metrics, source, banks, [party for party in facts if party not in banks],
                           shared=first.get("release") == "shared"),
        "agreement": {"digest": summary["agreement"], "parties": fingerprints},
    }
    if len(banks) > 1:
        data |= {"banks": {bank: _bank(metrics["banks"][bank], facts[bank]["report"]) for bank in banks},
                 "together": {key: metrics[key] for key in _TOGETHER}}
    if first.get("kind") == "boosting":
        data["importances"] = {party: facts[party]["report"]["importances"] for party in facts}
    data |= {key: metrics[key] for key in ("ablations", "decisions", "models") if key in metrics}
    return render_report(data, out / "report.html")


_TOGETHER = ("auc_joint", "auc_bank_only", "auc_pooled_oracle", "auc_uplift", "auc_uplift_low", "auc_uplift_high")


def _bank(figures: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    return figures | {key: report[key] for key in ("curves", "calibration", "lift")}
