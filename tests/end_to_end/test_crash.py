"""Killed processes while a run is under way: it ends with the same model, or says who, where, why and what to do.

One federation for the module; the demo's supervisor starts a killed node again, the coordinator's a killed process.
"""
from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from coordinator import launch
from coordinator.demo.federation import FEATURE, LABEL, Federation
from coordinator.options import opened
from protocols.node.supervise import environment, script
from tests.end_to_end import support

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]
PRECISION = 2.0**-11  # the declared one: two trainings with the same seeds and data, in whitened coefficients
ENDED = ("finished", "failed", "cancelled")
PEER_S = 30
RUN_S = 300.0
Place = Callable[[dict[str, Any]], bool]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With many steps, so that there is time to kill somebody in the middle."""
    return support.write_plan(tmp_path_factory.mktemp("p") / "plan.toml", steps=24, peer_deadline_s=PEER_S)


@pytest.fixture(scope="module")
def undisturbed(fed: Federation, plan: Path) -> dict[str, list[float]]:
    return coefficients(fed, support.finished(fed, plan, RUN_S)["run"])


def coefficients(fed: Federation, run: str) -> dict[str, list[float]]:
    halves = {party: support.vault_half(fed, party, "m-" + run.removeprefix("r-")) for party in (LABEL, FEATURE)}
    return {LABEL: [halves[LABEL]["intercept"], *halves[LABEL]["coefficients"]],
            FEATURE: halves[FEATURE]["coefficients"]}


def assert_same_model(fed: Federation, run: str, undisturbed: dict[str, list[float]]) -> None:
    got = coefficients(fed, run)
    for party, wanted in undisturbed.items():
        assert len(got[party]) == len(wanted)
        assert max(abs(a - b) for a, b in zip(got[party], wanted, strict=True)) <= PRECISION
    for party in (LABEL, FEATURE):  # nothing secret of a finished run stays
        names = ("keys", "train.role", f"align.role.{LABEL}", f"align.role.{FEATURE}")
        facts = {name: support.run_fact(fed, party, run, name) for name in names}
        assert set(facts.values()) == {None}


def wait_for(fed: Federation, run: str, place: Place, within_s: float = RUN_S) -> dict[str, Any]:
    """As `sealscore runs show` tells it, but looked at often: a training of this size takes seconds."""
    end = time.monotonic() + within_s
    with opened(fed.config) as (_, registry):
        while time.monotonic() < end:
            shown = launch.summary(registry, registry.run(run))
            if place(shown) or shown["state"] in ENDED:
                return shown
            time.sleep(0.05)
    raise AssertionError(f"run {run} has not come there within {within_s:.0f} s: {shown}")


def wait_ended(fed: Federation, run: str, within_s: float = RUN_S) -> dict[str, Any]:
    return wait_for(fed, run, lambda shown: False, within_s)


def reached(party: str, phase: str, step: int = 0) -> Place:
    return lambda shown: any((p["party"], p["phase"]) == (party, phase) and p["step"] >= step
                             for p in shown["progress"])


def node_pid(fed: Federation, node: str) -> int:
    return json.loads((fed.home(node) / "state" / "ready.json").read_text())["pid"]


def process_pid(fed: Federation, name: str) -> int:
    """A process that the coordinator's node supervises."""
    return json.loads((fed.home("coordinator") / "state" / "ready.json").read_text())["processes"][name]


def commands(part: str) -> list[tuple[int, str]]:
    """Running processes whose command line holds `part`."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode() if entry.name.isdigit() else ""
            if part in line:
                found.append((int(entry.name), line))
    return found


def gone(folder: Path, within_s: float = 10) -> bool:
    """Whether no process with `folder` on its command line is left."""
    end = time.monotonic() + within_s
    while commands(str(folder)) and time.monotonic() < end:
        time.sleep(0.1)
    return not commands(str(folder))


def wait_up(fed: Federation, node: str, but: int, within_s: float = 60) -> None:
    """Until the node runs again, under another process id than `but`."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            if node_pid(fed, node) != but:
                return
        time.sleep(0.2)
    raise AssertionError(f"{node} did not come back within {within_s:.0f} s")


