"""Starts, follows, cancels and resumes runs at the coordinator."""
from __future__ import annotations

import json
import os
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from coordinator.config import CoordinatorConfig
from coordinator.plan_file import catalogues_of, require_sound
from coordinator.registry import ACTIVE, ATTEMPTS, TERMINAL, WAITING, Registry, new_run_id
from protocols.errors import RunFailed, SealscoreError, UsageError
from protocols.node.progress import PhaseProgress, ProgressView
from protocols.plan import Plan

if TYPE_CHECKING:
    from coordinator.flower.adapter import Control

POLL_S = 0.5
ABSENT_S = 60.0
SUBMIT_WITHIN_S = 20.0  # a SuperLink that was killed is back before that
_HEADLINES = {
    "submitted": "waiting for Flower", "agreeing": "waiting for the parties to agree", "running": "running",
    "publishing": "publishing", "finished": "finished", "failed": "failed", "cancelling": "cancelling",
    "cancelled": "cancelled",
}


def submit(config: CoordinatorConfig, registry: Registry, plan: Plan) -> str:
    """Check a plan, record it and start it through Flower; the run id."""
    require_sound(plan, config, catalogues_of(registry.parties()))
    run = new_run_id()
    with _control(config) as control:
        registry.create_run(run, plan.canonical().decode(), plan.digest())
        _start(registry, control, run)
    return run


def resume(config: CoordinatorConfig, registry: Registry, run: str) -> None:
    """Start a failed run again: the parties continue from what they have."""
    registry.run(run)
    with _control(config) as control:
        registry.reopen(run)
        _start(registry, control, run)


def start_without(config: CoordinatorConfig, registry: Registry, run: str, party: str) -> str:
    """Start a failed run's plan anew without a party that does not come back; the new run's id.

    The others agree anew: shares and covers of the old run are of no use without that party, and nothing is opened.
    """
    row = registry.run(run)
    if row["state"] != "failed":
        raise UsageError(f"run {run} is {row['state']}; only a failed run is started anew without a party")
    return submit(config, registry, plan_without(Plan.from_canonical(row["plan_json"].encode()), party))


def plan_without(plan: Plan, party: str) -> Plan:
    """The same plan with one party less; UsageError when no bank or no platform would be left."""
    content = plan.model_dump(mode="json")
    if content["parties"].pop(party, None) is None:
        raise UsageError(f"the plan names no party {party}; there are {', '.join(sorted(plan.parties))}")
    if plan.kind == "score":
        raise UsageError("a model scores with all its platforms and one of its banks; no party can be left out")
    for role in ("label_parties", "feature_parties"):
        content[role] = [name for name in content[role] if name != party]
        if not content[role]:
            raise UsageError(f"{party} is the plan's only {'bank' if role == 'label_parties' else 'platform'}; a run "
                             "needs at least one of each")
    return Plan.model_validate(content)


def _start(registry: Registry, control: Control, run: str) -> None:
    try:
        registry.attach_flower_run(run, _submitted(control, run))
    except SealscoreError as error:
        registry.fail(run, "coordinator", "submitted", str(error), f"`sealscore runs resume {run}`")
        raise


def _submitted(control: Control, run: str) -> int:
    """The id of a new Flower run. One that started although no answer came gives up by itself: it is not attached."""
    end = time.monotonic() + SUBMIT_WITHIN_S
    while True:
        try:
            return control.submit(run)
        except SealscoreError:
            if time.monotonic() > end:
                raise
        time.sleep(POLL_S)


def _control(config: CoordinatorConfig) -> Control:
    if not is_serving(config):
        raise SealscoreError(f"no coordinator runs here; start it with `sealscore coordinator serve {config.source}`")
    from coordinator.flower.adapter import Control  # importing Flower takes over a second; most commands need none

    return Control(config.listen.superlink, config.home / "tls" / "ca.crt")


def is_serving(config: CoordinatorConfig) -> bool:
    """Whether a coordinator node of this home is up: its ready file names a living process."""
    try:
        facts = json.loads((config.home / "state" / "ready.json").read_text())
        os.kill(int(facts["pid"]), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, KeyError):
        return False
    return True


