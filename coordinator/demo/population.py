"""A synthetic population for the demo: one bank, one platform, the same people in part. No real person is in it.

Each person has five hidden traits (means, discipline, stress, roots, mischief). Every column is a noisy view of some of
them; default follows from the columns and the traits through curves and thresholds, so that binned columns (`dummy`)
tell more than straight lines (`numeric`). The bank sees bureau columns and the label, the platform payments, social
and device columns: neither sees enough alone. Special code -999 means "the service does not exist for this person";
an empty cell means unknown. Amounts are CNY. Same rows and seed, same files.
"""
from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

OVERLAP = 0.88  # share of each side's rows that the other side holds too
KNOWN_BY_EACH = 0.97  # share of the platform's people that each of several platforms knows
MOST_PLATFORMS = 5  # of at least four columns each
EVENT_RATE = 0.10
NOT_APPLICABLE = "-999"
JOBS = ("civil servant", "salaried", "self-employed", "gig work")
DEVICES = ("entry", "middle", "high")
BLANK_AT_RANDOM = {"annual_income": 0.07, "inquiries_6m": 0.03, "debt_to_income": 0.05, "employment": 0.02,
                   "offline_share": 0.04, "contact_stability": 0.05}  # shares of the people
BLANK_WHEN_YOUNG = ("utility_payments_year", "neighbour_overdue_share", "merchant_categories")
_C1 = {"sensitivity": "C1"}
_CATEGORY = {"type": "category"}
_SPECIAL = {"special": [NOT_APPLICABLE]}

BANK_COLUMNS: dict[str, dict[str, Any]] = {
    "months_on_file": {}, "overdue_count_24m": {}, "worst_overdue_days": {}, "card_utilisation": dict(_SPECIAL),
    "inquiries_6m": {}, "open_credit_lines": {}, "debt_to_income": {}, "annual_income": {},
    "provident_fund_months": dict(_SPECIAL), "employment": _CATEGORY | _C1,
}
PLATFORM_COLUMNS: dict[str, dict[str, Any]] = {
    "payments_month": {}, "payment_amount_month": {}, "active_days_month": {}, "offline_share": {},
    "utility_payments_year": {}, "card_repayments_year": {}, "red_packets_sent": {}, "red_packets_received": {},
    "merchant_categories": {}, "night_share": {}, "wealth_balance": dict(_SPECIAL),
    "wealth_holding_days": dict(_SPECIAL), "valid_contacts": {}, "contact_stability": {}, "group_activity": {},
    "neighbour_overdue_share": {}, "account_age_months": dict(_C1), "device_changes_year": {},
    "abnormal_logins_90d": {}, "device_tier": _CATEGORY | _C1,
}


@dataclass(frozen=True)
class PopulationFiles:
    """Two CSV files and, for each, the table section of a party's configuration (paths are absolute)."""

    bank_csv: Path
    platform_csv: Path
    bank_table: dict[str, Any]
    platform_table: dict[str, Any]


def write_population(directory: Path, rows: int, seed: int = 1) -> PopulationFiles:
    """Write bank.csv and platform.csv with `rows` rows each; about 88 % of the people are in both."""
    if rows < 100:
        raise ValueError(f"a population needs at least 100 rows, got {rows}")
    rng = np.random.default_rng(seed)
    shared = round(rows * OVERLAP)
    people = _people(rng, 2 * rows - shared)
    ids = _ids(rng, 2 * rows - shared)
    directory.mkdir(parents=True, exist_ok=True)
    bank = rng.permutation(rows)
    platform = rows - shared + rng.permutation(rows)
    names = ["default", *BANK_COLUMNS]
    bank_csv = write_rows(directory / "bank.csv", ids[bank], {n: people[n][bank] for n in names})
    lower = np.char.lower(ids[platform])  # the two sides do not spell an id alike: alignment normalises
    platform_csv = write_rows(directory / "platform.csv", lower, {n: people[n][platform] for n in PLATFORM_COLUMNS})
    return PopulationFiles(
        bank_csv, platform_csv, table_section(bank_csv, BANK_COLUMNS, "default"),
        table_section(platform_csv, PLATFORM_COLUMNS, None),
    )


