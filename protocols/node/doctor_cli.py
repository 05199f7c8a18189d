"""`sealscore doctor FILE.toml`: what is wrong or soon will be at a node, and what to do about each."""
from __future__ import annotations

import dataclasses
import json
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from protocols.errors import UsageError
from protocols.node import cli
from protocols.node.health import Finding, collect, common
from protocols.node.node_file import NodeFile

GROUP = "sealscore.doctor"
app = typer.Typer(help="Check a node's set-up and say what to fix.", add_completion=False)


@app.command()
def doctor(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="bank.toml, platform.toml or coordinator.toml")],
    lock: Annotated[Path | None, typer.Option(help="requirements.lock to compare installed packages with")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Check files, keys, certificates, policy, tables, addresses, clock, disk, versions; exit code 1 on a problem."""
    found = examine(NodeFile.read(file), lock)
    counts = Counter(f.state for f in found)
    if as_json:
        findings = [dataclasses.asdict(finding) for finding in found]
        typer.echo(json.dumps({"ok": not counts["problem"], "findings": findings}, indent=2))
    else:
        for finding in found:
            typer.echo(f"{finding.state:<8} {finding.check:<14} {finding.found}")
            if finding.todo:
                typer.echo(f"{'':<8} {'':<14} → {finding.todo}")
        typer.echo(f"\n{counts['ok']} ok, {counts['warning']} warnings, {counts['problem']} problems")
    if counts["problem"]:
        raise typer.Exit(1)


def examine(node: NodeFile, lock: Path | None) -> list[Finding]:
    """All findings of a node: the common ones and those of its kind."""
    special = {entry.name: entry for entry in entry_points(group=GROUP)}
    if node.kind not in special:
        raise UsageError(f"{node.path.name} is a {node.kind}'s file and no {node.kind} is installed here")
    own = special[node.kind].load()

    return [*common(node, lock), *collect(configuration=lambda: list(own(node)))]


def main(argv: list[str]) -> int:
    """Entry point of `sealscore doctor`."""
    return cli.run(app, argv, "doctor")
