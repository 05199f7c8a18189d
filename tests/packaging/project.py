"""What the tests of this folder read: the checkout, its pyproject.toml and its locks."""
from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("coordinator", "parties", "protocols")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CORE_LOCK, DEV_LOCK = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"
NETWORK_LOCK = ROOT / "requirements-network.lock"  # of the extra `network`, beside the two others
PIN = re.compile(r"^([a-z0-9-]+)==([^\s;]+) \\$")


def pins(lock: Path) -> dict[str, str]:
    """Name -> exact version of every package in a lock file."""
    found = (PIN.match(line) for line in lock.read_text(encoding="utf-8").splitlines())
    return {match[1]: match[2] for match in found if match}


def sources(*folders: str, generated: bool = False) -> Iterator[Path]:
    """Python files under `folders`, generated protobuf modules only if asked for."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if generated or not path.stem.endswith("_pb2"):
                yield path


def imported_roots(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports anywhere, standard library left out."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module or "")
    return {name.split(".")[0] for name in found} - set(sys.stdlib_module_names)


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would let another interpreter find the checkout."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")} | more
