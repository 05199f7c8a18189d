"""The kinds of models that a demo trains, and how they compare."""
from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from coordinator.demo.federation import is_bank
from coordinator.demo.metrics import Facts, phases_of, total_openings
from protocols.errors import UsageError

NAMES = {"scorecard": "Scorecard", "boosting": "Boosted trees", "network": "Network"}
TREE_BINS, LEARNING_RATE = 16, 0.2
NETWORK = {"width": 1, "epochs": 12, "patience": 4, "batch_rows": 256, "hidden": [8], "source_rate": 0.1,
           "learning_rate": 0.005, "weight_decay": 0.0003}
LEAKS = {
    "scorecard": "training: the coefficients of its own columns, to each side, and a step size; no score, no gradient; "
                 "hold-out rows: the platform's part of each score, in steps of 1/32, to the bank",
    "boosting": "training: sums over the platform's bins in groups of at least 20 rows a bin, and a bit about every "
                "row for each split by the platform's columns, to the bank; which of its bins won, to the platform; "
                "hold-out rows: the same bits",
    "network": "training: a number about every row in every epoch, made of the platform's columns by weights that "
               "nobody knows, to the bank; how long it goes on, to the platform; hold-out rows: one such number",
}
SHARED = "training: a step size; no coefficient, score or gradient; hold-out rows: the joint score, to the bank"


def check(kinds: Sequence[str], banks: int, platforms: int, fewer: bool, scorecard: dict[str, Any]) -> None:
    """UsageError for a kind that is not offered, twice the same, or options that do not go with it."""
    wrong = next((kind for kind in kinds if kind not in NAMES), None)
    if wrong is not None:
        raise UsageError(f"model {wrong!r} is not offered: choose {' or '.join(NAMES)}")
    if len(set(kinds)) < len(kinds):
        raise UsageError("a kind of model is named twice with --model; name each once")
    if "network" in kinds and find_spec("torch") is None:
        raise UsageError("--model network needs torch, which is not installed here: run `make demo ARGS='--model "
                         "network'`, or install sealscore[network]")
    others = set(kinds) - {"scorecard"}
    if others and (banks > 1 or platforms > 1 or fewer):
        raise UsageError(f"--model {sorted(others)[0]} trains one bank with one platform; leave --banks, --platforms "
                         "and --ablations out")
    given = [f"--{name}" for name, (value, usual) in scorecard.items() if value != usual]
    if "scorecard" not in kinds and given:
        raise UsageError(f"{', '.join(given)} belong to --model scorecard; leave them out, or name it too")


def row(kind: str, summary: dict[str, Any], facts: Facts, pooled: dict[str, Any]) -> dict[str, Any]:
    """One line of the comparison: what a model of this kind came to, of one bank and one platform."""
    bank = next(party for party in facts if is_bank(party))
    report, phases = facts[bank]["report"], phases_of(facts)
    joint, alone = (report["metrics"][name] for name in ("joint", "bank_only"))
    return {
        "kind": kind, "name": NAMES[kind], "run": summary["run"], "model_id": summary["model_id"],
        **{key: joint[key] for key in ("auc", "ks", "gini", "log_loss")},
        "auc_bank_only": alone["auc"], "auc_pooled_oracle": pooled["metrics"]["auc"],
        "train_s": phases["train"]["seconds"], "seconds": round(sum(p["seconds"] for p in phases.values()), 3),
        "bytes_bank": sum(p["bytes_bank"] for p in phases.values()),
        "bytes_platform": sum(p["bytes_platform"] for p in phases.values()),
        "openings": total_openings(facts), "leaks": SHARED if report.get("release") == "shared" else LEAKS[kind],
    }
