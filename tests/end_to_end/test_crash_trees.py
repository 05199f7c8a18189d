"""Killed nodes while trees grow: the same halves as of an undisturbed run, and nothing opened twice."""
from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from coordinator.demo.federation import FEATURE, LABEL, Federation
from tests.end_to_end import support
from tests.end_to_end.test_crash import ENDED, RUN_S, node_pid, reached, wait_ended, wait_for
from tests.end_to_end.test_crash_variants import opened_by
from tests.end_to_end.test_trees import write_plan

pytestmark = [pytest.mark.crash, pytest.mark.timeout(400)]


def trees_of(fed: Federation, run: str) -> list[dict]:
    """Both halves; they name columns, which the platform numbers anew in every run."""
    model = "m-" + run.removeprefix("r-")
    return [support.vault_half(fed, party, model)["trees"] for party in (LABEL, FEATURE)]


def test_a_bank_and_a_platform_killed_while_trees_grow_give_the_same_trees(fed: Federation, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.toml", trees=20)
    undisturbed = support.launch(fed, plan, timeout_s=RUN_S)
    assert undisturbed["state"] == "finished", undisturbed["stderr"]
    run = support.start(fed, plan)
    for tree, victim in ((2, LABEL), (6, FEATURE), (11, LABEL)):
        assert wait_for(fed, run, reached(LABEL, "train", tree))["state"] not in ENDED
        os.kill(node_pid(fed, victim), signal.SIGKILL)
    ended = wait_ended(fed, run)
    assert ended["state"] == "finished", ended["failure"]
    assert trees_of(fed, undisturbed["run"]) == trees_of(fed, run)
    for party in (LABEL, FEATURE):
        assert opened_by(fed, party, run) == opened_by(fed, party, undisturbed["run"])
