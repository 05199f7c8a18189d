"""Looks after runs whose Flower run is gone: a killed ServerApp tells nobody.

A run that lost its ServerApp goes on under another Flower run: the parties, who answer a repeated call with what they
already did, are told nothing. After the last attempt, and only then, it ends as failed and is resumed by hand.
"""
from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from coordinator.registry import ATTEMPTS, Registry
from protocols.errors import SealscoreError

if TYPE_CHECKING:
    from coordinator.flower.adapter import Control

log = logging.getLogger(__name__)
GRACE_S = 5.0  # between Flower's word that a run ended and ours, where no ServerApp took its seat
CANCEL_S = 40.0
SUBMIT_S = 60.0
BACKOFF_S = 5.0  # from the start of an attempt to that of the next; doubles with each
UNREACHABLE_S = 600.0  # a SuperLink that its supervisor cannot bring back
Run = dict[str, Any]


class RunWatch:
    """Call `look` now and then; times are seconds of a monotonic clock. `is_taken` says whether a run is conducted."""

    def __init__(
        self, registry: Registry, connect: Callable[[], Control], is_taken: Callable[[str], bool],
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self._registry, self._connect, self._is_taken, self._wall_clock = registry, connect, is_taken, wall_clock
        self._since: dict[tuple[str, str], float] = {}

    def look(self, now: float) -> None:
        """Look once at every open run."""
        open_runs = self._registry.active_runs()
        self._since = {key: t for key, t in self._since.items() if key[0] in {r["id"] for r in open_runs}}
        if not open_runs:
            return
        with self._connect() as control:
            for run in open_runs:
                try:
                    self._look_at(run, control, now)
                    self._since.pop((run["id"], "unreachable"), None)
                except SealscoreError as error:
                    self._unreachable(run, str(error), now)

    def _look_at(self, run: Run, control: Control, now: float) -> None:
        if run["state"] == "cancelling":
            self._close_cancelled(run, control, now)
        elif not run["flower_run_id"]:
            if self._lasts(run["id"], "unsubmitted", now) > SUBMIT_S:
                self._fail(run, "it was never submitted to Flower")
        elif cause := self._lost(run, control, now):
            self._continue(run, cause, control)

    def _close_cancelled(self, run: Run, control: Control, now: float) -> None:
        overdue = self._lasts(run["id"], "cancelling", now) > CANCEL_S
        if overdue and run["flower_run_id"]:
            control.stop(int(run["flower_run_id"]))
        if overdue or self._lost(run, control, now):
            self._registry.set_state(run["id"], "cancelled")

    def _lost(self, run: Run, control: Control, now: float) -> str:
        """Why no ServerApp conducts this run, or an empty text."""
        if not run["flower_run_id"]:
            return "it was never submitted to Flower"
        made = self._registry.attempts(run["id"])
        conducted = any(a["flower_run_id"] == run["flower_run_id"] and a["conducted_at"] for a in made)
        if conducted and not self._is_taken(run["id"]):
            return "its ServerApp is gone"  # the seat outlasts the last thing that a ServerApp writes about its run
        status = control.status(int(run["flower_run_id"]))
        if status is not None and not status.ended:
            self._since.pop((run["id"], "lost"), None)
            return ""
        if self._lasts(run["id"], "lost", now) <= GRACE_S:
            return ""
        if status is None:
            return "the SuperLink does not know its Flower run"
        return f"its ServerApp ended early ({status.sub_status or 'no status'})"

    def _continue(self, run: Run, cause: str, control: Control) -> None:
        """Submit the next attempt once it is due; a run that ended or was cancelled meanwhile is left as it is.

        The lost Flower run is not stopped: a SuperNode that is just fetching a message of a stopped run hangs for a
        minute. Flower ends it by itself, and nobody reads what the parties answer it.
        """
        number, due_s = self._next(run["id"])
        if number > ATTEMPTS:
            self._fail(run, f"the control plane was lost {ATTEMPTS} times; the last time: {cause}")
        elif due_s <= 0 and self._registry.standing(run["id"]) == (run["state"], run["flower_run_id"]):
            flower_run = control.submit(run["id"])
            if self._registry.replace_flower_run(run["id"], run["flower_run_id"], flower_run, cause):
                log.warning("%s: %s; attempt %d of %d", run["id"], cause, number, ATTEMPTS)
            else:
                control.stop(flower_run)
            self._since.pop((run["id"], "lost"), None)

    def _next(self, run: str) -> tuple[int, float]:
        """The number of the next attempt and the seconds until it is due."""
        made = self._registry.attempts(run)
        if not made:
            return 2, 0.0  # submitted by a version that did not count
        number = made[-1]["number"]
        pause_s = BACKOFF_S * 2 ** (number - 1)
        passed_s = (self._wall_clock() - datetime.fromisoformat(made[-1]["started_at"])).total_seconds()
        return number + 1, pause_s - passed_s if passed_s >= 0 else 0.0  # a clock that was set back holds nobody up

    def _unreachable(self, run: Run, error: str, now: float) -> None:
        """The SuperLink does not answer: its supervisor starts it again, and what is not conducted waits for it."""
        away_s = self._lasts(run["id"], "unreachable", now)
        log.warning("%s could not be looked after: %s", run["id"], error)
        if run["state"] == "cancelling" and self._lasts(run["id"], "cancelling", now) > CANCEL_S:
            self._registry.set_state(run["id"], "cancelled")
        elif away_s > UNREACHABLE_S and not self._is_taken(run["id"]):
            self._fail(run, f"no SuperLink for {away_s:.0f} s: {error}")

    def _lasts(self, run: str, what: str, now: float) -> float:
        return now - self._since.setdefault((run, what), now)

    def _fail(self, run: Run, cause: str) -> None:
        next_step = f"see the coordinator's logs; `sealscore runs resume {run['id']}` continues it"
        self._registry.fail(run["id"], "coordinator", run["state"], cause, next_step, by=run["flower_run_id"])
