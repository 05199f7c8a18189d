"""Two banks and two platforms as real processes: kills, a bank that stays away, scoring, and what the hub held."""
from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from coordinator.demo.federation import Federation, Table
from protocols.crypto.zero_sharing import Circle
from protocols.state import unpack
from tests.end_to_end import support
from tests.end_to_end.test_crash import (
    ENDED,
    PRECISION,
    RUN_S,
    node_pid,
    reached,
    wait_ended,
    wait_for,
    wait_up,
)
from tests.end_to_end.test_several_platforms import memory, secrets_of

BANKS, PLATFORMS = ("bank-1", "bank-2"), ("platform-1", "platform-2")
PASSES = 6 + 12


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    return support.split_tables(tmp_path_factory.mktemp("data"), 9000, len(PLATFORMS), len(BANKS))


@pytest.fixture(scope="module")
def plan(tables: dict[str, Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("p") / "plan.toml"
    settings = "[model]", "bins = 2", f"steps = {PASSES - 6}", "commons_rho = 0.05"
    return support.plan_of(tables, path, *settings, columns=6)


@pytest.fixture(scope="module")
def trained(fed: Federation, plan: Path) -> dict:
    return support.finished(fed, plan, RUN_S)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_hub_added_and_nothing_is_left_behind(fed: Federation, trained: dict) -> None:
    """Per pass and bank two platforms' replies in both directions, and one sum over both banks for the lead."""
    for party in fed.parties:
        assert support.run_rows(fed, party, trained["run"], "bulk") == 0
    hub = support.show_run(fed, trained["run"])["hub"]
    assert hub["summands"] == PASSES * (2 * 2 * 2 + 2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_bank_s_log_tells_what_it_opened_to_whom(fed: Federation, trained: dict) -> None:
    told = [(r["body"]["what"], r["body"]["learner"]) for r in support.audit_records(fed, "bank-2")
            if r["kind"] == "opening" and r["body"]["run"] == trained["run"]]
    assert {what for what, learner in told if learner == "bank-1"} == {
        "commons.histogram", "commons.moments", "scale", "verdict"}
    assert {what for what, learner in told if learner in PLATFORMS} == {"membership", "membership.joint", "verdict"}
    assert len(told) == len(set(told)) or {w for w, _ in told if told.count((w, _)) > 1} == {"membership"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_model_scores_for_one_of_its_banks_and_for_no_stranger(fed: Federation, trained: dict) -> None:
    done = support.sealscore("score", trained["model_id"], "--bank", "bank-2", "--json", federation=fed)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["run"]
    assert (fed.home("bank-2") / "state" / "scores" / f"{run}.csv").is_file()
    assert not (fed.home("bank-1") / "state" / "scores" / f"{run}.csv").exists()
    refused = support.sealscore("score", trained["model_id"], "--json", federation=fed)
    assert refused.returncode != 0 and "--bank" in refused.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_secret_of_a_party_is_in_the_memory_of_the_coordinator(fed: Federation, plan: Path, trained: dict) -> None:
    """In the middle of a training, the banks' common seed and their pairs' seeds included."""
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached("bank-1", "train", 7))["state"] not in ENDED
    secrets = {f"{party}: {name}": value for party in fed.parties
               for name, value in secrets_of(fed, party, run).items()}
    for bank in BANKS:
        circle = Circle.from_bytes(bank, BANKS, unpack(support.run_fact(fed, bank, run, "encode.role"))["circle"])
        secrets[f"{bank}: group"] = circle.to_bytes()[1:33]
        secrets[f"{bank}: pair"] = circle.to_bytes()[34:66]
    assert secrets["bank-1: group"] == secrets["bank-2: group"] and secrets["bank-1: pair"] == secrets["bank-2: pair"]
    ready = json.loads((fed.home("coordinator") / "state" / "ready.json").read_text())
    held = {name: memory(pid) for name, pid in {**ready["processes"], "node": ready["pid"]}.items()}
    found = [f"{what} in {name}" for what, value in secrets.items() for name, data in held.items() if value in data]
    assert found == []
    assert run.encode() in held["hub"]  # the search finds what is there
    assert wait_ended(fed, run)["state"] == "finished"


@pytest.mark.crash
@pytest.mark.timeout(900)
def test_a_killed_bank_changes_nothing(fed: Federation, plan: Path, trained: dict) -> None:
    """Bins come from noise that is drawn anew in every run, so two runs are compared by what they say of a person."""
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached("bank-1", "train", 5))["state"] not in ENDED
    pid = node_pid(fed, "bank-2")
    os.kill(pid, signal.SIGKILL)
    ended = wait_ended(fed, run)
    assert ended["state"] == "finished", ended["failure"]
    halves = [support.vault_half(fed, bank, "m-" + run.removeprefix("r-")) for bank in BANKS]
    common = np.array([half["coefficients"] for half in halves])
    assert np.abs(common[0] - common[1]).max() <= PRECISION
    before, after = (support.show_run(fed, r)["result"]["metrics_by_bank"] for r in (trained["run"], run))
    assert all(abs(before[bank]["auc_joint"] - after[bank]["auc_joint"]) < 0.02 for bank in BANKS)
    wait_up(fed, "bank-2", pid)


@pytest.mark.crash
@pytest.mark.timeout(900)
def test_a_bank_that_stays_away_is_named_and_the_others_may_go_on_without_it(fed, plan, trained) -> None:
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached("bank-1", "train", 3))["state"] not in ENDED
    config, pid = fed.home("bank-2") / "bank-2.toml", node_pid(fed, "bank-2")
    text = config.read_text()
    config.write_text("gone = true\n")
    os.kill(pid, signal.SIGKILL)
    try:
        ended = wait_ended(fed, run, within_s=180)
        assert ended["state"] == "failed"
        assert "bank-2" in ended["failure"]["cause"] + ended["failure"]["next_step"]
        done = support.sealscore("runs", "resume", run, "--without", "bank-2", "--json", federation=fed,
                                 timeout_s=RUN_S)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["state"] == "finished"
    finally:
        config.write_text(text)
        wait_up(fed, "bank-2", pid)
    again = support.sealscore("runs", "resume", run, "--json", federation=fed, timeout_s=RUN_S)
    assert again.returncode == 0, again.stderr
