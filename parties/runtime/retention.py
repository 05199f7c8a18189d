"""Deletes what a node has kept long enough: state and keys of runs that ended, and files of scores.

What stays of a run are its signed statement, so that nothing else is ever signed for it, a note that it was deleted,
and the audit log. Model halves, the count of released coefficients and the ledger of openings are not run state.
"""
from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from parties.runtime.files import write_whole

STATEMENT, GONE = "statement.json", "deleted.json"


def is_gone(folder: Path) -> bool:
    """Whether the state of the run in this folder was deleted."""
    return (folder / GONE).exists()


def due_runs(runs: Path, days: int, now: datetime) -> list[str]:
    """Runs whose statement was signed more than `days` days ago and of which more is there, also after a crash."""
    return [path.parent.name for path in sorted(runs.glob(f"r-*/{STATEMENT}"))
            if _older(path, days, now) and any(_rest(path.parent))]


def delete_run(folder: Path, now: datetime) -> None:
    """Delete all but the statement; the note comes first, so that a crash leaves no run that looks alive."""
    write_whole(folder / GONE, json.dumps({"at": now.isoformat(timespec="seconds")}).encode())
    for path in sorted(_rest(folder)):
        path.unlink()


def _rest(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.name not in (STATEMENT, GONE))


def delete_scores(folder: Path, days: int, now: datetime) -> list[str]:
    """Delete files of scores written more than `days` days ago; the runs they were of."""
    old = [path for path in sorted(folder.glob("r-*.*")) if _older(path, days, now)]
    for path in old:
        path.unlink()
    return [path.name.split(".")[0] for path in old]


def _older(path: Path, days: int, now: datetime) -> bool:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC) < now - timedelta(days=days)
