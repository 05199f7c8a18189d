"""What is installed at a node, as evidence states it and each run's statement pins it by digest.

    {"version", "sealscore", "python", "code", "packages": {name: version}, "packages_sha256",
     "parameters": [{"name", "degree", "primes", "plain_modulus"}, …], "parameters_sha256"}

`packages` are all distributions of the environment with their exact versions, in the names that the lock files use.
"""
from __future__ import annotations

import hashlib
import platform
import re
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from protocols.boosting import parameters as trees
from protocols.canonical import canonical_json
from protocols.crypto.params import DEGREE, PRODUCT, SLOTS, ParameterSet
from protocols.node.archive import code_digest
from protocols.node.verifier.names import LOCK


@cache
def installation_file() -> bytes:
    """installation.json of this installation, canonical."""
    packages, parameters = _packages(), _all_parameters()
    return canonical_json({
        "version": 1, "sealscore": version("sealscore"), "python": platform.python_version(), "code": code_digest(),
        "packages": packages, "packages_sha256": _digest(packages),
        "parameters": parameters, "parameters_sha256": _digest(parameters),
    })


def lock_path() -> Path | None:
    """The requirements.lock that came with this code (in a checkout a link to its own); None if there is none."""
    path = Path(__file__).parent / LOCK
    return path if path.is_file() else None


@cache
def signed_digests() -> dict[str, str]:
    """What a statement says of the installation besides the code: digests of packages and parameter sets, hex."""
    return {"packages": _digest(_packages()), "parameters": _digest(_all_parameters())}


@cache
def _packages() -> dict[str, str]:
    """Exact version by normalised name (PEP 503) of everything that is installed; of two the one that is imported."""
    found: dict[str, str] = {}
    for each in distributions():
        found.setdefault(re.sub(r"[-_.]+", "-", each.name).lower(), each.version)
    return found


def _all_parameters() -> list[dict[str, Any]]:
    return [*(_parameters(each) for each in (PRODUCT, *SLOTS)),
            {"name": "pads", "degree": trees.PAD_DEGREE, "primes": list(trees.KEPT), "plain_modulus": 1},
            {"name": "hints", "degree": trees.KEY_DEGREE, "primes": list(trees.PRIMES), "plain_modulus": 1}]


def _parameters(each: ParameterSet) -> dict[str, Any]:
    return {"name": each.name, "degree": DEGREE, "primes": list(each.primes), "plain_modulus": each.plain_modulus}


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()