# -- killed during training, at several points


@pytest.mark.parametrize("node, place, number", [
    (LABEL, reached(LABEL, "align"), signal.SIGKILL),
    (LABEL, reached(LABEL, "train", 15), signal.SIGKILL),
    (FEATURE, reached(FEATURE, "evaluate"), signal.SIGKILL),
    (LABEL, reached(LABEL, "train", 3), signal.SIGTERM),  # a clean stop leaves the run as it is, too
], ids=["bank aligning", "bank stepping", "platform evaluating", "bank stopped"])
def test_a_killed_daemon_goes_on_by_itself(fed, plan, undisturbed, node, place, number) -> None:
    run = support.start(fed, plan)
    assert wait_for(fed, run, place)["state"] not in ENDED
    victim = node_pid(fed, node)
    os.kill(victim, number)
    ended = wait_ended(fed, run)
    assert ended["state"] == "finished", ended["failure"]
    assert_same_model(fed, run, undisturbed)
    wait_up(fed, node, victim)
    events = [r["body"].get("event") for r in support.audit_records(fed, node) if r["body"].get("run") == run]
    assert events.count("finished") == 1 and events.count("started") == 1


@pytest.mark.parametrize("step", [0, 12])
def test_a_killed_hub_is_not_noticed(fed, plan, undisturbed, step: int) -> None:
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached(LABEL, "train", step))["state"] not in ENDED
    os.kill(process_pid(fed, "hub"), signal.SIGKILL)
    ended = wait_ended(fed, run)
    assert ended["state"] == "finished", ended["failure"]
    assert_same_model(fed, run, undisturbed)


def test_both_daemons_and_the_hub_at_once(fed, plan, undisturbed) -> None:
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached(FEATURE, "train", 5))["state"] not in ENDED
    for victim in (process_pid(fed, "hub"), node_pid(fed, LABEL), node_pid(fed, FEATURE)):
        os.kill(victim, signal.SIGKILL)
    ended = wait_ended(fed, run)
    assert ended["state"] == "finished", ended["failure"]
    assert_same_model(fed, run, undisturbed)


# -- killed control plane


def kill_server_app(fed: Federation) -> None:
    address = json.loads((fed.home("coordinator") / "state" / "ready.json").read_text())["superlink"]
    victims = [pid for pid, line in commands("flwr-serverapp") if address in line]
    assert len(victims) == 1
    os.kill(victims[0], signal.SIGKILL)


def kill_supernode(fed: Federation) -> None:
    home = str(fed.home(LABEL))
    victims = [pid for pid, line in commands("flower_supernode") if home in line]
    assert len(victims) == 1
    os.kill(victims[0], signal.SIGKILL)


VICTIMS: dict[str, Callable[[Federation], None]] = {
    "SuperLink": lambda fed: os.kill(process_pid(fed, "superlink"), signal.SIGKILL),
    "ServerApp": kill_server_app,
    "SuperExec": lambda fed: os.kill(process_pid(fed, "superexec"), signal.SIGKILL),
    "SuperNode": kill_supernode,
}


def assert_went_on(fed: Federation, run: str, undisturbed: dict[str, list[float]], attempts: set[int]) -> None:
    """The run finished by itself, after so many attempts, and no party was told of any failure."""
    shown = support.show_run(fed, run)
    assert shown["state"] == "finished", shown["failure"]
    assert shown["attempts"]["number"] in attempts, shown["attempts"]
    assert [lost["number"] for lost in shown["attempts"]["lost"]] == [*range(1, shown["attempts"]["number"])]
    assert {p["state"] for p in shown["progress"]} == {"finished"}
    assert_same_model(fed, run, undisturbed)
    for party in (LABEL, FEATURE):
        events = [r["body"].get("event") for r in support.audit_records(fed, party) if r["body"].get("run") == run]
        assert [events.count(e) for e in ("started", "continued", "failed", "finished")] == [1, 0, 0, 1]


