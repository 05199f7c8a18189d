"""`sealscore bank`: a bank's node."""
from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from parties.bank.experiments.cli import app as experiments_app
from parties.bank.lending.cli import add_lending_commands
from parties.bank.rulebook_cli import rulebook_app
from parties.bank.scoring.cli import bank_scoring
from parties.bank.service.cli import add_decisions
from parties.bank.shared_side import bank_side
from parties.bank.store.cli import add_store_commands
from parties.runtime import doctor
from parties.runtime.cli import party_app
from parties.runtime.config import LoadedParty
from parties.runtime.scores import read_scores
from protocols.node import cli
from protocols.node.at_rest import scores_box
from protocols.node.health import Finding
from protocols.node.identity_files import load_identity
from protocols.node.node_file import NodeFile


def main(argv: list[str]) -> int:
    """Entry point of `sealscore bank`."""
    app = party_app("bank", bank_side)
    app.command()(scores)
    app.add_typer(bank_scoring(), name="scoring")
    add_decisions(app)
    app.add_typer(experiments_app, name="experiments")
    app.add_typer(rulebook_app(), name="rulebook")
    add_store_commands(app)
    add_lending_commands(app)
    return cli.run(app, argv, "bank")


def scores(
    config: Annotated[Path, typer.Argument(metavar="FILE", help="the bank's TOML file")],
    run: Annotated[str, typer.Argument(help="the run that scored, r-…")],
) -> None:
    """Print the scores of a run as CSV, also where they are kept sealed."""
    party = LoadedParty(config, "bank")
    sys.stdout.write(read_scores(party.state, run, scores_box(load_identity(party.home))).decode())


def examine(node: NodeFile) -> Iterable[Finding]:
    """What `sealscore doctor` finds at a bank."""
    return doctor.examine(node, bank_side)
