"""What the bench of a million rows is made of, small; `pytest -m bench` runs the whole."""
from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.benchmarks import million
from tests.benchmarks.data import made_columns, write_tables

MEGABYTES = 8_000  # of all processes of a party


def test_tables_are_those_of_the_other_benches(tmp_path) -> None:
    columns = made_columns(300)
    bank, parts = write_tables(columns, tmp_path / "slow")
    (tmp_path / "fast").mkdir()
    fast = million.write_large(columns, tmp_path / "fast")
    for one, other in zip((bank, parts["platform"]), fast, strict=True):
        (names, *rows), (fast_names, *fast_rows) = (_cells(path) for path in (one, other))
        assert names == fast_names
        assert [[row[0], *map(float, row[1:])] for row in rows] == \
            [[row[0], *map(float, row[1:])] for row in fast_rows]


def _cells(path) -> list[list[str]]:
    return [line.replace('"', "").split(",") for line in path.read_text().splitlines()]


def test_peaks_are_found_by_node_and_kind(tmp_path) -> None:
    """Of nodes by names that no federation of another test has, which may run below the same process."""
    code = "import subprocess, sys; x = bytearray(60_000_000); subprocess.run([sys.executable, '-m', 'timeit', " \
           "'-n1', '-r1', 'import time; time.sleep(60)'])"
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "till.toml")], start_new_session=True,
                             stdout=subprocess.PIPE)
    try:
        peaks = million.Peaks(("till", "shop"))
        for _ in range(600):
            peaks.look()
            if len(peaks.megabytes["till"]) == 2:
                break
            child.poll()
        assert peaks.megabytes["till"].keys() == {"node", "timeit"}
        assert peaks.megabytes["till"]["node"] >= 57
        assert "shop" not in peaks.megabytes
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()


@pytest.mark.bench
@pytest.mark.timeout(3 * 3600)
def test_a_million_rows_train_within_the_bar() -> None:
    found = million.measure()
    assert found["rows_train"] >= 0.999 * million.ROWS
    assert max(found["peak_resident_megabytes_of_node"].values()) <= MEGABYTES
    assert found["auc_test"] > found["auc_test_bank_only"]
