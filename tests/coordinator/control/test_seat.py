"""One process conducts a run; the kernel frees the seat of one that was killed."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coordinator.seat import is_taken, seated

RUN, OTHER = "r-00000000000000aa", "r-00000000000000bb"
HOLDER = """
import sys, time
from pathlib import Path
from coordinator.seat import seated
with seated(Path(sys.argv[1]), sys.argv[2], 0) as alone:
    print(alone, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path), RUN], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "True\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_free_seat_is_taken_and_left(tmp_path: Path):
    assert not is_taken(tmp_path, RUN)
    with seated(tmp_path, RUN, 0) as alone:
        assert alone and is_taken(tmp_path, RUN) and not is_taken(tmp_path, OTHER)
    assert not is_taken(tmp_path, RUN)
    assert (tmp_path / "state" / "seats" / RUN).stat().st_mode & 0o777 == 0o600


def test_a_second_process_does_not_get_it(tmp_path: Path, holder):
    assert is_taken(tmp_path, RUN)
    began = time.monotonic()
    with seated(tmp_path, RUN, 0.5) as alone:
        assert not alone and time.monotonic() - began >= 0.5
    assert is_taken(tmp_path, RUN)


def test_a_killed_process_leaves_it(tmp_path: Path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    with seated(tmp_path, RUN, 10) as alone:
        assert alone
