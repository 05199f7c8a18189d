"""`sealscore coordinator`: run the coordinator's node."""
from __future__ import annotations

import json
import logging
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from coordinator.config import load_config
from coordinator.options import ConfigOption, opened
from coordinator.supervisor import CoordinatorNode
from protocols.node import cli

app = typer.Typer(help="Run the coordinator's node.", no_args_is_help=True)


@app.callback()
def _coordinator() -> None:
    """Run the coordinator's node."""


@app.command()
def serve(config: Annotated[Path, typer.Argument(metavar="FILE", help="coordinator.toml")]) -> None:
    """Run SuperLink, ServerApp executor, TLS front and hub until SIGTERM or SIGINT."""
    settings = load_config(config)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    node = CoordinatorNode(settings)
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


def main(argv: list[str]) -> int:
    """Entry point of `sealscore coordinator`."""
    return cli.run(app, argv, "coordinator")
