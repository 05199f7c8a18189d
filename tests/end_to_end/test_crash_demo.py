"""`sealscore demo` that is interrupted stops everything it started and leaves no half of a result."""
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protocols.node.supervise import environment, script

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
STARTED_S = 400.0  # ten processes start beside those of other tests
STOPPED_S = 25.0  # of which nodes that do not stop may take 15


def processes_of(folder: Path) -> list[str]:
    """Command lines of all running processes that name the folder, and what those started."""
    lines = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                lines[int(entry.name)] = (parent, (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    own = {pid for pid, (_, line) in lines.items() if str(folder) in line}
    while more := {pid for pid, (parent, _) in lines.items() if parent in own} - own:
        own |= more
    return sorted(lines[pid][1] for pid in own)


@contextlib.contextmanager
def demo(out: Path) -> Iterator[subprocess.Popen]:
    command = [script("sealscore"), "demo", "--out", str(out), "--rows", "4000", "--encoding", "numeric"]
    with (out.parent / "stderr").open("wb") as sink:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=sink, env=environment(),
                                   start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait(condition: Callable[[], object], within_s: float) -> bool:
    end = time.monotonic() + within_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return bool(condition())


def said(out: Path) -> str:
    return (out.parent / "stderr").read_text()


MOMENTS: dict[str, Callable[[Path], object]] = {
    "starting": lambda out: (out / "federation" / "bank" / "state").exists(),
    "training": lambda out: "train running" in said(out) or "train started" in said(out),
}


@pytest.mark.parametrize("number, moment", [
    (signal.SIGTERM, "training"), (signal.SIGINT, "training"), (signal.SIGTERM, "starting"),
    (signal.SIGKILL, "training"),
], ids=["terminated", "interrupted", "terminated early", "killed"])
def test_an_interrupted_demo_leaves_no_process(tmp_path: Path, number: signal.Signals, moment: str) -> None:
    out = tmp_path / "out"
    with demo(out) as process:
        assert wait(lambda: MOMENTS[moment](out) or process.poll() is not None, STARTED_S)
        assert process.poll() is None, said(out)
        assert len(processes_of(out)) > 3
        process.send_signal(number)
        code = process.wait(STOPPED_S)
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    assert wait(lambda: not processes_of(out), 10), processes_of(out)
    assert "Traceback" not in said(out)
    for name in ("metrics.json", "report.html", "evidence"):
        assert not (out / name).exists()
    assert not list(out.glob("federation/*/state/vault/m-*"))


def test_a_second_signal_does_not_interrupt_the_stop(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with demo(out) as process:
        assert wait(lambda: MOMENTS["training"](out) or process.poll() is not None, STARTED_S)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(STOPPED_S) == 128 + signal.SIGINT
    assert not processes_of(out)
