"""Boosted trees, each role in a process of its own and a pipe between them, no network.

SEALSCORE_BENCH_ROWS (30,000), SEALSCORE_BENCH_COLUMNS of the platform (40; the bank has 12), SEALSCORE_BENCH_DEPTH (3)
and SEALSCORE_BENCH_TREES (20) say what is trained. One role works while the other waits, so seconds add up. As a driver
does, each takes a snapshot and its new pieces after every message; they are counted and dropped.
"""
from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from protocols.boosting.feature_party import FeatureBooster, FeatureConfig
from protocols.boosting.label_party import LabelBooster, LabelConfig, LabelData
from protocols.boosting.messages import Column
from protocols.boosting.model import Trees
from protocols.boosting.settings import BoostingSettings
from protocols.role import Message, Role
from tests.benchmarks import data

ROWS, COLUMNS, DEPTH, TREES = (int(os.environ.get(f"SEALSCORE_BENCH_{name}", default)) for name, default in (
    ("ROWS", "30000"), ("COLUMNS", str(data.PLATFORM_COLUMNS)), ("DEPTH", "3"), ("TREES", "20")))
UNSEEN, BINS = 20_000, 32
PEER = {"bank": "platform", "platform": "bank"}


@dataclass
class Tally:
    """Of one role: CPU seconds by message that was handled, bytes sent and the largest by message; bytes kept."""

    cpu: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    largest: Counter[str] = field(default_factory=Counter)
    pieces: Counter[str] = field(default_factory=Counter)
    snapshot: int = 0

    def note(self, role: Role, messages: list[Message]) -> None:
        """What a step left to be sent and to be kept."""
        for one in messages:
            self.sent[one.kind] += len(one.payload)
            self.largest[one.kind] = max(self.largest[one.kind], len(one.payload))
        self.snapshot = max(self.snapshot, len(role.snapshot()))
        for name, piece in role.new_pieces().items():
            self.pieces[name.split(".")[0]] += len(piece)


def measure() -> dict[str, Any]:
    """Seconds, bytes and peak memory of a training, and how its trees rank rows that it did not see."""
    settings = BoostingSettings(trees=TREES, depth=DEPTH, bins=BINS, learning_rate=0.3)
    with tempfile.TemporaryDirectory(prefix="sealscore-bench-") as name:
        source, unseen, labels = _tables(Path(name))
        wall, told = _train(Path(name), settings)
    trees = Trees.from_json(told["bank"]["model"])
    sides = np.stack([unseen[one.party][:, one.column] <= one.bin for one in trees.splits])
    count = len(trees.trees)
    return {"source": source, "rows": ROWS, "columns": [data.BANK_COLUMNS, COLUMNS], "depth": DEPTH,
            "trees": count, "wall_seconds": round(wall, 1), **_seconds(told, count), **_bytes(told),
            "peak_megabytes": {party: one["peak"] for party, one in told.items()},
            "platform_splits": sum(one.party == "platform" for one in trees.splits),
            "auc_test": round(auc(trees.margins(sides), labels), 4), "load_average": round(os.getloadavg()[0], 1)}


def _seconds(told: dict[str, Any], trees: int) -> dict[str, Any]:
    spent = {f"{party} {kind}": cpu for party in PEER for kind, cpu in told[party]["tally"].cpu.items()}
    once = sum(spent[name] for name in ("platform begin", "bank veil"))
    return {"cpu_seconds_once": round(once, 2), "cpu_seconds_per_tree": round((sum(spent.values()) - once) / trees, 3),
            "cpu_seconds": {name: round(cpu, 2) for name, cpu in spent.items()}}


def _bytes(told: dict[str, Any]) -> dict[str, Any]:
    tallies = {party: told[party]["tally"] for party in PEER}
    return {"megabytes": {f"{party} {kind}": round(sent / 1e6, 2)
                          for party, tally in tallies.items() for kind, sent in tally.sent.items()},
            "megabytes_in_all": round(sum(sum(tally.sent.values()) for tally in tallies.values()) / 1e6, 1),
            "largest_message_megabytes": {kind: round(most / 1e6, 2) for tally in tallies.values()
                                          for kind, most in tally.largest.items()},
            "largest_snapshot_bytes": {party: tally.snapshot for party, tally in tallies.items()},
            "pieces_megabytes": {party: {kind: round(size / 1e6, 3) for kind, size in tally.pieces.items()}
                                 for party, tally in tallies.items()}}


