"""`sealscore bank`: run a bank's node."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parties.bank.side import BankSide
from parties.runtime.serve import describe_table
from parties.runtime.serve import serve as serve_party
from protocols.node import cli

app = typer.Typer(help="Run a bank's node.", no_args_is_help=True)


@app.callback()
def _bank() -> None:
    """Run a bank's node."""


@app.command()
def serve(config: Annotated[Path, typer.Argument(metavar="FILE", help="bank.toml")]) -> None:
    """Run the daemon, the SuperNode and the executor until SIGTERM or SIGINT."""
    serve_party(config, "bank", BankSide)


@app.command()
def table(
    file: Annotated[Path, typer.Argument(metavar="CSV", help="a table nobody has described yet")],
    id_column: Annotated[str, typer.Option("--id", help="column of identifiers")] = "id",
    label: Annotated[str | None, typer.Option(help="column of labels, 0 or 1")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of TOML")] = False,
) -> None:
    """Print a table section for the node's TOML file: names and types of the columns, to be reviewed."""
    typer.echo(describe_table(file, id_column, label, as_json), nl=False)


def main(argv: list[str]) -> int:
    """Entry point of `sealscore bank`."""
    return cli.run(app, argv, "bank")
