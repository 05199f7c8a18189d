"""`sealscore policy`: what a policy file permits, in plain words, and how two differ."""
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from protocols.errors import ConfigError
from protocols.node import cli
from protocols.policy import Policy
from protocols.policy_words import explain, permitted_beyond

JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]
app = typer.Typer(help="Explain and compare policy files.", no_args_is_help=True)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a policy file")],
    as_json: JsonOption = False,
) -> None:
    """Validate a policy and explain each of its settings in one sentence."""
    policy = read_policy(file)
    found = explain(policy)
    if as_json:
        told = {"ok": True, "digest": policy.digest(), "settings": [entry.to_json() for entry in found]}
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("setting", "from", "what it permits"):
        table.add_column(name, overflow="fold")
    for entry in found:
        table.add_row(entry.setting, "file" if entry.given else "default", entry.permits)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)
    typer.echo(f"\n{file.name} is a valid policy; digest {policy.digest()}")


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="a policy file")],
    second: Annotated[Path, typer.Argument(metavar="B", help="another one")],
    as_json: JsonOption = False,
) -> None:
    """Say what B permits that A does not, and the reverse; exit code 1 if there is anything, as diff does."""
    one, other = read_policy(first), read_policy(second)
    only_second, only_first = permitted_beyond(one, other), permitted_beyond(other, one)
    if as_json:
        told = {name: [{"setting": setting, "permits": sentence} for setting, sentence in entries]
                for name, entries in (("only_first", only_first), ("only_second", only_second))}
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _print_only(second, first, only_second)
        _print_only(first, second, only_first)
    if only_second or only_first:
        raise typer.Exit(1)


def _print_only(here: Path, there: Path, entries: list[tuple[str, str]]) -> None:
    typer.echo(f"{here} permits what {there} does not:" if entries else f"{here} permits nothing that {there} does not")
    for setting, sentence in entries:
        typer.echo(f"  {setting:<34} {sentence}")


def read_policy(path: Path) -> Policy:
    """A policy file; ConfigError names what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as fault:
        raise ConfigError(f"{path}: {(fault.strerror or 'cannot be read').lower()}; give a policy file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text; give a policy file") from None
    return Policy.from_toml_text(text, path.name)


def main(argv: list[str]) -> int:
    """Entry point of `sealscore policy`."""
    return cli.run(app, argv, "policy")
