"""The commands that a bank and a platform have alike: `serve`, `table`, and those of oversight_cli.py."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from parties.runtime.oversight_cli import add_commands
from parties.runtime.serve import describe_table, serve
from parties.runtime.side import Side


def party_app(role: str, side: Callable[[], Side]) -> typer.Typer:
    """The typer app of `sealscore ROLE`."""
    app = typer.Typer(help=f"Run a {role}'s node; see and decide what it takes part in.", no_args_is_help=True)

    @app.command("serve")
    def serve_node(config: Annotated[Path, typer.Argument(metavar="FILE", help="the node's TOML file")]) -> None:
        """Run the daemon, the SuperNode and the executor until SIGTERM or SIGINT."""
        serve(config, role, side)

    @app.command()
    def table(
        file: Annotated[Path, typer.Argument(metavar="CSV", help="a table nobody has described yet")],
        id_column: Annotated[str, typer.Option("--id", help="column of identifiers")] = "id",
        label: Annotated[str | None, typer.Option(help="column of labels, 0 or 1")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of TOML")] = False,
    ) -> None:
        """Print a table section for the node's TOML file: names and types of the columns, to be reviewed."""
        typer.echo(describe_table(file, id_column, label, as_json), nl=False)

    add_commands(app, role)
    return app