def _tables(folder: Path) -> tuple[str, dict[str, np.ndarray], np.ndarray]:
    """Writes the codes of the rows to train on; the source, and codes and labels of the others."""
    peers = data.peers_folder()
    at_hand = peers and COLUMNS == data.PLATFORM_COLUMNS and (peers / "data" / f"credit_{ROWS}.npz").is_file()
    columns = data.peers_columns(peers, ROWS) if at_hand else data.made_columns(
        ROWS + UNSEEN, platform_columns=COLUMNS)
    np.save(folder / "labels.npy", columns.label[:ROWS].astype(np.int8))
    unseen = {}
    for party, side in (("bank", columns.bank), ("platform", columns.platform)):
        codes = _codes(side)
        np.save(folder / f"{party}.npy", codes[:ROWS])
        unseen[party] = codes[ROWS:]
    return columns.source, unseen, columns.label[ROWS:]


def _codes(columns: np.ndarray) -> np.ndarray:
    """(n, d) quantile bins, made on the training rows."""
    codes = np.empty(columns.shape, np.uint8)
    for at in range(columns.shape[1]):
        cuts = np.unique(np.quantile(columns[:ROWS, at], np.arange(1, BINS) / BINS))
        codes[:, at] = np.searchsorted(cuts, columns[:, at], side="left")
    return codes


def _train(folder: Path, settings: BoostingSettings) -> tuple[float, dict[str, Any]]:
    """Wall seconds from the first message on, and what each role's process tells."""
    spawn = multiprocessing.get_context("spawn")
    between = dict(zip(PEER, spawn.Pipe(), strict=True))
    above = {party: spawn.Pipe() for party in PEER}
    workers = [spawn.Process(target=_work, args=(party, folder, settings, between[party], above[party][1]), daemon=True)
               for party in PEER]
    for worker in workers:
        worker.start()
    for one in (*between.values(), *(theirs for _, theirs in above.values())):
        one.close()  # so that a role whose peer died reads an end, and does not wait for ever
    for own, _ in above.values():
        own.recv()
    began = time.perf_counter()
    for own, _ in above.values():
        own.send("go")
    told = {party: own.recv() for party, (own, _) in above.items()}
    return time.perf_counter() - began, told


def _work(party: str, folder: Path, settings: BoostingSettings, peer: Connection, above: Connection) -> None:
    """One role, until it has its result."""
    role, tally = _role(party, folder, settings), Tally()
    above.send("ready")
    above.recv()
    _send(peer, tally, role, role.start())
    while role.result() is None:
        kind = peer.recv_bytes().decode()
        message = Message(PEER[party], kind, peer.recv_bytes())
        began = time.process_time()
        replies = role.handle(message)
        tally.cpu[kind] += time.process_time() - began
        del message
        _send(peer, tally, role, replies)
    model = role.result().to_json() if party == "bank" else b""
    above.send({"tally": tally, "peak": _peak_megabytes(), "model": model})


def _role(party: str, folder: Path, settings: BoostingSettings) -> Role:
    codes = np.load(folder / f"{party}.npy")
    columns = tuple(Column(int(most) + 1) for most in codes.max(axis=0))
    if party == "platform":
        return FeatureBooster(codes, columns, FeatureConfig("bank", 10**9, 10**6))
    label = LabelData(codes, columns, np.load(folder / "labels.npy"), b"bench")
    return LabelBooster(label, LabelConfig("bank", "platform", settings))


def _send(peer: Connection, tally: Tally, role: Role, messages: list[Message]) -> None:
    tally.note(role, messages)
    for one in messages:
        peer.send_bytes(one.kind.encode())
        peer.send_bytes(one.payload)


def _peak_megabytes() -> int:
    """VmHWM of this process."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) // 1024


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve; ties count half."""
    order = np.argsort(scores, kind="stable")
    values, starts, counts = np.unique(scores[order], return_index=True, return_counts=True)
    ranks = np.repeat(starts + (counts + 1) / 2, counts)
    events = labels[order] == 1
    positives = int(events.sum())
    return float((ranks[events].sum() - positives * (positives + 1) / 2) / (positives * (len(labels) - positives)))
