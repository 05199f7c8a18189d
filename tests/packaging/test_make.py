"""The Makefile and the gate: what they promise exists, and a missing interpreter is one clear sentence."""
from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from tests.packaging.project import ROOT, clean_environment

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.M)[1].split())
GATE = ROOT / ".ci" / "run"


def make(*arguments: str, cwd=ROOT) -> subprocess.CompletedProcess[str]:
    hidden = {"MAKEFLAGS": "", "MAKELEVEL": "", "MFLAGS": ""}  # this test may itself run under make
    return subprocess.run(["make", *arguments], cwd=cwd, env=clean_environment(**hidden), capture_output=True,
                          text=True, timeout=60, check=False)


@pytest.fixture
def fresh(tmp_path):
    """A checkout in which nothing was installed yet."""
    locks = ("requirements.lock", "requirements-dev.lock", "requirements-network.lock")
    for name in ("Makefile", "pyproject.toml", *locks):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "protocols").mkdir()
    return tmp_path


def test_help_names_every_target():
    shown = make("help").stdout
    assert {"demo", "test", "test-slow", "bench", "lint", "proto", "lock"} <= TARGETS
    assert not [name for name in TARGETS - {"help", "install", "install-dev"} if not re.search(rf"\b{name}\b", shown)]


@pytest.mark.parametrize("target", ["demo", "test", "test-slow", "bench", "lint", "proto", "lock"])
def test_without_python_311_every_target_says_so(target, fresh):
    done = make(target, "PYTHON=no-such-python", cwd=fresh)
    assert done.returncode == 2
    assert "needs Python 3.11" in done.stderr and "no-such-python" in done.stderr
    assert not (fresh / ".venv").exists()


@pytest.mark.parametrize("target", ["demo", "test", "test-slow", "bench", "lint", "proto"])
def test_every_target_installs_what_it_needs_first(target, fresh):
    planned = make("-n", target, cwd=fresh).stdout
    assert planned.index("-m venv") < planned.index("-r requirements.lock") < planned.index("--editable .")
    assert ("-r requirements-dev.lock" in planned) == (target != "demo")


def test_what_is_installed_is_in_the_lock_or_nothing():
    planned = re.findall(r"pip .*install .*", make("-n", "-B", "install-dev").stdout)
    assert len(planned) == 3
    assert all("--no-deps" in line for line in planned)
    assert all("--require-hashes" in line for line in planned if " -r " in line)


def test_make_demo_passes_arguments_on(fresh):
    planned = make("-n", "demo", "ARGS=--rows 4000 --encoding numeric", cwd=fresh).stdout
    assert ".venv/bin/sealscore demo --out demo-out --rows 4000 --encoding numeric\n" in planned


def test_the_gate_runs_every_stage_and_stays_under_90_minutes():
    stages = re.findall(r"^stage (\d+) make --no-print-directory (\S+)$", GATE.read_text(encoding="utf-8"), re.M)
    assert [name for _, name in stages] == ["install-dev", "lint", "test", "test-slow"]
    assert sum(int(minutes) for minutes, _ in stages) <= 85
    assert os.access(GATE, os.X_OK)


@pytest.mark.parametrize("failing", ["install-dev", "lint", "test", "test-slow"])
def test_the_gate_ends_with_the_first_stage_that_fails(failing, tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(GATE, tmp_path / ".ci")
    rules = [f"{name}:\n\t@echo ran-{name}; exit {3 if name == failing else 0}\n"
             for name in ("install-dev", "lint", "test", "test-slow")]
    (tmp_path / "Makefile").write_text("".join(rules), encoding="utf-8")
    done = subprocess.run([tmp_path / ".ci" / "run"], env=clean_environment(MAKEFLAGS=""), capture_output=True,
                          text=True, timeout=60, check=False)
    ran = re.findall(r"ran-(\S+)", done.stdout)
    assert done.returncode != 0
    assert ran[-1] == failing and ran == ["install-dev", "lint", "test", "test-slow"][: len(ran)]
    assert f"{failing} FAILED" in done.stderr
