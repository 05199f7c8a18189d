"""What is asked: who takes part with how many rows and coefficients, and over which machines and links."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from coordinator.plan_file import Catalogues
from protocols.errors import ConfigError, UsageError
from protocols.plan import ModelPlan, PartyPlan, Plan

TYPICAL_CATEGORY = 4  # coefficients of a category: its number of values is not published
MOST_PARTIES = 1000


@dataclass(frozen=True)
class Machines:
    """`cores`: the whole federation on one machine with so many; None: a machine of `party_cores` for each party.
    `bandwidth_mbit`, `rtt_ms`: of each party's line to the hub and back; None and 0: not a limit."""

    bandwidth_mbit: float | None = None
    rtt_ms: float = 0.0
    cores: int | None = None
    party_cores: int = 2


@dataclass(frozen=True)
class Workload:
    """A run's shapes. Rows are estimates from above: as many in common as the smallest table holds."""

    kind: str
    banks: tuple[str, ...]
    platforms: tuple[str, ...]
    rows: tuple[int, ...]  # of each bank, in common with all platforms
    bank_table: tuple[int, ...]  # rows of each bank's table
    platform_table: int  # rows of the largest platform's table
    bank_columns: int  # coefficients with the intercept; network: without; boosting: columns that compete for splits
    platform_columns: tuple[int, ...]  # likewise of each platform
    bank_fields: int  # columns of the tables
    platform_fields: tuple[int, ...]
    model: ModelPlan
    slices: tuple[float, float, float]
    platform_bins: tuple[int, ...] = ()  # of each platform; needed for the encoding woe
    platform_tree_bins: tuple[int, ...] = ()  # boosting: of each of the platform's columns that compete for splits

    def train_rows(self) -> list[int]:
        """Of each bank."""
        return [max(1, round(self.slices[0] * n)) for n in self.rows]

    def holdout_rows(self) -> list[tuple[int, int]]:
        """Of each bank: calibration and test."""
        return [(round(self.slices[1] * n), round(self.slices[2] * n)) for n in self.rows]


@dataclass(frozen=True)
class Overrides:
    """What a person asks instead of what is known; `rows` of all banks together, columns as coefficients."""

    rows: int | None = None
    bank_columns: int | None = None
    platform_columns: int | None = None
    banks: int | None = None
    platforms: int | None = None
    platform_rows: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value < 1:
                raise UsageError(f"expected --{name.replace('_', '-')} of at least 1, got {value}")
        if max(self.banks or 1, self.platforms or 1) > MOST_PARTIES:
            raise UsageError(f"expected at most {MOST_PARTIES} parties of a kind")


def workload(plan: Plan, catalogues: Catalogues, asked: Overrides) -> Workload:
    """Of a plan, what its parties published, and what is asked instead; ConfigError when the rows are unknown."""
    if plan.model.kind != "scorecard" and max(asked.banks or 1, asked.platforms or 1) > 1:
        raise UsageError(f"expected one bank and one platform, which model.kind = {plan.model.kind!r} takes, got more; "
                         "leave out --banks and --platforms")
    banks = _seats("bank", plan.label_parties, asked.banks)
    platforms = _seats("platform", plan.feature_parties, asked.platforms)
    first, fields = plan.parties[plan.label_parties[0]], _platform_parts(plan, len(platforms))
    bank_tables, platform_tables = _table_rows(plan, catalogues, len(banks), len(platforms))
    rows = _rows(asked, bank_tables, platform_tables, len(banks))
    own = _coefficients(first, plan.label_parties[0], plan.model, catalogues)
    widths = [_coefficients(part, name, plan.model, catalogues) for name, part in fields]
    work = Workload(
        kind=plan.kind, banks=banks, platforms=platforms, rows=rows,
        bank_table=tuple(max(table or n, n) for table, n in zip(bank_tables, rows, strict=True)),
        platform_table=asked.platform_rows or _platform_table(asked, rows, platform_tables),
        bank_columns=1 + (asked.bank_columns or own),
        platform_columns=tuple(asked.platform_columns or width for width in widths),
        bank_fields=len(first.columns), platform_fields=tuple(len(part.columns) for _, part in fields),
        model=plan.model, slices=(plan.slices.train, plan.slices.calibration, plan.slices.test),
        platform_bins=tuple(_bins(part, name, plan.model, catalogues, asked) for name, part in fields),
    )
    if plan.model.kind == "network":
        return replace(work, bank_columns=work.bank_columns - 1)
    return _with_trees(work, plan, catalogues, asked) if plan.model.kind == "boosting" else work


