"""Helpers of the end-to-end tests: small tables, plans, the `sealscore` command, and what the nodes keep.

Everything goes through the commands a person uses; only `run_fact`, `vault_half` and `audit_records` look into the
nodes' folders, as their owners could.
"""
from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

from coordinator.demo.banks import split_bank
from coordinator.demo.federation import FEATURE, LABEL, PURPOSE, Federation, Table
from coordinator.demo.population import split_platform, write_population
from protocols.node.at_rest import opened_fact, opened_half, run_box
from protocols.node.identity_files import load_identity
from protocols.node.supervise import environment, script

ROWS = 4000
COLUMNS = {  # few enough for 50 training rows per coefficient, strong enough to beat the bank alone
    LABEL: ["overdue_count_24m", "card_utilisation", "inquiries_6m", "debt_to_income"],
    FEATURE: ["valid_contacts", "night_share", "wealth_balance", "abnormal_logins_90d", "device_changes_year",
              "neighbour_overdue_share"],
}
COMMAND_S = 240.0


def small_tables(folder: Path, rows: int = ROWS, seed: int = 7) -> dict[str, Table]:
    """The synthetic population written to `folder`, as the tables of a `Federation`."""
    files = write_population(folder, rows, seed)
    return {LABEL: Table(files.bank_table), FEATURE: Table(files.platform_table)}


def split_tables(folder: Path, rows: int, platforms: int, banks: int = 1) -> dict[str, Table]:
    """The same population in the hands of several platforms, each with some of the columns, and of several banks."""
    files = write_population(folder, rows, seed=7)
    bank = {name: Table(part.table) for name, part in split_bank(files, banks, seed=7).items()} if banks > 1 else \
        {LABEL: Table(files.bank_table)}
    return bank | {name: Table(part.table) for name, part in split_platform(files, platforms, seed=7).items()}


def plan_text(
    columns: dict[str, list[str]] | None = None, *, encoding: str = "numeric", activation: str = "anchored",
    steps: int = 6, bins: int = 3, purpose: str = PURPOSE, release: str = "owner", minimum_intersection: int = 1000,
    seed: str = "1", table: str = "customers", peer_deadline_s: int = 60, run_deadline_s: int = 600,
) -> str:
    """A training plan as TOML; small and quick unless told otherwise."""
    lines = [f'purpose = "{purpose}"', f'label_party = "{LABEL}"', f'feature_parties = ["{FEATURE}"]', ""]
    for party, names in (columns or COLUMNS).items():
        lines += [f"[parties.{party}]", f'table = "{table}"', f"columns = {json.dumps(names)}", ""]
    lines += [
        "[model]", f'encoding = "{encoding}"', f"bins = {bins}", f"steps = {steps}", f'release = "{release}"',
        f'activation = "{activation}"', "",
        "[alignment]", f"minimum_intersection = {minimum_intersection}", "",
        "[slices]", f'seed = "{seed}"', "",
        "[limits]", f"peer_deadline_s = {peer_deadline_s}", f"run_deadline_s = {run_deadline_s}", "",
    ]
    return "\n".join(lines)


def write_plan(path: Path, **settings: Any) -> Path:
    """`plan_text` in a file."""
    path.write_text(plan_text(**settings), encoding="utf-8")
    return path


def plan_of(tables: dict[str, Table], path: Path, *settings: str, columns: int | None = None) -> Path:
    """A training plan for all parties of `tables`, banks by their names, with their first `columns` columns each."""
    banks = [name for name in tables if name.startswith(LABEL)]
    lines = [f'purpose = "{PURPOSE}"', f"label_parties = {json.dumps(banks)}",
             f"feature_parties = {json.dumps([name for name in tables if name not in banks])}"]
    for party, table in tables.items():
        lines += [f"[parties.{party}]", 'table = "customers"', f"columns = {json.dumps(table.columns[:columns])}"]
    path.write_text("\n".join([*lines, *settings, "[limits]", "peer_deadline_s = 60", ""]), encoding="utf-8")
    return path


def sealscore(*words: str, federation: Federation | None = None, timeout_s: float = COMMAND_S,
              cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `sealscore WORDS`, at the coordinator of `federation` if given; never raises for its exit code."""
    config = ["--config", str(federation.config)] if federation is not None else []
    command = [script("sealscore"), *words, *config]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, cwd=cwd, env=environment())


def run_ids(federation: Federation) -> list[str]:
    """Ids of all runs, newest first."""
    return [row["run"] for row in federation.runs()]


def launch(federation: Federation, plan: Path, timeout_s: float = COMMAND_S) -> dict[str, Any]:
    """`sealscore run PLAN --json` to its end: the run's summary with `exit_code` and `stderr`."""
    done = sealscore("run", str(plan), "--json", federation=federation, timeout_s=timeout_s)
    summary = json.loads(done.stdout) if done.stdout else {"run": None, "state": "refused", "failure": None}
    return summary | {"exit_code": done.returncode, "stderr": done.stderr}


def finished(federation: Federation, plan: Path, timeout_s: float = COMMAND_S) -> dict[str, Any]:
    """`launch` of a run that must finish."""
    summary = launch(federation, plan, timeout_s)
    assert summary["exit_code"] == 0 and summary["state"] == "finished", summary["stderr"]
    return summary


def start(federation: Federation, plan: Path) -> str:
    """`sealscore run PLAN --detach --json`: the id of the run that is now under way."""
    done = sealscore("run", str(plan), "--detach", "--json", federation=federation)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["run"]


def show_run(federation: Federation, run: str) -> dict[str, Any]:
    """`sealscore runs show RUN --json`."""
    done = sealscore("runs", "show", run, "--json", federation=federation)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run_folder(federation: Federation, party: str, run: str) -> Path:
    """Where a party keeps a run."""
    return federation.home(party) / "state" / "runs" / run


def run_fact(federation: Federation, party: str, run: str, name: str) -> bytes | None:
    """A fact of a run at a party, opened with its identity key (its SQLite file is only read), or None."""
    path = run_folder(federation, party, run) / "run.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        row = database.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
    home = federation.home(party)
    return None if row is None else opened_fact(run_box(load_identity(home), run), name, row[0])


def run_rows(federation: Federation, party: str, run: str, table: str) -> int:
    """How many rows a table of a run's file has at a party."""
    path = run_folder(federation, party, run) / "run.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def vault_half(federation: Federation, party: str, model_id: str) -> dict[str, Any] | None:
    """A party's half of a model as its vault holds it, or None."""
    home = federation.home(party)
    kept = (home / "state" / "vault" / f"{model_id}.sealed").exists()
    return json.loads(opened_half(home, model_id)) if kept else None


def vault_models(federation: Federation, party: str) -> set[str]:
    """Ids of the models of which a party holds a half."""
    return {path.stem for path in (federation.home(party) / "state" / "vault").glob("*.sealed")}


def audit_records(federation: Federation, party: str) -> list[dict[str, Any]]:
    """A party's audit log, oldest first."""
    path = federation.home(party) / "state" / "audit" / "log.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
