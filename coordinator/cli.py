"""`sealscore coordinator`: run the coordinator's node; who is in the federation."""
from __future__ import annotations

import contextlib
import json
import logging
import signal
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from coordinator import canary, members
from coordinator.config import CoordinatorConfig, load_config
from coordinator.launch import is_serving
from coordinator.options import ConfigOption, opened
from coordinator.supervisor import CoordinatorNode
from protocols.errors import SealscoreError, UsageError
from protocols.node import cli, core_dumps
from protocols.node.certs_cli import show
from protocols.node.enrol import JoinRequest
from protocols.node.identity_files import load_identity, trust_json

TAKEN_S = 20.0
app = typer.Typer(help="Run the coordinator's node; add and remove parties.", no_args_is_help=True)


@app.callback()
def _coordinator() -> None:
    """Run the coordinator's node; add and remove parties."""


@app.command()
def serve(config: Annotated[Path, typer.Argument(metavar="FILE", help="coordinator.toml")]) -> None:
    """Run SuperLink, ServerApp executor, TLS front and hub until SIGTERM or SIGINT; SIGHUP reads the parties again."""
    settings = load_config(config)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    core_dumps.forbid()
    canary.sing(settings.home, settings.node.name)
    node = CoordinatorNode(settings)
    signal.signal(signal.SIGHUP, lambda *_: node.reload())
    try:
        node.start()
        typer.echo(json.dumps({"ready": True, "front": settings.listen.front, "hub": settings.listen.hub}))
        node.watch(stop)
    finally:
        node.stop()


@app.command()
def parties(config: ConfigOption = None) -> None:
    """The configured parties, when each was last seen, and the tables it published."""
    with opened(config) as (settings, registry):
        seen = registry.parties()
    for name, party in sorted(settings.parties.items()):
        row = seen.get(name)
        tables = ", ".join(sorted((row or {"catalogue": {}})["catalogue"].get("tables", {}))) or "-"
        typer.echo(f"{name:<16} {party.role:<9} last seen {row['online_at'][:19] if row else 'never'}  tables {tables}")


RequestOption = Annotated[Path, typer.Option("--request", metavar="FILE", help="the party's request.json")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="name of the new party")],
    request: RequestOption,
    config: ConfigOption = None,
) -> None:
    """Add a party: check its request, keep its keys, put it into coordinator.toml; a running coordinator takes it."""
    asked = JoinRequest.decode(request.read_bytes(), str(request))
    settings = members.add(config, name, asked)
    show(asked)
    typer.echo(f"\n{name} stands in {settings.source}. {_taken(settings, name)}")


@app.command()
def rekey(
    name: Annotated[str, typer.Argument(help="name of the party")],
    request: RequestOption,
    config: ConfigOption = None,
) -> None:
    """Take a party's new SuperNode key, from a request that its identity signed."""
    asked = JoinRequest.decode(request.read_bytes(), str(request))
    _refuse_in_a_run(config, name)
    settings = members.rekey(config, name, asked)
    show(asked)
    typer.echo(f"\n{name} has a new SuperNode key here; it installs its bundle and restarts. {_taken(settings, name)}")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="name of the party that leaves")],
    config: ConfigOption = None,
) -> None:
    """Remove a party: its SuperNode and its daemon are turned away from now on, whatever certificate they have."""
    _refuse_in_a_run(config, name)
    settings = members.remove(config, name)
    typer.echo(f"{name} is out of {settings.source}. {_taken(settings, name)}\nIts peers take its section out of their "
               "policy.toml; evidence of runs with it stays valid.")


@app.command()
def trust(config: ConfigOption = None) -> None:
    """Print trust.json of the federation as this coordinator knows it: auditors compare it with the nodes."""
    settings = load_config(config)
    identities = {n: bytes.fromhex(p.identity) for n, p in settings.parties.items()}
    identities[settings.node.name] = load_identity(settings.home).public
    typer.echo(trust_json(identities).decode(), nl=False)


def _refuse_in_a_run(config: Path | None, name: str) -> None:
    """A run under way reaches its parties by the SuperNode keys it began with."""
    with opened(config) as (_, registry):
        busy = [r["id"] for r in registry.active_runs() if name in json.loads(r["plan_json"])["parties"]]
    if busy:
        raise UsageError(f"{name} takes part in {', '.join(busy)}; wait, or end it with `sealscore runs cancel RUN`")


def _taken(settings: CoordinatorConfig, name: str) -> str:
    """Wait until a running coordinator has taken the change, and say so; SealscoreError when it refuses."""
    if not is_serving(settings):
        return "The coordinator is not running; it reads this at its next start."
    ready, wanted = settings.home / "state" / "ready.json", members.supernode_digests(settings).get(name)
    stamp, end = list(members.stamp_of(settings.source)), time.monotonic() + TAKEN_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            facts = json.loads(ready.read_text())
            if facts["supernodes"].get(name) == wanted:
                return "The running coordinator has taken it; nobody was restarted."
            if facts["reload_error"] and facts["stamp"] == stamp:
                raise SealscoreError(f"{settings.source.name} is written, but the running coordinator could not take "
                                     f"it and tries again: {facts['reload_error']}")
        time.sleep(0.2)
    raise SealscoreError(f"{settings.source.name} is written, but the running coordinator has not taken it within "
                         f"{TAKEN_S:.0f} s; see its log")


def main(argv: list[str]) -> int:
    """Entry point of `sealscore coordinator`."""
    return cli.run(app, argv, "coordinator")
