"""`sealscore bank`: a bank's node."""
from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from parties.bank.sides import bank_side
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
    for add in parts_for(argv[0] if argv else "", app):
        add(app)
    return cli.run(app, argv, "bank")


def _scoring(app: typer.Typer) -> None:
    from parties.bank.scoring.cli import bank_scoring
    app.add_typer(bank_scoring(), name="scoring")


def _service(app: typer.Typer) -> None:
    from parties.bank.service.cli import add_decisions
    add_decisions(app)


def _experiments(app: typer.Typer) -> None:
    from parties.bank.experiments.cli import app as experiments
    app.add_typer(experiments, name="experiments")


def _rulebook(app: typer.Typer) -> None:
    from parties.bank.rulebook_cli import rulebook_app
    app.add_typer(rulebook_app(), name="rulebook")


def _store(app: typer.Typer) -> None:
    from parties.bank.store.cli import add_store_commands
    add_store_commands(app)


def _limits(app: typer.Typer) -> None:
    from parties.bank.service.limits_cli import add_limit_commands
    add_limit_commands(app)


def _lending(app: typer.Typer) -> None:
    from parties.bank.lending.cli import add_lending_commands
    add_lending_commands(app)


# Imported when one of their commands runs: with its web server, rule engine and database layer the decision service
# would cost a training node two seconds of CPU at every start.
PARTS: dict[Callable[[typer.Typer], None], tuple[str, ...]] = {
    _scoring: ("scoring",),
    _service: ("decisions", "decide", "replay"),
    _experiments: ("experiments",),
    _rulebook: ("rulebook",),
    _store: ("store", "consents", "deletions", "accesses"),
    _limits: ("limits",),
    _lending: ("loans", "voucher"),
}


def parts_for(command: str, app: typer.Typer) -> list[Callable[[typer.Typer], None]]:
    """What must be imported to run `command`; everything for the help, and for a word that is no command."""
    if command in names_of(app):
        return []
    return [add for add, commands in PARTS.items() if command in commands] or list(PARTS)


def names_of(app: typer.Typer) -> set[str]:
    """The commands of an application, as they are typed."""
    named = {one.name or one.callback.__name__.replace("_", "-") for one in app.registered_commands}
    return named | {group.name for group in app.registered_groups}


def scores(
    config: Annotated[Path, typer.Argument(metavar="FILE", help="the bank's TOML file")],
    run: Annotated[str, typer.Argument(help="the run that scored, r-…")],
) -> None:
    """Print the scores of a run as CSV, also where they are kept sealed."""
    party = LoadedParty(config, "bank")
    sys.stdout.write(read_scores(party.state, run, scores_box(load_identity(party.home))).decode())


def examine(node: NodeFile) -> Iterable[Finding]:
    """What `sealscore doctor` finds at a bank."""
    yield from doctor.examine(node, bank_side)
    party = LoadedParty(node.path, node.kind)
    if party.config.decisions is not None:
        from parties.bank.service.doctor import examine as decisions
        yield from decisions(party)
