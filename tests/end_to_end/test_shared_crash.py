"""Killed nodes in a training whose weights stay shared, and in a scoring with its model: both go on by themselves."""
from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from coordinator.demo.federation import FEATURE, LABEL, Federation
from tests.end_to_end import support
from tests.end_to_end.test_crash import ENDED, PEER_S, node_pid, reached, wait_ended, wait_for
from tests.end_to_end.test_shared_release import score, scores_in_the_clear
from tests.protocols.sharedscore.test_scores import PRECISION

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]
RULES = ['release = ["shared"]']


def test_killed_nodes_train_and_score_the_same_model(fed: Federation, tables: dict, tmp_path: Path) -> None:
    """Both in the middle of the steps, the platform again while it evaluates, the bank while it scores."""
    plan = support.write_plan(tmp_path / "plan.toml", steps=12, release="shared", peer_deadline_s=PEER_S)
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached(FEATURE, "train", 9))["state"] not in ENDED
    for party in (LABEL, FEATURE):
        os.kill(node_pid(fed, party), signal.SIGKILL)
    assert wait_for(fed, run, reached(FEATURE, "evaluate"))["state"] not in ENDED
    os.kill(node_pid(fed, FEATURE), signal.SIGKILL)
    ended = wait_ended(fed, run)
    assert ended["state"] == "finished", ended["failure"]
    begun = support.sealscore("score", ended["model_id"], "--detach", "--json", federation=fed)
    scoring = json.loads(begun.stdout)["run"]
    assert wait_for(fed, scoring, reached(LABEL, "align"))["state"] not in ENDED
    os.kill(node_pid(fed, LABEL), signal.SIGKILL)
    assert wait_ended(fed, scoring)["state"] == "finished"
    _, scored = score(fed, ended["model_id"])
    ids, joint, calibration = scores_in_the_clear(fed, ended["model_id"], tables)
    for place, name in enumerate(ids):
        low, high = (calibration.probability(joint[place] + sign * (PRECISION + 2.0**-9)) for sign in (-1, 1))
        assert low - 0.0001 <= scored[name] <= high + 0.0001
    kept = support.read_csv(fed.home(LABEL) / "state" / "scores" / f"{scoring}.csv")
    assert {row["id"] for row in kept} == set(ids)
