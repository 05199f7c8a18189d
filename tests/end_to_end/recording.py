"""Everything that a party's node lets out, and what must never repeat, written to one file as it happens.

    frame.out, frame.in   a frame to or from the hub, as transported
    envelope              what was sealed into a frame
    payload               a message as the egress door released it; `name` is phase.kind
    control               a reply to the coordinator through Flower, a progress report or hello to the hub
    secret                a fact of the run's store: key material, one-time scalars, state of a role
"""
from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LENGTHS = struct.Struct("<IQ")


@dataclass(frozen=True, repr=False)
class Entry:
    """One recorded piece. `run` is "" where the node does not say."""

    what: str
    run: str
    name: str
    data: bytes


class Recorder:
    """Appends entries; each is on disk when `add` returns."""

    def __init__(self, path: Path):
        self._file, self._lock = path.open("ab", buffering=0), threading.Lock()

    def add(self, what: str, data: bytes, run: str = "", name: str = "") -> None:
        head = json.dumps([what, run, name]).encode()
        with self._lock:
            self._file.write(_LENGTHS.pack(len(head), len(data)) + head + data)


def entries(path: Path) -> Iterator[Entry]:
    """What was recorded, in order."""
    with path.open("rb") as file:
        while lengths := file.read(_LENGTHS.size):
            head, size = _LENGTHS.unpack(lengths)
            yield Entry(*json.loads(file.read(head)), file.read(size))
