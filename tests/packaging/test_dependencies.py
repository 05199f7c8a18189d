"""What pyproject.toml asks for: each dependency says why, each import is declared, each declaration is used."""
from __future__ import annotations

import re
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.project import PACKAGES, PYPROJECT, ROOT, imported_roots, sources

TABLES = {"dependencies", "build", "dev", "network", "postgresql", "redis"}
EXTRAS = {"psycopg", "redis", "torch"}  # imported only where a node asks for them
LINE = re.compile(r'^\s*(?:(?P<table>[a-z]+) = \[)?"(?P<requirement>[^"]+)"[\],]*\s*(?P<comment>#.*)?$')


def dependency_lines() -> list[tuple[str, str]]:
    """(requirement, comment) of every dependency, read from the text because TOML drops comments."""
    found, table = [], ""
    for line in (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines():
        opened = re.match(r"^([a-z]+) = \[", line)
        table = opened[1] if opened else "" if line.startswith("[") else table
        entry = LINE.match(line)
        if entry and table in TABLES:
            found.append((entry["requirement"], entry["comment"] or ""))
    return found


def declared() -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in PYPROJECT["project"]["dependencies"]}


def test_every_dependency_was_read():
    project, groups = PYPROJECT["project"], PYPROJECT["dependency-groups"]
    wanted = [*project["dependencies"], *sum(project["optional-dependencies"].values(), []), *sum(groups.values(), [])]
    assert sorted(name for name, _ in dependency_lines()) == sorted(wanted)


@pytest.mark.parametrize(("requirement", "comment"), dependency_lines())
def test_every_dependency_says_what_it_is_for(requirement, comment):
    assert len(comment) > 8, f"say beside {requirement} in pyproject.toml what it is for"


def imports_of_the_product() -> dict[str, set[str]]:
    """Third-party distribution -> files that import it."""
    owners = packages_distributions()
    found: dict[str, set[str]] = {}
    for path in sources(*PACKAGES, generated=True):
        for root in imported_roots(path) - set(PACKAGES):
            for owner in owners.get(root, [root]):
                found.setdefault(canonicalize_name(owner), set()).add(str(path.relative_to(ROOT)))
    return found


def test_every_import_is_a_declared_dependency():
    # Development tools, extras such as torch, and what other packages happen to bring are not.
    undeclared = {name: files for name, files in imports_of_the_product().items() if name not in declared() | EXTRAS}
    assert not undeclared


def test_every_declared_dependency_is_imported():
    assert not declared() - imports_of_the_product().keys()
