"""The generated customers of several banks, and the trainings that the demo adds for them."""
from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.demo import ablations
from coordinator.demo.banks import MOST_BANKS, bank_names, fewest_rows, shares, split_bank
from coordinator.demo.population import BANK_COLUMNS, platform_columns, read_rows, write_population
from protocols.policy import ROWS_PER_COEFFICIENT

ROWS = 12_000


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """(rows of the whole population, {bank: rows})."""
    files = write_population(tmp_path_factory.mktemp("banks"), ROWS, seed=3)
    parts = split_bank(files, 3, seed=3)
    banks = {name: read_rows(Path(part.table["path"])) for name, part in parts.items()}
    assert {name: len(rows) for name, rows in banks.items()} == {name: part.rows for name, part in parts.items()}
    return read_rows(files.bank_csv), banks


def test_each_bank_has_its_share_and_a_few_people_have_two(split):
    everyone, banks = split
    ids = {name: {row["id"] for row in rows} for name, rows in banks.items()}
    assert all(len(ids[name]) == len(banks[name]) for name in banks)
    assert set().union(*ids.values()) == {row["id"] for row in everyone}
    twice = sum(map(len, ids.values())) - len(everyone)
    assert 0.02 * ROWS < twice < 0.04 * ROWS
    for rows, share in zip(banks.values(), shares(3), strict=True):
        assert len(rows) == pytest.approx(share * ROWS, rel=0.08)


def test_a_bank_has_the_bureaus_columns_of_its_people_and_labels_of_its_own(split):
    everyone, banks = split
    known = {row["id"]: row for row in everyone}
    seen: dict[str, str] = {}
    differ = 0
    for rows in banks.values():
        assert list(rows[0]) == ["id", "default", *BANK_COLUMNS]
        assert all(row[c] == known[row["id"]][c] for row in rows for c in BANK_COLUMNS)
        differ += sum(seen.get(row["id"], row["default"]) != row["default"] for row in rows)
        seen |= {row["id"]: row["default"] for row in rows}
    assert differ > 10


def test_banks_differ_in_mix_and_event_rate_and_the_last_has_few_defaults(split):
    rates = [sum(row["default"] == "1" for row in rows) / len(rows) for rows in split[1].values()]
    assert rates[0] > 1.3 * rates[1] > 1.5 * rates[2] > 0.05
    months = [sum(float(row["months_on_file"]) for row in rows) / len(rows) for rows in split[1].values()]
    assert months[0] < months[1] < months[2]


def test_same_seed_same_banks(tmp_path):
    def contents(folder: str, seed: int) -> list[bytes]:
        parts = split_bank(write_population(tmp_path / folder, 600, 1), 2, seed)
        return [Path(part.table["path"]).read_bytes() for part in parts.values()]

    assert contents("a", 1) == contents("b", 1) != contents("c", 2)


def test_names_and_least_rows():
    assert bank_names(1) == ("bank",) and bank_names(2) == ("bank-1", "bank-2")
    assert [fewest_rows(count) for count in range(1, MOST_BANKS + 1)] == [1000, 3000, 6000, 10000, 15000]


# -- trainings with fewer parties


def names(banks: int, platforms: int) -> list[str]:
    return [t.name for t in ablations.trainings(bank_names(banks), tuple(platform_columns(platforms)))]


@pytest.mark.parametrize(("banks", "platforms", "others"), [
    (1, 1, []),
    (1, 2, ["without.platform-1", "without.platform-2"]),
    (2, 1, ["own.bank-1", "own.bank-2"]),
    (2, 2, ["own.bank-1", "own.bank-2", "without.platform-1", "without.platform-2"]),
    (3, 1, ["own.bank-1", "own.bank-2", "own.bank-3", "without.bank-1", "without.bank-2", "without.bank-3"]),
])
def test_which_trainings(banks, platforms, others):
    assert names(banks, platforms) == ["all", *others]


def test_every_party_has_a_training_without_it():
    banks, platforms = bank_names(3), tuple(platform_columns(2))
    found = {t.name: t for t in ablations.trainings(banks, platforms)}
    for party in (*banks, *platforms):
        assert set(found[ablations.without(party, banks)].parties) == {*banks, *platforms} - {party}
    two = bank_names(2)
    assert ablations.without("bank-1", two) == "own.bank-2" and ablations.without("platform-1", two) == \
        "without.platform-1"


@pytest.mark.parametrize(("banks", "platforms"), [(1, 2), (2, 1), (3, 1), (2, 2)])
def test_chosen_rows_suffice_for_all_trainings(banks, platforms):
    columns = platform_columns(platforms)
    rows, bins = ablations.choose(banks, columns, None)
    wanted = ablations.trainings(bank_names(banks), tuple(columns))
    tables = columns | {bank: BANK_COLUMNS for bank in bank_names(banks)}
    order, passes = ablations.in_order(wanted, tables, ablations.bank_rows(banks, rows), bins)
    assert passes and set(order) == set(wanted)
    counted = 0
    for training in order:
        counted += ablations.coefficients(training, tables, bins)
        assert ablations.training_rows(training, ablations.bank_rows(banks, rows)) >= ROWS_PER_COEFFICIENT * counted


def test_with_too_few_rows_the_training_of_all_comes_first():
    columns = platform_columns(2)
    tables = columns | {bank: BANK_COLUMNS for bank in bank_names(2)}
    wanted = ablations.trainings(bank_names(2), tuple(columns))
    order, passes = ablations.in_order(wanted, tables, ablations.bank_rows(2, 12_000), 2)
    assert order[0].name == ablations.ALL and not passes


def test_bins_that_were_given_are_kept():
    assert ablations.choose(2, platform_columns(1), 5)[1] == 5
