"""A hub in its own process over a registry that is one JSON file: {"state": …, "parties": […], "cause": …}.

    python hub_process.py HOME PORT STATE.json
"""
from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from coordinator.hub_main import serve
from protocols.node.tls import NodeTls


class FileRegistry:
    """Every run exists; events are appended to STATE.json.events."""

    def __init__(self, path: Path):
        self._path = path

    def _read(self) -> dict:
        return json.loads(self._path.read_text())

    def run(self, run: str) -> dict:
        held = self._read()
        plan = json.dumps({"parties": {name: {} for name in held["parties"]}})
        return {"plan_json": plan, "state": held["state"], "cause": held.get("cause")}

    def run_state(self, run: str) -> str | None:
        return None if run == "r-" + "f" * 16 else self._read()["state"]

    def record_progress(self, run: str, party: str, event: dict) -> None:
        self._append({"run": run, "party": party, **event})

    def party_online(self, party: str, catalogue: dict) -> None:
        self._append({"party": party, "catalogue": catalogue})

    def _append(self, entry: dict) -> None:
        with self._path.with_suffix(".events").open("a") as file:
            file.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    home, port, state = sys.argv[1:]
    asyncio.run(serve(NodeTls.load(Path(home)), FileRegistry(Path(state)), "127.0.0.1", int(port)))
