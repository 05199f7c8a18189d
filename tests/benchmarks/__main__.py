"""`python -m tests.benchmarks [NAME …]`.

Prints one JSON.

training    30,000 x (12 + 40) strict training through real daemons, with its ratios to a fixed kernel of SEAL and, when
            PEERS_WORK is set, to SecretFlow SS-LR Cheetah
open-score  the same with the open-score variant (4 openings), and its ratios to SecretFlow SS-LR SEMI2K with its
            trusted dealer; with SEALSCORE_PEERS_RUN (the peers' run.sh) that is measured anew right after it
large       200,000 x (12 + 40)
many        the training's columns with 1, 2 and 4 platforms: seconds of a pass, bytes of the bank, the hub's adding
alignment   100,000 with 100,000 ids, two processes
primitives  CPU milliseconds of the building blocks
boosting    boosted trees on 30,000 x (12 + 40), depth 3, a process for each role: seconds, bytes, peak memory; another
            size by SEALSCORE_BENCH_ROWS, _COLUMNS, _DEPTH and _TREES
cost        the cost model's calibration, and its predictions beside measured runs with 1 and 2 platforms
wan         the default run and `training` over lines of 100 Mbit/s and 30 ms; one large transfer; rounds of a pass
decisions   joint scores of both releases, and whole decisions, at 60 a second (tests.benchmarks.decisions has more)
store       the bank's store: commits a second, and how long a decision waits at 300 a second, on both databases
million     1,000,000 x (12 + 40), peak memory of every process; takes half an hour, so only where it is named
All but the last without a name.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from protocols.scorecard.layout import POWER_PASSES
from tests.benchmarks import alignment, boosting, cost, data, decisions, million, primitives, store, training, wan

STEPS = 8
BARS = {"times_faster": 5.0, "share_of_bytes": 0.25, "auc_test": 0.775, "alignment_seconds": 20.0,
        **decisions.BARS_P99_MS}


def bench_training() -> dict[str, Any]:
    """The flagship figure."""
    folder = data.peers_folder()
    columns = data.peers_columns(folder) if folder else data.made_columns(50_000)
    kernel = primitives.calibration_seconds()
    result = training.train(columns, (0.6, 0.1, 0.3), STEPS)
    kernel = (kernel + primitives.calibration_seconds()) / 2
    ratio = result["phase_seconds"]["train"] / kernel
    return result | {"kernel_seconds": round(kernel, 3), "train_over_kernel": round(ratio, 2),
                     "secretflow_cheetah": training.against_secretflow(result)}


def bench_open_score() -> dict[str, Any]:
    """The open-score variant, then SEMI2K on the same machine under the same load, if it is there."""
    folder = data.peers_folder()
    rows = int(os.environ.get("SEALSCORE_BENCH_ROWS", "50000"))
    columns = data.peers_columns(folder) if folder else data.made_columns(rows)
    result = training.train(columns, (0.6, 0.1, 0.3), STEPS, variant="open-score")
    if folder and "SEALSCORE_PEERS_RUN" in os.environ:
        subprocess.run(["bash", os.environ["SEALSCORE_PEERS_RUN"], "lr"], check=True, stdout=subprocess.DEVNULL)
    return result | {"secretflow_semi2k": training.against_secretflow(result, training.SEMI2K)}


def bench_large() -> dict[str, Any]:
    """200,000 training rows: memory stays bounded because tiles beyond the cache are made again."""
    return training.train(data.made_columns(222_222), (0.9, 0.05, 0.05), STEPS)


def bench_many() -> dict[str, Any]:
    """The same 40 columns in the hands of 1, 2 and 4 platforms."""
    columns, passes = data.made_columns(50_000), STEPS + POWER_PASSES
    found = {}
    for count in (1, 2, 4):
        result = training.train(columns, (0.6, 0.1, 0.3), STEPS, count)
        report = {"seconds_per_pass": round(result["phase_seconds"]["train"] / passes, 3),
                  "bank_megabytes_per_pass": round(result["bank_train_bytes_both_ways"] / passes / 1e6, 3)}
        found[str(count)] = report | {key: result[key] for key in ("auc_test", "run_cpu_seconds", "load_average")} \
            | ({"hub": result["hub"]} if "hub" in result else {})
    one = found["1"]
    for report in found.values():
        for key in ("seconds_per_pass", "bank_megabytes_per_pass"):
            report[f"{key}_over_one"] = round(report[key] / one[key], 3)
    return found


BENCHES: dict[str, Callable[[], dict[str, Any]]] = {
    "training": bench_training,
    "open-score": bench_open_score,
    "large": bench_large,
    "many": bench_many,
    "alignment": lambda: alignment.align(100_000),
    "primitives": primitives.measure,
    "boosting": boosting.measure,
    "cost": cost.measure,
    "wan": wan.measure,
    "decisions": decisions.measure,
    "store": store.measure,
    "million": million.measure,
}
BY_NAME_ONLY = {"million"}


def main(words: list[str]) -> int:
    """Run the named benchmarks, or all."""
    unknown = sorted(set(words) - set(BENCHES))
    if unknown:
        sys.stderr.write(f"error: no benchmark {unknown[0]}; there are {', '.join(BENCHES)}\n")
        return 2
    out: dict[str, Any] = {"cores": os.cpu_count(), "bars": BARS}
    for name in words or [name for name in BENCHES if name not in BY_NAME_ONLY]:
        sys.stderr.write(f"{name} …\n")
        out[name] = BENCHES[name]()
    print(json.dumps(out, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