def _with_trees(work: Workload, plan: Plan, catalogues: Catalogues, asked: Overrides) -> Workload:
    """Columns that compete for splits instead of coefficients: those asked for are of numbers."""
    (bank,), (platform,), (rows,) = plan.label_parties, plan.feature_parties, work.train_rows()
    number = max(2, min(plan.model.boosting.bins, rows // plan.model.minimum_support))
    own, theirs = ([number] * count if count else _tree_bins(plan.parties[name], name, catalogues, number)
                   for name, count in ((bank, asked.bank_columns), (platform, asked.platform_columns)))
    return replace(work, bank_columns=len(own), platform_columns=(len(theirs),), platform_tree_bins=tuple(theirs))


def _tree_bins(part: PartyPlan, party: str, catalogues: Catalogues, number: int) -> list[int]:
    """Of each column, as many as a number of so many bins has; a category is a column for each level, and one for its
    gaps (protocols/boosting/columns.py)."""
    found = []
    for column in _published(part, party, catalogues):
        gaps = float(column.get("missing_rate", 0)) > 0
        found += [2] * (TYPICAL_CATEGORY + gaps) if column.get("type") == "category" else [number]
    return found


def _seats(role: str, named: tuple[str, ...], count: int | None) -> tuple[str, ...]:
    if count in (None, len(named)):
        return named
    return tuple(f"{role}-{number}" for number in range(1, count + 1))


def _platform_parts(plan: Plan, count: int) -> list[tuple[str, PartyPlan]]:
    """The plan's platforms, the first ones again for those that it does not name."""
    named = [(name, plan.parties[name]) for name in plan.feature_parties]
    return [named[index % len(named)] for index in range(count)]


def _table_rows(plan: Plan, catalogues: Catalogues, banks: int, platforms: int
                ) -> tuple[list[int | None], list[int | None]]:
    def known(names: tuple[str, ...], count: int) -> list[int | None]:
        found = [_table(plan, catalogues, name).get("rows") for name in names]
        return [found[index % len(found)] for index in range(count)]

    return known(plan.label_parties, banks), known(plan.feature_parties, platforms)


def _rows(asked: Overrides, bank_tables: list[int | None], platform_tables: list[int | None], banks: int
          ) -> tuple[int, ...]:
    """Rows in common of each bank: at most what the smallest table holds."""
    if asked.rows is not None:
        if asked.rows < banks:
            raise UsageError(f"expected --rows of at least one per bank, got {asked.rows} for {banks} banks")
        return tuple(asked.rows // banks + (index < asked.rows % banks) for index in range(banks))
    smallest = min((n for n in platform_tables if n), default=None)
    if smallest is None or not all(bank_tables):
        raise ConfigError("the number of rows is unknown: a party of the plan has published no table; give --rows")
    return tuple(min(table, smallest) for table in bank_tables)


def _platform_table(asked: Overrides, rows: tuple[int, ...], tables: list[int | None]) -> int:
    """The largest published table; with --rows, the banks' rows together: platforms know the people of all banks."""
    return sum(rows) if asked.rows is not None else max(n for n in (*rows, *tables) if n)


def _table(plan: Plan, catalogues: Catalogues, party: str) -> dict[str, Any]:
    return catalogues.get(party, {}).get(plan.parties[party].table, {})


def _coefficients(part: PartyPlan, party: str, model: ModelPlan, catalogues: Catalogues) -> int:
    """Encoded columns, estimated: whether a column is a category and has gaps is all that is published."""
    if model.encoding == "woe":
        return len(part.columns)
    return sum(_column_coefficients(column, model) for column in _published(part, party, catalogues))


def _published(part: PartyPlan, party: str, catalogues: Catalogues) -> list[dict[str, Any]]:
    """What is known of each column."""
    known = {c["name"]: c for c in catalogues.get(party, {}).get(part.table, {}).get("columns", [])}
    return [known.get(name, {}) for name in part.columns]


def _column_coefficients(column: dict[str, Any], model: ModelPlan) -> int:
    gaps = 1 if float(column.get("missing_rate", 0)) > 0 else 0
    if column.get("type") == "category":
        return TYPICAL_CATEGORY + gaps
    return gaps + (1 if model.encoding == "numeric" else model.bins - 1)


def _bins(part: PartyPlan, party: str, model: ModelPlan, catalogues: Catalogues, asked: Overrides) -> int:
    """Of all columns: as many as `dummy` has coefficients, and the base of each column."""
    if asked.platform_columns is not None:
        return asked.platform_columns * model.bins
    return sum(1 + _column_coefficients(column, model) for column in _published(part, party, catalogues))
