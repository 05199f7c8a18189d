"""Progress in words: plain lines only when something changed, a table in a terminal."""
from __future__ import annotations

import io

import pytest

from protocols.node.progress import PhaseProgress, ProgressView, bytes_text, seconds_text

ROW = PhaseProgress("bank", "train", "running", step=3, steps=12, fraction=0.25, eta_s=65, bytes_out=12_300)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (65, "1 min 05 s"), (4200, "1 h 10 min")]
)
def test_seconds(seconds: float, text: str):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (12_300, "12.3 kB"), (43_100_000, "43.1 MB"), (2 * 10**15, "2000.0 TB")],
)
def test_bytes(count: int, text: str):
    assert bytes_text(count) == text


def test_plain_lines_come_with_changes_only():
    stream = io.StringIO()
    with ProgressView("r-1", stream=stream) as view:
        for _ in range(5):
            view.show([ROW], "running")
        view.show([PhaseProgress("bank", "train", "finished")], "running")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[1].endswith("bank: train running, step 3 of 12, about 1 min 05 s left, 12.3 kB out, 0 B in")


def test_quiet_says_nothing():
    stream = io.StringIO()
    with ProgressView("r-1", stream=stream, quiet=True) as view:
        view.show([ROW], "running")
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = io.StringIO()
    with ProgressView("r-1", stream=stream, live=True) as view:
        view.show([ROW, PhaseProgress("platform", "train", "failed")], "running")
    text = stream.getvalue()
    assert "3/12" in text and "platform" in text and "1 min 05 s" in text
