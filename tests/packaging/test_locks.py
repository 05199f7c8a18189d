"""The locks: exact, hashed, of no particular index or machine, and up to date with pyproject.toml."""
from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.project import CORE_LOCK, DEV_LOCK, NETWORK_LOCK, PIN, PYPROJECT, pins

HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
GROUPS = PYPROJECT["dependency-groups"]
# torch and what its builds for graphics cards bring: gigabytes that a node which trains scorecards never loads
HEAVY = re.compile(r"^(torch|torchvision|triton|nvidia-.*|cuda-.*|jax|jaxlib|tensorflow)$")


@pytest.mark.parametrize("lock", [CORE_LOCK, DEV_LOCK, NETWORK_LOCK], ids=lambda path: path.name)
def test_every_line_is_a_comment_a_pin_or_a_hash(lock):
    lines = lock.read_text(encoding="utf-8").splitlines()
    strange = [line for line in lines if not (line.startswith("#") or PIN.match(line) or HASH.match(line))]
    assert not strange  # options, addresses of indexes, paths of machines, editable or unpinned packages


@pytest.mark.parametrize("lock", [CORE_LOCK, DEV_LOCK, NETWORK_LOCK], ids=lambda path: path.name)
def test_every_pin_has_a_hash(lock):
    lines = lock.read_text(encoding="utf-8").splitlines()
    followed = dict(zip(lines, lines[1:], strict=False))
    assert len(pins(lock)) > (5 if lock == NETWORK_LOCK else 20)
    assert not [line for line in lines if PIN.match(line) and not HASH.match(followed.get(line, ""))]


@pytest.mark.parametrize("lock", [CORE_LOCK, DEV_LOCK, NETWORK_LOCK], ids=lambda path: path.name)
def test_no_address_path_or_credential(lock):
    text = lock.read_text(encoding="utf-8")
    text_without_hashes = re.sub(r"sha256:[0-9a-f]{64}", "", text)
    assert not re.search(r"://|index|find-links|/|@|token|passw|[A-Za-z0-9+_]{40,}", text_without_hashes)


def test_no_deep_learning_framework_in_the_locks():
    assert not [name for name in pins(CORE_LOCK) | pins(DEV_LOCK) if HEAVY.match(name)]


@pytest.mark.parametrize(("wanted", "lock"), [
    *((line, CORE_LOCK) for line in [*PYPROJECT["project"]["dependencies"], *GROUPS["build"]]),
    *((line, DEV_LOCK) for line in GROUPS["dev"]),
], ids=lambda value: getattr(value, "name", value))
def test_the_lock_satisfies_pyproject(wanted, lock):
    requirement = Requirement(wanted)
    name = canonicalize_name(requirement.name)
    assert name in pins(lock), "run `make lock`"
    assert pins(lock)[name] in requirement.specifier, "run `make lock`"


def test_torch_comes_in_a_lock_of_its_own_and_for_the_cpu():
    """The index's build of the same version brings gigabytes of CUDA; a hash of the other keeps it out."""
    locked = pins(NETWORK_LOCK)
    assert [name for name in locked if HEAVY.match(name)] == ["torch"]
    (wanted,) = PYPROJECT["project"]["optional-dependencies"]["network"]
    assert locked["torch"].endswith("+cpu") and locked["torch"] in Requirement(wanted).specifier, "run `make lock`"
    for lock in (CORE_LOCK, DEV_LOCK):
        others = pins(lock)
        assert {name: others[name] for name in others.keys() & locked} == {
            name: locked[name] for name in others.keys() & locked}


def test_both_locks_agree():
    core, dev = pins(CORE_LOCK), pins(DEV_LOCK)
    assert {name: core[name] for name in core.keys() & dev} == {name: dev[name] for name in core.keys() & dev}


def test_the_build_backend_is_the_locked_one():
    assert PYPROJECT["build-system"]["requires"] == [f"hatchling=={pins(CORE_LOCK)['hatchling']}"]
