"""What gets loaded: contracts between the layers, and what an interpreter holds after importing a side."""
from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.packaging.project import ROOT, clean_environment

LOADED = """
import importlib, json, pkgutil, sys
package, left_out = sys.argv[1], set(sys.argv[2:])
def fail(name):
    raise ImportError(f"{name} cannot be imported")
class NoTorch:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise RuntimeError("something imports torch")
sys.meta_path.insert(0, NoTorch)
names = [m.name for m in pkgutil.walk_packages([package], package + ".", onerror=fail)]
imported = [name for name in names if name not in left_out]
for name in imported:
    importlib.import_module(name)
sys.stdout.write(json.dumps([imported, sorted(sys.modules)]))
"""
DECRYPTORS = ("tenseal", "protocols.crypto.keys", "protocols.crypto.product", "protocols.crypto.elementwise")
# Runs as a process of its own in the demo and reads both tables in the clear, for comparison only.
ORACLE = "coordinator.demo.oracle"


def loaded(package: str, *left_out: str) -> tuple[list[str], set[str]]:
    """(modules of a package, everything in sys.modules) after a fresh interpreter imported all of it."""
    done = subprocess.run([sys.executable, "-c", LOADED, package, *left_out], cwd=ROOT, env=clean_environment(),
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    imported, modules = json.loads(done.stdout)
    return imported, set(modules)


def within(modules: set[str], package: str) -> list[str]:
    return sorted(name for name in modules if name == package or name.startswith(package + "."))


@pytest.fixture(scope="module")
def coordinator() -> tuple[list[str], set[str]]:
    return loaded("coordinator", ORACLE)


@pytest.fixture(scope="module")
def parties() -> tuple[list[str], set[str]]:
    return loaded("parties")


def test_the_coordinator_can_hold_no_decryption_key(coordinator):
    imported, modules = coordinator
    assert {"coordinator.hub", "coordinator.server_app", "coordinator.demo.cli"} <= set(imported)
    assert not [found for package in DECRYPTORS for found in within(modules, package)]


def test_the_coordinator_loads_nothing_of_a_party(coordinator):
    assert not within(coordinator[1], "parties")


def test_a_party_loads_nothing_of_the_coordinator(parties):
    imported, modules = parties
    assert {"parties.bank.cli", "parties.platform.cli", "parties.runtime.daemon"} <= set(imported)
    assert not within(modules, "coordinator")


def test_the_check_sees_decryptors_where_there_are_some(parties):
    assert all(within(parties[1], package) for package in DECRYPTORS)


# grpc itself looks for grpc_tools, so that one says nothing; torch may be absent here: LOADED refuses even a try.
@pytest.mark.parametrize("tool", ["torch", "sklearn", "scipy", "pytest", "hypothesis", "hatchling"])
def test_no_side_loads_what_a_node_does_not_need(tool, coordinator, parties):
    assert not within(coordinator[1] | parties[1], tool)


@pytest.mark.timeout(120)
def test_import_contracts_hold():
    done = subprocess.run([sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()",
                           "--no-cache"], cwd=ROOT, env=clean_environment(NO_COLOR="1"), capture_output=True, text=True,
                          timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout
