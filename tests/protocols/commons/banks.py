"""Columns of several banks and the roles that make them agree."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from protocols.binning.columns import ColumnData
from protocols.commons.common_encoding import CommonEncoding
from protocols.commons.encoding import CommonSettings

NEARLY_EXACT = CommonSettings(bins=5, minimum_support=20, rho=1e7)  # the noise is 0 but for one draw in 10^500
LABELS = ("employed", "self-employed", "student", "retired", "rare")
Columns = dict[str, ColumnData]


def names(count: int) -> tuple[str, ...]:
    return tuple(f"bank-{index + 1}" for index in range(count))


def numbers(values: np.ndarray, special: np.ndarray | None = None, codes: tuple[str, ...] = ("-999",)) -> ColumnData:
    special = np.zeros(len(values), np.int8) if special is None else np.asarray(special, np.int8)
    return ColumnData("number", np.where(special > 0, np.nan, np.asarray(values, float)), special, codes)


def customers(seed: int, rows: int, more: int = 0) -> Columns:
    """Six columns that hang together: a score, a count, a rate, an amount, missing and special rows, a category.

    `more`: further numbers on top, correlated with all others.
    """
    rng = np.random.default_rng(seed)
    common = rng.normal(size=rows)
    noise = rng.normal(size=(5, rows))
    rate = 1 / (1 + np.exp(-common - noise[2]))
    job = np.clip((common + noise[4] + 2).astype(int), 0, len(LABELS) - 1)
    further = {f"more-{index}": numbers(np.round(common + rng.normal(size=rows) + noise[index % 5], 2))
               for index in range(more)}
    return further | {
        "score": numbers(np.round(620 + 60 * common + 40 * noise[0])),
        "inquiries": numbers(np.floor(np.exp(0.7 * noise[1]))),
        "rate": numbers(np.where(rng.random(rows) < 0.07, np.nan, rate)),
        "amount": numbers(np.exp(8 + 0.5 * common + noise[3]), rng.random(rows) < 0.06),
        "change": numbers(common - noise[0] + 0.3 * noise[2]),
        "job": ColumnData.of_labels([LABELS[index] for index in job]),
    }


def pooled(parts: Mapping[str, Columns]) -> Columns:
    """What nobody may do: all banks' rows in one table."""
    tables = list(parts.values())
    return {name: _stacked([table[name] for table in tables]) for name in tables[0]}


def _stacked(parts: list[ColumnData]) -> ColumnData:
    if parts[0].kind == "category":
        cells = [None if code < 0 else part.labels[code] for part in parts for code in part.values]
        return ColumnData.of_labels(cells)
    return ColumnData("number", np.concatenate([part.values for part in parts]),
                      np.concatenate([part.special for part in parts]), parts[0].special_codes)


def roles_for(parts: Mapping[str, Columns], settings: CommonSettings) -> dict[str, CommonEncoding]:
    return {name: CommonEncoding(name, tuple(parts), columns, settings) for name, columns in parts.items()}
