"""Supervision: restart with back-off, clean stop, nothing survives its supervisor."""
from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocols.errors import ConfigError, SealscoreError
from protocols.node.supervise import Service, Supervisor, environment, free_port, require_free_port, secret_file

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


def service(folder: Path, *command: str, **options) -> Service:
    return Service("child", command, folder / "logs" / "child.log", environment(), **options)


def until(condition: Callable[[], bool], within_s: float = 10.0) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_a_dead_child_is_started_again(tmp_path: Path):
    supervisor = Supervisor([service(tmp_path, *SLEEP, backoff_s=0.1)])
    supervisor.start()
    try:
        first = supervisor.pids()["child"]
        os.kill(first, signal.SIGKILL)
        assert until(lambda: supervisor.pids()["child"] != first and supervisor.alive())
    finally:
        supervisor.stop()
    assert not supervisor.alive()


def test_back_off_grows(tmp_path: Path):
    count = tmp_path / "count"
    command = (sys.executable, "-c", f"open({str(count)!r}, 'a').write('x')")
    supervisor = Supervisor([service(tmp_path, *command, backoff_s=0.5)])
    supervisor.start()
    time.sleep(2.2)
    supervisor.stop()
    assert 2 <= len(count.read_text()) <= 3


def test_stop_ends_grandchildren_and_what_ignores_sigterm(tmp_path: Path):
    script = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"p = subprocess.Popen({list(SLEEP)!r}); print(p.pid, flush=True); time.sleep(60)"
    )
    supervisor = Supervisor([service(tmp_path, sys.executable, "-c", script)])
    supervisor.start()
    log = tmp_path / "logs" / "child.log"
    assert until(lambda: log.exists() and log.read_text().strip().isdigit())
    child, grandchild = supervisor.pids()["child"], int(log.read_text())
    began = time.monotonic()
    supervisor.stop(within_s=1.0)
    assert time.monotonic() - began < 4.0
    assert until(lambda: gone(child) and gone(grandchild), 3.0)


def test_children_die_with_a_killed_supervisor(tmp_path: Path):
    script = (
        "import sys, time; from pathlib import Path; from protocols.node.supervise import *\n"
        f"s = Supervisor([Service('c', {SLEEP!r}, Path({str(tmp_path)!r}) / 'c.log', environment())])\n"
        "s.start(); print(s.pids()['c'], flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    assert until(lambda: gone(child), 3.0)


def test_a_child_that_ends_before_it_is_ready_is_named(tmp_path: Path):
    supervisor = Supervisor([service(tmp_path, sys.executable, "-c", "raise SystemExit(3)", ready=lambda: False)])
    with pytest.raises(SealscoreError, match="process child ended with code 3.*child.log"):
        supervisor.start()


def test_a_child_that_is_never_ready_is_stopped(tmp_path: Path):
    supervisor = Supervisor([service(tmp_path, *SLEEP, ready=lambda: False, ready_timeout_s=0.3)])
    with pytest.raises(SealscoreError, match="not ready within 0.3 s"):
        supervisor.start()
    assert until(lambda: gone(supervisor.pids()["child"]), 9.0)


def test_a_command_that_does_not_exist_is_a_dead_child(tmp_path: Path):
    supervisor = Supervisor([service(tmp_path, "/no/such/program", ready=lambda: False)])
    with pytest.raises(SealscoreError, match="ended with code"):
        supervisor.start()


def test_busy_ports_are_named():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with pytest.raises(ConfigError, match="listen.hub = 127.0.0.1:.* cannot be used"):
            require_free_port("127.0.0.1", busy.getsockname()[1], "listen.hub")
    require_free_port("127.0.0.1", free_port(), "listen.hub")


def test_secrets_are_made_once_and_private(tmp_path: Path):
    path = secret_file(tmp_path / "state" / "secret")
    held = path.read_bytes()
    assert len(held) == 32 and path.stat().st_mode & 0o777 == 0o600
    assert secret_file(path).read_bytes() == held


def test_the_environment_is_quiet(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    env = environment(X="1")
    assert env["FLWR_TELEMETRY_ENABLED"] == "0" and "HTTPS_PROXY" not in env and env["X"] == "1"
    assert env["PATH"].split(":")[0] == str(Path(sys.executable).parent)
