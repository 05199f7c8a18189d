"""A training of a million rows through real daemons: seconds by phase, bytes, AUC, peak memory of each process.

The size is that of the training slice; SEALSCORE_BENCH_ROWS takes another one.
"""
from __future__ import annotations

import os
import tempfile
import threading
from collections import defaultdict
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from coordinator.demo.federation import LABEL, Federation, Table, inferred_table
from coordinator.demo.results import party_facts
from tests.benchmarks.data import Columns, made_columns
from tests.benchmarks.training import PHASES, _plan

ROWS = int(os.environ.get("SEALSCORE_BENCH_ROWS", "1000000"))
STEPS, FRACTIONS, DEADLINE_S = 8, (0.9, 0.05, 0.05), 3 * 3600
SAMPLE_S = 1.0
PLATFORM = "platform"


def measure(rows: int = ROWS) -> dict[str, Any]:
    """Train once on `rows` training rows of tables with the same people on both sides."""
    before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="sealscore-bench-") as name:
        folder = Path(name)
        tables = _tables(folder / "data", round(rows / FRACTIONS[0]))
        plan = folder / "plan.toml"
        plan.write_text(f"{_plan(tables, FRACTIONS, STEPS)}[limits]\nrun_deadline_s = {DEADLINE_S}\n", encoding="utf-8")
        with Federation(folder / "federation", tables, 1000) as federation, Peaks(federation.nodes) as peaks:
            summary = federation.run(plan, quiet=True)
        facts = {party: party_facts(federation, party, summary["run"]) for party in tables}
        disk = {node: _megabytes_below(federation.home(node)) for node in federation.nodes}
    return _told(facts, peaks.megabytes) | {"disk_megabytes": disk, "load_average": {
        "before": round(before[0], 1), "after": [round(x, 1) for x in os.getloadavg()]}}


def _tables(folder: Path, rows: int) -> dict[str, Table]:
    folder.mkdir()
    bank, platform = write_large(made_columns(rows), folder)
    return {LABEL: inferred_table("bank", bank, "id", "default"),
            PLATFORM: inferred_table("platform", platform, "id", None)}


def write_large(columns: Columns, folder: Path) -> tuple[Path, Path]:
    """What `data.write_tables` writes for one platform, by columns: much faster, in little memory."""
    ids = np.array([f"SYN-{number:010d}" for number in range(len(columns.label))])
    order = np.random.default_rng(1).permutation(len(ids))
    bank = {"id": ids} | {f"b{j}": column.round(5) for j, column in enumerate(columns.bank.T)}
    csv.write_csv(pa.table(bank | {"default": columns.label}), folder / "bank.csv")
    platform = {"id": ids[order]} | {f"p{j}": column[order].round(5) for j, column in enumerate(columns.platform.T)}
    csv.write_csv(pa.table(platform), folder / "platform.csv")
    return folder / "bank.csv", folder / "platform.csv"


def _told(facts: dict[str, Any], peaks: dict[str, dict[str, int]]) -> dict[str, Any]:
    spent = {name: [facts[party][f"spent.{name}"] for party in facts] for name in PHASES}
    training, metrics = (facts[LABEL]["report"][key] for key in ("training", "metrics"))
    return {
        "rows_train": training["rows"], "columns": [training["columns"] - 1, training["columns_peer"]],
        "steps": training["steps"],
        "auc_test": metrics["joint"]["auc"], "auc_test_bank_only": metrics["bank_only"]["auc"],
        "phase_seconds": {name: round(max(s["seconds"] for s in parts), 1) for name, parts in spent.items()},
        "megabytes_out": {party: {name: round(facts[party][f"spent.{name}"]["bytes"] / 1e6, 2) for name in PHASES}
                          for party in facts},
        "peak_resident_megabytes": peaks,
        "peak_resident_megabytes_of_node": {node: sum(parts.values()) for node, parts in peaks.items()},
    }


class Peaks(AbstractContextManager):
    """Peak resident megabytes (VmHWM of /proc) of every process below this one, by node and kind of process.

    Kinds with several processes, such as the executor that Flower starts for every message, count with the largest.
    """

    def __init__(self, nodes: tuple[str, ...]):
        self._nodes = nodes
        self.megabytes: dict[str, dict[str, int]] = defaultdict(dict)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="peaks", daemon=True)

    def __enter__(self) -> Peaks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(SAMPLE_S):
            self.look()

    def look(self) -> None:
        """Take the peaks of what runs now."""
        processes = _processes()
        for node, kind, peak in _below(os.getpid(), processes, self._nodes):
            self.megabytes[node][kind] = max(peak, self.megabytes[node].get(kind, 0))


def _processes() -> dict[int, tuple[int, list[str], int]]:
    """By id: parent's id, command line, peak resident megabytes."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            status = dict(line.split(":", 1) for line in (path / "status").read_text().splitlines())
            command = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended meanwhile
            continue
        if "VmHWM" in status:
            found[int(path.name)] = (int(status["PPid"]), command, int(status["VmHWM"].split()[0]) // 1024)
    return found


def _below(top: int, processes: dict[int, tuple[int, list[str], int]], nodes: tuple[str, ...]) -> list[tuple]:
    """(node, kind, peak) of every descendant of `top` that belongs to a node."""
    found = []
    for parent, command, peak in processes.values():
        chain = [command]
        while parent in processes and parent != top:
            chain.append(processes[parent][1])
            parent = processes[parent][0]
        if parent == top:
            node = next((n for n in nodes if any(word.endswith(f"/{n}.toml") for word in chain[-1])), None)
            if node is not None:
                found.append((node, "node" if len(chain) == 1 else _kind(command), peak))
    return found


def _kind(command: list[str]) -> str:
    """A process by its program: the last word that names a module or a script before the options."""
    words = [word for word in command if word]
    if "-m" in words:
        return words[words.index("-m") + 1]
    return next((Path(word).name for word in words[1:] if not word.startswith("-")), Path(words[0]).name)


def _megabytes_below(folder: Path) -> int:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6)
