"""Cells, and the bins that follow from noisy counts in them."""
from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.binning.bins import CATEGORY_CELLS, category_cell
from protocols.binning.columns import ColumnData
from protocols.binning.encoder import Encoder
from protocols.commons.cells import (
    BOUNDARIES,
    NUMBER_CELLS,
    ROUND,
    _cells,
    declaration,
    histogram,
    histogram_length,
)
from protocols.commons.encoding import CommonSettings, common_encoder, with_own_labels
from protocols.errors import ConfigError, DataError
from tests.protocols.commons.banks import LABELS, customers, numbers

SETTINGS = CommonSettings(bins=5, minimum_support=20, rho=0.1)


def fitted(columns, noise: float = 0.0, seed: int = 1, settings: CommonSettings = SETTINGS) -> Encoder:
    counts = histogram(columns)
    drawn = np.rint(np.random.default_rng(seed).normal(size=len(counts)) * noise).astype(np.int64)
    return common_encoder(columns, counts + drawn, noise, settings)


def exact_counts(encoder: Encoder, columns) -> list[tuple[int, int]]:
    """(noisy, true) rows of every bin."""
    found = []
    for coded in encoder.columns:
        true = np.bincount(coded.assign(columns[coded.column]), minlength=len(coded.bins))
        found += [(level.count, int(count)) for level, count in zip(coded.bins, true, strict=True)]
    return found


@settings(max_examples=200, deadline=None)
@given(st.floats(allow_nan=False))
def test_a_cell_holds_what_begins_with_the_same_two_digits(value: float) -> None:
    (cell,) = _cells("x", numbers(np.array([value])))
    low = BOUNDARIES[cell - 1] if cell else -np.inf
    high = BOUNDARIES[cell] if cell < len(BOUNDARIES) else np.inf
    assert low <= value < high or value == np.inf
    if 1e-6 < abs(value) < 1e12:
        assert high - low <= 0.1 * abs(value) * (1 + 1e-9)


def test_boundaries_are_the_numbers_that_a_file_holds() -> None:
    assert np.all(np.diff(BOUNDARIES) > 0) and len(BOUNDARIES) + 1 == NUMBER_CELLS == 3243
    for text in ("0.29", "-17", "650", "1e12", "0.000001"):
        assert float(text) in BOUNDARIES
    assert ROUND[BOUNDARIES == 600].all() and not ROUND[BOUNDARIES == 610].any()


def test_one_row_counts_once_in_each_column_and_once_in_all() -> None:
    columns = customers(1, 200) | {"empty": numbers(np.full(200, np.nan))}
    whole = histogram(columns)
    assert len(whole) == histogram_length(columns)
    for row in (0, 57, 199):
        rest = {name: data.take(np.delete(np.arange(200), row)) for name, data in columns.items()}
        change = whole - histogram(rest)
        assert change.min() == 0 and change.max() == 1 and change.sum() == len(columns) + 1


def test_cells_of_special_codes_do_not_depend_on_their_order() -> None:
    values, special = np.r_[1.0, 0, 0], np.array([0, 1, 2])
    straight = numbers(values, special, ("-1", "-2"))
    swapped = numbers(values, np.array([0, 2, 1]), ("-2", "-1"))
    assert np.array_equal(histogram({"x": straight}), histogram({"x": swapped}))
    assert declaration("x", straight) == declaration("x", swapped)


@pytest.mark.parametrize("other", [
    ("y", numbers(np.zeros(1))), ("x", numbers(np.zeros(1), codes=())), ("x", ColumnData.of_labels(["a"])),
])
def test_declarations_tell_columns_apart_but_not_rows(other) -> None:
    assert declaration("x", numbers(np.zeros(1))) == declaration("x", numbers(np.ones(9)))
    assert declaration("x", numbers(np.zeros(1))) != declaration(*other)


def test_without_noise_counts_are_those_of_the_rows_and_bins_have_support() -> None:
    columns = customers(2, 3000)
    encoder = fitted(columns)
    assert all(noisy == true >= 20 for noisy, true in exact_counts(encoder, columns))
    assert [coded.column for coded in encoder.columns] == list(columns)


@pytest.mark.parametrize("noise", [3.0, 20.0])
@pytest.mark.parametrize("seed", range(4))
def test_with_noise_every_bin_still_has_the_rows_it_needs(noise: float, seed: int) -> None:
    columns = customers(seed, 6000)
    for coded in (encoder := fitted(columns, noise, seed)).columns:
        assert coded.bins[coded.base].count == max(level.count for level in coded.bins)
    for noisy, true in exact_counts(encoder, columns):
        assert noisy >= 20 + 3 * noise and true >= 20 and abs(noisy - true) < 120 * noise


