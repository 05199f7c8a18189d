"""`sealscore audit`: export a node's evidence, and verify evidence offline."""
from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from protocols.errors import UsageError
from protocols.node.cli import run
from protocols.node.evidence import export as export_evidence
from protocols.node.identity_files import load_trust
from protocols.node.verification import NodeReport, Report
from protocols.node.verification import verify as verify_evidence

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Export and verify audit evidence.")


def main(argv: list[str]) -> int:
    """Entry point of `sealscore audit`."""
    return run(app, argv, "audit")


@app.command()
def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="folder with one folder of evidence per node")],
    trust: Annotated[Path, typer.Option(help="trust.json: identities, kept outside the evidence")],
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
) -> None:
    """Check evidence offline; exit code 1 if anything does not hold."""
    if trust.resolve().is_relative_to(directory.resolve()):
        raise UsageError("the identities must come from outside the evidence they are to check; "
                         "name a trust.json that you confirmed yourself")
    report = verify_evidence(directory, load_trust(trust))
    typer.echo(_as_json(report) if as_json else _as_text(report))
    if not report.holds:
        raise typer.Exit(1)


@app.command()
def export(
    home: Annotated[Path, typer.Argument(metavar="HOME", help="home folder of a node")],
    out: Annotated[Path, typer.Option(help="folder that receives the folder of evidence")],
    as_json: Annotated[bool, typer.Option("--json", help="print what was written as JSON")] = False,
) -> None:
    """Write a node's evidence: log, checkpoints, agreements, policies and a signed manifest. No keys, no data."""
    done = export_evidence(home, out)
    if as_json:
        typer.echo(json.dumps({**dataclasses.asdict(done), "folder": str(done.folder)}))
    else:
        typer.echo(f"{done.node}: {done.records} records, {done.files} files in {done.folder}")


def _as_json(report: Report) -> str:
    return json.dumps({"holds": report.holds, **dataclasses.asdict(report)}, indent=2)


def _as_text(report: Report) -> str:
    verdict = "the evidence holds" if report.holds else f"THE EVIDENCE DOES NOT HOLD: {len(report.problems)} problem(s)"
    return "\n".join([
        *(line for name, node in sorted(report.nodes.items()) for line in _node_lines(name, node)),
        *(f"note: {note}" for note in report.notes),
        *(f"FAIL: {problem}" for problem in report.problems),
        verdict,
    ])


def _node_lines(name: str, node: NodeReport) -> list[str]:
    return [
        f"{name}  identity {node.fingerprint[:16]}…",
        f"  log: {node.records} records, root {node.root[:16] or '-'}…, vouched for: {_pairs(node.vouched)}",
        f"  records: {_pairs(node.kinds)}",
        *(f"  numbers opened to {learner}: {_pairs(kinds)}" for learner, kinds in node.openings.items()),
        f"  bytes sent: {_pairs(node.egress_bytes)}",
        f"  agreements: {', '.join(node.agreements) or 'none'}",
    ]


def _pairs(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
