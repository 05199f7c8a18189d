"""The bench of boosted trees, small; `pytest -m bench` holds a million rows to their memory."""
from __future__ import annotations

import pytest

from tests.benchmarks import boosting

MEGABYTES = 8_000  # of both roles together


def test_two_processes_train_and_tell_what_it_took(monkeypatch) -> None:
    for name, value in {"ROWS": 1500, "UNSEEN": 300, "COLUMNS": 3, "DEPTH": 2, "TREES": 2}.items():
        monkeypatch.setattr(boosting, name, value)
    monkeypatch.delenv("PEERS_WORK", raising=False)
    found = boosting.measure()
    assert (found["trees"], found["columns"]) == (2, [12, 3]) and found["auc_test"] > 0.5
    # the nodes below the root may be too small to be asked for
    assert any(found["megabytes"]["bank vectors"] == round(14 * 1500 * count / 1e6, 2) for count in (4, 6, 8))
    assert found["largest_snapshot_bytes"]["bank"] < 1000 and min(found["peak_megabytes"].values()) > 20
    assert found["pieces_megabytes"]["bank"].keys() >= {"route", "tree", "sums", "shares", "veil"}


@pytest.mark.bench
@pytest.mark.timeout(1800)
def test_a_million_rows_fit(monkeypatch) -> None:
    for name, value in {"ROWS": 1_000_000, "COLUMNS": 100, "DEPTH": 3, "TREES": 2}.items():
        monkeypatch.setattr(boosting, name, value)
    found = boosting.measure()
    assert sum(found["peak_megabytes"].values()) <= MEGABYTES
    assert max(found["largest_snapshot_bytes"].values()) < 2000