def test_bins_are_near_those_of_the_plain_quantiles() -> None:
    columns = customers(3, 20_000)
    plain = {coded.column: coded for coded in Encoder.fit(columns, method="dummy").columns}
    for coded in fitted(columns, 19.0).columns:
        if coded.column in ("score", "rate", "amount", "change"):
            own, other = np.array(coded.edges), np.array(plain[coded.column].edges)
            ranks = [np.searchsorted(np.sort(columns[coded.column].values), edges) / 20_000 for edges in (own, other)]
            assert len(own) == 4 and np.abs(ranks[0] - ranks[1]).max() < 0.03


def test_edges_are_boundaries_that_read_well() -> None:
    counts = {"x": numbers(np.random.default_rng(1).poisson(1.5, 5000))}
    (coded,) = fitted(counts).columns
    assert coded.edges == (1, 2, 3) or set(coded.edges) <= {1.0, 2.0, 3.0, 4.0}
    assert all(edge in BOUNDARIES for encoder in (fitted(customers(5, 4000), 10.0),)
               for column in encoder.columns for edge in column.edges)


def test_a_value_that_many_rows_share_has_its_own_bin() -> None:
    values = np.r_[np.zeros(6000), np.random.default_rng(1).uniform(18, 99, 4000)]
    (coded,) = fitted({"x": numbers(values)}, 15.0).columns
    assert abs(coded.bins[coded.base].count - 6000) < 100 and 1e-6 <= coded.edges[0] <= 20


def test_values_beyond_the_cells_count_into_the_last_ones() -> None:
    values = np.r_[np.full(100, -1e300), np.full(100, 1e-200), np.full(100, 1e300)]
    (coded,) = fitted({"x": numbers(values)}).columns
    assert [level.count for level in coded.bins] == [100, 100, 100]


def test_columns_without_two_levels_are_dropped_with_a_sentence_each() -> None:
    columns = {"flat": numbers(np.full(4000, 7.0)), "empty": numbers(np.full(4000, np.nan)),
               "one": ColumnData.of_labels(["a"] * 4000), "good": numbers(np.arange(4000.0))}
    encoder = fitted(columns, 12.0)
    assert [coded.column for coded in encoder.columns] == ["good"] and len(encoder.warnings) == 3
    assert "'flat' was dropped" in encoder.warnings[0]
    with pytest.raises(DataError, match="none of the 1 columns"):
        fitted({"flat": columns["flat"]}, 12.0)
    with pytest.raises(DataError, match="stand out of the noise"):
        fitted(customers(1, 30), 19.0)


def test_labels_go_by_their_cell_and_stay_at_home() -> None:
    columns = customers(4, 8000)
    encoder = fitted({"job": columns["job"]}, 10.0)
    assert not any(label in json.dumps(encoder.to_json()) for label in LABELS)
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder and np.array_equal(again.transform(columns), encoder.transform(columns))
    (coded,) = encoder.columns
    assert coded.category_cells and set(coded.category_cells) <= {category_cell("job", label) for label in LABELS}
    assert coded.assign(ColumnData.of_labels(["never seen"])).tolist() == [coded.other_bin]
    named = with_own_labels(encoder, columns)
    assert {"student", "employed"} <= {level.label for level in named.columns[0].bins}
    assert np.array_equal(named.transform(columns), encoder.transform(columns))
    table = named.points_table(np.zeros(len(named.features)))
    assert "student" in {level["label"] for level in table[0]["bins"]}


def test_own_labels_that_few_rows_have_are_not_named() -> None:
    columns = {"job": ColumnData.of_labels(["a"] * 300 + ["b"] * 300)}
    few = {"job": ColumnData.of_labels(["a"] * 300 + ["b"] * 19)}
    labels = {level.label for level in with_own_labels(fitted(columns), few).columns[0].bins}
    assert "a" in labels and "b" not in labels


def test_labels_that_share_a_cell_share_a_bin() -> None:
    cells: dict[int, str] = {}
    for index in range(5 * CATEGORY_CELLS):
        first = cells.setdefault(category_cell("job", str(index)), str(index))
        if first != str(index):
            break
    pair = [first, str(index)]
    columns = {"job": ColumnData.of_labels([pair[0]] * 90 + [pair[1]] * 60 + ["z"] * 100)}
    encoder = fitted(columns)
    assert sorted(level.count for level in encoder.columns[0].bins) == [100, 150]
    assert " or ".join(sorted(pair)) in {level.label for level in with_own_labels(encoder, columns).columns[0].bins}


def test_cells_of_two_columns_have_nothing_to_do_with_each_other() -> None:
    assert category_cell("job", "student") != category_cell("trade", "student")


@pytest.mark.parametrize("bad", [{"bins": 1}, {"minimum_support": 0}, {"rho": 0}, {"rho": float("inf")}])
def test_settings_are_checked(bad) -> None:
    with pytest.raises(ConfigError, match="expected"):
        CommonSettings(**bad)


def test_too_many_columns_for_the_budget_are_refused() -> None:
    CommonSettings(rho=0.1).check(300)
    with pytest.raises(ConfigError, match="fewer columns"):
        CommonSettings(rho=0.001).check(500)
