"""`sealscore bank experiments`: the report of an experiment, from a file of outcomes or from the bank's store."""
from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import typer

from parties.bank.decision.experiments import Experiment, Experiments
from parties.bank.decision.rulebook import Rulebook
from parties.bank.decision.trial import TrialReport
from parties.bank.decision.trial import report as make_report
from parties.bank.experiments.kept import Kept, KeptReport, report_kept
from parties.bank.experiments.table import read_outcomes
from parties.bank.lending.cli import lending_policy
from parties.bank.service.settings import beside, decisions_of
from parties.bank.store import Reader
from parties.bank.store.opening import open_node_store
from parties.runtime.config import LoadedParty
from parties.runtime.files import write_whole
from parties.runtime.oversight_cli import who
from protocols.canonical import canonical_json
from protocols.errors import ConfigError, UsageError
from protocols.node import protection

app = typer.Typer(help="What the experiments on decisions show.", no_args_is_help=True)
Confidence = Literal["0.9", "0.95", "0.99"]


@app.callback()
def experiments() -> None:
    """What the experiments on decisions show."""


@app.command()
def report(
    name: Annotated[str, typer.Option("--name", help="the experiment")],
    outcomes: Annotated[Path | None, typer.Argument(metavar="[CSV]", help=(
        "columns person (keyed hash), arm, decided_on (YYYY-MM-DD), approved (yes or no), bad (yes, no, or empty "
        "before there is a result), limit_fen, amount_fen, daily_rate"))] = None,
    file: Annotated[Path | None, typer.Option("--experiments", metavar="TOML", help=(
        "experiments.toml of the rulebook, with a CSV"))] = None,
    store: Annotated[Path | None, typer.Option("--store", metavar="FILE", help=(
        "instead of a CSV: the bank's TOML file, for the decisions and loans of its store and its rulebook"))] = None,
    purpose: Annotated[str, typer.Option("--purpose", help="with --store: why you look; kept in the access log")] =
        "report of an experiment",
    out: Annotated[Path | None, typer.Option("--out", metavar="HTML", help="also draw a page")] = None,
    lang: Annotated[Literal["en", "zh"], typer.Option(help="the page's language")] = "en",
    confidence: Annotated[Confidence, typer.Option(help="of all challengers' intervals together")] = "0.95",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of lines")] = False,
) -> None:
    """Compare the challengers of an experiment with its champion. Exit code 1 if the comparison is not sound."""
    if store is not None and (outcomes, file) == (None, None):
        _tell(_from_store(store, name, purpose, Decimal(confidence)), out, lang, as_json)
    elif store is None and outcomes is not None and file is not None:
        _tell(_from_file(outcomes, file, name, Decimal(confidence)), out, lang, as_json)
    else:
        raise UsageError("expected either a CSV with --experiments TOML, or --store FILE alone; see --help")


def _tell(made: TrialReport | KeptReport, out: Path | None, lang: Literal["en", "zh"], as_json: bool) -> None:
    result, note = (made.report, [made.told]) if isinstance(made, KeptReport) else (made, [])
    if out is not None:
        from parties.bank.experiments.page import render  # jinja2 costs every other command 0.1 s
        write_whole(out, render(result, lang).encode())
    value = made.model_dump(mode="json")
    sys.stdout.write((canonical_json(value).decode() if as_json else "\n".join([_lines(result), *note])) + "\n")
    if not result.sound:
        raise typer.Exit(1)


def _from_file(outcomes: Path, file: Path, name: str, confidence: Decimal) -> TrialReport:
    known = Experiments.from_toml_text(file.read_text(encoding="utf-8"), str(file))
    return make_report(known, _experiment(known, file, name), read_outcomes(outcomes), confidence)


def _from_store(file: Path, name: str, purpose: str, confidence: Decimal) -> KeptReport:
    party = LoadedParty(file, "bank")
    rulebook = Rulebook.load(beside(party.home, decisions_of(party).rulebook))
    experiment = _experiment(rulebook.experiments, file, name)
    protection.unlock(party.home, party.config.keys)
    with open_node_store(party) as store:
        kept = Kept(store, rulebook, lending_policy(party))
        return report_kept(kept, experiment, Reader(who(), "operator", purpose), datetime.now(UTC), confidence)


def _experiment(known: Experiments, file: Path, name: str) -> Experiment:
    experiment = known.get(name)
    if experiment is None:
        names = ", ".join(e.name for e in known.experiments) or "none"
        raise ConfigError(f"{file}: expected an experiment named {name}; it has: {names}")
    return experiment


def _lines(result: TrialReport) -> str:
    from parties.bank.experiments.page import shown
    lines = [f"{result.experiment}: {result.persons} of {result.planned_persons} planned people, "
             + ("sound" if result.sound else "NOT SOUND")
             + f" (misassigned {result.misassigned}, outside {result.outside}, repeated {result.repeated})"]
    for phase in result.phases:
        lines.append(f"{phase.first} to {phase.last}: {phase.persons} people, sample ratio p = {phase.sample_ratio}"
                     + (" SUSPECT" if phase.suspect else ""))
        for c in phase.comparisons:
            low, mid, high = (shown(c.metric, v, signed=True) for v in (c.low, c.difference, c.high))
            lines.append(f"  {c.arm:<16} {c.metric:<20} {mid:>14}  [{low} … {high}]  {c.conclusion}")
    return "\n".join(lines)
