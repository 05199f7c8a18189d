"""The synthetic population: reproducible, aligned in part, and hard enough that joining forces pays."""
from __future__ import annotations

import csv

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from coordinator.demo.population import BANK_COLUMNS, PLATFORM_COLUMNS, write_population
from parties.runtime.tables import load_table, parse_table_config
from protocols.binning.encoder import Encoder

ROWS = 16_000


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_population(tmp_path_factory.mktemp("population"), ROWS, seed=5)


@pytest.fixture(scope="module")
def joined(files):
    bank, platform = (load_table(parse_table_config(c)) for c in (files.bank_table, files.platform_table))
    where = {text: row for row, text in enumerate(platform.ids)}
    rows = np.array([row for row, text in enumerate(bank.ids) if text.lower() in where])
    return bank.take(rows), platform.take(np.array([where[bank.ids[row].lower()] for row in rows]))


def _auc(tables, method):
    blocks = []
    half = len(tables[0]) * 7 // 10
    for table in tables:
        encoder = Encoder.fit(table.take(np.arange(half)).columns, method=method)
        assert not encoder.warnings
        blocks.append(encoder.transform(table.columns))
    matrix, label = np.hstack(blocks), tables[0].label
    matrix = matrix / matrix[:half].std(axis=0)
    model = LogisticRegression(C=0.05, max_iter=500).fit(matrix[:half], label[:half])
    return roc_auc_score(label[half:], model.decision_function(matrix[half:]))


def test_same_seed_same_files(tmp_path):
    first, again, other = (write_population(tmp_path / name, 500, seed) for name, seed in
                           (("a", 1), ("b", 1), ("c", 2)))
    assert first.bank_csv.read_bytes() == again.bank_csv.read_bytes() != other.bank_csv.read_bytes()
    assert first.platform_csv.read_bytes() == again.platform_csv.read_bytes() != other.platform_csv.read_bytes()


def test_shape(files, joined):
    with files.bank_csv.open() as file:
        assert next(csv.reader(file)) == ["id", "default", *BANK_COLUMNS]
    with files.platform_csv.open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", *PLATFORM_COLUMNS] and len(rows) == ROWS + 1
    assert all(row[0].startswith("syn-") for row in rows[1:])
    assert len(joined[0]) == round(0.88 * ROWS)
    assert 0.08 < joined[0].label.mean() < 0.12


def test_absence_is_present(joined):
    bank, platform = joined
    assert bank.columns["annual_income"].missing.any() and bank.columns["employment"].missing.any()
    assert (bank.columns["card_utilisation"].special == 1).any()
    assert (platform.columns["wealth_balance"].special == 1).any()
    young = platform.columns["account_age_months"].values < 6
    assert young.any() and platform.columns["neighbour_overdue_share"].missing[young].all()


def test_values_are_plausible(joined):
    bank, platform = joined
    shares = [bank.columns["card_utilisation"], platform.columns["night_share"], platform.columns["offline_share"]]
    assert all(np.nanmin(c.values) >= 0 and np.nanmax(c.values) <= 1 for c in shares)
    assert np.nanmin(bank.columns["annual_income"].values) > 5_000
    assert 50_000 < np.nanmedian(bank.columns["annual_income"].values) < 150_000
    contacts = platform.columns["valid_contacts"].values
    assert 0.05 < (contacts < 50).mean() < 0.4


def test_joining_forces_pays_and_bins_beat_lines(joined):
    bank, joint = _auc(joined[:1], "dummy"), _auc(joined, "dummy")
    assert 0.66 < bank < 0.73 and 0.77 < joint < 0.83
    assert joint - _auc(joined, "numeric") > 0.008


def test_too_few_rows(tmp_path):
    with pytest.raises(ValueError, match="at least 100 rows"):
        write_population(tmp_path, 10)
