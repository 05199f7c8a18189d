"""A federation in which people decide: a run waits, is approved, its openings are counted, its model revoked."""
from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coordinator.demo.federation import FEATURE, LABEL, Federation
from tests.end_to_end import support

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WAIT_S = 400.0  # a whole training beside other tests
RULES = ['approval = "human"']


def at(fed: Federation, party: str, *words: str) -> dict[str, Any]:
    """`sealscore ROLE WORD FILE … --json` at a party."""
    done = support.sealscore(party, words[0], str(fed.home(party) / f"{party}.toml"), *words[1:], "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(2)  # each look is a process


def approved(fed: Federation, run: str) -> dict[str, Any]:
    """Approve a run that waits at both parties and follow it to its end."""
    wait_until(lambda: support.show_run(fed, run)["waiting_for_approval"] == [LABEL, FEATURE])
    for party in (LABEL, FEATURE):
        (row,) = [row for row in at(fed, party, "runs")["runs"] if row["run"] == run]
        assert row["state"] == "waiting" and row["disclosure"]["party"] == party
        at(fed, party, "approve", run, "--yes", "--reason", "test")
    wait_until(lambda: support.show_run(fed, run)["state"] in ("finished", "failed"))
    return support.show_run(fed, run)


def ledger(fed: Federation, party: str) -> dict[str, dict[str, Any]]:
    return {line["kind"]: line for line in at(fed, party, "openings")["openings"]}


def test_from_approval_to_revocation(fed: Federation, tmp_path: Path) -> None:
    plan = support.write_plan(tmp_path / "plan.toml")
    run = support.start(fed, plan)
    wait_until(lambda: support.show_run(fed, run)["waiting_for_approval"] == [LABEL, FEATURE])
    told = support.sealscore("runs", "show", run, federation=fed).stdout
    assert "waiting      for approval at bank, platform" in told
    assert not list(fed.home(LABEL).glob("state/runs/*/statement.json"))
    summary = approved(fed, run)
    assert summary["state"] == "finished", summary["failure"]
    check_openings(fed, rows=round(0.88 * support.ROWS), runs=1)
    scoring = json.loads(support.sealscore("score", summary["model_id"], "--detach", "--json", federation=fed).stdout)
    assert approved(fed, scoring["run"])["state"] == "finished"
    check_openings(fed, rows=round(0.88 * support.ROWS), runs=2)
    revoke(fed, summary["model_id"], run)
    rejected(fed, plan)


def check_openings(fed: Federation, rows: int, runs: int) -> None:
    """What the platform opened in all runs: nobody more often than once in each slice and run."""
    found = ledger(fed, FEATURE)
    assert (found["membership"]["runs"], found["membership"]["people"], found["membership"]["times"]) == (
        runs, rows, runs)
    for kind in ("scores.calibration", "scores.test"):
        assert found[kind]["numbers"] == found[kind]["people"] and found[kind]["times"] == 1
    assert 0.15 < found["scores.test"]["people"] / rows < 0.25
    if runs > 1:
        assert found["scores.batch"]["people"] == found["scores.batch"]["numbers"] == rows
    assert ledger(fed, LABEL)["coefficients"]["times"] == 1


def revoke(fed: Federation, model: str, run: str) -> None:
    assert at(fed, FEATURE, "revoke", model, "--yes")["revoked"] == [model]
    assert support.vault_half(fed, FEATURE, model)["status"] == "revoked"
    wait_until(lambda: list(support.show_run(fed, run)["revoked_by"]) == [FEATURE])
    done = support.sealscore("score", model, federation=fed)
    assert done.returncode == 2 and f"model {model} is revoked by platform" in done.stderr
    assert "revoked by platform" in support.sealscore("runs", "show", run, federation=fed).stdout
    kinds = [record["body"]["event"] for record in support.audit_records(fed, FEATURE) if record["kind"] == "decision"]
    assert kinds == ["approved", "approved", "revoked"]


def rejected(fed: Federation, plan: Path) -> None:
    run = support.start(fed, plan)
    wait_until(lambda: LABEL in support.show_run(fed, run)["waiting_for_approval"])
    at(fed, LABEL, "reject", run, "--reason", "no")
    wait_until(lambda: support.show_run(fed, run)["state"] == "failed")
    failure = support.show_run(fed, run)["failure"]
    assert failure["party"] == LABEL and "a person at bank rejected" in failure["cause"]