@pytest.mark.parametrize("name, attempts", [
    ("SuperLink", {1, 2}), ("ServerApp", {2}), ("SuperExec", {2}), ("SuperNode", {1}),
], ids=list(VICTIMS))
def test_a_killed_control_plane_is_not_noticed(fed, plan, undisturbed, name: str, attempts: set[int]) -> None:
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached(LABEL, "train", 2))["state"] not in ENDED
    VICTIMS[name](fed)
    wait_ended(fed, run)
    assert_went_on(fed, run, undisturbed, attempts)
    if attempts == {2}:
        text = support.sealscore("runs", "show", run, federation=fed).stdout
        assert "continued after the control plane was lost (attempt 2 of 5)" in text and "ServerApp is gone" in text


def test_a_killed_control_plane_of_a_run_that_is_being_agreed_on(fed, plan, undisturbed) -> None:
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached("coordinator", "agree"))["state"] == "agreeing"
    kill_server_app(fed)
    wait_ended(fed, run)
    assert_went_on(fed, run, undisturbed, {2})


def test_a_killed_control_plane_as_a_whole_goes_on_after_its_start(fed, plan, undisturbed) -> None:
    """The coordinator's node with all its processes, the hub too."""
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached(LABEL, "train", 2))["state"] not in ENDED
    victim = node_pid(fed, "coordinator")
    os.kill(victim, signal.SIGKILL)
    wait_ended(fed, run)
    assert_went_on(fed, run, undisturbed, {2})
    wait_up(fed, "coordinator", victim)


def test_a_killed_control_plane_leaves_a_cancelled_run_cancelled(fed, plan) -> None:
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached(LABEL, "train", 2))["state"] not in ENDED
    kill_server_app(fed)
    done = support.sealscore("runs", "cancel", run, federation=fed)
    assert done.returncode == 0 and "cancelled" in done.stdout
    time.sleep(15)  # as long as another attempt would take to begin
    shown = support.show_run(fed, run)
    assert shown["state"] == "cancelled" and shown["attempts"]["number"] <= 2
    for party in (LABEL, FEATURE):
        assert json.loads(support.run_fact(fed, party, run, "state"))["state"] == "cancelled"


def test_a_killed_control_plane_that_was_killed_too_often_ends_clearly_and_is_resumed(fed, plan, undisturbed) -> None:
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached(LABEL, "train", 2))["state"] not in ENDED
    with closing(sqlite3.connect(fed.home("coordinator") / "state" / "registry.db", timeout=30)) as registry, registry:
        registry.execute("UPDATE attempts SET number = 5 WHERE run = ?", (run,))  # as if four had been lost before
    kill_server_app(fed)
    ended = wait_ended(fed, run)
    assert ended["state"] == "failed"
    assert set(ended["failure"]) == {"party", "phase", "cause", "next_step"} and all(ended["failure"].values())
    assert "lost 5 times" in ended["failure"]["cause"] and f"runs resume {run}" in ended["failure"]["next_step"]
    done = support.sealscore("runs", "resume", run, federation=fed, timeout_s=RUN_S)
    assert done.returncode == 0, done.stderr
    shown = support.show_run(fed, run)
    assert shown["state"] == "finished" and shown["failure"] is None and shown["attempts"]["number"] == 1
    assert {p["state"] for p in shown["progress"]} == {"finished"}  # nothing stale of the failed one
    assert_same_model(fed, run, undisturbed)


# -- parties that leave, and ends from outside


@contextlib.contextmanager
def kept_down(fed: Federation, node: str) -> Iterator[None]:
    """Kill a node and keep it down: its file does not load meanwhile."""
    config, pid = fed.home(node) / f"{node}.toml", node_pid(fed, node)
    text = config.read_text()
    config.write_text("gone = true\n")
    os.kill(pid, signal.SIGKILL)
    try:
        yield
    finally:
        config.write_text(text)
        wait_up(fed, node, pid)


