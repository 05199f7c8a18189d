"""`sealscore bank`: run a bank's node."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parties.bank.side import BankSide
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


def main(argv: list[str]) -> int:
    """Entry point of `sealscore bank`."""
    return cli.run(app, argv, "bank")
