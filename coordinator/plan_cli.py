"""`sealscore plan`: draft a plan from what the parties published, and check one."""
from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from coordinator.config import CONFIG_VARIABLE, DEFAULT_CONFIG
from coordinator.cost.estimate import estimate
from coordinator.cost.parts import Calibration
from coordinator.cost.show import print_estimate
from coordinator.cost.workload import Machines, Overrides, workload
from coordinator.options import ConfigOption, JsonOption, opened
from coordinator.plan_file import Catalogues, catalogues_of, draft, notes, problems, read_plan
from protocols.errors import ConfigError, UsageError
from protocols.node import cli

app = typer.Typer(help="Draft and check plans.", no_args_is_help=True)


@app.command()
def init(
    out: Annotated[Path | None, typer.Option(help="file to write; default: print")] = None, config: ConfigOption = None
) -> None:
    """Draft a commented plan from the parties' published column names, types and missing rates."""
    with opened(config) as (settings, registry):
        text = draft(settings, catalogues_of(registry.parties()))
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        with out.open("x", encoding="utf-8") as sink:
            sink.write(text)
    except FileExistsError:
        raise UsageError(f"{out} exists already; choose another name with --out") from None
    typer.echo(f"wrote {out}")


@app.command()
def check(
    plan: Annotated[Path, typer.Argument(help="the plan, a TOML file")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a plan against the parties this coordinator knows and the tables they published."""
    parsed = read_plan(plan)
    with opened(config) as (settings, registry):
        found = problems(parsed, settings, catalogues_of(registry.parties()))
    if as_json:
        told = {"ok": not found, "digest": parsed.digest(), "problems": found, "notes": notes(parsed)}
        typer.echo(json.dumps(told, indent=2))
    if found:
        raise ConfigError(f"{plan.name}: " + "; ".join(found))
    if not as_json:
        typer.echo("\n".join([f"{plan.name} is sound; digest {parsed.digest()}", *notes(parsed)]))


@app.command()
def cost(
    plan: Annotated[Path, typer.Argument(help="the plan, a TOML file")],
    rows: Annotated[int | None, typer.Option(help="people in common, of all banks together")] = None,
    bank_columns: Annotated[int | None, typer.Option(help="encoded columns of a bank")] = None,
    platform_columns: Annotated[int | None, typer.Option(help="encoded columns of each platform")] = None,
    banks: Annotated[int | None, typer.Option(help="as if so many banks took part")] = None,
    platforms: Annotated[int | None, typer.Option(help="as if so many platforms took part")] = None,
    platform_rows: Annotated[int | None, typer.Option(help="people whom a platform brings; default: those of all "
                                                      "banks")] = None,
    bandwidth_mbit: Annotated[float | None, typer.Option(min=0.01, help="each party's line to the hub")] = None,
    rtt_ms: Annotated[float, typer.Option(min=0, help="to the hub and back")] = 0.0,
    cores: Annotated[int | None, typer.Option(min=1, help="everything on one machine with so many cores; default: a "
                                              "machine each")] = None,
    party_cores: Annotated[int, typer.Option(min=1, help="cores of each party's machine")] = 2,
    calibration: Annotated[Path | None, typer.Option(help="measured parts, as `make bench ARGS=cost` prints "
                                                     "them")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict seconds, bytes and memory of a run before anything is started, and what bounds it."""
    asked = Overrides(rows, bank_columns, platform_columns, banks, platforms, platform_rows)
    work = workload(read_plan(plan), _known(config, rows), asked)
    found = estimate(work, Calibration.load(calibration), Machines(bandwidth_mbit, rtt_ms, cores, party_cores))
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        print_estimate(found, Console(width=None if sys.stdout.isatty() else 200, highlight=False, soft_wrap=True))


def _known(config: Path | None, rows: int | None) -> Catalogues:
    """What the parties published; nothing where there is no coordinator and the rows are given."""
    there = config is not None or CONFIG_VARIABLE in os.environ or DEFAULT_CONFIG.exists()
    if rows is not None and not there:
        return {}
    if not there:
        raise ConfigError("the number of rows is unknown without a coordinator; give --rows, or --config")
    with opened(config) as (_, registry):
        return catalogues_of(registry.parties())


def main(argv: list[str]) -> int:
    """Entry point of `sealscore plan`."""
    return cli.run(app, argv, "plan")
