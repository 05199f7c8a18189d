"""Ends runs whose Flower run is gone, so that no run stays open for ever: a killed ServerApp tells nobody."""
from __future__ import annotations

from collections.abc import Callable

from coordinator.flower.adapter import Control
from coordinator.registry import Registry

GRACE_S = 5.0  # between Flower's end of a run and ours: the ServerApp writes the registry before it ends
CANCEL_S = 40.0
SUBMIT_S = 60.0


class RunWatch:
    """Call `look` now and then; times are seconds of a monotonic clock."""

    def __init__(self, registry: Registry, connect: Callable[[], Control]):
        self._registry, self._connect = registry, connect
        self._since: dict[tuple[str, str], float] = {}

    def look(self, now: float) -> None:
        """Look once at every open run."""
        open_runs = self._registry.active_runs()
        self._since = {key: t for key, t in self._since.items() if key[0] in {r["id"] for r in open_runs}}
        if not open_runs:
            return
        with self._connect() as control:
            for run in open_runs:
                self._look_at(run, control, now)

    def _look_at(self, run: dict, control: Control, now: float) -> None:
        lost = self._lost(run, control)
        if run["state"] == "cancelling":
            overdue = self._lasts(run["id"], "cancelling", now) > CANCEL_S
            if overdue and run["flower_run_id"]:
                control.stop(int(run["flower_run_id"]))
            if overdue or (lost and self._lasts(run["id"], "lost", now) > GRACE_S):
                self._registry.set_state(run["id"], "cancelled")
        elif lost and self._lasts(run["id"], "lost", now) > (GRACE_S if run["flower_run_id"] else SUBMIT_S):
            self._fail(run, lost)

    def _lost(self, run: dict, control: Control) -> str:
        """Why no ServerApp conducts this run, or an empty text."""
        if not run["flower_run_id"]:
            return "it was never submitted to Flower"
        status = control.status(int(run["flower_run_id"]))
        if status is None:
            return "the SuperLink does not know its Flower run"
        return f"its ServerApp ended early ({status.sub_status or 'no status'})" if status.ended else ""

    def _lasts(self, run: str, what: str, now: float) -> float:
        return now - self._since.setdefault((run, what), now)

    def _fail(self, run: dict, cause: str) -> None:
        next_step = f"`sealscore runs resume {run['id']}` continues it"
        self._registry.fail(run["id"], "coordinator", run["state"], cause, next_step)
