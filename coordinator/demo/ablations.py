"""Which further trainings show what each party contributed, in which order, and whether the rows suffice for them.

Every training releases coefficients, and each party counts them: n >= 50 * sum of d over all its trainings that share
a person (protocols/SECURITY.md). So small trainings come first, and the demo chooses rows that suffice unless it was
given rows. The forecast here is cautious; what decides is each party's own policy in the run.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coordinator.demo.banks import bank_names, shares
from coordinator.demo.population import BANK_COLUMNS, BLANK_AT_RANDOM, BLANK_WHEN_YOUNG, KNOWN_BY_EACH, OVERLAP
from protocols.policy import ROWS_PER_COEFFICIENT

ALL = "all"
MOST_CATEGORIES = 4  # of a generated column
BLANK = {*BLANK_AT_RANDOM, *BLANK_WHEN_YOUNG}
TRAIN, SLACK = 0.7, 0.96  # of the aligned rows; for what chance takes away
CHOICES = ((3, 60_000), (2, 150_000))  # bins, and the most rows to choose for them
ROWS_STEP, LEAST_ROWS = 5_000, 20_000


@dataclass(frozen=True)
class Training:
    """One run of a federation: who takes part. `name` is `all`, `own.BANK` or `without.PARTY`."""

    name: str
    banks: tuple[str, ...]
    platforms: tuple[str, ...]

    @property
    def parties(self) -> tuple[str, ...]:
        """All of them, banks first."""
        return (*self.banks, *self.platforms)


def trainings(banks: tuple[str, ...], platforms: tuple[str, ...]) -> list[Training]:
    """The training of all, each bank with the platforms, and all but one party where that is not the same."""
    found = [Training(ALL, banks, platforms)]
    if len(banks) > 1:
        found += [Training(f"own.{bank}", (bank,), platforms) for bank in banks]
    if len(banks) > 2:
        found += [Training(f"without.{bank}", _but(banks, bank), platforms) for bank in banks]
    if len(platforms) > 1:
        found += [Training(f"without.{party}", banks, _but(platforms, party)) for party in platforms]
    return found


def _but(names: tuple[str, ...], one: str) -> tuple[str, ...]:
    return tuple(name for name in names if name != one)


def without(party: str, banks: tuple[str, ...]) -> str:
    """Name of the training of all but one party: of two banks that is the other bank's own."""
    other = _but(banks, party)
    return f"own.{other[0]}" if party in banks and len(other) == 1 else f"without.{party}"


def coefficients(training: Training, tables: dict[str, dict[str, Any]], bins: int) -> int:
    """At most so many are released: levels of each column but the base one, banks' once, and the intercepts."""
    columns = (training.banks[0], *training.platforms)
    return len(training.banks) + sum(_levels(*c, bins) - 1 for party in columns for c in tables[party].items())


def _levels(name: str, column: dict[str, Any], bins: int) -> int:
    """Bins or categories, missing and special codes of a generated column."""
    values = MOST_CATEGORIES if column.get("type") == "category" else bins
    return values + (name in BLANK) + len(column.get("special", ()))


def training_rows(training: Training, rows: dict[str, int]) -> int:
    """Rows of the training slice to expect; `rows` of each bank."""
    known = OVERLAP * (1 if len(training.platforms) == 1 else KNOWN_BY_EACH ** len(training.platforms))
    return int(sum(rows[bank] for bank in training.banks) * known * TRAIN * SLACK)


def in_order(wanted: list[Training], tables: dict[str, dict[str, Any]], rows: dict[str, int], bins: int
             ) -> tuple[list[Training], bool]:
    """Few rows first, as long as that leaves enough for the training of all; and whether all are expected to pass."""
    rising = sorted(wanted, key=lambda t: (training_rows(t, rows), t.name == ALL))
    short = _short(rising, tables, rows, bins)
    if any(t.name == ALL for t in short):
        rising.sort(key=lambda t: t.name != ALL)
        short = _short(rising, tables, rows, bins)
    return rising, not short


def _short(order: list[Training], tables: dict[str, dict[str, Any]], rows: dict[str, int], bins: int
           ) -> list[Training]:
    """Those with too few rows for their coefficients and those of all trainings before them, refused or not."""
    counted, short = 0, []
    for training in order:
        counted += coefficients(training, tables, bins)
        if training_rows(training, rows) < ROWS_PER_COEFFICIENT * counted:
            short.append(training)
    return short


def choose(bank_count: int, platforms: dict[str, dict[str, Any]], bins: int | None) -> tuple[int, int]:
    """(rows, bins) with which all trainings are expected to pass; the most rows there are when none are enough."""
    banks = bank_names(bank_count)
    tables = platforms | {bank: BANK_COLUMNS for bank in banks}
    wanted = trainings(banks, tuple(platforms))
    for tried, most in CHOICES if bins is None else ((bins, CHOICES[-1][1]),):
        for rows in range(LEAST_ROWS, most + 1, ROWS_STEP):
            if in_order(wanted, tables, bank_rows(bank_count, rows), tried)[1]:
                return rows, tried
    return most, tried


def bank_rows(count: int, rows: int) -> dict[str, int]:
    """About so many rows has each bank of a population of `rows`."""
    return {bank: int(rows * share) for bank, share in zip(bank_names(count), shares(count), strict=True)}
