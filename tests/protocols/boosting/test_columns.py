"""Columns of a table as trees split them: bins, levels, missing and special cells, people without columns."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.binning.columns import ColumnData
from protocols.boosting.columns import TreeColumn, TreeColumns
from protocols.boosting.halves import cut
from protocols.boosting.messages import Split, side
from protocols.boosting.model import PlacedSplit
from protocols.errors import DataError


def number(values, special=None, codes=()) -> ColumnData:
    values = np.array(values, float)
    marks = np.zeros(len(values), np.int8) if special is None else np.array(special, np.int8)
    return ColumnData("number", np.where(marks > 0, np.nan, values), marks, codes)


def codes_of(made: TreeColumns, data: dict[str, ColumnData]) -> np.ndarray:
    return made.codes(data, np.ones(len(next(iter(data.values()))), bool))


@given(st.integers(0, 2**20), st.integers(2, 12), st.floats(0, 0.4))
def test_codes_and_cuts_agree_on_every_split(seed, bins, gaps):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=300), int(rng.integers(0, 3)))
    values[rng.random(300) < gaps] = np.nan
    data = {"x": number(values), "y": number(rng.normal(size=300))}
    made = TreeColumns.fit(data, bins, 20)
    codes = codes_of(made, data)
    for at, column in enumerate(made.columns):
        assert np.bincount(codes[:, at], minlength=column.told.bins).min() >= 20
        for threshold in range(column.told.bins - 1):
            split = PlacedSplit(party="p", column=at, bin=threshold, missing_left=bool(rng.integers(2)))
            expected = side(codes[:, at], Split(at, threshold, split.missing_left), column.told)
            told = cut(split, made.edges).sides(data[column.column].values)
            ordinary = ~np.isnan(data[column.column].values) | column.has_missing
            assert np.array_equal(told[ordinary], expected[ordinary])


def test_levels_special_codes_and_missing_cells_have_columns_of_their_own():
    rng = np.random.default_rng(1)
    labels = [["a", "b", None, "rare"][i] for i in rng.choice(4, 400, p=[0.5, 0.3, 0.19, 0.01])]
    special = rng.choice(3, 400, p=[0.8, 0.15, 0.05])
    data = {"c": ColumnData.of_labels(labels), "n": number(rng.normal(size=400), special, ("-1", "-2"))}
    made = TreeColumns.fit(data, 8, 25)
    assert [one.name for one in made.columns] == ["c=a", "c=b", "c missing", "n", "n=-1"]
    values = made.values(data, np.ones(400, bool))
    assert np.array_equal(values["c=a"] == 1, np.array([one == "a" for one in labels]))
    assert np.array_equal(values["c missing"] == 1, np.array([one is None for one in labels]))
    assert np.array_equal(values["n=-1"] == 1, special == 1) and np.isnan(values["n"][special > 0]).all()


def test_a_code_of_all_rows_without_a_value_has_no_column_beside_the_missing_bin():
    values, special = np.arange(200.0), np.repeat([0, 1], [150, 50])
    assert [one.name for one in TreeColumns.fit({"n": number(values, special, ("-9",))}, 4, 20).columns] == ["n"]
    values[:30] = np.nan
    assert [one.name for one in TreeColumns.fit({"n": number(values, special, ("-9",))}, 4, 20).columns] == [
        "n", "n=-9"]


def test_later_rows_with_other_labels_and_people_without_columns():
    made = TreeColumns.fit({"c": ColumnData.of_labels(["a", "b", "c"] * 40), "n": number(np.arange(120))}, 4, 20,
                           unknown=30)
    assert [one.name for one in made.columns] == ["c=a", "c=b", "c=c", "c missing", "n"]
    later = {"c": ColumnData.of_labels(["z", "b"]), "n": number([5, 1000])}
    values = made.values(later, np.array([True, False, True]))
    assert values["c=a"].tolist() == [0, 0, 0] and values["c=b"].tolist() == [0, 0, 1]
    assert values["c missing"].tolist() == [0, 1, 0] and np.isnan(values["n"][1])
    assert made.codes(later, np.array([True, False, True]))[:, 4].tolist() == [0, 4 - 1, 4 - 2]


def test_a_category_of_two_levels_is_one_column_and_a_constant_is_none():
    data = {"c": ColumnData.of_labels(["a", "b"] * 50), "k": number(np.ones(100)), "n": number(np.arange(100))}
    made = TreeColumns.fit(data, 4, 20)
    assert [one.name for one in made.columns] == ["c=a", "n"] and "'k' was dropped" in made.warnings[0]
    with pytest.raises(DataError, match="none of the 1 columns"):
        TreeColumns.fit({"k": data["k"]}, 4, 20)


def test_directions_are_of_numbers():
    data = {"c": ColumnData.of_labels(["a", "b"] * 50), "n": number(np.arange(100))}
    assert TreeColumns.fit(data, 4, 20, monotone={"n": -1}).told[1].monotone == -1
    for wrong in ({"c": 1}, {"other": 1}):
        with pytest.raises(DataError, match="direction"):
            TreeColumns.fit(data, 4, 20, monotone=wrong)


def test_round_trip():
    made = TreeColumns(columns=(TreeColumn(column="n", edges=(1.5, 2.5), has_missing=True),))
    assert TreeColumns.model_validate(made.model_dump(mode="json")) == made
    with pytest.raises(DataError, match="'n' is missing"):
        made.values({}, np.ones(1, bool))