@dataclass(frozen=True)
class Part:
    """One of several parties: the table section of its configuration, and its rows."""

    table: dict[str, Any]
    rows: int


def platform_columns(count: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Columns of each of `count` platforms by its name: `platform` alone, or platform-1, platform-2, …"""
    if count == 1:
        return {"platform": PLATFORM_COLUMNS}
    split = np.array_split(list(PLATFORM_COLUMNS), count)
    return {f"platform-{number}": {name: PLATFORM_COLUMNS[name] for name in names.tolist()}
            for number, names in enumerate(split, start=1)}


def split_platform(files: PopulationFiles, count: int, seed: int = 1) -> dict[str, Part]:
    """The platform's columns as those of `count` platforms, each of which knows most of the same people."""
    people = read_rows(files.platform_csv)
    rng, parts = np.random.default_rng(seed + 1), {}
    for name, specs in platform_columns(count).items():
        known = [people[row] for row in rng.permutation(len(people))[: round(len(people) * KNOWN_BY_EACH)]]
        path = files.platform_csv.with_name(f"{name}.csv")
        columns = {column: np.array([person[column] for person in known]) for column in specs}
        write_rows(path, np.array([person["id"] for person in known]), columns)
        parts[name] = Part(table_section(path, specs, None), len(known))
    return parts


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file that was written here."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table_section(path: Path, columns: dict[str, dict[str, Any]], label: str | None) -> dict[str, Any]:
    """The table section of a configuration for a file of these columns."""
    table: dict[str, Any] = {"path": str(path.resolve()), "id": "id"}
    return table | ({"label": label} if label else {}) | {"columns": {k: dict(v) for k, v in columns.items()}}


def write_rows(path: Path, ids: np.ndarray, columns: dict[str, np.ndarray]) -> Path:
    """A CSV file of (n,) identifiers and (n,) columns."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", *columns])
        writer.writerows(zip(ids.tolist(), *(column.tolist() for column in columns.values()), strict=True))
    return path


def _ids(rng: np.random.Generator, count: int) -> np.ndarray:
    """Distinct, unordered, unmistakably invented: SYN- and ten digits."""
    numbers = 10 ** 9 + rng.choice(9 * 10 ** 9 // 1000, count, replace=False) * 1000 + rng.integers(0, 1000, count)
    return np.char.add("SYN-", numbers.astype(str))


def _people(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Every column of both sides as text, and the label."""
    traits = {name: rng.standard_normal(count) for name in ("means", "discipline", "stress", "roots", "mischief")}
    bank, platform = _bank_values(rng, traits), _platform_values(rng, traits)
    risk = _bank_risk(bank) + _platform_risk(platform) + _hidden_risk(rng, traits)
    default = rng.random(count) < _calibrated(risk)
    text = {"default": default.astype(int).astype(str)}
    for name, values in (bank | platform).items():
        text[name] = _as_text(values)
    _blank(rng, text, platform["account_age_months"])
    return text


def _bank_values(rng: np.random.Generator, t: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    n = len(t["means"])
    overdue = rng.poisson(np.exp(-1.3 - 0.7 * t["discipline"] + 0.35 * t["stress"]))
    utilisation = _logistic(-0.4 + 0.9 * t["stress"] - 0.4 * t["means"] + 0.8 * rng.standard_normal(n))
    fund = np.maximum(0, 40 + 25 * t["means"] + 15 * t["roots"] + 20 * rng.standard_normal(n)).round()
    return {
        "months_on_file": np.maximum(3, 70 + 25 * t["roots"] + 30 * rng.standard_normal(n)).round(),
        "overdue_count_24m": overdue.astype(float),
        "worst_overdue_days": np.where(overdue > 0, np.ceil(rng.gamma(1.2, 14.0, n)), 0.0),
        "card_utilisation": np.where(rng.random(n) < 0.15, -999, utilisation.round(3)),
        "inquiries_6m": rng.poisson(np.exp(0.5 + 0.6 * t["stress"])).astype(float),
        "open_credit_lines": rng.poisson(np.exp(1.0 + 0.25 * t["stress"] + 0.2 * t["means"])).astype(float),
        "debt_to_income": np.exp(-1.0 + 0.5 * t["stress"] - 0.35 * t["means"] + 0.5 * rng.standard_normal(n)).round(3),
        "annual_income": (100 * np.exp(6.7 + 0.5 * t["means"] + 0.25 * rng.standard_normal(n)).round()),
        "provident_fund_months": np.where(rng.random(n) < _logistic(-1.0 - t["means"]), -999, fund),
        "employment": _choose(t["means"] + 0.6 * t["roots"] + rng.standard_normal(n), JOBS, (0.12, 0.58, 0.82)),
    }


def _platform_values(rng: np.random.Generator, t: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    n = len(t["means"])
    active = 0.5 * t["roots"] + 0.6 * rng.standard_normal(n)
    no_wealth = rng.random(n) < _logistic(-0.7 - 0.8 * t["means"] - 0.5 * t["discipline"])
    balance = np.exp(7.5 + 1.0 * t["means"] + 0.6 * t["discipline"] + 0.8 * rng.standard_normal(n)).round()
    return {
        "payments_month": rng.poisson(np.exp(3.7 + 0.35 * active)).astype(float),
        "payment_amount_month": np.exp(7.9 + 0.6 * t["means"] + 0.35 * active + 0.3 * rng.standard_normal(n)).round(),
        "active_days_month": rng.binomial(30, _logistic(1.2 + 0.8 * active)).astype(float),
        "offline_share": _logistic(0.3 * t["roots"] - 0.2 + 0.8 * rng.standard_normal(n)).round(3),
        "utility_payments_year": rng.poisson(np.exp(2.3 + 0.35 * t["roots"] + 0.25 * t["discipline"])).astype(float),
        "card_repayments_year": rng.poisson(np.exp(1.8 + 0.45 * t["discipline"])).astype(float),
        "red_packets_sent": rng.poisson(np.exp(2.0 + 0.4 * active + 0.2 * t["means"])).astype(float),
        "red_packets_received": rng.poisson(np.exp(2.1 + 0.4 * active)).astype(float),
        "merchant_categories": (1 + rng.binomial(24, _logistic(-0.3 + 0.4 * active + 0.4 * t["means"]))).astype(float),
        "night_share": _logistic(-2.6 + 0.8 * t["mischief"] + 0.6 * rng.standard_normal(n)).round(3),
        "wealth_balance": np.where(no_wealth, -999, balance),
        "wealth_holding_days": np.where(no_wealth, -999, rng.gamma(1.5, 60 * np.exp(0.5 * t["discipline"])).round()),
        "valid_contacts": rng.poisson(np.exp(4.5 + 0.45 * t["roots"] + 0.3 * rng.standard_normal(n))).astype(float),
        "contact_stability": _logistic(1.0 + 0.8 * t["roots"] + 0.5 * rng.standard_normal(n)).round(3),
        "group_activity": rng.poisson(np.exp(2.0 + 0.5 * active)).astype(float),
        "neighbour_overdue_share": _logistic(-3.0 - 0.5 * t["discipline"] - 0.3 * t["roots"] + 0.4 * t["mischief"]
                                             + 0.5 * rng.standard_normal(n)).round(3),
        "account_age_months": np.clip(75 + 30 * t["roots"] + 35 * rng.standard_normal(n), 1, 168).round(),
        "device_changes_year": rng.poisson(np.exp(-0.6 + 0.6 * t["mischief"])).astype(float),
        "abnormal_logins_90d": rng.poisson(np.exp(-1.6 + 0.9 * t["mischief"])).astype(float),
        "device_tier": _choose(-t["means"] + 1.2 * rng.standard_normal(n), DEVICES, (0.35, 0.8)),
    }


def _bank_risk(c: dict[str, np.ndarray]) -> np.ndarray:
    """Log-odds from bureau columns: steps at overdue counts, a valley in utilisation, logarithms of money."""
    use, overdue = c["card_utilisation"], c["overdue_count_24m"]
    return 0.85 * (
        0.6 * (overdue >= 1) + 0.5 * (overdue >= 3) + 0.5 * (c["worst_overdue_days"] > 30)
        + np.where(use < 0, 0.45, 0.7 * (use < 0.15) + 0.9 * (use > 0.75))
        + 0.6 * (c["inquiries_6m"] >= 4) + 0.25 * np.clip(np.log(c["debt_to_income"] / 0.35), -1.5, 1.5)
        - 0.25 * np.clip(np.log(c["annual_income"] / 90_000), -1.5, 1.5)
        + 0.35 * (c["provident_fund_months"] < 0) + 0.3 * (c["months_on_file"] < 24)
    )


def _platform_risk(c: dict[str, np.ndarray]) -> np.ndarray:
    """Log-odds from behaviour: thresholds where lenders look (50 contacts, 800 a month, 15 payments, two years)."""
    balance = np.where(c["wealth_balance"] < 0, 200.0, c["wealth_balance"])
    return 0.86 * (
        0.9 * (c["valid_contacts"] < 55) + 0.9 * (c["valid_contacts"] > 180) + 0.6 * (c["payment_amount_month"] < 800)
        + 0.5 * (c["payments_month"] < 15) + 0.7 * (c["night_share"] > 0.18) + 0.9 * (c["abnormal_logins_90d"] >= 2)
        + 0.7 * (c["device_changes_year"] >= 2) + 0.8 * (c["neighbour_overdue_share"] > 0.10)
        - 0.25 * np.clip(np.log(balance / 1500), -2.0, 2.0) - 0.6 * (c["card_repayments_year"] >= 8)
        - 0.4 * (c["utility_payments_year"] >= 12) + 0.6 * (c["account_age_months"] < 24)
        - 1.0 * (np.abs(c["offline_share"] - 0.47) < 0.15)
    )


def _hidden_risk(rng: np.random.Generator, t: dict[str, np.ndarray]) -> np.ndarray:
    """What no column shows: a share of the traits, and luck."""
    return 0.1 * t["stress"] - 0.1 * t["discipline"] + 0.3 * rng.standard_normal(len(t["stress"]))


def _calibrated(risk: np.ndarray) -> np.ndarray:
    """Probabilities whose mean is EVENT_RATE, by bisection on the intercept."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _logistic(risk + middle).mean() < EVENT_RATE else (low, middle)
    return _logistic(risk + low)


def _blank(rng: np.random.Generator, text: dict[str, np.ndarray], account_age: np.ndarray) -> None:
    """Empty cells: at random, and behaviour that is unknown because the account is younger than half a year."""
    for name, share in BLANK_AT_RANDOM.items():
        text[name] = np.where(rng.random(len(account_age)) < share, "", text[name])
    for name in BLANK_WHEN_YOUNG:
        text[name] = np.where(account_age < 6, "", text[name])


def _choose(score: np.ndarray, labels: tuple[str, ...], cuts: tuple[float, ...]) -> np.ndarray:
    """A label by rank of a score: the highest scores get the first label."""
    thresholds = np.quantile(-score, cuts)
    return np.array(labels)[np.searchsorted(thresholds, -score)]


def _as_text(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind != "f":
        return values.astype(str)
    whole = values == np.round(values)
    return values.astype(np.int64).astype(str) if whole.all() else np.char.mod("%.10g", values)


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))
