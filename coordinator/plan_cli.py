"""`sealscore plan`: draft a plan from what the parties published, and check one."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from coordinator.options import ConfigOption, JsonOption, opened
from coordinator.plan_file import catalogues_of, draft, problems, read_plan
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
        typer.echo(json.dumps({"ok": not found, "digest": parsed.digest(), "problems": found}, indent=2))
    if found:
        raise ConfigError(f"{plan.name}: " + "; ".join(found))
    if not as_json:
        typer.echo(f"{plan.name} is sound; digest {parsed.digest()}")


def main(argv: list[str]) -> int:
    """Entry point of `sealscore plan`."""
    return cli.run(app, argv, "plan")
