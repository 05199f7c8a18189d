"""Reads the outcomes of an experiment from CSV. Errors name file, column and count, never a value."""
from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from parties.bank.decision.trial import OutcomeRow
from protocols.errors import DataError

COLUMNS = ("person", "arm", "decided_on", "approved", "bad", "limit_fen", "amount_fen", "daily_rate")
YES_NO = {"yes": True, "no": False, "": None}
MAX_BYTES = 2**30


def read_outcomes(path: Path) -> list[OutcomeRow]:
    """Rows of a CSV file with exactly `COLUMNS`; an empty field is unknown. DataError says what is wrong where."""
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: expected at most {MAX_BYTES} bytes; split the experiment's outcomes by date")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _rows(path, csv.reader(file, strict=True))
    except UnicodeDecodeError:
        raise DataError(f"{path}: expected UTF-8 text") from None
    except csv.Error:
        raise DataError(f"{path}: not valid CSV; quote fields that hold commas or line ends") from None


def _rows(path: Path, lines: Iterable[list[str]]) -> list[OutcomeRow]:
    reader = iter(lines)
    header = next(reader, [])
    if sorted(header) != sorted(COLUMNS):
        raise DataError(f"{path}: expected the columns {', '.join(COLUMNS)}, got {len(header)} with other names")
    found: list[OutcomeRow] = []
    wrong: Counter[str] = Counter()
    count = 0
    for fields in reader:
        count += 1
        row = _row(dict(zip(header, fields, strict=True)) if len(fields) == len(header) else None, wrong)
        found += [row] if row else []
    if wrong:
        told = "; ".join(f"{what} in {n} of {count} rows" for what, n in sorted(wrong.items()))
        raise DataError(f"{path}: expected other values: {told}; see `sealscore bank experiments report --help`")
    if not found:
        raise DataError(f"{path}: expected at least one row of outcomes, got none")
    return found


def _row(fields: dict[str, str] | None, wrong: Counter[str]) -> OutcomeRow | None:
    if fields is None:
        wrong["number of fields"] += 1
        return None
    try:
        return OutcomeRow.model_validate({name: _value(name, text) for name, text in fields.items()})
    except ValidationError as error:
        wrong[", ".join(sorted({_column(problem["loc"]) for problem in error.errors()}))] += 1
        return None


def _column(place: tuple[int | str, ...]) -> str:
    return f"column {place[0]}" if place else "results of a refused application"


def _value(name: str, text: str) -> Any:
    """Typed where the text has the type's form; the model refuses what is left as text."""
    if name in ("approved", "bad"):
        return YES_NO.get(text, text + "?")
    if name.endswith("_fen") and text.isascii() and text.isdigit() and len(text) < 20:
        return int(text)
    return text or None
