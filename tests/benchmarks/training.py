"""Training through real daemons, hub and TLS on this machine: seconds, bytes, CPU and memory per party."""
from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from coordinator.demo.federation import LABEL, PURPOSE, Federation, inferred_table
from coordinator.demo.results import party_facts
from coordinator.demo.setting import policy_rules
from protocols.plan import Plan
from tests.benchmarks.data import Columns, peers_columns, peers_folder, write_tables

CHEETAH, SEMI2K = "secretflow-ss-cheetah", "secretflow-ss-semi2k"  # the latter with its trusted dealer
PHASES = ("align", "encode", "train", "evaluate", "publish")
_TICKS = os.sysconf("SC_CLK_TCK")


def train(columns: Columns, fractions: tuple[float, float, float], steps: int, platforms: int = 1,
          variant: str = "strict") -> dict[str, Any]:
    """Train once and report. `fractions`: training, calibration and test share of the rows."""
    with tempfile.TemporaryDirectory(prefix="sealscore-bench-") as folder:
        root = Path(folder)
        bank_csv, parts = write_tables(columns, root / "data", platforms)
        tables = {LABEL: inferred_table("bank", bank_csv, "id", "default")}
        tables |= {name: inferred_table("platform", path, "id", None) for name, path in parts.items()}
        plan = root / "plan.toml"
        plan.write_text(_plan(tables, fractions, steps, variant), encoding="utf-8")
        rules = policy_rules(Plan.from_toml_text(plan.read_text(encoding="utf-8"), plan.name))
        with Federation(root / "federation", tables, 1000, rules) as federation:
            before = {party: _process(federation, party) for party in tables}
            summary = federation.run(plan, quiet=True)
            after = {party: _process(federation, party) for party in tables}
            hub = json.loads((federation.home("coordinator") / "hub" / f"{summary['run']}.json").read_text()) \
                if platforms > 1 else {}
        facts = {party: party_facts(federation, party, summary["run"]) for party in tables}
    return _report(columns, facts, before, after) | ({"hub": hub} if hub else {})


def _plan(tables: dict[str, Any], fractions: tuple[float, float, float], steps: int, variant: str) -> str:
    names = ("train", "calibration", "test")
    lines = [f'purpose = "{PURPOSE}"', f'label_party = "{LABEL}"',
             f"feature_parties = {json.dumps([party for party in tables if party != LABEL])}"]
    for party, table in tables.items():
        lines += [f"[parties.{party}]", 'table = "customers"', f"columns = {json.dumps(table.columns)}"]
    lines += ["[model]", 'encoding = "numeric"', f"steps = {steps}", f'variant = "{variant}"', "[slices]"]
    lines += [f"{name} = {fraction}" for name, fraction in zip(names, fractions, strict=True)]
    return "\n".join([*lines, ""])


def _process(federation: Federation, party: str) -> dict[str, float]:
    """CPU seconds so far and peak resident megabytes of a party's daemon."""
    pid = json.loads((federation.home(party) / "state" / "ready.json").read_text())["pid"]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {"cpu": (int(fields[11]) + int(fields[12])) / _TICKS, "peak_mb": int(status["VmHWM"].split()[0]) / 1024}


def _report(columns: Columns, facts: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    spent = {name: {party: facts[party][f"spent.{name}"] for party in facts} for name in PHASES}
    report = facts[LABEL]["report"]
    sent = {party: spent["train"][party]["bytes"] for party in facts}
    return {
        "data": columns.source,
        "rows_train": report["training"]["rows"],
        "columns": [report["training"]["columns"] - 1, report["training"]["columns_peer"]],
        "steps": report["training"]["steps"],
        "auc_test": report["metrics"]["joint"]["auc"],
        "auc_test_bank_only": report["metrics"]["bank_only"]["auc"],
        "phase_seconds": {name: round(max(s["seconds"] for s in spent[name].values()), 2) for name in PHASES},
        "train_bytes": sent,
        "bank_train_bytes_both_ways": spent["train"][LABEL]["bytes"] + spent["train"][LABEL]["bytes_in"],
        "train_megabytes": round(sum(sent.values()) / 1e6, 1),
        "run_cpu_seconds": {p: round(after[p]["cpu"] - before[p]["cpu"], 2) for p in facts},
        "peak_resident_megabytes": {p: round(after[p]["peak_mb"]) for p in facts},
        "load_average": [round(x, 1) for x in os.getloadavg()],
    }


def against_secretflow(result: dict[str, Any], peer: str = CHEETAH) -> dict[str, Any] | None:
    """`result` against the newest run of a SecretFlow SS-LR on the same rows, None if PEERS_WORK holds none.

    Its `fit_s` has neither process start nor data loading; ours are the phases encode and train, keys included.
    """
    folder = peers_folder()
    results = folder / "results.jsonl" if folder else None
    lines = results.read_text().splitlines() if results and results.exists() else []
    rows = [json.loads(line) for line in lines]
    fits = [row for row in rows if row.get("peer") == peer and row["rows_used"] == 30_000]
    if not fits or result["data"] != peers_columns(folder).source:
        return None
    newest = fits[-1]
    seconds = result["phase_seconds"]["encode"] + result["phase_seconds"]["train"]
    return {
        "peer": peer, "measured_at": newest["ts"], "load1": newest["load1"], "seconds": newest["fit_s"],
        "megabytes": newest["fit_lo_mb"], "auc_test": newest["test"][0], "epochs": newest["epochs"],
        "times_faster": round(newest["fit_s"] / seconds, 2),
        "times_faster_train_alone": round(newest["fit_s"] / result["phase_seconds"]["train"], 2),
        "share_of_bytes": round(result["train_megabytes"] / newest["fit_lo_mb"], 3),
    }
