"""`serve`, the same for both kinds of party: run the daemon until SIGTERM or SIGINT."""
from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from parties.runtime.config import LoadedParty
from parties.runtime.daemon import Daemon
from parties.runtime.side import Side
from parties.runtime.tables import infer_config, load_table
from protocols.node import core_dumps, protection


def serve(path: Path, role: str, side: Callable[[], Side]) -> None:
    """Start the node of `path`, say so in one line of JSON and in state/ready.json, stop it cleanly on a signal."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    core_dumps.forbid()
    party = LoadedParty(path, role)
    protection.unlock(party.home, party.config.keys)
    for folder in (party.state, party.home / "logs"):
        folder.mkdir(mode=0o700, exist_ok=True)
    daemon = Daemon(party, side)
    try:
        daemon.start()
        ready = {"ready": True, "party": party.name, "pid": os.getpid()}
        (party.state / "ready.json").write_text(json.dumps(ready), encoding="utf-8")
        typer.echo(json.dumps(ready))
        daemon.serve_until(stop)
    finally:
        (party.state / "ready.json").unlink(missing_ok=True)
        daemon.stop()


def describe_table(path: Path, id_column: str, label: str | None, as_json: bool) -> str:
    """The table section that fits a CSV file, as TOML or JSON; types are inferred, the rest is for a person to set.

    DataError as a node would raise it when it starts with this table.
    """
    config = infer_config(path, id_column, label)
    load_table(config)
    section = config.model_dump(mode="json", exclude_none=True) | {"path": str(path)}
    if as_json:
        section["path"] = str(path.resolve())
        return json.dumps(section) + "\n"
    columns = section.pop("columns")
    head = [f"{name} = {json.dumps(value)}" for name, value in section.items()]
    rows = [f"{json.dumps(name)} = {_inline(spec)}" for name, spec in columns.items()]
    note = "# a relative path starts at this file; review the types, add `missing` and `special` codes"
    return "\n".join(["[tables.customers]", note, *head, "", "[tables.customers.columns]", *rows, ""])


def _inline(spec: dict[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in spec.items() if value != []) + " }"
