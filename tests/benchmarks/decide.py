"""CPU of one decision: the engine alone, with and without a shadow graph, and its record's bytes.

    python -m tests.benchmarks.decide

CPU time of the thread, the least of several rounds, beside that of a fixed loop of plain Python on the same machine at
the same time: on a busy machine both rise together.
"""
from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from parties.bank.decision.engine import decide
from parties.bank.decision.rulebook import Rulebook, default_files
from tests.parties.bank.decision.cases import application, context

BAR_US = 1500


def measure(rounds: int = 400, calls: int = 3) -> dict[str, float]:
    """Microseconds of CPU per call."""
    files = default_files()
    alone = files | {"rulebook.toml": files["rulebook.toml"].replace(b'shadows = ["challenger"]', b"shadows = []")}
    one, two = Rulebook(alone), Rulebook(files)
    app, at = application(), context()
    record = decide(app, at, two)
    return {
        "champion_us": _least(lambda: decide(app, at, one), rounds, calls),
        "champion_and_shadow_us": _least(lambda: decide(app, at, two), rounds, calls),
        "record_bytes_us": _least(record.to_bytes, rounds, calls),
        "record_bytes": len(record.to_bytes()),
        "loop_of_10000_additions_us": _least(_loop, rounds, calls),
    }


def _loop() -> int:
    total = 0
    for number in range(10_000):
        total += number
    return total


def _least(call: Callable[[], object], rounds: int, calls: int) -> float:
    def one_round() -> float:
        start = time.thread_time()
        for _ in range(calls):
            call()
        return (time.thread_time() - start) / calls

    return round(1e6 * min(one_round() for _ in range(rounds)), 1)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=1) + "\n")
