"""A party's own table, read under a declared schema through Ibis and DuckDB.

Nothing is guessed from the file: every column is read as text, `try_cast` turns declared numbers into numbers, and
what does not fit is an error that names file, column and count. DuckDB's own messages quote the offending row, so
they are dropped. Errors may travel to the coordinator: they carry the file's name, declared column names and counts,
never a cell's value, a folder or the name of an undeclared column. `catalogue` carries no values either.
"""
from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ibis.common.exceptions import IbisError
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from protocols.binning.columns import NO_CATEGORY, ColumnData
from protocols.errors import ConfigError, DataError

MAX_CATEGORIES = 1000  # more distinct texts than this are an identifier or free text, not a category
FEW_TEXTS, MAX_CODES = 0.05, 20  # below this share, and with more distinct cells, texts among numbers are slips
_MISSING, _INVALID = -1, -2


class ColumnConfig(BaseModel):
    """What a column holds. `missing` cells join the empty ones; `special` codes (numbers) get a bin of their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["number", "category"] = "number"
    missing: tuple[str, ...] = ()
    special: tuple[str, ...] = ()
    sensitivity: Literal["C1", "C2", "C3"] = "C2"

    @field_validator("sensitivity")
    @classmethod
    def _refuse_c3(cls, level: str) -> str:
        if level == "C3":
            raise ValueError("C3 columns (JR/T 0171) must not enter a joint model: remove the column from the table")
        return level

    @model_validator(mode="after")
    def _check_special(self) -> ColumnConfig:
        if self.type == "category" and self.special:
            raise ValueError("special codes belong to number columns; in a category column a code is a category")
        if len(set(self.special)) != len(self.special) or not all(_is_number(code) for code in self.special):
            raise ValueError("special codes must be distinct numbers written as text, for example [\"-999\"]")
        if len(self.special) > 100:
            raise ValueError("at most 100 special codes per column; declare the column as a category instead")
        return self


class TableConfig(BaseModel):
    """Where a table lies and which of its columns may be used. Columns of the file not named here are never read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    format: Literal["csv", "parquet"] = "csv"
    id: str = Field(min_length=1)
    label: str | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    columns: dict[str, ColumnConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> TableConfig:
        for name in (self.id, self.label):
            if name is not None and name in self.columns:
                raise ValueError(f"column {name!r} is the id or the label and cannot be a feature column too")
        if self.id == self.label:
            raise ValueError("id and label must be two different columns")
        return self


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """n rows: `ids` as written in the file, `label` int8 (n,) of 0/1 or None, `columns` by name."""

    config: TableConfig
    ids: list[str]
    label: np.ndarray | None
    columns: dict[str, ColumnData]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Table({self.config.path.name}, {len(self)} rows, {len(self.columns)} columns)"

    def take(self, rows: np.ndarray) -> Table:
        """The given rows, in their order: int64 (m,) indices into this table; IndexError for one that is not there."""
        if rows.min(initial=0) < 0:  # numpy would count from the end: another person's row
            raise IndexError("expected rows of the table, got a negative one")
        label = None if self.label is None else self.label[rows]
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        return Table(self.config, [self.ids[row] for row in rows], label, columns)

    def select(self, names: list[str]) -> dict[str, ColumnData]:
        """The named columns, in that order. Raises DataError for a name the table does not hold."""
        unknown = [name for name in names if name not in self.columns]
        if unknown:
            raise DataError(f"{self.config.path.name}: no column {_quoted(unknown)} in this table; "
                            f"it holds {_quoted(self.columns)}")
        return {name: self.columns[name] for name in names}


def load_table(config: TableConfig, folder: Path | None = None) -> Table:
    """Read the whole table in one scan. A relative path counts from `folder` (default: the working directory).

    Raises DataError: file missing or unreadable, column missing, ragged rows, empty or duplicate ids, labels that
    are not 0/1 or all the same, cells of a number column that are not numbers.
    """
    path = (folder or Path()) / config.path
    with _source(path, config.format, config.delimiter, config.id) as source:
        _require_columns(path, source.names, _wanted(config))
        answer = source.fetch(_expressions(source.table, config))
    if answer.num_rows == 0:
        raise DataError(f"{path.name}: no data rows; expected a header line and at least one row")
    columns = {name: _column(path, name, declared, answer) for name, declared in config.columns.items()}
    return Table(config, _ids(path, config.id, answer), _label(path, config.label, answer), columns)


def catalogue(table: Table) -> dict[str, Any]:
    """What the coordinator may know of a table: names, types, sensitivity and missing rates (to 1 %), no values."""
    columns = [
        {"name": name, "type": column.kind, "sensitivity": table.config.columns[name].sensitivity,
         "missing_rate": round(float(column.missing.mean()), 2)}
        for name, column in table.columns.items()
    ]
    return {"rows": len(table), "label": table.config.label, "columns": columns}


def infer_config(path: Path, id: str, label: str | None = None, columns: list[str] | None = None) -> TableConfig:
    """A configuration for a CSV file nobody described: a column is a number if every filled cell is one.

    Raises DataError when a text column has more than 1,000 distinct values (name the wanted `columns` then), and when
    a column is numbers but for a few cells: it is a slip in the file or a special code, not a category.
    """
    with _source(path, "csv", ",", id) as source:
        names = columns if columns is not None else [name for name in source.names if name not in (id, label)]
        _require_columns(path, source.names, [id, *([label] if label else []), *names])
        facts = source.facts(names)
    declared = {name: ColumnConfig(type=_inferred_type(path, name, *facts[name])) for name in names}
    if not declared:
        raise DataError(f"{path.name}: no columns besides id and label; expected at least one feature column")
    return TableConfig(path=path, id=id, label=label, columns=declared)


def _inferred_type(
    path: Path, name: str, filled: int, not_numbers: int, distinct: int
) -> Literal["number", "category"]:
    if not_numbers == 0:
        return "number"
    if not_numbers < FEW_TEXTS * filled and distinct > MAX_CODES:
        raise DataError(f"{path.name}: column {name!r} holds numbers except in {not_numbers} of {filled} filled cells; "
                        "mend them, or declare them as missing or special codes in a node's configuration")
    if distinct > MAX_CATEGORIES:
        raise DataError(f"{path.name}: column {name!r} holds {distinct} distinct texts, more than {MAX_CATEGORIES}; "
                        "leave it out by naming the columns to use")
    return "category"


class _Source:
    """One opened file: its column names and an Ibis table in which every column is text."""

    def __init__(self, path: Path, connection: Any, table: Any, names: list[str], rejects: bool):
        self.path, self.connection, self.table, self.names, self._rejects = path, connection, table, names, rejects

    def fetch(self, expressions: dict[str, Any]) -> pa.Table:
        answer = self.table.select(**expressions).to_pyarrow()
        if self._rejects:
            self._refuse_rejects()
        return answer

    def facts(self, names: list[str]) -> dict[str, tuple[int, int, int]]:
        """Per column: how many cells are filled, how many of them are not numbers, how many distinct texts it has."""
        if not names:
            return {}
        totals = {}
        for index, name in enumerate(names):
            cell = _cell(self.table[name], ())
            totals[f"f{index}"] = cell.notnull().sum()
            totals[f"n{index}"] = (cell.notnull() & _number(cell).isnull()).sum()
            totals[f"d{index}"] = cell.nunique()
        row = self.table.aggregate(**totals).to_pyarrow().to_pylist()[0]
        self._refuse_rejects()
        return {
            name: (int(row[f"f{index}"] or 0), int(row[f"n{index}"] or 0), int(row[f"d{index}"]))
            for index, name in enumerate(names)
        }

    def _refuse_rejects(self) -> None:
        query = "select count(distinct line), min(line) from reject_errors"
        count, first = self.connection.raw_sql(query).fetchone()
        if count:
            raise DataError(f"{self.path.name}: {count} rows do not have the {len(self.names)} fields of the header "
                            f"(or are not UTF-8 text), the first at line {first}; check delimiter, quotes, encoding")


@contextmanager
def _source(path: Path, format: str, delimiter: str, id: str) -> Iterator[_Source]:
    """Open a file; DuckDB's and Ibis' texts quote rows, so they become one sentence without cause."""
    if not path.is_file():
        raise DataError(f"{path.name}: no such file; check `path` in the table's configuration")
    names = _header(path, delimiter) if format == "csv" else []
    connection = ibis.duckdb.connect()
    failed = False
    try:
        yield _open(path, connection, format, delimiter, names, id)
    except (duckdb.Error, IbisError, pa.ArrowException):
        failed = True
    finally:
        connection.disconnect()
    if failed:
        raise DataError(f"{path.name}: not readable as {format}; expected {_expectation(format, delimiter)}")


def _expectation(format: str, delimiter: str) -> str:
    return "a Parquet file" if format == "parquet" else f"UTF-8 text, fields separated by {delimiter!r}, quotes closed"


def _require_exact_ids(path: Path, table: Any, id: str) -> None:
    if id in table.columns and not (table[id].type().is_string() or table[id].type().is_integer()):
        raise DataError(f"{path.name}: id column {id!r} is of type {table[id].type()}; expected text or whole numbers, "
                        "which match exactly on both sides")


def _open(path: Path, connection: Any, format: str, delimiter: str, names: list[str], id: str) -> _Source:
    if format == "parquet":
        table = connection.read_parquet(path)
        _require_exact_ids(path, table, id)
        return _Source(path, connection, table.cast({n: "string" for n in table.columns}), list(table.columns), False)
    table = connection.read_csv(
        str(path), columns={name: "VARCHAR" for name in names}, auto_detect=False, header=True,
        delim=delimiter, quote='"', escape='"', store_rejects=True,
    )
    return _Source(path, connection, table, names, True)


def _header(path: Path, delimiter: str) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            names = next(csv.reader(lines, delimiter=delimiter), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        cause = type(error).__name__
        raise DataError(f"{path.name}: not readable ({cause}); expected UTF-8 text with a header line") from None
    repeated = sorted({name for name in names if names.count(name) > 1})
    if not names or repeated or not all(name.strip() for name in names):
        found = f"repeats {_quoted(repeated)}" if repeated else "has an empty name"
        raise DataError(f"{path.name}: the header line {found}; expected one distinct name per column")
    return names


def _wanted(config: TableConfig) -> list[str]:
    return [config.id, *([config.label] if config.label else []), *config.columns]


def _require_columns(path: Path, names: list[str], wanted: list[str]) -> None:
    absent = [name for name in wanted if name not in names]
    if absent:
        raise DataError(f"{path.name}: no column {_quoted(absent)} among the {len(names)} columns of the file; check "
                        "the table's configuration and its delimiter")


def _cell(column: Any, missing: tuple[str, ...]) -> Any:
    """Trimmed text; null where empty or declared missing."""
    text = column.strip()
    absent = text == ""
    if missing:
        absent = absent | text.isin([code.strip() for code in missing])
    return ibis.cases((absent, ibis.null("string")), else_=text)


def _number(cell: Any) -> Any:
    """A finite float64, else null: `inf` and `nan` written as text are not numbers."""
    value = cell.try_cast("float64")
    return ibis.cases((value.isnan() | value.isinf(), ibis.null("float64")), else_=value)


def _expressions(table: Any, config: TableConfig) -> dict[str, Any]:
    """All that is read, in one scan: text for id and categories, value and state for numbers."""
    chosen = {"id": _cell(table[config.id], ())}
    if config.label:
        chosen["label"] = _number(_cell(table[config.label], ()))
    for index, (name, declared) in enumerate(config.columns.items()):
        cell = _cell(table[name], declared.missing)
        if declared.type == "category":
            chosen[f"c{name}"] = cell
        else:
            chosen |= {f"v{name}": (value := _number(cell)), f"s{name}": _state(cell, value, declared.special, index)}
    return chosen


def _state(cell: Any, value: Any, special: tuple[str, ...], index: int) -> Any:
    """int8: 0 ordinary, k the k-th special code, -1 missing, -2 not a number."""
    codes = [(value == float(code), ibis.literal(k, "int8")) for k, code in enumerate(special, start=1)]
    return ibis.cases(
        (cell.isnull(), ibis.literal(_MISSING, "int8")), (value.isnull(), ibis.literal(_INVALID, "int8")),
        *codes, else_=ibis.literal(0, "int8"),
    )


def _column(path: Path, name: str, declared: ColumnConfig, answer: pa.Table) -> ColumnData:
    if declared.type == "category":
        return _category(path, name, answer[f"c{name}"])
    state = answer[f"s{name}"].to_numpy().astype(np.int8)
    if invalid := int((state == _INVALID).sum()):
        raise DataError(f"{path.name}: column {name!r} holds {invalid} of {len(state)} cells that are not numbers; "
                        "declare it as type \"category\" or list the texts under `missing`")
    values = np.where(state == 0, answer[f"v{name}"].to_numpy(zero_copy_only=False), np.nan)
    return ColumnData("number", values.astype(np.float64), np.maximum(state, 0), declared.special)


def _category(path: Path, name: str, cells: pa.ChunkedArray) -> ColumnData:
    labels = sorted(text for text in pc.unique(cells).to_pylist() if text is not None)
    if len(labels) > MAX_CATEGORIES:
        raise DataError(f"{path.name}: category column {name!r} holds {len(labels)} distinct texts, more than "
                        f"{MAX_CATEGORIES}; an identifier or free text cannot be a feature")
    codes = pc.fill_null(pc.index_in(cells, value_set=pa.array(labels, pa.string())), NO_CATEGORY)
    values = codes.to_numpy().astype(np.int32)
    return ColumnData("category", values, np.zeros(len(values), np.int8), (), tuple(labels))


def _ids(path: Path, name: str, answer: pa.Table) -> list[str]:
    ids = answer["id"]
    if ids.null_count:
        raise DataError(f"{path.name}: id column {name!r} is empty in {ids.null_count} of {len(ids)} rows; every row "
                        "needs an id")
    if repeated := len(ids) - len(pc.unique(ids)):
        raise DataError(f"{path.name}: id column {name!r} repeats ids in {repeated} of {len(ids)} rows; expected one "
                        "row per person")
    return ids.to_pylist()


def _label(path: Path, name: str | None, answer: pa.Table) -> np.ndarray | None:
    if name is None:
        return None
    values = answer["label"].to_numpy(zero_copy_only=False).astype(np.float64)
    if bad := int((~np.isin(values, (0.0, 1.0))).sum()):
        raise DataError(f"{path.name}: label column {name!r} is neither 0 nor 1 in {bad} of {len(values)} rows; "
                        "expected 1 = event (default) and 0 = nonevent in every row")
    if values.min() == values.max():
        raise DataError(f"{path.name}: label column {name!r} holds one class only; expected both events and nonevents")
    return values.astype(np.int8)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _quoted(names: Any) -> str:
    return ", ".join(repr(name) for name in names)


def parse_table_config(raw: dict[str, Any]) -> TableConfig:
    """A table section of a TOML file. Raises ConfigError with every problem in one sentence."""
    try:
        return TableConfig.model_validate(raw)
    except ValueError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'table'}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"table configuration: {problems}") from None
