"""Cancelled runs and killed processes: the run goes on by itself, whatever of the control plane was killed."""
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coordinator.flower.adapter import Control
from coordinator.seat import is_taken
from protocols.plan import Plan

pytestmark = pytest.mark.slow


@pytest.fixture
def daemons(federation):
    for daemon in federation.daemons.values():
        daemon.reset()
    return federation.daemons


def start_and_wait_for_running(federation, daemons, plan: Plan) -> str:
    daemons["bank"].finish = daemons["platform"].finish = False
    run = federation.submit(plan)
    assert federation.wait_for(run, "running", "failed") == "running"
    end = time.monotonic() + 30
    while time.monotonic() < end and not all(any(m == "execute" for m, _ in d.calls) for d in daemons.values()):
        time.sleep(0.1)
    return run


def finish(daemons, run: str) -> None:
    for daemon in daemons.values():
        daemon.report(run)


def server_apps(address: str) -> list[int]:
    """Process ids of ServerApps of our SuperLink."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if any(w.endswith(b"flwr-serverapp") for w in words) and address.encode() in words:
                found.append(int(entry.name))
    return found


def test_a_running_run_is_cancelled(federation, daemons, plan: Plan):
    run = start_and_wait_for_running(federation, daemons, plan)
    federation.registry.cancel(run)
    for daemon in daemons.values():
        daemon.report(run, state="cancelled")
    assert federation.wait_for(run, "cancelled", "failed", within_s=30) == "cancelled"


def test_a_killed_superlink_comes_back_and_the_run_ends_well(federation, daemons, plan: Plan):
    run = start_and_wait_for_running(federation, daemons, plan)
    os.kill(federation.node.pids()["superlink"], signal.SIGKILL)
    time.sleep(3)
    finish(daemons, run)
    state = federation.wait_for(run, "finished", "failed", within_s=150)
    assert state == "finished", federation.registry.run(run)


def test_a_killed_server_app_is_followed_by_another(federation, daemons, plan: Plan):
    run = start_and_wait_for_running(federation, daemons, plan)
    victims = server_apps(federation.config.listen.superlink)
    assert len(victims) == 1
    os.kill(victims[0], signal.SIGKILL)
    finish(daemons, run)
    assert federation.wait_for(run, "finished", "failed", within_s=90) == "finished", federation.registry.run(run)
    assert [a["cause"] for a in federation.registry.attempts(run)] == ["its ServerApp is gone", None]
    for daemon in daemons.values():  # agreed once; asked to execute again, which it may be
        assert [method for method, _ in daemon.calls] == ["agree", "execute", "execute", "publish"]


def test_a_frozen_server_app_does_not_conduct_beside_the_one_that_took_its_place(federation, daemons, plan: Plan):
    run = start_and_wait_for_running(federation, daemons, plan)
    frozen = server_apps(federation.config.listen.superlink)[0]
    os.kill(frozen, signal.SIGSTOP)
    first = federation.registry.run(run)["flower_run_id"]
    with Control(federation.config.listen.superlink, federation.config.home / "tls" / "ca.crt") as control:
        second = control.submit(run)
    assert federation.registry.replace_flower_run(run, first, second, "frozen")
    finish(daemons, run)
    assert federation.wait_for(run, "finished", "failed", within_s=15) == "running"  # the seat is taken
    os.kill(frozen, signal.SIGCONT)
    assert federation.wait_for(run, "finished", "failed", within_s=90) == "finished", federation.registry.run(run)
    assert [bool(a["conducted_at"]) for a in federation.registry.attempts(run)] == [True, True]
    end = time.monotonic() + 60
    while is_taken(federation.config.home, run) and time.monotonic() < end:  # it reports first and then ends
        time.sleep(0.1)
    assert not is_taken(federation.config.home, run)


def test_a_killed_supernode_comes_back_and_the_run_ends_well(federation, daemons, plan: Plan):
    run = start_and_wait_for_running(federation, daemons, plan)
    os.kill(federation.flowers["bank"].pids()["supernode"], signal.SIGKILL)
    os.kill(federation.flowers["platform"].pids()["executor"], signal.SIGKILL)
    finish(daemons, run)
    state = federation.wait_for(run, "finished", "failed", within_s=240)
    assert state == "finished", federation.registry.run(run)


def test_a_killed_coordinator_leaves_no_process_and_starts_again(federation):
    """Runs last: it takes the node of the module down and brings another up on the same state."""
    federation.node.stop()
    command = [sys.executable, "-m", "protocols", "coordinator", "serve", str(federation.config.source)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None and "ready" in first.stdout.readline()
    first.kill()
    first.communicate()
    second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # its ports must be free again
    assert second.stdout is not None and "ready" in second.stdout.readline()
    began = time.monotonic()
    second.terminate()
    second.communicate(timeout=15)
    assert second.returncode == 0 and time.monotonic() - began < 10
    assert not (federation.config.home / "state" / "ready.json").exists()
