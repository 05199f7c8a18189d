"""A process that forbids core dumps leaves none when it dies of a signal, nor do its children."""
from __future__ import annotations

import subprocess
import sys

CRASH = """
import os, resource, subprocess, sys
from protocols.node import core_dumps
core_dumps.forbid()
core_dumps.forbid()
child = subprocess.run([sys.executable, "-c", "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))"],
                       capture_output=True, text=True)
print(resource.getrlimit(resource.RLIMIT_CORE), child.stdout.strip(), sep="|", flush=True)
os.abort()
"""


def test_no_core(tmp_path) -> None:
    done = subprocess.run([sys.executable, "-c", CRASH], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == -6
    own, childs = done.stdout.strip().split("|")
    assert own == childs and own in ("(1, 1)", "(0, 0)")
    assert list(tmp_path.iterdir()) == []
