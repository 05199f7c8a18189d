"""`sealscore bank experiments`: the report of an experiment from a file of outcomes."""
from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import typer

from parties.bank.decision.experiments import Experiment, Experiments
from parties.bank.decision.trial import TrialReport
from parties.bank.decision.trial import report as make_report
from parties.bank.experiments.table import read_outcomes
from parties.runtime.files import write_whole
from protocols.canonical import canonical_json
from protocols.errors import ConfigError

app = typer.Typer(help="What the experiments on decisions show.", no_args_is_help=True)
Confidence = Literal["0.9", "0.95", "0.99"]


@app.callback()
def experiments() -> None:
    """What the experiments on decisions show."""


@app.command()
def report(
    outcomes: Annotated[Path, typer.Argument(metavar="CSV", help=(
        "columns person (keyed hash), arm, decided_on (YYYY-MM-DD), approved (yes or no), bad (yes, no, or empty "
        "before there is a result), limit_fen, amount_fen, daily_rate"))],
    file: Annotated[Path, typer.Option("--experiments", metavar="TOML", help="experiments.toml of the rulebook")],
    name: Annotated[str, typer.Option("--name", help="the experiment")],
    out: Annotated[Path | None, typer.Option("--out", metavar="HTML", help="also draw a page")] = None,
    lang: Annotated[Literal["en", "zh"], typer.Option(help="the page's language")] = "en",
    confidence: Annotated[Confidence, typer.Option(help="of all challengers' intervals together")] = "0.95",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of lines")] = False,
) -> None:
    """Compare the challengers of an experiment with its champion. Exit code 1 if the comparison is not sound."""
    known = Experiments.from_toml_text(file.read_text(encoding="utf-8"), str(file))
    result = make_report(known, _experiment(known, file, name), read_outcomes(outcomes), Decimal(confidence))
    if out is not None:
        from parties.bank.experiments.page import render  # jinja2 costs every other command 0.1 s
        write_whole(out, render(result, lang).encode())
    sys.stdout.write((canonical_json(result.model_dump(mode="json")).decode() if as_json else _lines(result)) + "\n")
    if not result.sound:
        raise typer.Exit(1)


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
