"""Names that others build on: the tree of errors and the commands. Changing one is a breaking change."""
from __future__ import annotations

import importlib
import re

import pytest

from protocols import errors
from protocols.errors import PolicyRefused, RunFailed, SealscoreError
from tests.packaging.project import PYPROJECT

TREE = {
    "SealscoreError": ("Exception", 1),
    "UsageError": ("SealscoreError", 2),
    "ConfigError": ("UsageError", 2),
    "DataError": ("UsageError", 2),
    "PolicyRefused": ("SealscoreError", 1),
    "TrustError": ("SealscoreError", 1),
    "ProtocolError": ("SealscoreError", 1),
    "MalformedMessage": ("ProtocolError", 1),
    "ReplayRefused": ("ProtocolError", 1),
    "RunFailed": ("SealscoreError", 1),
}
COMMANDS = {"audit", "backup", "bank", "certs", "coordinator", "demo", "doctor", "keys", "plan", "platform", "policy",
            "restore", "run", "runs", "score", "systemd"}


def defined() -> dict[str, type]:
    return {name: value for name, value in vars(errors).items() if isinstance(value, type)}


def test_the_exported_errors_are_these():
    assert {name: (kind.__base__.__name__, kind.exit_code) for name, kind in defined().items()} == TREE


def test_the_docstring_draws_the_tree_that_exists():
    drawn, above = {}, {0: "Exception"}
    for line in errors.__doc__.splitlines():
        entry = re.match(r"^    ((?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+)", line)
        if entry:
            depth = len(entry[1]) // 4
            drawn[entry[2]] = above[depth]
            above[depth + 1] = entry[2]
    assert drawn == {name: base for name, (base, _) in TREE.items()}


@pytest.mark.parametrize("error", [PolicyRefused("encodings", "woe is not allowed"),
                                   RunFailed("bank", "train", "the link broke", "resume the run")])
def test_errors_are_one_sentence_with_their_parts(error):
    text = str(error)
    assert isinstance(error, SealscoreError) and "\n" not in text
    assert all(str(part) in text for part in vars(error).values())


def test_the_commands_are_these():
    assert PYPROJECT["project"]["entry-points"]["sealscore.commands"].keys() == COMMANDS
    assert PYPROJECT["project"]["scripts"] == {"sealscore": "protocols.commands:main"}


@pytest.mark.parametrize("target", PYPROJECT["project"]["entry-points"]["sealscore.commands"].values())
def test_every_command_can_be_called(target):
    module, name = target.split(":")
    assert callable(getattr(importlib.import_module(module), name))
