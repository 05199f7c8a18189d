"""Tables of 12 bank and 40 platform columns for the benchmarks.

With PEERS_WORK set, the set that other systems were measured on is used, so that seconds and AUC compare; otherwise a
seeded set of the same shape is made here (its AUC differs).
"""
from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BANK_COLUMNS, PLATFORM_COLUMNS = 12, 40
EVENT_RATE = 0.08


@dataclass(frozen=True, repr=False)
class Columns:
    """Features of the same rows on both sides, float (n, d), and the label (n,) 0/1."""

    bank: np.ndarray
    platform: np.ndarray
    label: np.ndarray
    source: str


def peers_folder() -> Path | None:
    """Where the peers' data and results are, if they are."""
    folder = Path(os.environ["PEERS_WORK"]) if "PEERS_WORK" in os.environ else None
    return folder if folder and (folder / "data" / "credit_30000.npz").is_file() else None


def peers_columns(folder: Path, rows: int = 30_000) -> Columns:
    """So many rows to train on, for which there must be a file, and 20,000 more, in one set."""
    sets = [np.load(folder / "data" / name) for name in (f"credit_{rows}.npz", "credit_test.npz")]
    bank, platform, label = (np.concatenate([one[key] for one in sets]) for key in ("xb", "xp", "y"))
    return Columns(bank, platform, label, f"credit_{rows} and credit_test of PEERS_WORK")


def made_columns(rows: int, seed: int = 11, platform_columns: int = PLATFORM_COLUMNS) -> Columns:
    """Correlated normal columns, some skewed like amounts; default depends on a third of them."""
    draw = np.random.default_rng(seed)
    hidden = draw.standard_normal((rows, 6))
    sides = []
    for width in (BANK_COLUMNS, platform_columns):
        side = hidden @ draw.normal(0, 0.45, (6, width)) + draw.standard_normal((rows, width))
        side[:, ::5] = np.expm1(side[:, ::5] / 2)
        sides.append(side)
    parts = [side[:, ::3] @ draw.normal(0, 1, side[:, ::3].shape[1]) for side in sides]
    score = sum(part / part.std() for part in parts) / 2 + draw.standard_normal(rows) / 2
    odds = 1.2 * score + np.log(EVENT_RATE / (1 - EVENT_RATE)) - 0.4
    label = (draw.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    return Columns(*sides, label, f"made here, seed {seed}")


def write_tables(columns: Columns, folder: Path, platforms: int = 1) -> tuple[Path, dict[str, Path]]:
    """bank.csv (id, b0 …, default) and, by name, each platform's CSV (id, p0 …) with its rows in another order."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = [f"SYN-{number:010d}" for number in range(len(columns.label))]
    order = np.random.default_rng(1).permutation(len(ids))
    bank = (f"b{j}" for j in range(columns.bank.shape[1]))
    _write(folder / "bank.csv", ["id", *bank, "default"],
           ([i, *row, int(y)] for i, row, y in zip(ids, columns.bank.round(5).tolist(), columns.label, strict=True)))
    parts = {}
    for number, own in enumerate(np.array_split(np.arange(columns.platform.shape[1]), platforms), start=1):
        name = "platform" if platforms == 1 else f"platform-{number}"
        parts[name] = folder / f"{name}.csv"
        rows = columns.platform[order][:, own].round(5).tolist()
        _write(parts[name], ["id", *(f"p{j}" for j in own)],
               ([ids[i], *row] for i, row in zip(order, rows, strict=True)))
    return folder / "bank.csv", parts


def _write(path: Path, names: list[str], rows: Iterable[list]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows)
