"""The bank's part of one applicant's score, from the values of one bureau answer: fast, and equal to the batch path.

`Cells` reads values as `parties/runtime/tables.py` reads a file (but refuses digits grouped by `_`),
`OwnScorecard.encode` gives the very bits that the model's `Encoder` gives for the same row, and the score is the sum of
one contribution per column, which is also where reasons come from.
"""
from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from parties.runtime.tables import TableConfig
from protocols.binning.bins import BinnedColumn
from protocols.binning.encoder import DEFAULT_PDO, Coded, Encoder
from protocols.binning.scaling import ScaledColumn
from protocols.binning.woe import WoeColumn
from protocols.errors import DataError
from protocols.scorecard.whitening import Whitening

_SPACE = " \t\n\r\v\f"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
FACTOR = DEFAULT_PDO / math.log(2)  # points of one unit of log-odds

Values = Mapping[str, str | None]


@dataclass(frozen=True)
class Cell:
    """One value: a number, the text of a special code or of a category, or nothing."""

    number: float | None = None
    special: str | None = None
    label: str | None = None


class Cells:
    """Reads values as the node's table declares its columns."""

    def __init__(self, config: TableConfig, names: Sequence[str]):
        self._config = config
        self._missing = {name: {code.strip() for code in config.columns[name].missing} for name in names}
        self._special = {name: {float(code): code for code in config.columns[name].special} for name in names}

    def read(self, name: str, text: str | None) -> Cell:
        """DataError, without the value, for text in a number column."""
        cell = None if text is None else text.strip(_SPACE)
        if not cell or cell in self._missing[name]:
            return Cell()
        if self._config.columns[name].type == "category":
            return Cell(label=cell)
        number = float(cell) if _NUMBER.match(cell) else math.inf
        if not math.isfinite(number):
            raise DataError(f"column {name!r} of the bureau's answer is not a number; expected one, an empty value or "
                            "a code that the table's configuration names")
        code = self._special[name].get(number)
        return Cell(number=number) if code is None else Cell(special=code)


@dataclass(frozen=True)
class Part:
    """What one column adds: log-odds of default, `points` (more is safer) and the most points that the column gives.
    `bin` is None where the value itself counts."""

    column: str
    bin: str | None
    log_odds: float
    most: float

    @property
    def points(self) -> float:
        """As the scorecard's table has them."""
        return -self.log_odds * FACTOR + 0.0


@dataclass(frozen=True)
class OwnScore:
    """The bank's part of the log-odds with what it is made of."""

    log_odds: float
    parts: tuple[Part, ...]


class OwnScorecard:
    """Encoder, whitening and coefficients of the bank's own columns. Immutable."""

    def __init__(self, config: TableConfig, encoder: Encoder, whitening: Whitening, intercept: float,
                 coefficients: Sequence[float]):
        own, constant = whitening.coefficients(np.asarray(coefficients, dtype=float))
        self._constant = intercept + constant
        self._columns = tuple(_coded(column, values) for column, values in _shares(encoder, own.tolist()))
        self._coverage = encoder.coverage is not None  # of a bank's own people nobody is unknown
        self._cells = Cells(config, [column.name for column in self._columns])

    def score(self, values: Values) -> OwnScore:
        """Of one applicant; columns that are not there count as missing. DataError for what is no number."""
        parts = tuple(column.part(self._cells.read(column.name, values.get(column.name))) for column in self._columns)
        return OwnScore(self._constant + math.fsum(part.log_odds for part in parts), parts)

    def encode(self, values: Values) -> np.ndarray:
        """float64 (d,): bit for bit what `Encoder.transform` gives for this row."""
        features = [value for column in self._columns
                    for value in column.features(self._cells.read(column.name, values.get(column.name)))]
        return np.array([*features, 0.0] if self._coverage else features)


def _shares(encoder: Encoder, own: list[float]) -> list[tuple[Coded, list[float]]]:
    """Each column with the coefficients of its features."""
    found, start = [], 0
    for column in encoder.columns:
        width = len(column.feature_labels)
        found.append((column, own[start:start + width]))
        start += width
    return found


def _coded(column: Coded, values: list[float]) -> _Bins | _Woe | _Scaled:
    if isinstance(column, WoeColumn):
        return _Woe(column, values)
    return _Bins(column, values) if isinstance(column, BinnedColumn) else _Scaled(column, values)


class _Bins:
    """A column of bins; its base level adds nothing."""

    def __init__(self, column: BinnedColumn, values: Sequence[float]):
        self.name, self._column = column.column, column
        by_bin = dict(zip(column.feature_bins, values, strict=True))
        self._set([by_bin.get(index, 0.0) for index in range(len(column.bins))])

    def _set(self, log_odds: list[float]) -> None:
        most = max(-value * FACTOR for value in log_odds) + 0.0
        self._parts = [Part(self.name, level.label, value, most)
                       for level, value in zip(self._column.bins, log_odds, strict=True)]

    def bin(self, cell: Cell) -> int:
        """As `BinnedColumn.assign`."""
        column = self._column
        if cell.special is not None:
            return column.special_bins.get(cell.special, column.missing_bin)
        if cell.number is not None:
            return column.interval_bins[bisect_right(column.edges, cell.number)]
        return column.missing_bin if cell.label is None else column.category_bin(cell.label)

    def part(self, cell: Cell) -> Part:
        """What this value adds."""
        return self._parts[self.bin(cell)]

    def features(self, cell: Cell) -> list[float]:
        """As `BinnedColumn.expand`."""
        chosen = self.bin(cell)
        return [float(index == chosen) for index in self._column.feature_bins]


class _Woe(_Bins):
    """Bins with one number, their weight of evidence."""

    def __init__(self, column: WoeColumn, values: Sequence[float]):
        self.name, self._column = column.column, column.bins
        self._weights = column.weights.tolist()
        self._set([values[0] * weight for weight in self._weights])

    def features(self, cell: Cell) -> list[float]:
        """As `WoeColumn.expand`."""
        return [self._weights[self.bin(cell)]]


class _Scaled:
    """A number clipped and standardised, with its indicators."""

    def __init__(self, column: ScaledColumn, values: Sequence[float]):
        self.name, self._column, self._values = column.column, column, values
        ends = [values[0] * (end - column.mean) / column.scale for end in (column.low, column.high)]
        self._most = max(-value * FACTOR for value in (*ends, *values[1:])) + 0.0

    def features(self, cell: Cell) -> list[float]:
        """As `ScaledColumn.expand`."""
        column = self._column
        scaled = 0.0 if cell.number is None else \
            (min(max(cell.number, column.low), column.high) - column.mean) / column.scale
        absent = cell.number is None and cell.special is None
        missing = [float(absent)] if column.missing is not None else []
        return [scaled, *missing, *(float(cell.special == code) for code in column.special)]

    def part(self, cell: Cell) -> Part:
        """What this value adds."""
        total = math.fsum(value * feature for value, feature in zip(self._values, self.features(cell), strict=True))
        label = f"special {cell.special}" if cell.special is not None else \
            "missing" if cell.number is None else None
        return Part(self.name, label, total, self._most)
