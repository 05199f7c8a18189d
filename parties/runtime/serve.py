"""`serve`, the same for both kinds of party: run the daemon until SIGTERM or SIGINT."""
from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import typer

from parties.runtime.config import LoadedParty
from parties.runtime.daemon import Daemon
from parties.runtime.side import Side


def serve(path: Path, role: str, side: Callable[[], Side]) -> None:
    """Start the node of `path`, say so in one line of JSON and in state/ready.json, stop it cleanly on a signal."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    party = LoadedParty(path, role)
    for folder in (party.state, party.home / "logs"):
        folder.mkdir(mode=0o700, exist_ok=True)
    daemon = Daemon(party, side)
    try:
        daemon.start()
        ready = {"ready": True, "party": party.name, "pid": os.getpid()}
        (party.state / "ready.json").write_text(json.dumps(ready), encoding="utf-8")
        typer.echo(json.dumps(ready))
        stop.wait()
    finally:
        (party.state / "ready.json").unlink(missing_ok=True)
        daemon.stop()
