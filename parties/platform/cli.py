"""`sealscore platform`: run a platform's node."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parties.platform.side import PlatformSide
from parties.runtime.serve import serve as serve_party
from protocols.node import cli

app = typer.Typer(help="Run a platform's node.", no_args_is_help=True)


@app.callback()
def _platform() -> None:
    """Run a platform's node."""


@app.command()
def serve(config: Annotated[Path, typer.Argument(metavar="FILE", help="platform.toml")]) -> None:
    """Run the daemon, the SuperNode and the executor until SIGTERM or SIGINT."""
    serve_party(config, "platform", PlatformSide)


def main(argv: list[str]) -> int:
    """Entry point of `sealscore platform`."""
    return cli.run(app, argv, "platform")
