"""`sealscore certs`: keys and certificates of a trial federation."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from coordinator.certs import PartySpec, init_federation
from protocols.crypto.identity import fingerprint, grouped
from protocols.node import cli

app = typer.Typer(help="Keys and certificates of a trial federation.", no_args_is_help=True)


@app.callback()
def _certs() -> None:
    """Keys and certificates of a trial federation."""


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="made new: one home per node, and trust.json")],
    party: Annotated[list[str] | None, typer.Option(help="NAME:ROLE, role bank or platform; may be repeated")] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="how long certificates hold")] = 365,
    host: Annotated[list[str] | None, typer.Option(help="name or address of the coordinator; repeatable")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Make an authority, node certificates, SuperNode keys and identity keys."""
    parties = [PartySpec.parse(text) for text in party or ["bank:bank", "platform:platform"]]
    identities = init_federation(directory, parties, days, host or [])
    roles = {p.name: p.role for p in parties}
    if as_json:
        nodes = {name: {"home": str((directory / name).resolve()), "role": roles.get(name, name),
                        "identity": public.hex(), "fingerprint": fingerprint(public)}
                 for name, public in identities.items()}
        typer.echo(json.dumps({"directory": str(directory.resolve()), "nodes": nodes,
                               "trust": str((directory / "trust.json").resolve())}, indent=2))
        return
    _print_fingerprints(directory, identities)


def _print_fingerprints(directory: Path, identities: dict[str, bytes]) -> None:
    typer.echo(f"Wrote {len(identities)} node homes and trust.json to {directory}.\n")
    typer.echo("Identity fingerprints. Read them to each other by telephone before you pin them:\n")
    for name, public in identities.items():
        digest = fingerprint(public)
        typer.echo(f"  {name:<16} {grouped(digest[:32])}\n  {'':<16} {grouped(digest[32:])}")
    typer.echo(f"\nMove each home to its node. Keep {directory}/ca/ca.key offline: it is needed only for new nodes.")


def main(argv: list[str]) -> int:
    """Entry point of `sealscore certs`."""
    return cli.run(app, argv, "certs")
