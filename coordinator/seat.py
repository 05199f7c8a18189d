"""The seat of a run: one process conducts it at a time.

A lock on a file of the coordinator's home. The kernel gives it back when its holder ends, however that ends, so a
free seat says at once what Flower learns after a minute of missed heartbeats: nobody conducts the run any more.
"""
from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

POLL_S = 0.2


@contextlib.contextmanager
def seated(home: Path, run: str, within_s: float) -> Iterator[bool]:
    """Hold the seat of `run`; false when another process has not left it within `within_s` seconds."""
    with _opened(home, run) as descriptor:
        end = time.monotonic() + within_s
        while not (got := _locks(descriptor, fcntl.LOCK_EX)) and time.monotonic() < end:
            time.sleep(POLL_S)
        yield got


def is_taken(home: Path, run: str) -> bool:
    """Whether some process conducts `run` right now."""
    with _opened(home, run) as descriptor:
        return not _locks(descriptor, fcntl.LOCK_SH)


@contextlib.contextmanager
def _opened(home: Path, run: str) -> Iterator[int]:
    path = home / "state" / "seats" / run
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # gives the lock back


def _locks(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
