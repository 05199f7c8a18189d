"""One party's own columns, encoded for a linear model: fitted on its training rows, kept as plain JSON.

    dummy    0/1 per bin, base level dropped; nobody learns anything
    numeric  clipped and standardised numbers with indicators; categories stay 0/1; nobody learns anything
    woe      one number per column, the weight of evidence of each bin (`woe.py`); whoever has the column learns how
             many events each of its bins holds, so the fit takes two steps: bins without labels, then `weighted`

Of people whom this party does not know it holds no columns. In the matrix they stand at the base level of every column,
and one more 0/1 column tells them apart, when `minimum_support` training rows are theirs.
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from protocols.binning.bins import BinnedColumn, fit_bins
from protocols.binning.columns import ColumnData
from protocols.binning.scaling import ScaledColumn, fit_scaling
from protocols.binning.woe import WoeColumn, weighted
from protocols.errors import ConfigError, DataError, UsageError

METHODS = ("dummy", "numeric")
Coded = BinnedColumn | ScaledColumn | WoeColumn
DEFAULT_PDO = 20.0  # points that double the odds
MOST_TOLD = 300  # characters of what is wrong with a kept encoder: some of it may be quoted there
COVERAGE, UNKNOWN_LABEL = "coverage", "unknown to this platform"


@dataclass(frozen=True)
class Feature:
    """One column of the encoded matrix."""

    column: str
    label: str
    kind: str  # interval, category, other, missing, special, scaled, woe or unknown


class Coverage(BaseModel):
    """Training rows of people whom this party knows, and of the others, which have a column of their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    known: int = Field(ge=0)
    unknown: int = Field(ge=1)


class Encoder(BaseModel):
    """Immutable; `Encoder.fit` makes it, `from_json` takes it back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    method: Literal["dummy", "numeric", "woe"]
    minimum_support: int = Field(ge=1)
    columns: tuple[Annotated[Coded, Field(discriminator="coding")], ...]
    coverage: Coverage | None = None
    warnings: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _of_one_method(self) -> Encoder:
        if any((column.coding == "woe") != (self.method == "woe") for column in self.columns):
            raise ValueError("weights of evidence belong to the method woe, and only there")
        return self

    @classmethod
    def fit(cls, columns: Mapping[str, ColumnData], *, method: str, bins: int = 5,
            minimum_support: int = 20, unknown: int = 0) -> Encoder:
        """Learn bins or ranges from the training rows only; `unknown` of them are of people without columns here.

        `bins` is the number of intervals per number, missing and special bins come on top. Constant columns (fewer
        than two levels of `minimum_support` rows) are dropped, with a sentence each in `warnings`. Raises UsageError
        for an encoding that is not offered, DataError when no column remains.
        """
        _check_request(method, bins, minimum_support)
        fitted = {name: _fit_column(name, data, method, bins, minimum_support) for name, data in columns.items()}
        kept = tuple(column for column in fitted.values() if column is not None)
        if not kept:
            raise DataError(f"none of the {len(fitted)} columns has two levels with {minimum_support} rows each; "
                            "expected at least one column that varies")
        dropped = [name for name, column in fitted.items() if column is None]
        warnings = [_dropped(name, minimum_support) for name in dropped]
        if 0 < unknown < minimum_support:
            warnings.append(_few_unknown(unknown, minimum_support))
        known = len(next(iter(columns.values())))
        coverage = Coverage(known=known, unknown=unknown) if unknown >= minimum_support else None
        return cls(method=method, minimum_support=minimum_support, columns=kept, coverage=coverage,
                   warnings=tuple(warnings))

    def weighted(self, events: np.ndarray) -> Encoder:
        """This encoder of method dummy as one of method woe; `events`: int64, of every bin, in the order of
        `woe.assigned`."""
        columns = weighted(self.columns, events)
        return Encoder(method="woe", minimum_support=self.minimum_support, columns=columns, coverage=self.coverage,
                       warnings=self.warnings)

    @property
    def features(self) -> list[Feature]:
        """The d columns of `transform`, in order."""
        own = [Feature(c.column, label, kind) for c in self.columns for label, kind in c.feature_labels]
        return own if self.coverage is None else [*own, Feature(COVERAGE, UNKNOWN_LABEL, "unknown")]

    def transform(self, columns: Mapping[str, ColumnData], known: np.ndarray | None = None) -> np.ndarray:
        """float64 (n, d). `columns` hold the people who are `known`, bool (n,), in that order; by default all are.

        Raises DataError for a column that is missing or of another kind than at the fit.
        """
        own = np.hstack([encoded.expand(self._matching(encoded, columns)) for encoded in self.columns])
        if known is None or known.all():
            return own if self.coverage is None else np.column_stack([own, np.zeros(len(own))])
        matrix = np.zeros((len(known), len(self.features)))
        matrix[known, :own.shape[1]] = own
        if self.coverage is not None:
            matrix[~known, -1] = 1.0
        return matrix

    @staticmethod
    def _matching(encoded: Coded, columns: Mapping[str, ColumnData]) -> ColumnData:
        data = columns.get(encoded.column)
        if data is None:
            raise DataError(f"column {encoded.column!r} is missing; the encoder was fitted with it")
        if data.kind != encoded.kind:
            raise DataError(f"column {encoded.column!r} is a {data.kind}, but the encoder was fitted with a "
                            f"{encoded.kind}; correct its type in the table's configuration")
        return data

    def to_json(self) -> dict[str, Any]:
        """A plain dict for `json.dumps`."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Encoder:
        """The inverse of `to_json`. Raises ConfigError for anything else."""
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "encoder"
            told = first["msg"][:MOST_TOLD]
            raise ConfigError(f"encoder: {where}: {told} ({error.error_count()} problems); expected what "
                              "Encoder.to_json wrote") from None

    def points_table(self, coefficients: Sequence[float], *, pdo: float = DEFAULT_PDO) -> list[dict[str, Any]]:
        """The scorecard: per column, per bin: training rows, coefficient (log-odds of default) and points.

        points = -coefficient * pdo / ln 2: `pdo` points more halve the odds of default. The base level of a column
        stands at 0, with woe a bin of average risk. Returns [{"column", "bins": [{"label", "count", "coefficient",
        "points"}]}], with woe also "information_value" and, per bin, "events".
        """
        values = [float(value) for value in coefficients]
        if len(values) != len(self.features):
            raise UsageError(f"{len(self.features)} features need as many coefficients, got {len(values)}")
        rows, start = [], 0
        for encoded in self.columns:
            width = len(encoded.feature_labels)
            levels = _levels(encoded, values[start:start + width])
            rows.append(_with_events(encoded, {"column": encoded.column,
                                               "bins": [_points_row(*level, pdo) for level in levels]}))
            start += width
        if self.coverage is not None:
            levels = [("known to this platform", self.coverage.known, 0.0),
                      (UNKNOWN_LABEL, self.coverage.unknown, values[start])]
            rows.append({"column": COVERAGE, "bins": [_points_row(*level, pdo) for level in levels]})
        return rows


