"""Encoders: round trips, support, rank, points, and the plain definitions of bins and scaling on drawn columns."""
from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.binning.bins import BinnedColumn, _between
from protocols.binning.columns import ColumnData
from protocols.binning.encoder import COVERAGE, UNKNOWN_LABEL, Encoder, base_points
from protocols.errors import ConfigError, DataError, UsageError

SUPPORT = 5


def _numbers(values, special=None, codes=("-999",)):
    special = np.zeros(len(values), np.int8) if special is None else np.asarray(special, np.int8)
    return ColumnData("number", np.where(special > 0, np.nan, np.asarray(values, float)), special, codes)


@st.composite
def number_columns(draw, rows):
    kind = draw(st.sampled_from(["smooth", "few values", "mass at zero", "constant"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    smooth = rng.normal(size=rows) * 10.0 ** draw(st.integers(-6, 9))
    values = {"smooth": smooth, "few values": rng.integers(0, 4, rows),
              "mass at zero": rng.poisson(0.4, rows), "constant": np.full(rows, 7)}[kind].astype(float)
    values[rng.random(rows) < draw(st.sampled_from([0, 0.02, 0.3]))] = np.nan
    return _numbers(values, rng.random(rows) < draw(st.sampled_from([0, 0.02, 0.3])))


@st.composite
def category_columns(draw, rows):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    cells = np.array(["a", "b", "c", "d", None], dtype=object)[rng.choice(5, rows, p=[0.5, 0.3, 0.14, 0.02, 0.04])]
    return ColumnData.of_labels(cells.tolist())


@st.composite
def tables(draw):
    rows = draw(st.integers(40, 200))
    columns = draw(st.lists(st.one_of(number_columns(rows), category_columns(rows)), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return {f"c{i}": column for i, column in enumerate(columns)} | {"varies": _numbers(rng.normal(size=rows))}


@settings(max_examples=30, deadline=None)
@given(tables(), st.sampled_from(["dummy", "numeric"]), st.integers(2, 8))
def test_round_trip_through_json_gives_the_same_matrix(columns, method, bins):
    encoder = Encoder.fit(columns, method=method, bins=bins, minimum_support=SUPPORT)
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))
    assert again == encoder
    matrix = encoder.transform(columns)
    assert np.array_equal(again.transform(columns), matrix)
    assert matrix.shape == (len(columns["varies"]), len(encoder.features)) and np.isfinite(matrix).all()
    assert len({(f.column, f.label) for f in encoder.features}) == len(encoder.features)


@settings(max_examples=30, deadline=None)
@given(tables(), st.integers(2, 8))
def test_dummy_bins_have_support_and_the_base_is_the_largest(columns, bins):
    encoder = Encoder.fit(columns, method="dummy", bins=bins, minimum_support=SUPPORT)
    matrix, start = encoder.transform(columns), 0
    for coded in encoder.columns:
        block = matrix[:, start:start + len(coded.bins) - 1]
        start += len(coded.bins) - 1
        assert set(np.unique(block)) <= {0.0, 1.0} and block.sum(axis=1).max() <= 1
        counts = [level.count for level in coded.bins]
        assert sum(counts) == len(matrix) and min(counts) >= SUPPORT
        assert coded.bins[coded.base].count == max(counts)
        assert block.sum(axis=0).tolist() == [coded.bins[i].count for i in coded.feature_bins]
        with_base = np.column_stack([np.ones(len(block)), block])
        assert np.linalg.matrix_rank(with_base) == with_base.shape[1]
        assert len(coded.interval_bins) <= bins


def test_quantile_bins_are_about_equal_and_labelled_in_order():
    column = _numbers(np.random.default_rng(1).normal(size=10_000))
    (coded,) = Encoder.fit({"x": column}, method="dummy", bins=5).columns
    assert all(abs(level.count - 2000) < 5 for level in coded.bins)
    assert coded.bins[0].label == f"< {coded.edges[0]:.15g}" and coded.bins[-1].label == f">= {coded.edges[-1]:.15g}"


def test_a_value_that_many_rows_share_has_its_own_bin():
    values = np.r_[np.zeros(600), np.random.default_rng(1).uniform(1, 100, 400)]
    (coded,) = Encoder.fit({"x": _numbers(values)}, method="dummy", bins=5).columns
    assert coded.bins[coded.base].count == 600 and len(coded.bins) == 5


def test_missing_and_special_have_bins_of_their_own():
    values = np.r_[np.arange(100.0), np.full(30, np.nan), np.zeros(25)]
    column = _numbers(values, np.r_[np.zeros(130), np.ones(25)])
    encoder = Encoder.fit({"x": column}, method="dummy", bins=2)
    kinds = {f.kind: encoder.transform({"x": column})[:, i] for i, f in enumerate(encoder.features)}
    assert np.flatnonzero(kinds["missing"]).tolist() == list(range(100, 130))
    assert np.flatnonzero(kinds["special"]).tolist() == list(range(130, 155))


def test_rare_categories_join_other_and_new_ones_follow():
    column = ColumnData.of_labels(["a"] * 100 + ["b"] * 50 + ["c"] * 12 + ["d"] * 12)
    encoder = Encoder.fit({"x": column}, method="dummy")
    assert [(f.label, f.kind) for f in encoder.features] == [("b", "category"), ("other", "other")]
    fresh = ColumnData.of_labels(["a", "b", "c", "never seen", None])
    assert encoder.transform({"x": fresh}).tolist() == [[0, 0], [1, 0], [0, 1], [0, 1], [0, 0]]


def test_what_training_did_not_show_adds_nothing():
    encoder = Encoder.fit({"x": _numbers(np.arange(100.0), codes=())}, method="dummy")
    fresh = _numbers([np.nan, 0, 0], [0, 1, 2], codes=("-999", "-998"))
    assert not encoder.transform({"x": fresh}).any()


def test_special_codes_are_matched_by_code_not_by_position():
    values, special = np.r_[np.arange(60.0), np.zeros(60)], np.r_[np.zeros(60), np.ones(30), np.full(30, 2)]
    for method in ("dummy", "numeric"):
        encoder = Encoder.fit({"x": _numbers(values, special, ("-1", "-2"))}, method=method, bins=2)
        swapped = _numbers(values, np.where(special == 0, 0, 3 - special), ("-2", "-1"))
        straight = encoder.transform({"x": _numbers(values, special, ("-1", "-2"))})
        assert np.array_equal(encoder.transform({"x": swapped}), straight)


def test_numeric_is_clipped_standardised_and_flags_absence():
    values = np.r_[np.random.default_rng(2).normal(5, 2, 2000), 1e9, np.full(40, np.nan)]
    column = _numbers(values)
    matrix = Encoder.fit({"x": column}, method="numeric").transform({"x": column})
    assert matrix.shape[1] == 2 and np.abs(matrix[:, 0]).max() < 4
    assert abs(matrix[:2001, 0].mean()) < 1e-12 and abs(matrix[:2001, 0].std() - 1) < 1e-12
    assert (matrix[2001:, 0] == 0).all() and matrix[:, 1].sum() == 40


def test_numeric_keeps_a_rare_flag_with_enough_rows():
    values = np.zeros(10_000)
    values[:20] = 1
    assert len(Encoder.fit({"x": _numbers(values), "y": _numbers(np.arange(10_000.0))}, method="numeric").columns) == 2
    values[0] = 0
    assert "'x' was dropped" in Encoder.fit(
        {"x": _numbers(values), "y": _numbers(np.arange(10_000.0))}, method="numeric").warnings[0]


def test_constant_columns_are_dropped_with_a_sentence_each():
    columns = {"flat": _numbers(np.full(100, 3.0)), "empty": _numbers(np.full(100, np.nan)),
               "rare": _numbers(np.r_[np.ones(19), np.zeros(81)]), "good": _numbers(np.arange(100.0))}
    encoder = Encoder.fit(columns, method="dummy")
    assert [coded.column for coded in encoder.columns] == ["good"] and len(encoder.warnings) == 3
    with pytest.raises(DataError, match="none of the 1 columns"):
        Encoder.fit({"flat": columns["flat"]}, method="dummy")


@pytest.mark.parametrize(("request_", "match"), [
    ({"method": "woe"}, "default rate"), ({"method": "magic"}, "expected one of dummy, numeric"),
    ({"method": "dummy", "bins": 1}, "2 to 100 bins"), ({"method": "dummy", "minimum_support": 0}, "at least 1 row"),
])
def test_requests_are_checked(request_, match):
    with pytest.raises(UsageError, match=match):
        Encoder.fit({"x": _numbers(np.arange(100.0))}, **request_)


def test_transform_names_a_column_that_does_not_fit():
    encoder = Encoder.fit({"x": _numbers(np.arange(100.0))}, method="dummy")
    with pytest.raises(DataError, match="'x' is missing"):
        encoder.transform({})
    with pytest.raises(DataError, match="is a category"):
        encoder.transform({"x": ColumnData.of_labels(["a"])})


def _spoil(change):
    raw = Encoder.fit({"x": _numbers(np.arange(100.0))}, method="dummy").to_json()
    change(raw)
    return raw


@pytest.mark.parametrize("change", [
    lambda raw: raw.update(extra=1), lambda raw: raw.update(version=2), lambda raw: raw.update(method="woe"),
    lambda raw: raw["columns"][0].update(base=9), lambda raw: raw["columns"][0].update(edges=[3, 2, 1, 0]),
    lambda raw: raw["columns"][0]["edges"].pop(), lambda raw: raw["columns"][0].update(coding="other"),
    lambda raw: raw["columns"][0]["edges"].__setitem__(0, float("nan")),
])
def test_spoiled_json_is_refused(change):
    with pytest.raises(ConfigError, match="encoder"):
        Encoder.from_json(_spoil(change))


def test_points_halve_the_odds_every_pdo():
    column = _numbers(np.arange(100.0))
    encoder = Encoder.fit({"x": column}, method="dummy", bins=2)
    (row,) = encoder.points_table([math.log(2)], pdo=20)
    by_coefficient = {level["coefficient"]: level for level in row["bins"]}
    assert row["column"] == "x" and by_coefficient[math.log(2)]["points"] == pytest.approx(-20)
    assert by_coefficient[0.0]["points"] == 0 and sum(level["count"] for level in row["bins"]) == 100
    with pytest.raises(UsageError, match="1 features need as many"):
        encoder.points_table([1, 2])


def test_points_of_a_row_are_its_score():
    rng = np.random.default_rng(3)
    columns = {"x": _numbers(rng.normal(size=300)), "y": ColumnData.of_labels(rng.choice(list("abc"), 300).tolist())}
    encoder = Encoder.fit(columns, method="dummy")
    weights = rng.normal(size=len(encoder.features))
    table = {row["column"]: row["bins"] for row in encoder.points_table(weights)}
    total = base_points(-2.0) + sum(
        np.array([level["points"] for level in table[coded.column]])[coded.assign(columns[coded.column])]
        for coded in encoder.columns)
    log_odds = encoder.transform(columns) @ weights - 2.0
    assert np.allclose(total, 600 - 20 / math.log(2) * (math.log(50) + log_odds))


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12))
def test_edges_separate(low, high):
    low, high = sorted((low, high))
    if low < high:
        assert low < _between(low, high) <= high


def test_edges_read_well():
    assert _between(2, 3) == 3 and _between(59_873.2, 60_112.9) == 60_000 and _between(0.1234, 0.1277) == 0.126


def test_columns_check_their_shape():
    with pytest.raises(DataError, match="equal length"):
        ColumnData("number", np.zeros(3), np.zeros(2, np.int8))


def test_take_selects_rows():
    column = ColumnData.of_labels(["b", "a", None]).take(np.array([2, 0]))
    assert column.values.tolist() == [-1, 1] and column.missing.tolist() == [True, False]
    assert column.labels == ("a", "b")


def test_binned_columns_are_frozen():
    (coded,) = Encoder.fit({"x": _numbers(np.arange(100.0))}, method="dummy").columns
    assert isinstance(coded, BinnedColumn)
    with pytest.raises(ValueError, match="frozen"):
        coded.base = 1


@settings(max_examples=20, deadline=None)
@given(tables(), st.sampled_from(["dummy", "numeric"]), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_people_without_columns_stand_at_the_base_level_and_in_a_column_of_their_own(columns, method, unknown, seed):
    encoder = Encoder.fit(columns, method=method, minimum_support=SUPPORT, unknown=unknown)
    alone = Encoder.fit(columns, method=method, minimum_support=SUPPORT)
    assert Encoder.from_json(json.loads(json.dumps(encoder.to_json()))) == encoder and encoder.columns == alone.columns
    rows = len(columns["varies"])
    known = np.random.default_rng(seed).permutation(np.repeat([True, False], [rows, unknown]))
    matrix, plain = encoder.transform(columns, known), alone.transform(columns)
    width = plain.shape[1]
    assert np.array_equal(matrix[known, :width], plain) and not matrix[~known, :width].any()
    assert matrix.shape == (rows + unknown, len(encoder.features)) == (rows + unknown, width + (unknown >= SUPPORT))
    if unknown >= SUPPORT:
        assert np.array_equal(matrix[:, width], ~known)
        assert (encoder.features[-1].column, encoder.features[-1].label) == (COVERAGE, UNKNOWN_LABEL)
    assert encoder.transform(columns).shape == (rows, len(encoder.features))
    assert len(encoder.warnings) == len(alone.warnings) + (0 < unknown < SUPPORT)


def test_the_points_table_shows_the_unknown():
    columns = {"x": _numbers(np.arange(40))}
    encoder = Encoder.fit(columns, method="dummy", bins=2, minimum_support=SUPPORT, unknown=7)
    table = encoder.points_table([0.5, math.log(2)])
    assert table[1] == {"column": COVERAGE, "bins": [
        {"label": "known to this platform", "count": 40, "coefficient": 0.0, "points": 0.0},
        {"label": UNKNOWN_LABEL, "count": 7, "coefficient": math.log(2), "points": -20.0}]}
    with pytest.raises(UsageError, match="2 features need as many coefficients, got 1"):
        encoder.points_table([0.5])


def test_an_encoder_of_an_earlier_version_has_no_column_of_the_unknown():
    encoder = Encoder.fit({"x": _numbers(np.arange(40))}, method="dummy", minimum_support=SUPPORT)
    raw = encoder.to_json()
    assert raw.pop("coverage") is None and Encoder.from_json(raw) == encoder
    with pytest.raises(ConfigError, match="coverage"):
        Encoder.from_json(raw | {"coverage": {"known": 3, "unknown": 0}})


def test_a_kept_encoder_that_is_wrong_is_one_short_sentence() -> None:
    with pytest.raises(ConfigError) as refused:
        Encoder.from_json(_spoil(lambda raw: raw["columns"][0].update(coding="a" * 70_000)))
    assert len(str(refused.value)) < 500
