"""The documents say nothing that is not there: commands, options, targets, links and configuration."""
from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from coordinator.config import load_config
from parties.runtime.config import PartyConfig
from protocols.plan import Plan
from protocols.policy import Policy
from tests.packaging.project import PACKAGES, PYPROJECT, ROOT

README = ROOT / "README.md"
DOCUMENTS = [README, *(path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.md")))]
COMMANDS = PYPROJECT["project"]["entry-points"]["sealscore.commands"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
TARGETS = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[1].split()


def written(document: Path) -> list[str]:
    """Lines of bash blocks and `inline code` of a document that call make or sealscore."""
    text = document.read_text(encoding="utf-8")
    blocks = [block.replace("\\\n", " ") for kind, block in FENCE.findall(text) if kind in ("bash", "sh", "console")]
    inline = re.findall(r"`([^`]+)`", FENCE.sub("", text))
    lines = [line.strip().removeprefix("$ ") for part in [*blocks, *inline] for line in part.splitlines()]
    return [line for line in lines if re.match(r"(\.venv/bin/)?sealscore [a-z]|make [a-z]", line)]


def commands() -> list[tuple[str, str]]:
    return [(str(path.relative_to(ROOT)), line) for path in DOCUMENTS for line in sorted(set(written(path)))]


@cache
def help_text(*words: str) -> tuple[int, str]:
    """(exit code, output) of `sealscore WORDS --help`, without a process of its own."""
    module, name = COMMANDS[words[0]].split(":")
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        patch.setenv("TERM", "dumb")
        code = getattr(importlib.import_module(module), name)([*words[1:], "--help"])
    return code, output.getvalue()


def words_of(line: str) -> list[str]:
    return shlex.split(line.replace("…", "X"), comments=True)[1:]


def problem(line: str) -> str | None:
    """What a documented command names that does not exist."""
    words = words_of(line)
    if line.startswith("make "):
        unknown = [word for word in words if "=" not in word and word not in TARGETS]
        return f"no target {unknown}" if unknown else None
    if words[0] == "--help":
        return None
    if words[0] not in COMMANDS:
        return f"no command {words[0]}"
    asked, text = words[:1], help_text(words[0])[1]
    for word in words[1:]:  # commands within commands
        if "COMMAND" not in text or not re.fullmatch(r"[a-z][a-z-]*(\|[a-z-]+)*", word):
            break
        text = help_text(*asked, word.split("|")[0])[1]
        asked = [*asked, word]
    for last in asked[-1].split("|") if len(asked) > 1 else [None]:
        code, text = help_text(*(asked[:-1] if last else asked), *([last] if last else []))
        if code:
            return f"no command {' '.join(asked)}"
    missing = [word for word in words if word.startswith("--") and word != "--help"
               and not re.search(rf"{re.escape(word.split('=')[0])}\b", text)]
    return f"no option {missing} of {' '.join(asked)}" if missing else None


@pytest.mark.parametrize(("document", "line"), commands())
def test_documented_commands_exist(document, line):
    assert problem(line) is None


@pytest.mark.parametrize("line", [
    "make dinner", "sealscore frobnicate", "sealscore demo --nonsense 3", "sealscore runs explode r-1",
    "sealscore plan init|smash", "sealscore coordinator serve --rows 5",
])
def test_the_check_sees_what_does_not_exist(line):
    assert problem(line)


def test_the_readme_opens_the_two_doors():
    found = [" ".join(line.split()[:2]) for line in written(README)]
    assert {"make demo", "make test"} <= set(found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_repository_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", document.read_text(encoding="utf-8"))
    assert not [link for link in links if not (document.parent / link).exists()]


def toml_blocks() -> dict[str, str]:
    """`# path/name.toml` in a block's first line -> the block, with the reader's blanks filled in."""
    blocks = [block for kind, block in FENCE.findall(README.read_text(encoding="utf-8")) if kind == "toml"]
    named = {re.match(r"# \S*?([a-z]+)\.toml", block)[1]: block for block in blocks}
    return {name: re.sub(r'"…[^"]*"', f'"{"ab" * 32}"', block) for name, block in named.items()}


def test_the_readme_configures_a_federation():
    assert {"bank", "policy", "coordinator"} <= toml_blocks().keys()


@pytest.mark.parametrize("name", sorted(toml_blocks()))
def test_the_readmes_configuration_is_accepted(name, tmp_path):
    text = toml_blocks()[name]
    (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    if name == "coordinator":
        load_config(tmp_path / "coordinator.toml")
    else:
        {"policy": Policy, "plan": Plan}.get(name, PartyConfig).from_toml_text(text, f"{name}.toml")