def base_points(intercept: float, *, pdo: float = DEFAULT_PDO, score: float = 600.0, odds: float = 50.0) -> float:
    """Points of a row at every base level, when `score` points mean good:bad odds of `odds`:1."""
    factor = pdo / math.log(2)
    return score - factor * math.log(odds) - factor * intercept


def _points_row(label: str, count: int, coefficient: float, pdo: float) -> dict[str, Any]:
    points = -coefficient * pdo / math.log(2) + 0.0  # + 0.0 turns -0.0 into 0.0
    return {"label": label, "count": count, "coefficient": coefficient, "points": points}


def _with_events(encoded: Coded, row: dict[str, Any]) -> dict[str, Any]:
    """A column's row of the scorecard, with what woe adds."""
    if not isinstance(encoded, WoeColumn):
        return row
    bins = [level | {"events": events} for level, events in zip(row["bins"], encoded.events, strict=True)]
    return row | {"bins": bins, "information_value": encoded.information_value}


def _levels(encoded: Coded, values: list[float]) -> list[tuple[str, int, float]]:
    """(label, training rows, coefficient) of each level, the base level included."""
    if isinstance(encoded, WoeColumn):
        return encoded.levels(values)
    if isinstance(encoded, BinnedColumn):
        by_bin = dict(zip(encoded.feature_bins, values, strict=True))
        return [(level.label, level.count, by_bin.get(index, 0.0)) for index, level in enumerate(encoded.bins)]
    counts = [encoded.count, *([] if encoded.missing is None else [encoded.missing]), *encoded.special.values()]
    labels = [label for label, _ in encoded.feature_labels]
    return list(zip(labels, counts, values, strict=True))


def _fit_column(name: str, data: ColumnData, method: str, bins: int,
                minimum_support: int) -> BinnedColumn | ScaledColumn | None:
    if method == "numeric" and data.kind == "number":
        return fit_scaling(name, data, minimum_support)
    return fit_bins(name, data, bins, minimum_support)


def _check_request(method: str, bins: int, minimum_support: int) -> None:
    if method == "woe":
        raise UsageError("encoding \"woe\" needs the default rate of each bin: fit \"dummy\", which needs no label, "
                         "then give the counts of events to `weighted`")
    if method not in METHODS:
        raise UsageError(f"unknown encoding {method!r}; expected one of {', '.join(METHODS)}")
    if not 2 <= bins <= 100 or minimum_support < 1:
        raise UsageError(f"expected 2 to 100 bins and a minimum support of at least 1 row, got {bins} and "
                         f"{minimum_support}")


def _few_unknown(unknown: int, minimum_support: int) -> str:
    return (f"{unknown} training rows are of people unknown to this platform, fewer than {minimum_support}: they stand "
            "at the base level of every column")


def _dropped(name: str, minimum_support: int) -> str:
    return f"column {name!r} was dropped: fewer than two levels hold {minimum_support} training rows each"
