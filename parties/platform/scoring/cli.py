"""`sealscore platform scoring prepare|refresh|serve`."""
from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import typer

from parties.platform.scoring.online_store import open_store
from parties.platform.scoring.refresh import refresh
from parties.platform.scoring.server import Service, serve
from parties.runtime.config import LoadedParty
from parties.runtime.oversight_cli import ConfigArgument, JsonOption
from parties.runtime.scoring.cli import scoring_app
from parties.runtime.scoring.settings import ScoringConfig
from protocols.node import core_dumps, protection
from protocols.node.identity_files import load_identity

READY = "scoring-ready.json"
SWITCH_S = 0.0005  # one thread computes, another talks: at Python's 5 ms the second waits longer than the first works


def platform_scoring() -> typer.Typer:
    """The app of `sealscore platform scoring`."""
    app = scoring_app("platform")
    app.command("refresh")(fill)
    app.command("serve")(answer)
    return app


def fill(config: ConfigArgument, as_json: JsonOption = False) -> None:
    """Encode the table as each prepared model does and fill the online store: the feature job."""
    party = _unlocked(config)
    store = open_store((party.config.scoring or ScoringConfig()).store, party.home)
    try:
        done = refresh(party, load_identity(party.home), store, datetime.now(UTC))
    finally:
        store.close()
    if as_json:
        typer.echo(json.dumps([vars(one) for one in done], indent=2))
        return
    for one in done:
        typer.echo(f"{one.model}: {one.people} people, snapshot {one.snapshot}; too little data: {one.insufficient} "
                   "rows of the table")


def answer(config: ConfigArgument) -> None:
    """Answer banks online until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    core_dumps.forbid()
    sys.setswitchinterval(SWITCH_S)
    party = _unlocked(config)
    service = Service(party, load_identity(party.home))
    gc.collect()
    gc.freeze()  # what lives as long as the process is not looked through again and again: calls would wait for that
    try:
        asyncio.run(_until_signal(service))
    finally:
        gc.unfreeze()
        service.close()
        (party.state / READY).unlink(missing_ok=True)


async def _until_signal(service: Service) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def ready(port: int) -> None:
        told = {"ready": True, "party": service.party.name, "pid": os.getpid(), "port": port}
        (service.party.state / READY).write_text(json.dumps(told), encoding="utf-8")
        typer.echo(json.dumps(told))

    await serve(service, stop, ready)


def _unlocked(config: Path) -> LoadedParty:
    party = LoadedParty(config, "platform")
    protection.unlock(party.home, party.config.keys)
    party.state.mkdir(mode=0o700, exist_ok=True)
    return party
