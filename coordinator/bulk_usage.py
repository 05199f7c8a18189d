"""What bulks of a run cost the hub: kept in HOME/hub/RUN.json, so that it outlives the hub's process.

Written once a second while it changes: a hub that is killed forgets what it counted in its last second.
"""
from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

FOLDER = "hub"


@dataclass
class Usage:
    """Counted over the life of a run: calls that succeeded, bytes of frames, CPU seconds of adding."""

    puts: int = 0
    gets: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    summands: int = 0  # payloads added
    add_cpu_s: float = 0.0
    peak_bytes: int = 0  # most held at a time

    def plus(self, other: Usage) -> Usage:
        """Both together."""
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Usage(**{**sums, "peak_bytes": max(self.peak_bytes, other.peak_bytes)})


def read_usage(home: Path, run: str) -> Usage | None:
    """What the hub of the coordinator at `home` counted for a run; None if the run had no bulks."""
    try:
        held = json.loads((home / FOLDER / f"{run}.json").read_bytes())
        return Usage(**held)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Usage()  # a count that cannot be read is begun again


class UsageFiles:
    """Writes usage down; what an earlier process counted is added."""

    def __init__(self, home: Path):
        self._home = home
        self._before: dict[str, Usage] = {}
        self._written: dict[str, Usage] = {}

    def write(self, run: str, usage: Usage, ended: bool) -> None:
        """Write if it changed. OSError as the disk has it."""
        if run not in self._before:
            self._before[run] = read_usage(self._home, run) or Usage()
            self._written[run] = Usage()
        if usage != self._written[run]:
            self._replace(run, self._before[run].plus(usage))
            self._written[run] = Usage(**asdict(usage))
        if ended:
            del self._before[run], self._written[run]

    def _replace(self, run: str, usage: Usage) -> None:
        folder = self._home / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        draft = folder / f"{run}.draft"
        draft.write_text(json.dumps(asdict(usage)))
        os.replace(draft, folder / f"{run}.json")
