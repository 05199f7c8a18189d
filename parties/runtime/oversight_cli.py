"""`sealscore bank|platform runs|approve|reject|revoke|openings|acknowledge`: what people at a node see and decide."""
from __future__ import annotations

import json
import os
import pwd
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from parties.runtime import local_api, rollback
from parties.runtime.config import LoadedParty
from protocols.errors import PolicyRefused, SealscoreError, UsageError

CALL_S = 60.0
ConfigArgument = Annotated[Path, typer.Argument(metavar="FILE", help="the node's TOML file")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="r-…, as `runs` lists it")]
WhatArgument = Annotated[str, typer.Argument(metavar="RUN|MODEL", help="r-… or m-…")]
ReasonOption = Annotated[str, typer.Option(help="kept in the audit log")]
YesOption = Annotated[bool, typer.Option("--yes", help="do not ask again")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]


def add_commands(app: typer.Typer, role: str) -> None:
    """Give the app of a kind of party the commands of this module."""

    @app.command()
    def runs(config: ConfigArgument, as_json: JsonOption = False) -> None:
        """List this node's runs; of one that waits for approval, what would leave the node and who would learn what."""
        told = _ask(config, role, "runs", {})
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False)) if as_json else _print_runs(told)

    @app.command()
    def approve(config: ConfigArgument, run: RunArgument, reason: ReasonOption = "", yes: YesOption = False,
                as_json: JsonOption = False) -> None:
        """Let a run that waits begin, after showing once more what it discloses."""
        _print_waiting(_ask(config, role, "runs", {}), run, quiet=as_json)
        _confirm(f"approve {run}?", yes)
        _done(_ask(config, role, "approve", {"run": run, "by": who(), "reason": reason}), f"{run} is approved", as_json)

    @app.command()
    def reject(config: ConfigArgument, run: RunArgument, reason: ReasonOption = "",
               as_json: JsonOption = False) -> None:
        """Refuse a run that waits; it ends at the coordinator with this node's refusal."""
        _done(_ask(config, role, "reject", {"run": run, "by": who(), "reason": reason}), f"{run} is rejected", as_json)

    @app.command()
    def revoke(config: ConfigArgument, what: WhatArgument, reason: ReasonOption = "", yes: YesOption = False,
               as_json: JsonOption = False) -> None:
        """Stop a run here for good, or all future scoring with a model."""
        _confirm(f"revoke {what}? this cannot be undone", yes)
        told = _ask(config, role, "revoke", {"what": what, "by": who(), "reason": reason})
        _done(told, f"revoked: {', '.join(told['revoked'])}", as_json)

    @app.command()
    def openings(config: ConfigArgument, as_json: JsonOption = False) -> None:
        """Show what this node opened to whom, over all runs, and how often one person was opened at most."""
        told = _ask(config, role, "openings", {})
        typer.echo(json.dumps(told, indent=2)) if as_json else _print_openings(told)

    @app.command()
    def acknowledge(config: ConfigArgument, reason: Annotated[str, typer.Option(help="kept in the audit log")],
                    yes: YesOption = False, as_json: JsonOption = False) -> None:
        """Let a node start whose stores are older than its audit log says; runs whose store is older are deleted."""
        _confirm("start from older copies? openings that they do not show may be made again", yes)
        found = rollback.acknowledge(LoadedParty(config, role), who(), reason)
        _done({"ok": True, "acknowledged": found}, f"acknowledged: {', '.join(found)}; start the node", as_json)


def who() -> str:
    """The account that calls, and the one that became it with sudo."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER", "")
    return f"{behind} as {name}" if behind.isprintable() and 0 < len(behind) <= 64 and behind != name else name


def _ask(config: Path, role: str, method: str, body: dict[str, Any]) -> dict[str, Any]:
    """The daemon's answer; what it refuses is raised."""
    reply = local_api.call(LoadedParty(config, role).socket, method, body, CALL_S)
    if reply.get("ok") is True:
        return reply
    sentence = str(reply.get("refused") or reply.get("error") or "the daemon gave no cause; see its log")
    if isinstance(reply.get("setting"), str):
        raise PolicyRefused(reply["setting"], sentence.removeprefix(f"policy setting {reply['setting']}: "))
    raise SealscoreError(sentence)


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to ask; repeat the command with --yes")
    typer.confirm(question, abort=True)


def _done(reply: dict[str, Any], sentence: str, as_json: bool) -> None:
    typer.echo(json.dumps(reply, indent=2) if as_json else sentence)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False, soft_wrap=True)


def _print_runs(told: dict[str, Any]) -> None:
    if not told["runs"]:
        typer.echo("no runs yet")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("run", "kind", "state", "asked for", "decided by", "decided at", "reason"):
        table.add_column(name, overflow="fold")
    for row in told["runs"]:
        state = f"waiting for approval at {told['party']}" if row["state"] == "waiting" else row["state"]
        table.add_row(row["run"], row["kind"] or "", state, row["asked_at"] or "", row["decided_by"] or "",
                      row["decided_at"] or "", row["reason"] or "")
    _console().print(table)
    for row in told["runs"]:
        if row["state"] == "waiting":
            _print_waiting(told, row["run"])


def _print_waiting(told: dict[str, Any], run: str, *, quiet: bool = False) -> None:
    """What a run discloses, if it waits."""
    lines = next((row.get("lines") for row in told["runs"] if row["run"] == run), None)
    if lines and not quiet:
        typer.echo("\n".join(["", f"{run} waits for a person of {told['party']}", *lines, ""]))


def _print_openings(told: dict[str, Any]) -> None:
    if not told["openings"]:
        typer.echo("nothing was opened yet")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("kind", "to", "numbers", "runs", "people", "times a person at most"):
        table.add_column(name, justify="left" if name in ("kind", "to") else "right")
    for line in told["openings"]:
        counts = ["-" if line[name] is None else str(line[name]) for name in ("numbers", "runs", "people", "times")]
        table.add_row(line["kind"], line["learner"], *counts)
    _console().print(table)
