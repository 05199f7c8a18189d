"""What a node kept long enough goes, and nothing else."""
from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from parties.runtime import retention

NOW = datetime.now(UTC)
RUN = "r-" + "1" * 16


def aged(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"secret")
    os.utime(path, (time.time() - days * 86400,) * 2)
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for run, days in ((RUN, 91), ("r-" + "2" * 16, 89)):
        for name in ("statement.json", "agreement.json", "run.db", "run.db-wal"):
            aged(tmp_path / run / name, days)
    aged(tmp_path / ("r-" + "3" * 16) / "statement.json", 200)  # agreed on, never begun
    return tmp_path


def test_only_old_runs_are_due_and_their_statement_stays(runs: Path) -> None:
    assert retention.due_runs(runs, 90, NOW) == [RUN] and not retention.is_gone(runs / RUN)
    retention.delete_run(runs / RUN, NOW)
    assert {path.name for path in (runs / RUN).iterdir()} == {"statement.json", "deleted.json"}
    assert retention.is_gone(runs / RUN) and retention.due_runs(runs, 90, NOW) == []
    assert len(list((runs / ("r-" + "2" * 16)).iterdir())) == 4


def test_a_deletion_that_was_interrupted_is_finished(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", lambda path, missing_ok=False: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            retention.delete_run(runs / RUN, NOW)
    (runs / RUN / "deleted.json").write_bytes(b"{}")
    assert retention.is_gone(runs / RUN) and retention.due_runs(runs, 90, NOW) == [RUN]
    retention.delete_run(runs / RUN, NOW)
    assert retention.due_runs(runs, 90, NOW) == []


def test_old_files_of_scores_go(tmp_path: Path) -> None:
    aged(tmp_path / f"{RUN}.csv", 91)
    kept = [aged(tmp_path / "r-4.csv", 1), aged(tmp_path / "notes.txt", 900)]
    assert retention.delete_scores(tmp_path, 90, NOW) == [RUN]
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert retention.delete_scores(tmp_path / "none", 90, NOW) == []
