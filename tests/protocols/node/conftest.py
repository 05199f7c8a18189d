"""Evidence of a federation, made once for the tests of this folder."""
from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from protocols.node.evidence import export
from tests.protocols.node.evidence_federation import KEYS, home_of, play


@pytest.fixture(scope="session")
def homes(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("homes")
    made = {name: home_of(root, name) for name in KEYS}
    play(made)
    return made


@pytest.fixture(scope="session")
def pristine(homes, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "evidence"
    for home in homes.values():
        export(home, out)
    return out


@pytest.fixture
def evidence(pristine, tmp_path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "evidence"))
