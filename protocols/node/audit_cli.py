"""`sealscore audit`: export evidence, verify it offline, derive its privacy report, write the verifier."""
from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from protocols.errors import UsageError
from protocols.node.cli import run
from protocols.node.evidence import export as export_evidence
from protocols.node.standalone import standalone_source
from protocols.node.verifier.findings import findings_text
from protocols.node.verifier.main import derive, examine_under, findings_json, write_page
from protocols.node.verifier.privacy import LANGUAGES

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Export and verify audit evidence.")
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="folder with one folder of evidence per node")]
Trust = Annotated[Path, typer.Option(help="trust.json: identities, kept outside the evidence")]


def main(argv: list[str]) -> int:
    """Entry point of `sealscore audit`."""
    return run(app, argv, "audit")


@app.command()
def verify(
    directory: Directory, trust: Trust,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
) -> None:
    """Check evidence offline; exit code 1 if anything does not hold."""
    report, _ = examine_under(directory, trust)
    typer.echo(findings_json(report) if as_json else findings_text(report))
    if not report.holds:
        raise typer.Exit(1)


@app.command()
def report(
    directory: Directory, trust: Trust,
    out: Annotated[Path | None, typer.Option(help="HTML file to write")] = None,
    lang: Annotated[str, typer.Option(help="language: en or zh")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
) -> None:
    """Say in plain words what each party learned, from evidence that holds; exit code 1 if it does not."""
    if lang not in LANGUAGES:
        raise UsageError(f"expected --lang {' or '.join(LANGUAGES)}, got {lang!r}")
    if out is None and not as_json:
        raise UsageError("expected --out FILE for the page, --json for the terminal, or both")
    told, page = derive(directory, trust, lang)
    if out is not None:
        write_page(out, page)
    if as_json:
        sys.stdout.buffer.write(told)
        sys.stdout.flush()
    else:
        typer.echo(f"privacy report in {out}")


@app.command()
def verifier(out: Annotated[Path, typer.Option(help="Python file to write")] = Path("verify.py")) -> None:
    """Write the verifier as one file that needs Python and the package cryptography, not Sealscore."""
    source = standalone_source().encode()
    write_page(out, source)
    typer.echo(f"{out}: SHA-256 {hashlib.sha256(source).hexdigest()}")


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
