"""The printed unit: accepted by systemd where it is installed, hardened, and free of what a path could smuggle in."""
from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from protocols.errors import ConfigError, UsageError
from protocols.node.node_file import NodeFile
from protocols.node.systemd import main, unit

FILES = {
    "bank.toml": '[node]\nname = "north"\nrole = "bank"\n', "platform.toml": '[node]\nname = "p"\nrole = "platform"\n',
    "coordinator.toml": '[node]\nhome = "home"\n[listen]\n',
}


@pytest.fixture(params=sorted(FILES))
def node(request, tmp_path) -> NodeFile:
    (tmp_path / "home").mkdir()
    path = tmp_path / request.param
    path.write_text(FILES[request.param])
    return NodeFile.read(path)


def test_the_unit_runs_this_node_and_is_hardened(node):
    parsed = configparser.ConfigParser(strict=True, interpolation=None)
    parsed.optionxform = str
    parsed.read_string(unit(node, "sealscore", "8G"))
    service = parsed["Service"]
    assert service["ExecStart"].endswith(f"sealscore {node.kind} serve {node.path}")
    assert service["ReadWritePaths"] == service["WorkingDirectory"] == str(node.home)
    assert {k: service[k] for k in ("User", "NoNewPrivileges", "ProtectSystem", "Restart", "UMask", "MemoryMax")} == {
        "User": "sealscore", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "Restart": "on-failure",
        "UMask": "0077", "MemoryMax": "8G"}
    assert int(service["TimeoutStopSec"]) > 10 and ("ExecReload" in service) == (node.kind == "coordinator")


def test_other_processes_of_a_node_have_units_of_their_own(node):
    for serve in ("decisions", "scoring"):
        if {"bank": "decisions", "platform": "scoring"}.get(node.kind) == serve:
            text = unit(node, "sealscore", serve=serve)
            assert f"sealscore {node.kind} {serve} serve {node.path}\n" in text and "ExecReload" not in text
        else:
            with pytest.raises(UsageError, match="--serve"):
                unit(node, "sealscore", serve=serve)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_it(node, tmp_path):
    path = tmp_path / "sealscore-node.service"
    path.write_text(unit(node, "root"))
    done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_a_path_cannot_add_a_line(tmp_path):
    home = tmp_path / "a b%h"
    home.mkdir()
    path = home / "bank.toml"
    path.write_text(FILES["bank.toml"])
    with pytest.raises(UsageError, match="move the home"):
        unit(NodeFile.read(path), "sealscore")


@pytest.mark.parametrize(("user", "memory"), [("a\nb", None), ("", None), ("ok", "lots"), ("ok", "1\nUser=root")])
def test_options_cannot_add_a_line(node, user, memory):
    with pytest.raises(UsageError):
        unit(node, user, memory)


def test_other_files_are_refused(tmp_path: Path, capsys):
    (tmp_path / "plan.toml").write_text('purpose = "x"\n')
    with pytest.raises(ConfigError, match="own TOML file"):
        NodeFile.read(tmp_path / "plan.toml")
    assert main([str(tmp_path / "none.toml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
