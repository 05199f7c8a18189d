"""`sealscore bank|platform scoring`: what both have, `prepare`."""
from __future__ import annotations

import json
from typing import Annotated

import typer

from parties.runtime.config import LoadedParty
from parties.runtime.oversight_cli import ConfigArgument, JsonOption
from parties.runtime.scoring.directory import prepare
from protocols.node import protection
from protocols.node.identity_files import load_identity

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="m-…, published here")]
RunOption = Annotated[str | None, typer.Option(help="a later scoring with the model, r-…; default: its training")]


def scoring_app(role: str) -> typer.Typer:
    """The typer app of `sealscore ROLE scoring`."""
    app = typer.Typer(help="Joint scoring online.", no_args_is_help=True)

    @app.callback()
    def online() -> None:
        """Joint scoring online."""

    @app.command("prepare")
    def make_tokens(config: ConfigArgument, model: ModelArgument, run: RunOption = None,
                    as_json: JsonOption = False) -> None:
        """Make the tokens by which both nodes name the people that an alignment found; once at each node."""
        party = LoadedParty(config, role)
        protection.unlock(party.home, party.config.keys)
        made = prepare(party, load_identity(party.home), model, run)
        if as_json:
            typer.echo(json.dumps([{"model": model, "run": one.run, "peer": one.peer, "people": len(one)}
                                   for one in made], indent=2))
            return
        for one in made:
            typer.echo(f"{model}: {len(one)} people shared with {one.peer} have tokens, from {one.run}")

    return app
