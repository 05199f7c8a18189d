"""Tells the coordinator how a run goes here: phase, step, time left, bytes. It never stops or slows the run."""
from __future__ import annotations

import logging
import threading
import time
from typing import Any

from parties.runtime.hub_client import HubClient, HubUnreachable
from protocols.errors import SealscoreError
from protocols.role import Role

log = logging.getLogger("sealscore.run")
EVERY_S = 1.0
WAITING_ATTEMPTS = 6
LONGEST_PAUSE_S = 2.0


class Reporter:
    """Reports of one run; `halt` ends all waiting."""

    def __init__(self, hub: HubClient, run: str, halt: threading.Event):
        self._hub, self._run, self._halt = hub, run, halt
        self._last = self._began = 0.0
        self._first: float | None = None  # fraction that was done when the phase began here

    def phase(self) -> None:
        """A phase begins: the time left is reckoned from now."""
        self._began, self._first = time.monotonic(), None

    def progress(self, phase: str, role: Role, traffic: dict[str, int]) -> None:
        """A step of a role, at most once a second."""
        if time.monotonic() - self._last >= EVERY_S:
            self.tell(phase, "running", **self._steps(role), **traffic)

    def tell(self, phase: str, state: str, *, wait: bool = False, **values: Any) -> bool:
        """One report; whether the coordinator took it (or will never take it). `wait` gives it some seconds."""
        self._last = time.monotonic()
        for attempt in range(WAITING_ATTEMPTS if wait else 1):
            try:
                self._hub.report(self._run, phase, state, **values)
                return True
            except HubUnreachable as error:
                log.info("report of run %s: %s", self._run, error)
                if not wait or self._halt.wait(min(0.2 * 2**attempt, LONGEST_PAUSE_S)):
                    return False
            except SealscoreError as error:  # it will be refused again
                log.warning("report of run %s: %s", self._run, error)
                return True
        return False

    def _steps(self, role: Role) -> dict[str, Any]:
        if role.progress is None:
            return {}
        step, steps = role.progress
        fraction = step / steps
        self._first = fraction if self._first is None else self._first
        done = fraction - self._first
        elapsed = time.monotonic() - self._began
        eta_s = elapsed * (1 - fraction) / done if done > 0 else 0.0
        return {"step": step, "steps": steps, "fraction": fraction, "eta_s": round(eta_s, 1)}
