"""A bank's node: the wheel with the platform's and the coordinator's packages removed still runs."""
from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.packaging.project import PACKAGES, ROOT, clean_environment

REMOVED = ("coordinator", "parties/platform")
pytestmark = pytest.mark.timeout(180)


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(COLUMNS="200", TERM="dumb", NO_COLOR="1")
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without an index from a copy, so that nothing is written into the checkout."""
    work = tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, work / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, work / "source")
    built = run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
                "--wheel-dir", work, work / "source", cwd=work)
    assert built.returncode == 0, built.stderr
    return next(work.glob("sealscore-*.whl"))


@pytest.fixture(scope="module")
def node(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel, this one's dependencies, and not what was removed."""
    home = tmp_path_factory.mktemp("node")
    venv.create(home, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    installed = run(sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install", "--quiet", "--no-deps",
                    "--no-index", wheel, cwd=home)
    assert installed.returncode == 0, installed.stderr
    # A path line adds the folder only: the editable checkout's own .pth in it is not followed.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    for name in REMOVED:
        shutil.rmtree(site / name)
    return home / "bin"


def test_the_wheel_holds_the_three_packages_and_their_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    roots = {name.split("/")[0] for name in names}
    assert roots - {root for root in roots if root.endswith(".dist-info")} == set(PACKAGES)
    assert {"coordinator/demo/report.html.j2", "protocols/node/requirements.lock"} <= set(names)


def test_the_bank_is_imported_from_the_wheel(node):
    code = "import parties.bank.side, sys; print(parties.__file__); import protocols.crypto.product"
    done = run(node / "python", "-c", code, cwd=node)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(node.parent)


@pytest.mark.parametrize("removed", ["coordinator", "parties.platform"])
def test_what_was_removed_is_gone(node, removed):
    done = run(node / "python", "-c", f"import {removed}", cwd=node)
    assert done.returncode != 0 and "ModuleNotFoundError" in done.stderr


def test_the_bank_serves(node):
    done = run(node / "sealscore", "bank", "--help", cwd=node)
    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout


@pytest.mark.parametrize(("command", "missing"), [("demo", "coordinator"), ("platform", "parties.platform")])
def test_a_command_that_is_not_installed_says_so_in_one_sentence(node, command, missing):
    done = run(node / "sealscore", command, cwd=node)
    assert done.returncode == 2
    assert done.stderr == f"sealscore {command}: this node has no {missing}; install the full distribution\n"
