"""Weights of evidence against their definition."""
from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.binning.columns import ColumnData
from protocols.binning.encoder import Encoder
from protocols.binning.woe import assigned
from protocols.errors import ConfigError


def table(seed: int, rows: int = 600) -> tuple[dict[str, ColumnData], np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows))
    jobs = np.array(["a", "b", "c", None], dtype=object)[rng.choice(4, rows, p=[0.5, 0.3, 0.15, 0.05])]
    labels = (rng.random(rows) < 1 / (1 + np.exp(1 - np.nan_to_num(x)))).astype(int)
    return {"x": ColumnData.of_numbers(x), "job": ColumnData.of_labels(jobs.tolist())}, labels


def fitted(seed: int) -> tuple[Encoder, dict[str, ColumnData], np.ndarray, np.ndarray]:
    columns, labels = table(seed)
    bins = Encoder.fit(columns, method="dummy", bins=4, minimum_support=20)
    places = assigned(bins.columns, columns)
    events = np.bincount(places[labels == 1].ravel(), minlength=sum(len(c.bins) for c in bins.columns))
    return bins.weighted(events), columns, labels, places


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_row_stands_for_the_weight_of_its_bin(seed: int) -> None:
    encoder, columns, labels, places = fitted(seed)
    matrix = encoder.transform(columns)
    assert matrix.shape == (len(labels), len(encoder.columns)) == (len(labels), len(encoder.features))
    for at in range(matrix.shape[1]):
        for level in np.unique(places[:, at]):
            here = places[:, at] == level
            others = [places[:, at] == other for other in np.unique(places[:, at])]
            events = (labels[here].sum() + 0.5) / sum(labels[row].sum() + 0.5 for row in others)
            rest = ((1 - labels[here]).sum() + 0.5) / sum((1 - labels[row]).sum() + 0.5 for row in others)
            assert matrix[here, at] == pytest.approx(math.log(events / rest))
        assert encoder.columns[at].information_value >= 0


def test_bins_count_the_rows_that_fall_into_them() -> None:
    encoder, _, _, places = fitted(1)
    counts = [level.count for column in encoder.columns for level in column.bins.bins]
    assert np.bincount(places.ravel()).tolist() == counts


def test_json_and_back() -> None:
    encoder, columns, _, _ = fitted(2)
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder and (again.transform(columns) == encoder.transform(columns)).all()


@pytest.mark.parametrize("change", [
    lambda raw: raw.update(method="dummy"), lambda raw: raw["columns"][0].update(events=[1]),
    lambda raw: raw["columns"][0].update(extra=1), lambda raw: raw["columns"][0].pop("bins"),
    lambda raw: raw["columns"][0].update(events=["a", "b"]),
])
def test_anything_else_is_refused(change) -> None:
    raw = fitted(3)[0].to_json()
    change(raw)
    with pytest.raises(ConfigError, match="encoder"):
        Encoder.from_json(raw)


def test_points_follow_weight_and_coefficient() -> None:
    encoder = fitted(4)[0]
    for row, column, coefficient in zip(encoder.points_table([0.7, -0.2]), encoder.columns, (0.7, -0.2), strict=True):
        assert [b["coefficient"] for b in row["bins"]] == pytest.approx((coefficient * column.weights).tolist())
        assert [b["events"] for b in row["bins"]] == list(column.events)
        assert row["information_value"] == column.information_value


def test_noised_counts_beyond_a_bin_are_taken_as_its_ends() -> None:
    encoder = fitted(5)[0]
    rows = [level.count for column in encoder.columns for level in column.bins.bins]
    wild = np.array([-50 if at % 2 else count + 50 for at, count in enumerate(rows)])
    bins = Encoder.fit(table(5)[0], method="dummy", bins=4, minimum_support=20)
    weights = np.concatenate([column.weights for column in bins.weighted(wild).columns])
    assert np.isfinite(weights).all() and weights.max() > 2 and weights.min() < -2


def test_people_without_columns_weigh_nothing() -> None:
    columns, labels = table(6)
    bins = Encoder.fit(columns, method="dummy", bins=4, minimum_support=20, unknown=50)
    events = np.bincount(assigned(bins.columns, columns)[labels == 1].ravel(),
                         minlength=sum(len(c.bins) for c in bins.columns))
    known = np.r_[np.zeros(50, bool), np.ones(len(labels), bool)]
    matrix = bins.weighted(events).transform(columns, known)
    assert (matrix[:50, :-1] == 0).all() and (matrix[:50, -1] == 1).all() and (matrix[50:, -1] == 0).all()
