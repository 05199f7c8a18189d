"""Applications for the demo's bank: people of its own table, what they ask for, and what is said about them.

Nine in ten are known to the platform too. Those whom training never saw come first, so that what became of them (the
label) is news to the model. Identity, purposes, provinces, consents and the age of the bureau's answer are drawn from
the seed, and a few of each kind are such that no bank may lend. No real person is in it. Same files and seed, same
applications.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.demo.population import BANK_COLUMNS, read_rows
from protocols.plan import Plan
from protocols.psi.identifiers import normalise
from protocols.psi.slices import TRAIN, slice_of

COUNT = 1000
KNOWN_SHARE = 0.9
BUREAU, JOINT = "bureau-inquiry", "joint-scoring"
PROVINCES = ("11", "31", "32", "33", "34", "35", "36", "37", "41", "42", "43", "44", "45", "50", "51", "61")
PURPOSES = {"consumption": 0.42, "renovation": 0.15, "education": 0.11, "medical": 0.08, "travel": 0.12,
            "business": 0.08, "securities": 0.03, "virtual-currency": 0.01}
# name: share, lowest and highest amount in CNY, terms in months; those of the rulebook that comes with the product
PRODUCTS = {"weilidai": (0.7, 1_000, 60_000, (3, 5, 6, 10, 12, 20)), "xiaoe-cash": (0.2, 1_000, 30_000, (3, 6, 12)),
            "we2000": (0.1, 500, 2_000, (9, 12))}
STEP_CNY = 100
SHARES = {"unverified": 0.01, "no card": 0.01, "minor": 0.01, "student": 0.03, "no bureau consent": 0.02,
          "no joint consent": 0.03, "stale bureau": 0.02}  # of the applications, each drawn by itself
USUAL_DAYS, STALE_DAYS, CONSENT_DAYS = 20, 45, 30


@dataclass(frozen=True)
class DemoApplication:
    """`submission`: the body of POST /v1/applications; `defaulted`: what the demo knows and the service does not."""

    submission: dict[str, Any]
    defaulted: bool
    known: bool
    held_out: bool

    @property
    def consents(self) -> list[dict[str, Any]]:
        """Bodies of what the customer agrees to before the application."""
        return [dict(one) for one in self.submission["consents"]]


def draw(bank: Path, platform: Path, plan: Plan, seed: int, now: datetime, count: int = COUNT) -> list[DemoApplication]:
    """At most `count` applications in random order, by people of the bank's file; `now` is aware."""
    rng = np.random.default_rng((seed, count))
    people = read_rows(bank)
    steps = plan.alignment.normalise
    names = normalise([person["id"] for person in people], steps)
    shared = set(normalise([row["id"] for row in read_rows(platform)], steps))
    known = np.array([name in shared for name in names])
    fractions = (plan.slices.train, plan.slices.calibration, plan.slices.test)
    held_out = ~known | (slice_of(names, plan.slices.key(), fractions) != TRAIN)
    return [DemoApplication(_submission(rng, people[row], number, now), people[row]["default"] == "1",
                            bool(known[row]), bool(held_out[row]))
            for number, row in enumerate(_chosen(rng, known, held_out, count))]


def _chosen(rng: np.random.Generator, known: np.ndarray, held_out: np.ndarray, count: int) -> np.ndarray:
    """Rows (n,): the known ones whom training did not see first, then others that are known; some unknown; shuffled."""
    order = rng.permutation(len(known))
    shared = order[known[order]]
    shared = np.concatenate([shared[held_out[shared]], shared[~held_out[shared]]])
    most = round(count * KNOWN_SHARE)
    return rng.permutation(np.concatenate([shared[:most], order[~known[order]][: count - most]]))


def _submission(rng: np.random.Generator, person: dict[str, str], number: int, now: datetime) -> dict[str, Any]:
    odd = {name: bool(rng.random() < share) for name, share in SHARES.items()}
    product = _pick(rng, {name: share for name, (share, *_) in PRODUCTS.items()})
    _, low, high, terms = PRODUCTS[product]
    amount = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    missing = {BUREAU: odd["no bureau consent"], JOINT: odd["no joint consent"]}
    return {
        "customer": person["id"], "product": product, "amount_fen": max(low, int(amount) // STEP_CNY * STEP_CNY) * 100,
        "term_months": int(rng.choice(terms)), "purpose": _pick(rng, PURPOSES), "province": str(rng.choice(PROVINCES)),
        "identity": {"real_name_verified": not odd["unverified"], "own_bank_card": not odd["no card"],
                     "age": 17 if odd["minor"] else int(rng.integers(20, 60)), "student": odd["student"]},
        "consents": [{"reference": f"{purpose}.{number:06d}", "purpose": purpose,
                      "expires_at": _time(now + timedelta(days=CONSENT_DAYS))}
                     for purpose, none in missing.items() if not none],
        "bureau": _bureau(rng, person, now - timedelta(days=STALE_DAYS if odd["stale bureau"] else
                                                       int(rng.integers(0, USUAL_DAYS)))),
    }


def _bureau(rng: np.random.Generator, person: dict[str, str], reported: datetime) -> dict[str, Any]:
    """What the bureau says: the person's own row, and credit elsewhere of 4,000 to 20,000 CNY a line."""
    income = person["annual_income"]
    return {
        "columns": {name: person[name] or None for name in BANK_COLUMNS},
        "credit_lines_elsewhere_fen": int(person["open_credit_lines"]) * int(rng.integers(40, 200)) * 10_000,
        "annual_income_fen": int(float(income)) * 100 if income else None,
        "provident_fund_months": _count(person["provident_fund_months"]),
        "inquiries_6m": _count(person["inquiries_6m"]),
        "overdue_days_worst": _count(person["worst_overdue_days"]),
        "reported_at": _time(reported),
    }


def _count(text: str) -> int:
    """Nothing for an empty cell and for the special code of what does not exist."""
    return max(0, int(float(text))) if text else 0


def _pick(rng: np.random.Generator, shares: dict[str, float]) -> str:
    names: Sequence[str] = tuple(shares)
    return names[int(rng.choice(len(names), p=list(shares.values())))]


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
