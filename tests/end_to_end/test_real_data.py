"""The demo on real credit-card data, cut in two: alignment exact, joint AUC within 0.003 of the pooled fit.

The files are not part of the product; they are looked for in the folder named by SEALSCORE_DATA, by default
../shared/data beside the checkout.
"""
from __future__ import annotations

import csv
import json
import os
import random
from pathlib import Path

import pytest

from tests.end_to_end import support

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
DATA = Path(os.environ.get("SEALSCORE_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
BAR = 0.003
KEPT = 0.9  # of the ids, drawn for each side on its own


def source(name: str) -> list[dict[str, str]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not in {DATA}; set SEALSCORE_DATA to its folder")
    return support.read_csv(path)


def write_part(path: Path, rows: list[dict[str, str]], columns: list[str], seed: int) -> set[str]:
    """Nine tenths of the rows in an order of their own, the named columns only; the ids that were kept."""
    kept = random.Random(seed).sample(rows, round(KEPT * len(rows)))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(kept)
    return {row[columns[0]] for row in kept}


def demo(folder: Path, id_column: str, label: str) -> dict:
    done = support.sealscore(
        "demo", "--out", str(folder / "out"), "--bank-csv", str(folder / "bank.csv"), "--platform-csv",
        str(folder / "platform.csv"), "--id", id_column, "--label", label, "--json", timeout_s=1100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_bars(metrics: dict, shared: set[str], bank: float, joint: float) -> None:
    assert metrics["rows_aligned"] == len(shared) == metrics["rows_aligned_oracle"]
    assert (metrics["rows_bank"], metrics["rows_platform"]) == (27_000, 27_000)
    assert abs(metrics["auc_joint"] - metrics["auc_pooled_oracle"]) <= BAR
    assert metrics["auc_joint"] >= joint and metrics["auc_joint"] > metrics["auc_bank_only"]
    assert metrics["auc_bank_only"] >= bank


def test_fate_split_of_the_credit_card_data(tmp_path: Path) -> None:
    guest, host = (source(f"default_credit_hetero_{side}.csv") for side in ("guest", "host"))
    bank = write_part(tmp_path / "bank.csv", guest, ["id", "y", *(f"x{k}" for k in range(13))], seed=1)
    platform = write_part(tmp_path / "platform.csv", host, ["id", *(f"x{k}" for k in range(10))], seed=2)
    assert_bars(demo(tmp_path, "id", "y"), bank & platform, bank=0.70, joint=0.75)


def test_natural_split_of_the_credit_card_data(tmp_path: Path) -> None:
    rows, label = source("UCI_Credit_Card.csv"), "default.payment.next.month"
    own = ["LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE"]
    others = [name for name in rows[0] if name not in ("ID", label, *own)]
    bank = write_part(tmp_path / "bank.csv", rows, ["ID", label, *own], seed=3)
    platform = write_part(tmp_path / "platform.csv", rows, ["ID", *others], seed=4)
    assert_bars(demo(tmp_path, "ID", label), bank & platform, bank=0.60, joint=0.76)
