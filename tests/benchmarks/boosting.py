"""Boosted trees on 30,000 x (12 + 40): both roles in one process that hand each other bytes, no network.

Seconds are of both parties one after the other, so an upper bound of what two processes take.
"""
from __future__ import annotations

import os
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from protocols.boosting.feature_party import FeatureBooster, FeatureConfig
from protocols.boosting.label_party import LabelBooster, LabelConfig, LabelData
from protocols.boosting.messages import Column
from protocols.boosting.settings import BoostingSettings
from protocols.role import Message, Role
from tests.benchmarks import data

ROWS, BINS = 30_000, 32
TREES = int(os.environ.get("SEALSCORE_BENCH_TREES", "20"))


@dataclass
class Tally:
    """CPU seconds by party and message that was handled, bytes by message."""

    seconds: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)


def measure() -> dict[str, Any]:
    """Depth 3, 32 bins, and how the joint model ranks rows that it did not see."""
    folder = data.peers_folder()
    columns = data.peers_columns(folder) if folder else data.made_columns(50_000)
    codes = [_codes(side) for side in (columns.bank, columns.platform)]
    settings = BoostingSettings(trees=TREES, depth=3, bins=BINS, learning_rate=0.3)
    tally, began = Tally(), time.perf_counter()
    trees, platform = _train([one[:ROWS] for one in codes], columns.label[:ROWS], settings, tally)
    wall = time.perf_counter() - began
    unseen = [one[ROWS:] for one in codes]
    sides = np.stack([_side(unseen[0 if one.party == "bank" else 1][:, one.column], one.bin) for one in trees.splits])
    once = sum(tally.seconds[name] for name in ("platform begin", "bank veil"))
    return {"source": columns.source, "trees": len(trees.trees), "wall_seconds": round(wall, 1),
            "cpu_seconds_once": round(once, 2),
            "cpu_seconds_per_tree": round((sum(tally.seconds.values()) - once) / len(trees.trees), 3),
            "wall_seconds_per_tree_all_in": round(wall / len(trees.trees), 3),
            "megabytes": {name: round(sent / 1e6, 2) for name, sent in tally.sent.items()},
            "megabytes_per_tree_all_in": round(sum(tally.sent.values()) / 1e6 / len(trees.trees), 2),
            "cpu_seconds": {name: round(spent, 2) for name, spent in tally.seconds.items()},
            "platform_splits": len(platform), "auc_test": round(auc(trees.margins(sides), columns.label[ROWS:]), 4),
            "load_average": round(os.getloadavg()[0], 1)}


def _codes(columns: np.ndarray) -> np.ndarray:
    """(n, d) quantile bins, made on the training rows."""
    codes = np.empty(columns.shape, np.uint8)
    for at in range(columns.shape[1]):
        cuts = np.unique(np.quantile(columns[:ROWS, at], np.arange(1, BINS) / BINS))
        codes[:, at] = np.searchsorted(cuts, columns[:, at], side="left")
    return codes


def _side(codes: np.ndarray, at: int) -> np.ndarray:
    return codes <= at


def _train(codes: list[np.ndarray], label: np.ndarray, settings: BoostingSettings, tally: Tally) -> tuple[Any, Any]:
    told = [tuple(Column(int(side[:, at].max()) + 1) for at in range(side.shape[1])) for side in codes]
    bank = LabelBooster(LabelData(codes[0], told[0], label.astype(np.int8), b"bench"),
                        LabelConfig("bank", "platform", settings))
    platform = FeatureBooster(codes[1], told[1], FeatureConfig("bank", 10**9, 10**6))
    roles: dict[str, Role] = {"bank": bank, "platform": platform}
    waiting = deque(("platform", one) for one in platform.start())
    while waiting:
        sender, message = waiting.popleft()
        receiver = "bank" if sender == "platform" else "platform"
        tally.sent[f"{sender} {message.kind}"] += len(message.payload)
        began = time.process_time()
        replies = roles[receiver].handle(Message(sender, message.kind, message.payload))
        roles[receiver].new_pieces()
        tally.seconds[f"{receiver} {message.kind}"] += time.process_time() - began
        waiting += [(receiver, one) for one in replies]
    return bank.result(), platform.result()


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve; ties count half."""
    order = np.argsort(scores, kind="stable")
    values, starts, counts = np.unique(scores[order], return_index=True, return_counts=True)
    ranks = np.repeat(starts + (counts + 1) / 2, counts)
    events = labels[order] == 1
    positives = int(events.sum())
    return float((ranks[events].sum() - positives * (positives + 1) / 2) / (positives * (len(labels) - positives)))
