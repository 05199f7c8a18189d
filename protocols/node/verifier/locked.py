"""The dependency lock of a node: what it pins, and how what is installed differs from it."""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from protocols.errors import TrustError

_PINNED = re.compile(r"([a-z0-9][a-z0-9-]*)==([A-Za-z0-9.!+_-]+)(?: \\)?")
PRODUCT = "sealscore"


@dataclass(frozen=True)
class Differences:
    """Packages of other versions than pinned ("name 1.2 (1.3)", the second is the lock's), missing, and not pinned."""

    other: tuple[str, ...]
    missing: tuple[str, ...]
    besides: tuple[str, ...]


def pins_of(content: bytes) -> dict[str, str]:
    """Version by name of a requirements.lock; TrustError if it pins nothing, or one package twice."""
    try:
        lines = content.decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise TrustError("expected a lock of pinned packages in ASCII") from None
    pins = [match.groups() for match in map(_PINNED.fullmatch, lines) if match]
    if not pins or len(dict(pins)) != len(pins):
        raise TrustError("expected a lock that pins each package once as name==version")
    return dict(pins)


def differences(installed: Mapping[str, str], pins: Mapping[str, str]) -> Differences:
    """How installed packages differ from the pinned ones, by name; nothing where there is no lock."""
    if not pins:
        return Differences((), (), ())
    other = [f"{name} {installed[name]} ({pins[name]})" for name in sorted(pins.keys() & installed.keys())
             if installed[name] != pins[name]]
    return Differences(tuple(other), tuple(sorted(pins.keys() - installed.keys())),
                       tuple(sorted(installed.keys() - pins.keys() - {PRODUCT})))
