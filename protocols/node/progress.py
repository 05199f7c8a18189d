"""Shows how a run goes: a live table in a terminal, plain lines elsewhere."""
from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

PLAIN_STEP = 0.25  # plain lines come at changes of state and at each further quarter of a phase
_MARKS = {"finished": "[green]finished[/]", "failed": "[red]failed[/]", "cancelled": "[yellow]cancelled[/]"}


@dataclass(frozen=True)
class PhaseProgress:
    """Where one party is in one phase. `fraction` is 0 to 1; `eta_s` and byte counts are 0 when unknown."""

    party: str
    phase: str
    state: str
    step: int = 0
    steps: int = 0
    fraction: float = 0.0
    eta_s: float = 0.0
    bytes_out: int = 0
    bytes_in: int = 0
    seconds: float = 0.0

    def describe(self) -> str:
        """One line without the party."""
        parts = [f"{self.phase} {self.state}"]
        if self.steps and self.state == "running":
            parts.append(f"step {self.step} of {self.steps}")
        if self.eta_s and self.state == "running":
            parts.append(f"about {seconds_text(self.eta_s)} left")
        if self.bytes_out or self.bytes_in:
            parts.append(f"{bytes_text(self.bytes_out)} out, {bytes_text(self.bytes_in)} in")
        return ", ".join(parts)


class ProgressView:
    """`with ProgressView(title) as view: view.show(rows, headline)` as often as anything may have changed."""

    def __init__(self, title: str, *, stream: TextIO | None = None, live: bool | None = None, quiet: bool = False):
        self._title, self._stream, self._quiet = title, stream or sys.stderr, quiet
        wants_live = self._stream.isatty() if live is None else live
        console = Console(file=self._stream)
        self._live = Live(console=console, refresh_per_second=4) if wants_live and not quiet else None
        self._began = time.monotonic()
        self._shown: dict[tuple[str, str], tuple[str, int]] = {}
        self._headline = ""

    def __enter__(self) -> ProgressView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, rows: Iterable[PhaseProgress], headline: str) -> None:
        """Show the newest state: one row per party and phase, in order."""
        rows = list(rows)
        if self._live is not None:
            self._live.update(self._table(rows, headline))
        elif not self._quiet:
            self._print_changes(rows, headline)

    def _table(self, rows: list[PhaseProgress], headline: str) -> Table:
        table = Table(title=f"{self._title}: {headline}", title_justify="left", box=None, pad_edge=False)
        for name in ("party", "phase", "state", "progress", "step", "left", "out", "in"):
            table.add_column(name, justify="right" if name in ("step", "left", "out", "in") else "left")
        for row in rows:
            table.add_row(
                row.party, row.phase, _MARKS.get(row.state, row.state),
                ProgressBar(total=1.0, completed=_completed(row), width=20),
                f"{row.step}/{row.steps}" if row.steps else "",
                seconds_text(row.eta_s) if row.eta_s and row.state == "running" else "",
                bytes_text(row.bytes_out) if row.bytes_out else "", bytes_text(row.bytes_in) if row.bytes_in else "",
            )
        return table

    def _print_changes(self, rows: list[PhaseProgress], headline: str) -> None:
        if headline != self._headline:
            self._headline = headline
            self._line(f"{self._title}: {headline}")
        for row in rows:
            mark = (row.state, int(_completed(row) / PLAIN_STEP))
            if self._shown.get((row.party, row.phase)) != mark:
                self._shown[(row.party, row.phase)] = mark
                self._line(f"{row.party}: {row.describe()}")

    def _line(self, text: str) -> None:
        self._stream.write(f"[{time.monotonic() - self._began:6.1f} s] {text}\n")
        self._stream.flush()


def _completed(row: PhaseProgress) -> float:
    return 1.0 if row.state == "finished" else min(max(row.fraction, 0.0), 1.0)


def seconds_text(seconds: float) -> str:
    """14 s, 2 min 05 s, 1 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def bytes_text(count: int) -> str:
    """Decimal units: 812 B, 12.3 kB, 43.1 MB."""
    value, units = float(count), ("B", "kB", "MB", "GB", "TB")
    for unit in units:
        if value < 1000 or unit == units[-1]:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{count} B"
