"""A bank's own columns as its module reads them: numbers whitened, categories by level. Local; nothing of it leaves."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from protocols.binning.columns import ColumnData
from protocols.binning.encoder import Encoder
from protocols.errors import ConfigError
from protocols.network.bank_rows import BankColumns
from protocols.scorecard.whitening import Whitening
from protocols.strict import Strict, first_problem


@dataclass(frozen=True, repr=False)
class NetworkEncoder:
    """`encoder` and `whitening` of the columns of numbers, None where there are none; `levels`: by column of categories
    the labels that have a level of their own, from 1; all others and missing cells share level 0."""

    encoder: Encoder | None
    whitening: Whitening | None
    levels: Mapping[str, tuple[str, ...]]

    @classmethod
    def fit(cls, columns: Mapping[str, ColumnData], minimum_support: int) -> NetworkEncoder:
        """From the training rows. DataError where no column of numbers varies and there is no category."""
        numbers = {name: data for name, data in columns.items() if data.kind == "number"}
        levels = {name: _levels(data, minimum_support) for name, data in columns.items() if data.kind == "category"}
        if not numbers:
            return cls(None, None, levels)
        encoder = Encoder.fit(numbers, method="numeric", minimum_support=minimum_support)
        return cls(encoder, Whitening.fit(encoder.transform(numbers)), levels)

    @property
    def warnings(self) -> list[str]:
        """Of the columns of numbers."""
        return [] if self.encoder is None else list(self.encoder.warnings)

    def transform(self, columns: Mapping[str, ColumnData]) -> BankColumns:
        """(n, ·) of all rows of `columns`."""
        rows = len(next(iter(columns.values())))
        numeric = np.zeros((rows, 0)) if self.encoder is None else self.whitening.transform(
            self.encoder.transform(columns))
        codes = [_codes(columns[name], labels) for name, labels in self.levels.items()]
        categories = np.stack(codes, axis=1) if codes else np.zeros((rows, 0), np.int64)
        return BankColumns(numeric, categories, tuple(len(labels) + 1 for labels in self.levels.values()))

    @property
    def names(self) -> list[str]:
        """Columns of the table that are read."""
        return [*([one.column for one in self.encoder.columns] if self.encoder else []), *self.levels]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; `columns` names them all, as every half's encoder does."""
        return {"coding": "network", "columns": [{"column": name} for name in self.names],
                "encoder": self.encoder and self.encoder.to_json(),
                "whitening": self.whitening and self.whitening.to_json(),
                "levels": {name: list(labels) for name, labels in self.levels.items()}}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> NetworkEncoder:
        """Inverse of `to_json`; ConfigError for anything else."""
        try:
            told = _Told.model_validate(raw)
        except ValidationError as error:
            raise ConfigError(f"encoder of a network: {first_problem(error)}") from None
        if (told.encoder is None) != (told.whitening is None):
            raise ConfigError("encoder of a network: expected both encoder and whitening of the numbers, or neither")
        encoder = told.encoder and Encoder.from_json(told.encoder)
        return cls(encoder, told.whitening and Whitening.from_json(told.whitening), told.levels)


class _Column(Strict):
    column: str


class _Told(Strict):
    coding: Literal["network"]
    columns: tuple[_Column, ...]
    encoder: dict[str, Any] | None
    whitening: dict[str, Any] | None
    levels: dict[str, tuple[str, ...]]


def _levels(data: ColumnData, minimum_support: int) -> tuple[str, ...]:
    counts = np.bincount(data.values[data.ordinary], minlength=len(data.labels))
    return tuple(label for label, count in zip(data.labels, counts, strict=True) if count >= minimum_support)


def _codes(data: ColumnData, labels: tuple[str, ...]) -> np.ndarray:
    """(n,) int64: 0 for a label without a level of its own and for missing cells."""
    places = {label: number for number, label in enumerate(labels, start=1)}
    return np.array([*(places.get(label, 0) for label in data.labels), 0], np.int64)[data.values]