def test_a_party_that_stays_away_ends_the_run_in_time_and_resume_continues(fed, plan, undisturbed) -> None:
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached(FEATURE, "train", 3))["state"] not in ENDED
    with kept_down(fed, LABEL):
        began = time.monotonic()
        ended = wait_ended(fed, run, within_s=PEER_S + 60)
        assert PEER_S - 10 < time.monotonic() - began < PEER_S + 45
        assert ended["state"] == "failed"
        failure = ended["failure"]
        assert failure["party"] == FEATURE and failure["phase"] == "train"
        assert "nothing heard from bank" in failure["cause"] and "check the node of bank" in failure["next_step"]
    done = support.sealscore("runs", "resume", run, federation=fed, timeout_s=RUN_S)
    assert done.returncode == 0, done.stderr
    assert_same_model(fed, run, undisturbed)


def test_a_cancelled_run_leaves_nothing_of_the_model(fed, plan) -> None:
    before = {party: support.vault_models(fed, party) for party in (LABEL, FEATURE)}
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached(FEATURE, "train", 4))["state"] not in ENDED
    done = support.sealscore("runs", "cancel", run, federation=fed)
    assert done.returncode == 0 and "cancelled" in done.stdout
    for party in (LABEL, FEATURE):
        state = json.loads(support.run_fact(fed, party, run, "state"))
        assert state["state"] == "cancelled"
        for name in ("keys", "train.role", "train.peer_public", "align.rows", "report", "metrics"):
            assert support.run_fact(fed, party, run, name) is None
        assert support.vault_models(fed, party) == before[party]
    again = support.sealscore("runs", "resume", run, federation=fed)
    assert again.returncode == 2 and "only failed runs are resumed" in again.stderr


def test_a_party_that_was_away_when_the_run_was_cancelled_hears_of_it(fed, plan) -> None:
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached(FEATURE, "train", 2))["state"] not in ENDED
    with kept_down(fed, FEATURE):
        assert support.sealscore("runs", "cancel", run, federation=fed).returncode == 0
        assert wait_ended(fed, run, within_s=60)["state"] == "cancelled"
    end = time.monotonic() + 40
    while support.run_fact(fed, FEATURE, run, "keys") is not None and time.monotonic() < end:
        time.sleep(0.3)
    assert support.run_fact(fed, FEATURE, run, "keys") is None  # erased once the state says why
    assert json.loads(support.run_fact(fed, FEATURE, run, "state"))["state"] == "cancelled"


# -- the node alone, as an operator starts it


def test_a_daemon_started_by_hand_goes_on_after_a_kill(tables, tmp_path_factory, undisturbed, plan) -> None:
    """No supervisor above the bank: whoever starts it again finds the run going on."""
    root = tmp_path_factory.mktemp("h")
    fed = Federation(root, tables, 1000)
    fed.prepare()
    nodes: dict[str, subprocess.Popen] = {}

    def serve(node: str) -> None:
        command = [script("sealscore"), node, "serve", str(fed.home(node) / f"{node}.toml")]
        with (root / f"{node}.log").open("ab") as sink:
            nodes[node] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sink, env=environment())
        assert b"ready" in nodes[node].stdout.readline()

    try:
        for node in ("coordinator", LABEL, FEATURE):
            serve(node)
        wait_seen(fed)
        run = support.start(fed, plan)
        assert wait_for(fed, run, reached(LABEL, "train", 4))["state"] not in ENDED
        nodes[LABEL].kill()
        nodes[LABEL].communicate()
        assert gone(fed.home(LABEL))  # no orphan
        serve(LABEL)
        ended = wait_ended(fed, run)
        assert ended["state"] == "finished", ended["failure"]
        assert_same_model(fed, run, undisturbed)
    finally:
        for node in nodes.values():
            node.terminate()
        for node in nodes.values():
            node.communicate(timeout=30)
    assert gone(root)


def wait_seen(fed: Federation) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if support.sealscore("coordinator", "parties", federation=fed).stdout.count("customers") == 2:
            return
    raise AssertionError("the parties have not said hello")
