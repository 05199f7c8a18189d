"""Withdrawn consents on their way to the platform, kept until it has acknowledged them.

The bank itself stops at once: it asks nobody about a person whose consent does not hold in its own store. This is the
second lock, at the platform's door, and survives a restart.

    HOME/state/decisions/revocations.json    mode 0600: keyed hashes, references, times
"""
from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from parties.bank.scoring.transport import TransportFailed
from protocols.errors import ConfigError
from protocols.node.identity_files import replace_private

log = logging.getLogger("sealscore.decisions")
FIRST_PAUSE_S, LONGEST_PAUSE_S, CALL_S = 0.5, 60.0, 5.0
Send = Callable[[list[str], list[str], int, float], Awaitable[None]]


class Revocations:
    """The list, from one event loop; `run` hands it over."""

    def __init__(self, path: Path, send: Send):
        self._path, self._send = path, send
        self._waiting: list[dict[str, Any]] = _read(path)
        self._more = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, references: list[str], person: str, at: datetime) -> None:
        """These consents of a person, or all of theirs until `at`; durable when this returns."""
        self._waiting.append({"references": references, "persons": [] if references else [person],
                              "at_s": int(at.timestamp())})
        self._keep()
        self._more.set()

    async def run(self) -> None:
        """Hand over what waits, in order, until cancelled; what fails waits longer and longer."""
        pause_s = FIRST_PAUSE_S
        while True:
            if not self._waiting:
                self._more.clear()
                await self._more.wait()
            one = self._waiting[0]
            try:
                await self._send(one["references"], one["persons"], one["at_s"], CALL_S)
            except TransportFailed as failure:
                log.warning("withdrawn consents wait for the platform (%s): %d", failure, len(self))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            self._waiting.pop(0)
            self._keep()

    def _keep(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_private(self._path, json.dumps(self._waiting).encode())


def _read(path: Path) -> list[dict[str, Any]]:
    with contextlib.suppress(FileNotFoundError):
        try:
            return list(json.loads(path.read_bytes()))
        except ValueError:
            raise ConfigError(f"{path} is not the list of withdrawn consents that it was; restore it from a backup, or "
                              "remove it and switch the people of the last hours off again") from None
    return []
