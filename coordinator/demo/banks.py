"""The generated bank's customers as those of several banks, each with people, labels and a mix of its own.

Sizes fall evenly (three banks: a half, a third, a sixth), so the last bank has too few defaults for a good model of its
own. Earlier banks lend to riskier people, by what the bureau shows and by what it does not: mix and base rate differ,
what a column means does not. A few per cent of the people have a loan, and a label, at two banks.
"""
from __future__ import annotations

import numpy as np

from coordinator.demo.population import BANK_COLUMNS, Part, PopulationFiles, read_rows, table_section, write_rows

MOST_BANKS = 5
FEWEST_ROWS = 1_000  # of the smallest bank: its calibration slice, a tenth of the common rows, needs defaults
AT_TWO_BANKS = 0.03  # share of the people
DEFAULT_AT_BOTH = 0.5  # of those who default at one of two banks
BY_BUREAU, BY_LABEL = 0.45, 0.5  # how strongly a bank's choice follows the bureau and what comes of the loan


def bank_names(count: int) -> tuple[str, ...]:
    """`bank` alone, or bank-1, bank-2, …"""
    return ("bank",) if count == 1 else tuple(f"bank-{number}" for number in range(1, count + 1))


def shares(count: int) -> np.ndarray:
    """Each bank's share of the people, (count,), falling evenly: 3 -> 1/2, 1/3, 1/6."""
    weights = np.arange(count, 0, -1)
    return weights / weights.sum()


def fewest_rows(count: int) -> int:
    """Rows of the whole population with which the smallest of `count` banks has enough."""
    return int(np.ceil(FEWEST_ROWS / shares(count)[-1]))


def split_bank(files: PopulationFiles, count: int, seed: int = 1) -> dict[str, Part]:
    """Write bank-1.csv … beside bank.csv; the same files for the same seed."""
    people, rng = read_rows(files.bank_csv), np.random.default_rng(seed + 2)
    label = np.array([person["default"] for person in people])
    home = _home(rng, people, label == "1", count)
    second = rng.random(len(people)) < AT_TWO_BANKS
    other, again = (home + 1) % count, _second_label(rng, label == "1")
    parts = {}
    for number, name in enumerate(bank_names(count)):
        own, shared = np.flatnonzero(home == number), np.flatnonzero(second & (other == number))
        rows = np.r_[own, shared]
        order = rng.permutation(len(rows))
        labels, rows = np.r_[label[own], again[shared]][order], rows[order]
        columns = {"default": labels} | {c: np.array([people[row][c] for row in rows]) for c in BANK_COLUMNS}
        path = files.bank_csv.with_name(f"{name}.csv")
        write_rows(path, np.array([people[row]["id"] for row in rows]), columns)
        parts[name] = Part(table_section(path, BANK_COLUMNS, "default"), len(rows))
    return parts


def _home(rng: np.random.Generator, people: list[dict[str, str]], event: np.ndarray, count: int) -> np.ndarray:
    """The bank of each person, (n,): ranked by a noisy appetite for risk, cut into the banks' shares."""
    risk = _standard([float(p["inquiries_6m"] or 1) for p in people]) - _standard([
        float(p["months_on_file"]) for p in people])
    rank = np.argsort(np.argsort(-(BY_BUREAU * risk + BY_LABEL * event + rng.logistic(size=len(people)))))
    return np.searchsorted(np.cumsum(shares(count))[:-1], (rank + 0.5) / len(people))


def _standard(values: list[float]) -> np.ndarray:
    array = np.array(values)
    return (array - array.mean()) / array.std()


def _second_label(rng: np.random.Generator, event: np.ndarray) -> np.ndarray:
    """What comes of the loan at the second bank, (n,) "0" or "1": the same rate of defaults, often the same people."""
    rate = event.mean()
    elsewhere = rate * (1 - DEFAULT_AT_BOTH) / (1 - rate)
    return (rng.random(len(event)) < np.where(event, DEFAULT_AT_BOTH, elsewhere)).astype(int).astype(str)
