"""What people at a node see and decide: runs that wait, approval, rejection, revocation, the ledger of openings.

The commands (oversight_cli.py) reach it through the daemon's local socket, which only the node's own account can enter.
Every decision is in the audit log with who made it, as the command's process says, and when.
"""
from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from parties.runtime.approvals import Approvals, Request
from parties.runtime.config import LoadedParty
from parties.runtime.ledger import Ledger
from parties.runtime.local_api import Handler
from parties.runtime.phases import model_id
from parties.runtime.run_driver import RunDriver
from parties.runtime.scoring import openings as scoring_openings
from parties.runtime.vault import Vault
from protocols.audit import RUN_ID
from protocols.disclosure import disclose
from protocols.errors import MalformedMessage, PolicyRefused, SealscoreError, UsageError
from protocols.node.audit_log import AuditLog
from protocols.plan import Plan

DAY_S = 86400
MAX_WORDS = 200  # of who and why
_MODEL_ID = re.compile(r"m-[0-9a-f]{16}")


class Oversight:
    """Handlers of the local API, and the questions that the daemon asks before a run.

    `runs` are the daemon's drivers by run, `lock` guards them; `on_revoked` is called after a model was revoked.
    """

    def __init__(self, party: LoadedParty, audit: AuditLog, vault: Vault, ledger: Ledger, runs: dict[str, RunDriver],
                 lock: threading.RLock, on_revoked: Callable[[], None] = lambda: None):
        self._party, self._audit, self._vault, self._ledger, self._runs = party, audit, vault, ledger, runs
        self._approvals = Approvals(party.state / "approvals.db")
        self._lock, self._on_revoked = lock, on_revoked

    def handlers(self) -> dict[str, Handler]:
        """By name of the local call; a decision and the begin of a run never cross."""
        calls = (self.runs, self.approve, self.reject, self.revoke, self.openings, self.online_openings)
        return {call.__name__: self._alone(call) for call in calls}

    def _alone(self, call: Handler) -> Handler:
        def guarded(body: dict[str, Any]) -> dict[str, Any]:
            with self._lock:
                return call(body)

        return guarded

    def close(self) -> None:
        """Close the file of decisions."""
        self._approvals.close()

    # -- for the daemon

    def check(self, run: str) -> None:
        """PolicyRefused for a run that a person here rejected or revoked."""
        request = self._approvals.get(run)
        if request is not None and request.state in ("rejected", "revoked"):
            raise PolicyRefused("approval", f"a person at {self._party.name} {request.state} run {run} at "
                                f"{request.decided_at}; ask them, then start a new run")

    def waits(self, run: str, plan: Plan) -> bool:
        """Whether a run still waits for a person; asking for it lists it."""
        if self._party.policy.approval == "auto":
            return False
        request = self._approvals.get(run)
        if request is None:
            self._check_number()
        if self._approvals.ask(run, plan):
            self._audit.append("run", {"run": run, "event": "waits for approval", "plan": plan.digest()})
        return request is None or request.state == "waiting"

    def _check_number(self) -> None:
        since = datetime.fromtimestamp(time.time() - DAY_S, UTC).isoformat(timespec="seconds")
        if self._approvals.asked_since(since) >= self._party.policy.maximum_runs_per_day:
            raise PolicyRefused("maximum_runs_per_day", "as many runs as that were asked for in the last 24 hours")

    def revoked_models(self) -> list[str]:
        """Models of which this node revoked its half: what the coordinator is told."""
        return [model for model in self._vault.models() if self._status(model) == "revoked"]

    def _status(self, model: str) -> str:
        with contextlib.suppress(SealscoreError):  # a damaged half is its own problem, when somebody asks for it
            return str(self._vault.get(model).get("status"))
        return ""

    # -- for people

    def runs(self, body: dict[str, Any]) -> dict[str, Any]:
        """Every run this node knows: what it waits for, and for a run that waits what it would disclose."""
        requests = {request.run: request for request in self._approvals.all()}
        known = dict.fromkeys([*requests, *sorted(self._runs)])
        return {"ok": True, "party": self._party.name, "approval": self._party.policy.approval,
                "runs": [self._told(run, requests.get(run)) for run in known]}

    def _told(self, run: str, request: Request | None) -> dict[str, Any]:
        driver = self._runs.get(run)
        told = {"run": run, "state": self._state(run, request), "kind": driver.kind if driver else None,
                "asked_at": None, "decided_by": None, "decided_at": None, "reason": None, "disclosure": None}
        if request is not None:
            told |= {"asked_at": request.asked_at, "decided_by": request.decided_by or None,
                     "decided_at": request.decided_at or None, "reason": request.reason or None}
            if request.state == "waiting":
                told |= self._explained(request)
        return told

    def _state(self, run: str, request: Request | None) -> str:
        """Of the run itself where it began, otherwise of the request for it."""
        driver = self._runs.get(run)
        if request is not None and (request.state == "revoked" or driver is None):
            lapsed = request.state == "waiting" and not self._approvals.asked_lately(run)
            return "no longer asked for" if lapsed else request.state
        return driver.state if driver else "unknown"

    def _explained(self, request: Request) -> dict[str, Any]:
        try:
            plan = request.plan()
        except MalformedMessage:  # asked for under another version: nobody can approve what cannot be read
            return {}
        return {"kind": plan.kind, "deadline_s": plan.limits.run_deadline_s,
                "disclosure": disclose(plan, self._party.name).to_json(),
                "lines": disclose(plan, self._party.name).lines()}

    def approve(self, body: dict[str, Any]) -> dict[str, Any]:
        """Let a run that waits begin; the coordinator hears of it when it asks next."""
        return self._decide(body, "approved")

    def reject(self, body: dict[str, Any]) -> dict[str, Any]:
        """Refuse a run that waits."""
        return self._decide(body, "rejected")

    def _decide(self, body: dict[str, Any], state: str) -> dict[str, Any]:
        run, by, reason = _run(body), _words(body, "by"), _words(body, "reason")
        request = self._approvals.get(run)
        if request is not None:
            request.plan()
        decided = self._approvals.decide(run, state, by, reason)
        self._record(run, state, by, reason)
        return {"ok": True, "run": run, "state": state, "decided_at": decided.decided_at}

    def _record(self, what: str, event: str, by: str, reason: str, **more: Any) -> None:
        key = "model" if _MODEL_ID.fullmatch(what) else "run"
        self._audit.append("decision", {key: what, "event": event, "by": by, "reason": reason, **more})

    def revoke(self, body: dict[str, Any]) -> dict[str, Any]:
        """Stop a run, or a finished training's model, here and for all future; other runs with the model stop too."""
        what, by, reason = str(body.get("what", "")), _words(body, "by"), _words(body, "reason")
        if _MODEL_ID.fullmatch(what):
            return self._revoke_model(what, by, reason)
        run = _run({"run": what})
        driver = self._runs.get(run)
        if driver is not None and driver.state == "finished":
            if driver.kind == "score":
                raise UsageError(f"run {run} has finished and its scores are at the bank; revoke its model instead")
            return self._revoke_model(model_id(run), by, reason)
        return self._revoke_run(run, driver, by, reason)

    def _revoke_run(self, run: str, driver: RunDriver | None, by: str, reason: str) -> dict[str, Any]:
        request = self._approvals.get(run)
        plan = driver.plan if driver else request.plan() if request else None
        if plan is None:
            raise UsageError(f"this node knows no run {run}; `runs` lists those it knows")
        self._approvals.revoke(run, plan, by, reason)
        self._record(run, "revoked", by, reason)
        if driver is not None:
            driver.revoke(f"a person at {self._party.name} revoked it")
        return {"ok": True, "revoked": [run]}

    def _revoke_model(self, model: str, by: str, reason: str) -> dict[str, Any]:
        half = self._vault.get(model)
        users = [run for run, driver in self._runs.items()
                 if driver.state == "running" and driver.plan.model_id == model]
        if half["status"] != "revoked":
            self._vault.put(model, half | {"status": "revoked"})
            self._record(model, "revoked", by, reason)
            self._on_revoked()
        for run in users:
            self._revoke_run(run, self._runs[run], by, f"its model {model} was revoked")
        return {"ok": True, "revoked": [model, *users]}

    def openings(self, body: dict[str, Any]) -> dict[str, Any]:
        """The ledger across runs, a line per kind and learner."""
        return {"ok": True, "party": self._party.name, "openings": [line.to_json() for line in self._ledger.lines()]}

    # -- for the scoring process

    def online_openings(self, body: dict[str, Any]) -> dict[str, Any]:
        """Put openings of joint scoring into the audit log, whose one writer the daemon is."""
        told = scoring_openings.records(body)
        trained = {"r-" + model.removeprefix("m-") for model in self._vault.models()}
        if unknown := sorted({one["run"] for _, one in told} - trained):
            raise UsageError(f"this node holds no model of run {unknown[0]}")
        self._audit.extend(told)
        return {"ok": True}


def _run(body: dict[str, Any]) -> str:
    run = body.get("run")
    if not isinstance(run, str) or RUN_ID.fullmatch(run) is None:
        raise UsageError("expected a run such as r-0123456789abcdef, or for revoke a model such as m-0123456789abcdef")
    return run


def _words(body: dict[str, Any], name: str) -> str:
    """Printable text for the audit log."""
    text = str(body.get(name) or "")
    if len(text) > MAX_WORDS or not text.isprintable():
        raise UsageError(f"expected {name} as printable text of at most {MAX_WORDS} characters")
    return text
