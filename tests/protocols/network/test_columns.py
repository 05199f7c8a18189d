"""The bank's columns as a network's module reads them: numbers whitened, a level for what is frequent."""
from __future__ import annotations

import json

import numpy as np
import pytest

from protocols.binning.columns import ColumnData
from protocols.errors import ConfigError
from protocols.network.columns import NetworkEncoder

ROWS = 200


def columns(seed: int = 1) -> dict[str, ColumnData]:
    rng = np.random.default_rng(seed)
    jobs = [["clerk", "cook", None, "pilot"][i] for i in rng.choice(4, ROWS, p=[0.5, 0.3, 0.17, 0.03])]
    return {"age": ColumnData.of_numbers(rng.normal(40, 10, ROWS)), "job": ColumnData.of_labels(jobs),
            "debt": ColumnData.of_numbers(np.where(rng.random(ROWS) < 0.3, np.nan, rng.normal(size=ROWS)))}


def test_numbers_are_whitened_and_rare_or_missing_labels_share_level_zero():
    data = columns()
    made = NetworkEncoder.fit(data, 20)
    assert made.names == ["age", "debt", "job"] and made.levels == {"job": ("clerk", "cook")}
    own = made.transform(data)
    assert own.levels == (3,) and own.shape == (own.numeric.shape[1], (3,))
    assert np.allclose(own.numeric.mean(axis=0), 0, atol=1e-8) and np.isfinite(own.numeric).all()
    expected = [{"clerk": 1, "cook": 2}.get(data["job"].labels[code] if code >= 0 else "", 0)
                for code in data["job"].values]
    assert own.categories[:, 0].tolist() == expected


def test_later_rows_with_labels_never_seen():
    made, later = NetworkEncoder.fit(columns(), 20), columns(2)
    later["job"] = ColumnData.of_labels(["astronaut", "cook"] * (ROWS // 2))
    assert made.transform(later).categories[:2, 0].tolist() == [0, 2]


@pytest.mark.parametrize("kept", [["age", "debt"], ["job"], ["age", "job"]])
def test_numbers_or_categories_alone_and_the_round_trip(kept):
    data = {name: columns()[name] for name in kept}
    made = NetworkEncoder.fit(data, 20)
    again = NetworkEncoder.from_json(json.loads(json.dumps(made.to_json())))
    before, after = made.transform(data), again.transform(data)
    assert np.array_equal(before.numeric, after.numeric) and np.array_equal(before.categories, after.categories)
    assert before.levels == after.levels and again.names == made.names
    assert (before.numeric.shape[1] == 0) == (kept == ["job"])


@pytest.mark.parametrize("change", [
    {"coding": "trees"}, {"whitening": None}, {"levels": {"job": [1]}}, {"columns": ["age"]}, {"more": 1}])
def test_anything_else_is_refused(change):
    with pytest.raises(ConfigError, match="encoder of a network"):
        NetworkEncoder.from_json(NetworkEncoder.fit(columns(), 20).to_json() | change)