def follow(config: CoordinatorConfig, registry: Registry, run: str, view: ProgressView) -> dict[str, Any]:
    """Show a run until it ends; its row. SealscoreError when the coordinator has been down for a minute."""
    absent_since: float | None = None
    while True:
        row = registry.run(run)
        view.show(rows_of(registry, run), _headline(registry, row))
        if row["state"] in TERMINAL:
            return row
        absent_since = None if is_serving(config) else absent_since or time.monotonic()
        if absent_since is not None and time.monotonic() - absent_since > ABSENT_S:
            raise SealscoreError(f"the coordinator stopped while {run} was {row['state']}; start it again and see "
                                 f"`sealscore runs show {run}`")
        time.sleep(POLL_S)


def _headline(registry: Registry, row: dict[str, Any]) -> str:
    again = continued_text(attempts_of(registry, row["id"])) if row["state"] in ACTIVE else ""
    waiting = waiting_at(registry, row)
    told = f"waiting for approval at {', '.join(waiting)}" if waiting else _HEADLINES[row["state"]]
    return "; ".join(filter(None, (told, again)))


def waiting_at(registry: Registry, row: dict[str, Any]) -> list[str]:
    """Parties where a run that is being agreed on waits for a person, by name."""
    if row["state"] != "agreeing":
        return []
    return sorted(report["party"] for report in registry.progress(row["id"]) if report["state"] == WAITING)


def attempts_of(registry: Registry, run: str) -> dict[str, Any]:
    """Which Flower run of a run this is since it was submitted or resumed, of how many, and why others were lost."""
    made = registry.attempts(run)
    lost = [{"number": a["number"], "lost_at": a["lost_at"], "cause": a["cause"]} for a in made if a["lost_at"]]
    return {"number": len(made), "of": ATTEMPTS, "lost": lost}


def continued_text(attempts: dict[str, Any]) -> str:
    """That a run went on by itself, or an empty text."""
    if attempts["number"] < 2:
        return ""
    return f"continued after the control plane was lost (attempt {attempts['number']} of {attempts['of']})"


def rows_of(registry: Registry, run: str) -> list[PhaseProgress]:
    """Progress of a run for the view, in the order in which the phases began."""
    return [
        PhaseProgress(
            r["party"], r["phase"], r["state"], r["step"], r["steps"], r["fraction"], r["eta_s"], r["bytes_out"],
            r["bytes_in"], _seconds(r["started_at"], r["updated_at"]),
        )
        for r in registry.progress(run)
    ]


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def wait_cancelled(registry: Registry, run: str, within_s: float) -> str:
    """The state of a run once it has ended, or after `within_s` seconds."""
    end = time.monotonic() + within_s
    while registry.run_state(run) not in TERMINAL and time.monotonic() < end:
        time.sleep(POLL_S)
    return str(registry.run_state(run))


def summary(registry: Registry, row: dict[str, Any]) -> dict[str, Any]:
    """A run as one JSON object."""
    plan, result = json.loads(row["plan_json"]), json.loads(row["result_json"] or "null")
    phases = [{**vars(r), "seconds": round(r.seconds, 3)} for r in rows_of(registry, row["id"])]
    model = (result or {}).get("model_id")
    failure = {k: row[k] for k in ("party", "phase", "cause", "next_step")} if row["state"] == "failed" else None
    return {
        "run": row["id"], "state": row["state"], "kind": plan["kind"], "purpose": plan["purpose"],
        "created_at": row["created_at"], "updated_at": row["updated_at"], "plan_digest": row["plan_digest"],
        "attempts": attempts_of(registry, row["id"]), "agreement": row["agreement_digest"],
        "waiting_for_approval": waiting_at(registry, row), "model_id": model,
        "revoked_by": registry.revoked_by(model) if model else {}, "failure": failure, "result": result,
        "progress": phases,
    }


def raise_unless_finished(row: dict[str, Any]) -> None:
    """RunFailed for a failed run, SealscoreError for a cancelled one."""
    if row["state"] == "failed":
        raise RunFailed(row["party"] or "coordinator", row["phase"] or "?", row["cause"] or "no cause is recorded",
                        row["next_step"] or "see the log")
    if row["state"] == "cancelled":
        raise SealscoreError(f"run {row['id']} was cancelled; start a new one with `sealscore run`")
