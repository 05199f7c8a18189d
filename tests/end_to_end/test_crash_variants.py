"""Killed nodes in trainings other than the default one: event counts of bins (woe), and a cubic activation (deg3)."""
from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.demo.federation import FEATURE, LABEL, Federation, Table
from parties.runtime.egress import LEDGER
from tests.end_to_end import support
from tests.end_to_end.test_crash import (
    ENDED,
    RUN_S,
    assert_same_model,
    coefficients,
    node_pid,
    reached,
    wait_ended,
    wait_for,
)

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]
SETTINGS = {"woe": ("woe", "anchored"), "deg3": ("numeric", "deg3")}


@pytest.fixture(scope="module")
def fed(tables: dict[str, Table], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("c"), tables, minimum_rows=1000) as running:
        yield running


@pytest.mark.parametrize("name", SETTINGS)
def test_a_bank_killed_while_encoding_and_a_platform_killed_in_training_give_the_same_model(
    fed: Federation, tmp_path: Path, name: str
) -> None:
    """Beside an undisturbed run of the same plan; the bank goes on with what it had opened, and opens nothing twice."""
    encoding, activation = SETTINGS[name]
    plan = support.write_plan(tmp_path / "plan.toml", encoding=encoding, activation=activation, steps=8,
                              peer_deadline_s=120)
    undisturbed = support.launch(fed, plan, timeout_s=RUN_S)
    assert undisturbed["state"] == "finished", undisturbed["stderr"]
    run = support.start(fed, plan)
    for party, phase, step in ((LABEL, "encode", 0), (FEATURE, "train", 9)):
        assert wait_for(fed, run, reached(party, phase, step))["state"] not in ENDED
        os.kill(node_pid(fed, party), signal.SIGKILL)
    ended = wait_ended(fed, run)
    assert ended["state"] == "finished", ended["failure"]
    assert_same_model(fed, run, coefficients(fed, undisturbed["run"]))
    for party in (LABEL, FEATURE):
        assert opened_by(fed, party, run) == opened_by(fed, party, undisturbed["run"])


def opened_by(fed: Federation, party: str, run: str) -> dict[str, dict[str, int]]:
    """How many numbers a party has opened in a run to whom, by kind: its own ledger."""
    ledger = json.loads(support.run_fact(fed, party, run, LEDGER))
    assert ledger
    return ledger
