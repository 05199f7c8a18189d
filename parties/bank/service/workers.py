"""Several processes that decide: forked from one that holds the sockets, watches over them and starts again what dies.

    watcher     binds HTTP and gRPC, forks, says when all are ready, hands SIGTERM on; decides nothing, holds no store
    worker      a whole service (`process.py`); the first keeps house. Its life ends with the watcher's: a pipe closes

Forked before anything has threads: keys were unlocked once, by whoever started the watcher.
"""
from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from protocols.errors import SealscoreError

log = logging.getLogger("sealscore.decisions")
SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
STOP_S = 30.0  # then a worker that has not ended is killed
FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S = 0.2, 10.0, 60.0
Ready = Callable[[], None]
Work = Callable[[int, int, Ready], None]  # the worker's number, a file that ends with the watcher, what says "ready"


class WorkerFailed(SealscoreError):
    """A worker could not begin, or ended before it was ready."""


@dataclass
class _Worker:
    number: int
    pid: int
    told: int  # read end: one JSON line, {"ready": true} or {"error": …}
    begun: float
    pause_s: float = FIRST_PAUSE_S


class Watcher:
    """`run` returns after SIGTERM or SIGINT, when every worker has ended."""

    def __init__(self, workers: int, work: Work, ready: Ready):
        self._count, self._work, self._ready = workers, work, ready
        self._life, self._alive = os.pipe()  # nothing is written: the reading end sees when the watcher is gone
        self._workers: dict[int, _Worker] = {}

    def run(self) -> None:
        """WorkerFailed with the sentence of the first that could not begin; the others are ended then."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        gc.collect()
        gc.freeze()  # what is there already stays shared with the workers: nobody's collector writes to it
        try:
            for number in range(self._count):
                self._start(number)
            for worker in list(self._workers.values()):
                _await_ready(worker)
            self._ready()
            self._watch()
        finally:
            self._stop()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(self._life)
            os.close(self._alive)

    def _watch(self) -> None:
        while signal.sigwait(SIGNALS) == signal.SIGCHLD:
            for worker in self._reaped():
                lived = time.monotonic() - worker.begun
                pause_s = FIRST_PAUSE_S if lived > STEADY_S else worker.pause_s
                log.error("worker %d ended after %.0f s%s; it is started again in %g s", worker.number, lived,
                          _last_words(worker), pause_s)
                if signal.sigtimedwait(SIGNALS - {signal.SIGCHLD}, pause_s) is not None:
                    return
                self._start(worker.number, min(2 * pause_s, LONGEST_PAUSE_S))

    def _start(self, number: int, pause_s: float = FIRST_PAUSE_S) -> None:
        told, tell = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(told)
            os.close(self._alive)
            for other in self._workers.values():
                os.close(other.told)
            self._worker(number, tell)
        os.close(tell)
        self._workers[pid] = _Worker(number, pid, told, time.monotonic(), pause_s)

    def _worker(self, number: int, tell: int) -> None:
        """In the forked process; does not return."""
        code = 1
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            self._work(number, self._life, lambda: _tell(tell, {"ready": True}))
            code = 0
        except SealscoreError as error:
            _tell(tell, {"error": str(error)})
        except BaseException:
            log.exception("worker %d failed", number)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # what the watcher would do at its end is not the worker's to do

    def _reaped(self) -> list[_Worker]:
        ended = [pid for pid in self._workers if os.waitpid(pid, os.WNOHANG)[0]]
        return [self._workers.pop(pid) for pid in ended]

    def _stop(self) -> None:
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + STOP_S
        while self._workers and time.monotonic() < end:
            signal.sigtimedwait({signal.SIGCHLD}, 0.2)
            for worker in self._reaped():
                os.close(worker.told)
        for pid, worker in self._workers.items():
            log.error("worker %d did not end within %g s and is killed", worker.number, STOP_S)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _await_ready(worker: _Worker) -> None:
    with open(worker.told, encoding="utf-8", closefd=False) as file:
        told = json.loads(file.readline() or "{}")
    if not told.get("ready"):
        raise WorkerFailed(told.get("error", f"worker {worker.number} of the decision service ended before it was "
                                             "ready; its log says why"))


def _last_words(worker: _Worker) -> str:
    """The sentence of a worker that could not begin again, if it said one."""
    os.set_blocking(worker.told, False)
    with open(worker.told, encoding="utf-8") as file, contextlib.suppress(OSError, ValueError):
        return "".join(f": {told['error']}" for told in map(json.loads, file) if "error" in told)
    return ""


def _tell(pipe: int, told: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(pipe, json.dumps(told).encode() + b"\n")
