"""The cost model: measure its parts, then hold its prediction against a training through real daemons.

The calibration is what `sealscore plan cost PLAN --calibration FILE` takes; the one delivered was made this way.
"""
from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from coordinator.cost.estimate import CONTROL, estimate
from coordinator.cost.parts import Calibration
from coordinator.cost.workload import Machines, Workload
from coordinator.demo.federation import LABEL, Federation, inferred_table
from coordinator.demo.results import party_facts
from protocols.plan import ModelPlan
from tests.benchmarks import cost_parts, cost_transport, cost_trees
from tests.benchmarks.data import BANK_COLUMNS, PLATFORM_COLUMNS, made_columns, write_tables
from tests.benchmarks.training import PHASES, _plan, _process

ROWS, STEPS, FRACTIONS = 50_000, 8, (0.6, 0.1, 0.3)
KERNEL_ROUNDS = 300


def calibrate() -> Calibration:
    """Measure all parts on this machine; control plane and process are what a run shows beyond them (`fitted`)."""
    crypto = cost_parts.Crypto()
    with neighbours():
        return Calibration(
            machine=machine(), measured=datetime.now(UTC).strftime("%Y-%m"), kernel_s=kernel_s(), control_s=0.0,
            base_mb=0.0, product=crypto.product(), elementwise=crypto.elementwise(), keys=crypto.keys(),
            local=cost_parts.local(), trees=cost_trees.measure(), alignment=cost_parts.alignment(),
            transport=cost_parts.storing() | cost_transport.measure(),
        )


@contextmanager
def neighbours() -> Iterator[None]:
    """All other cores at work, as in a run: cores that share a memory or are threads of one slow each other down."""
    command = [sys.executable, "-c", f"from {__name__} import kernel_s\nwhile True: kernel_s()"]
    others = [subprocess.Popen(command) for _ in range((os.cpu_count() or 1) - 1)]
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


def machine() -> str:
    """The class of this machine in words."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Linux, local disk"


def kernel_s() -> float:
    """CPU seconds of a fixed piece of the arithmetic that trainings are made of."""
    crypto = cost_parts.Crypto()
    return cost_parts.seconds(lambda: [crypto._peer._new_zero() for _ in range(KERNEL_ROUNDS)])


def measure() -> dict[str, Any]:
    """Calibration, and prediction against measurement for one and two platforms."""
    parts = calibrate()
    parts = fitted(parts, compare(parts, 1))
    found = {str(count): compare(parts, count) for count in (1, 2)}
    return {"calibration": parts.model_dump(mode="json"), "predicted_and_measured": found}


def fitted(parts: Calibration, run: dict[str, Any]) -> Calibration:
    """What only a whole run shows: seconds of the control plane, megabytes of a process without data."""
    beyond = [measured - predicted for predicted, measured in run["peak_megabytes"].values()]
    return parts.model_copy(update={"control_s": run[CONTROL][1], "base_mb": parts.base_mb + min(beyond)})


def compare(parts: Calibration, platforms: int) -> dict[str, Any]:
    """One run, predicted and measured, side by side; seconds on a machine that others share are longer."""
    columns = made_columns(ROWS)
    with tempfile.TemporaryDirectory(prefix="sealscore-bench-") as folder:
        root = Path(folder)
        bank_csv, files = write_tables(columns, root / "data", platforms)
        tables = {LABEL: inferred_table("bank", bank_csv, "id", "default")}
        tables |= {name: inferred_table("platform", path, "id", None) for name, path in files.items()}
        plan = root / "plan.toml"
        plan.write_text(_plan(tables, FRACTIONS, STEPS, "strict"), encoding="utf-8")
        with Federation(root / "federation", tables, 1000) as federation:
            before = {party: _process(federation, party) for party in tables}
            summary = federation.run(plan, quiet=True)
            after = {party: _process(federation, party) for party in tables}
        facts = {party: party_facts(federation, party, summary["run"]) for party in tables}
    predicted = estimate(_workload(list(files), facts), parts, Machines(cores=os.cpu_count()))
    report = {"phases": {name: _phase(predicted, facts, name) for name in PHASES},
              "cpu_seconds": {p: [round(sum(c.busy[p] for c in predicted.phases.values()), 1),
                                  round(after[p]["cpu"] - before[p]["cpu"], 1)] for p in tables},
              "peak_megabytes": {p: [round(predicted.memory_mb[p]), round(after[p]["peak_mb"])] for p in tables}}
    spent = sum(max(facts[p][f"spent.{name}"]["seconds"] for p in facts) for name in PHASES)
    return report | {CONTROL: [parts.control_s, round(_elapsed(summary) - spent, 1)],
                     "load_average": round(os.getloadavg()[0], 1)}


def _workload(platforms: list[str], facts: dict[str, Any]) -> Workload:
    """The run's shapes as they turned out."""
    training = facts[LABEL]["report"]["training"]
    widths = tuple(facts[name]["report"]["training"]["columns"] for name in platforms)
    fields = tuple(len(part) for part in _split(platforms))
    return Workload("train", (LABEL,), tuple(platforms), (ROWS,), (ROWS,), ROWS, training["columns"], widths,
                    BANK_COLUMNS, fields, ModelPlan(encoding="numeric", steps=STEPS), FRACTIONS)


def _split(platforms: list[str]) -> list[range]:
    each = PLATFORM_COLUMNS // len(platforms)
    return [range(each) for _ in platforms]


def _phase(predicted: Any, facts: dict[str, Any], name: str) -> dict[str, Any]:
    """[predicted, measured] seconds, and bytes that left each party."""
    cost = predicted.phases[name]
    spent = {party: facts[party][f"spent.{name}"] for party in facts}
    return {"seconds": [round(cost.seconds, 2), round(max(s["seconds"] for s in spent.values()), 2)]} | {
        f"bytes_{party}": [cost.bytes_out(party), s["bytes"]] for party, s in spent.items()}


def _elapsed(summary: dict[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(summary[key]) for key in ("created_at", "updated_at"))
    return (ended - began) / timedelta(seconds=1)
