"""The estimate as tables for a person."""
from __future__ import annotations

from rich.console import Console
from rich.table import Table

from coordinator.cost.estimate import Estimate, PhaseCost
from coordinator.cost.workload import Workload
from protocols.node.progress import bytes_text, seconds_text


def roles(work: Workload) -> dict[str, str]:
    """One party for each role, by the role's name: parties of a role have the same work."""
    found = {"bank" if len(work.banks) == 1 else "each bank": work.banks[0]}
    found |= {"platform" if len(work.platforms) == 1 else "lead platform": work.platforms[0]}
    if len(work.platforms) > 1:
        found["other platform"] = work.platforms[1]
    return found


def print_estimate(estimate: Estimate, console: Console) -> None:
    """Phases, memory, bottleneck, notes."""
    work = estimate.work
    console.print(_heading(estimate))
    console.print(_phases(estimate))
    memory = ", ".join(f"{role} {bytes_text(int(estimate.memory_mb[party] * 1e6))}"
                       for role, party in roles(work).items())
    console.print(f"memory at most  {memory}")
    phase, kind, share = estimate.bottleneck
    console.print(f"bottleneck      {kind} in phase {phase}, {share:.0%} of the run")
    for note in estimate.notes:
        console.print(f"note            {note}")


def _heading(estimate: Estimate) -> str:
    work, machines = estimate.work, estimate.machines
    line = f"{machines.bandwidth_mbit:g} Mbit/s, " if machines.bandwidth_mbit else ""
    where = f"one machine of {machines.cores} cores" if machines.cores else "one machine each"
    columns = " + ".join(map(str, (work.bank_columns, *work.platform_columns)))
    return (f"{len(work.banks)} x {len(work.platforms)} parties, at most {sum(work.rows):,} rows in common, {columns} "
            f"{_unit(work)}; {where}, {line}{machines.rtt_ms:g} ms to the hub and back")


def _unit(work: Workload) -> str:
    """What a model's columns are counted as."""
    trees, network = work.model.boosting, work.model.network
    if network:
        return f"columns, {network.epochs} epochs of width {network.width}"
    return f"columns, {trees.trees} trees of depth {trees.depth}" if trees else "coefficients"


def _phases(estimate: Estimate) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("phase", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for role in roles(estimate.work):
        table.add_column(f"{role} out / in", justify="right", no_wrap=True)
    table.add_column("bound by", no_wrap=True)
    for name, cost in estimate.phases.items():
        table.add_row(name, seconds_text(cost.seconds), *_traffic(estimate.work, [cost]), _bound(cost))
    table.add_row("control plane", seconds_text(estimate.control_s), *("" for _ in roles(estimate.work)), "")
    table.add_row("run", seconds_text(estimate.seconds), *_traffic(estimate.work, list(estimate.phases.values())), "")
    return table


def _traffic(work: Workload, costs: list[PhaseCost]) -> list[str]:
    return [f"{bytes_text(sum(c.bytes_out(party) for c in costs))} / "
            f"{bytes_text(sum(c.bytes_in(party) for c in costs))}" for party in roles(work).values()]


def _bound(cost: PhaseCost) -> str:
    """The two largest parts of the critical path."""
    parts = cost.critical.most_common(2)
    return ", ".join(f"{kind} {seconds / cost.seconds:.0%}" for kind, seconds in parts if seconds > 0)
