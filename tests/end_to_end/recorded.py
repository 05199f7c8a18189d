"""A federation of which each party's node runs under the recorder (`recording_node.py`)."""
from __future__ import annotations

import sys
from pathlib import Path

from coordinator.demo.federation import FEATURE, LABEL, Federation
from protocols.node.supervise import Service, environment

ROOT = Path(__file__).resolve().parents[2]


class RecordedFederation(Federation):
    """Both parties under the recorder."""

    def record(self, party: str) -> Path:
        return self.home(party) / "record.bin"

    def _service(self, node: str) -> Service:
        if node not in (LABEL, FEATURE):
            return super()._service(node)
        home = self.home(node)
        command = (sys.executable, "-m", "tests.end_to_end.recording_node", node, str(home / f"{node}.toml"),
                   str(self.record(node)))
        return Service(f"{node} node", command, home / "logs" / "node.log", environment(PYTHONPATH=str(ROOT)))
