"""`sealscore run`, `sealscore runs`, `sealscore score`: for the data scientist at the coordinator."""
from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from coordinator import launch
from coordinator.bulk_usage import read_usage
from coordinator.config import CoordinatorConfig
from coordinator.options import ConfigOption, DetachOption, JsonOption, opened
from coordinator.plan_file import read_plan, scoring_plan
from coordinator.registry import Registry
from protocols.errors import UsageError
from protocols.node import cli
from protocols.node.progress import ProgressView, bytes_text, seconds_text
from protocols.plan import Plan

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="run id, as `sealscore runs list` shows it")]
CANCEL_WAIT_S = 60.0

run_app = typer.Typer(help="Start a run and follow it.")
score_app = typer.Typer(help="Score aligned customers with a published model.")
runs_app = typer.Typer(help="List, show, cancel and resume runs.", no_args_is_help=True)


@run_app.command()
def run_plan(
    plan: Annotated[Path, typer.Argument(help="the plan, a TOML file")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
    detach: DetachOption = False,
) -> None:
    """Start PLAN through Flower and follow it: phase, step, time left and bytes of each party."""
    with opened(config) as (settings, registry):
        _start(settings, registry, read_plan(plan), as_json, detach)


@score_app.command()
def score_model(
    model_id: Annotated[str, typer.Argument(metavar="MODEL_ID", help="m-…, as `sealscore runs list` shows it")],
    table: Annotated[
        list[str] | None, typer.Option(help="PARTY=TABLE to score another table than the model was trained on")
    ] = None,
    bank: Annotated[str | None, typer.Option(help="the bank to score for, when the model has several")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    detach: DetachOption = False,
) -> None:
    """Score the common customers of a bank and the platforms; the scores stay at the bank."""
    with opened(config) as (settings, registry):
        model = registry.model(model_id)
        if model["state"] != "published":
            told = model["state"] + _revokers(model["revoked_by"])
            raise UsageError(f"model {model_id} is {told}; choose a published one")
        trained = Plan.from_canonical(registry.run(model["run"])["plan_json"].encode())
        plan = scoring_plan(trained, model_id, _tables(trained, table or []), bank)
        _start(settings, registry, plan, as_json, detach)


def _revokers(revoked_by: dict[str, str]) -> str:
    return " by " + ", ".join(f"{party} at {at[:19]}" for party, at in revoked_by.items()) if revoked_by else ""


def _tables(trained: Plan, given: list[str]) -> dict[str, str]:
    """--table values; a bare TABLE stands for the same name at every party."""
    tables: dict[str, str] = {}
    for text in given:
        party, separator, name = text.partition("=")
        tables.update({party: name} if separator else dict.fromkeys(trained.parties, text))
    return tables


def _start(config: CoordinatorConfig, registry: Registry, plan: Plan, as_json: bool, detach: bool) -> None:
    run = launch.submit(config, registry, plan)
    _finish(config, registry, run, as_json, detach)


def _finish(config: CoordinatorConfig, registry: Registry, run: str, as_json: bool, detach: bool) -> None:
    if detach:
        told = f"{run} started; `sealscore runs show {run}` tells how it goes"
        typer.echo(json.dumps({"run": run}) if as_json else told)
        return
    try:
        with ProgressView(run, quiet=as_json) as view:
            row = launch.follow(config, registry, run, view)
    except KeyboardInterrupt:
        sys.stderr.write(f"{run} goes on; `sealscore runs cancel {run}` ends it\n")
        raise
    facts = launch.summary(registry, row)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    launch.raise_unless_finished(row)
    if not as_json:
        _print_end(facts)


def _print_end(facts: dict[str, Any]) -> None:
    if facts["kind"] == "train":
        typer.echo(f"published model {facts['model_id']}")
    else:
        typer.echo(f"scored with model {facts['model_id']}; the scores are at the label party")
    _print_metrics(facts["result"] or {})


def _print_metrics(card: dict[str, Any]) -> None:
    """Figures of the model card, of several banks side by side."""
    each = card.get("metrics_by_bank") or {"": card.get("metrics") or {}}
    names = sorted({name for metrics in each.values() for name, value in metrics.items()
                    if isinstance(value, int | float)})
    if len(each) > 1:
        typer.echo(f"  {'':<20} " + " ".join(f"{bank:>12}" for bank in each))
    for name in names:
        cells = [_figure(metrics.get(name)) for metrics in each.values()]
        typer.echo(f"  {name:<20} " + (cells[0] if len(each) == 1 else " ".join(f"{cell:>12}" for cell in cells)))


def _figure(value: object) -> str:
    if not isinstance(value, int | float):
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


@runs_app.command("list")
def list_runs(config: ConfigOption = None, as_json: JsonOption = False, limit: int = 50) -> None:
    """The newest runs first."""
    with opened(config) as (_, registry):
        facts = [launch.summary(registry, row) for row in registry.runs(limit)]
    if as_json:
        short = [{k: v for k, v in f.items() if k not in ("progress", "result")} for f in facts]
        typer.echo(json.dumps(short, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("run", "kind", "state", "created", "model"):
        table.add_column(name, no_wrap=True)
    table.add_column("ended because", overflow="fold")
    for f in facts:
        cause = f"{f['failure']['party']}, {f['failure']['phase']}: {f['failure']['cause']}" if f["failure"] else ""
        table.add_row(f["run"], f["kind"], f["state"], f["created_at"][:19], f["model_id"] or "", cause)
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table if facts else "no runs yet; start one with `sealscore run PLAN`")


@runs_app.command()
def show(run: RunArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """One run: state, agreement, progress of each party, result or cause of its end."""
    with opened(config) as (settings, registry):
        facts = launch.summary(registry, registry.run(run))
    usage = read_usage(settings.home, run)
    if as_json:
        typer.echo(json.dumps(facts | {"hub": asdict(usage) if usage else None}, indent=2))
        return
    for name in ("run", "kind", "purpose", "state", "created_at", "plan_digest", "agreement", "model_id"):
        typer.echo(f"{name:<12} {facts[name] or '-'}")
    if facts["waiting_for_approval"]:
        typer.echo(f"{'waiting':<12} for approval at {', '.join(facts['waiting_for_approval'])}")
    if facts["revoked_by"]:
        typer.echo(f"{'model':<12} revoked{_revokers(facts['revoked_by'])}")
    if again := launch.continued_text(facts["attempts"]):
        typer.echo(f"{'attempts':<12} {again}")
    for lost in facts["attempts"]["lost"]:
        typer.echo(f"  attempt {lost['number']} was lost at {lost['lost_at'][:19]}: {lost['cause']}")
    for name, value in (facts["failure"] or {}).items():
        typer.echo(f"{name:<12} {value}")
    for p in facts["progress"]:
        traffic = f"{bytes_text(p['bytes_out'])} out, {bytes_text(p['bytes_in'])} in"
        typer.echo(f"  {p['party']:<12} {p['phase']:<12} {p['state']:<10} {seconds_text(p['seconds']):>10}  {traffic}")
    _print_metrics(facts["result"] or {})
    if usage:
        typer.echo(f"{'hub':<12} added {usage.summands} ciphertexts in {usage.add_cpu_s:.2f} s of CPU, "
                   f"{bytes_text(usage.bytes_in)} in, {bytes_text(usage.bytes_out)} out")


@runs_app.command()
def cancel(run: RunArgument, config: ConfigOption = None) -> None:
    """End a run; the parties stop and keep nothing of the unfinished model."""
    with opened(config) as (settings, registry):
        registry.cancel(run)
        wait_s = CANCEL_WAIT_S if launch.is_serving(settings) else 0.0
        state = launch.wait_cancelled(registry, run, wait_s)
    typer.echo(f"{run} is {state}")


@runs_app.command()
def resume(
    run: RunArgument,
    without: Annotated[str | None, typer.Option(help="start anew with the same plan, but without this party")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    detach: DetachOption = False,
) -> None:
    """Continue a failed run from what the parties have."""
    with opened(config) as (settings, registry):
        if without is None:
            launch.resume(settings, registry, run)
        else:
            run = launch.start_without(settings, registry, run, without)
        _finish(settings, registry, run, as_json, detach)


def run(argv: list[str]) -> int:
    """Entry point of `sealscore run`."""
    return cli.run(run_app, argv, "run")


def runs(argv: list[str]) -> int:
    """Entry point of `sealscore runs`."""
    return cli.run(runs_app, argv, "runs")


def score(argv: list[str]) -> int:
    """Entry point of `sealscore score`."""
    return cli.run(score_app, argv, "score")
