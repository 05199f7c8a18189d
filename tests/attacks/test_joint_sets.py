"""The label of one person from two trainings whose people differ by that person, while every pair differs by many."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from parties.runtime.ledger import Ledger
from parties.runtime.people import RunPeople
from protocols.crypto.box import Box
from protocols.errors import PolicyRefused
from protocols.plan import Plan
from protocols.policy import Policy
from protocols.scorecard import logistic
from tests.parties.runtime.test_covered_rows import Party, plan_of, table_of

POLICY = Policy(purposes=("credit-scoring",), peers={"bank-0": {"fingerprint": "0" * 64}})
NAMES = ("bank-0", "platform-0", "platform-1")
BANK, KNOWN = np.arange(6000), np.arange(3000)  # people of the bank; of them those whom platform-0 knows
FIRST = {"common": np.arange(1000, 4000), "covered": np.arange(3000, 5000)}  # whom platform-1 knows in the first run
SECOND = {"common": np.r_[1001:3000, 4000:6000], "covered": np.arange(1500, 4999)}  # and in the second


# ---------------------------------------------------------------- what the difference of two trainings tells


def label_from_two_trainings(columns: np.ndarray, person: int, with_one: np.ndarray, without: np.ndarray) -> int:
    """Platform: the gradient of all others is zero at `without`, so the Hessian times the difference is the person's
    own x·(y - p)."""
    rows = np.c_[np.ones(len(columns)), columns]
    p = logistic.sigmoid(rows @ without)
    own = (rows.T * (p * (1 - p))) @ rows @ (with_one - without)
    return int(rows[person] @ own > 0)


def coefficients(columns: np.ndarray, labels: np.ndarray) -> np.ndarray:
    fitted = logistic.fit(columns, labels, 0.0)
    return np.r_[fitted.intercept, fitted.coefficients]


def test_the_label_of_one_person_from_two_row_sets() -> None:
    rng = np.random.default_rng(5)
    columns = rng.normal(size=(2000, 4))
    labels = (rng.random(2000) < logistic.sigmoid(columns[:, 0] - 1)).astype(float)
    everybody = coefficients(columns, labels)
    for person in range(40):
        others = np.arange(2000) != person
        without = coefficients(columns[others], labels[others])
        assert label_from_two_trainings(columns, person, everybody, without) == labels[person]


# ---------------------------------------------------------------- the same two row sets, asked of our parties


@pytest.fixture
def ledgers(tmp_path: Path) -> Iterator[dict[str, Ledger]]:
    kept = {name: Ledger(tmp_path / name / "openings.db", Box(bytes(32))) for name in NAMES}
    yield kept
    for ledger in kept.values():
        ledger.close()


def train(run: str, plan: Plan, others: np.ndarray, ledgers: dict[str, Ledger]) -> set[int]:
    """Align as a training does, up to where something would be computed; the bank's people in it. `others`: whom
    platform-1 knows; parties without a ledger check nothing."""
    people = dict(zip(NAMES, (BANK, KNOWN, others), strict=True))
    tables = {name: table_of(people[name], "p{}", seed) for seed, name in enumerate(NAMES)}
    tables = {name: tables[name] for name in plan.parties}
    post: dict = {}
    parties = {name: Party(name, plan, tables, post) for name in plan.parties}
    for name, party in parties.items():
        party._node.party.policy = POLICY
        party._people = RunPeople(ledgers[name], run) if name in ledgers else None
        party.align()
    bank = tables["bank-0"]
    return {int(bank.ids[row][1:]) for row in parties["bank-0"].align()["bank-0"].rows}


@pytest.mark.parametrize("rows", ["common", "covered"])
def test_the_row_sets_are_those_of_the_attack(rows: str) -> None:
    plan = plan_of(1, 2, rows)
    first, second = train("r-1", plan, FIRST[rows], {}), train("r-2", plan, SECOND[rows], {})
    assert len(first ^ second) == 1 and len(first) >= 2000
    assert len(np.setxor1d(FIRST[rows], SECOND[rows])) > 1500, "the pairs alone pass"


KNOWS = [("common", name) for name in NAMES] + [("covered", "bank-0")]


@pytest.mark.parametrize(("rows", "name"), KNOWS)
def test_whoever_knows_the_joint_people_refuses(ledgers, rows: str, name: str) -> None:
    plan, own = plan_of(1, 2, rows), {name: ledgers[name]}
    train("r-1", plan, FIRST[rows], own)
    with pytest.raises(PolicyRefused, match="minimum_change_rows.*of bank-0 that all parties together would train on"):
        train("r-2", plan, SECOND[rows], own)
    train("r-3", plan, FIRST[rows], own)  # the same people again, and what was refused does not count
    train("r-4", plan, SECOND[rows][1000:-1500], own)  # many others


@pytest.mark.parametrize("name", ["bank-0", "platform-0"])
def test_a_platform_that_takes_away_one_person_is_refused_in_either_order(ledgers, name: str) -> None:
    """One training with platform-0 alone, one with both: all that platform-1 does is not to know one person."""
    alone, both, own = plan_of(1, 1), plan_of(1, 2, "common"), {name: ledgers[name]}
    train("r-1", alone, KNOWN, own)
    with pytest.raises(PolicyRefused, match="minimum_change_rows"):
        train("r-2", both, np.r_[1:3000, 4000:6000], own)
    train("r-3", both, np.arange(1500, 6000), own)
    with pytest.raises(PolicyRefused, match="minimum_change_rows"):
        train("r-4", both, np.arange(1501, 6000), own)
