"""Trees for one applicant: the same margin and contributions as of the batch, from texts and a bit for each split."""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from parties.bank.scoring.model import BankModel
from parties.bank.scoring.own import FACTOR
from parties.bank.scoring.trees import OwnTrees
from parties.platform.scoring.models import OnlineModel
from parties.runtime.tables import ColumnConfig, TableConfig
from protocols.binning.columns import ColumnData
from protocols.boosting.columns import TreeColumns
from protocols.boosting.explain import Explainer
from protocols.boosting.halves import FeatureHalf, LabelHalf
from protocols.boosting.pooled import Labelled, Part, grown
from protocols.boosting.settings import BoostingSettings
from protocols.errors import DataError, MalformedMessage

ROWS = 500
COLUMNS = {"age": ColumnConfig(type="number", sensitivity="C1", special=["-9"]),
           "debt": ColumnConfig(type="number", sensitivity="C1"),
           "job": ColumnConfig(type="category", sensitivity="C1")}


class Cases:
    """Texts of a bureau, the same as columns, and trees over them and three columns of a platform."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        age, debt = rng.integers(18, 80, ROWS), np.round(rng.normal(5, 3, ROWS), 2)
        job = np.array(["clerk", "cook", "pilot", ""])[rng.choice(4, ROWS, p=[0.4, 0.3, 0.2, 0.1])]
        kind = rng.choice(3, ROWS, p=[0.8, 0.1, 0.1])  # a value, the code -9, nothing
        self.texts = [{"age": {0: str(a), 1: "-9", 2: ""}[k], "debt": str(d), "job": j or None}
                      for a, d, j, k in zip(age, debt, job, kind, strict=True)]
        special = (kind == 1).astype(np.int8)
        self.own = {"age": ColumnData("number", np.where(kind == 0, age, np.nan).astype(float), special, ("-9",)),
                    "debt": ColumnData.of_numbers(debt), "job": ColumnData.of_labels([j or None for j in job])}
        self.theirs = {f"p{at}": ColumnData.of_numbers(rng.normal(size=ROWS)) for at in range(3)}
        signal = 0.05 * (age - 50) * (kind == 0) + 1.5 * (kind == 1) + 0.2 * debt + 0.9 * (job == "cook") \
            + 0.9 * self.theirs["p1"].values - 1.5
        labels = (rng.random(ROWS) < 1 / (1 + np.exp(-signal))).astype(np.int8)
        self.encoders = {"bank": TreeColumns.fit(self.own, 5, 20), "platform": TreeColumns.fit(self.theirs, 5, 20)}
        self.trees = self._grown(labels, ("bank", "platform"))
        self.alone = self._grown(labels, ("bank",))
        self.config = TableConfig(path="c.csv", id="id", columns=COLUMNS)

    def _grown(self, labels, parties):
        everybody, columns = np.ones(ROWS, bool), {"bank": self.own, "platform": self.theirs}
        parts = {party: Part(self.encoders[party].codes(columns[party], everybody), self.encoders[party].told)
                 for party in parties}
        return grown(BoostingSettings(trees=12, depth=3, bins=5, minimum_child_weight=0.5, minimum_node_rows=100),
                     parts, Labelled(labels, b""))

    def values(self, party: str) -> dict[str, np.ndarray]:
        columns = self.own if party == "bank" else self.theirs
        return self.encoders[party].values(columns, np.ones(ROWS, bool))


@pytest.fixture(scope="module")
def cases() -> Cases:
    return Cases()


@pytest.fixture(scope="module")
def told(cases: Cases) -> list[bytes]:
    """What the platform keeps of each person, by its half and the same table."""
    cuts = FeatureHalf.of(cases.trees, "platform", cases.encoders["platform"].edges)
    model = OnlineModel("m", "r", "t", frozenset(), bins=cases.encoders["platform"], cuts=cuts)
    table = SimpleNamespace(take=lambda rows: SimpleNamespace(
        select=lambda names: {name: cases.theirs[name].take(rows) for name in names}))
    kept = model.columns(table, np.arange(ROWS))
    assert kept.shape == (ROWS, -(-len(cuts.cuts) // 8)) and not model.shared
    assert model.width == 3
    return [row.astype(np.uint8).tobytes() for row in kept]


def half(cases: Cases, trees) -> LabelHalf:
    return LabelHalf.of(trees, "bank", cases.encoders["bank"].edges)


def test_the_margin_of_one_applicant_is_that_of_the_batch(cases: Cases, told: list[bytes]) -> None:
    whole, cuts = half(cases, cases.trees), FeatureHalf.of(cases.trees, "platform", cases.encoders["platform"].edges)
    batch = whole.margins(whole.sides(cases.values("bank"), {"platform": cuts.sides(cases.values("platform"))}))
    own = OwnTrees(cases.config, cases.encoders["bank"], whole, "platform")
    online = [own.margin(texts, bits) for texts, bits in zip(cases.texts, told, strict=True)]
    assert np.array_equal(online, batch) and len(set(online)) > 50


def test_the_banks_own_trees_say_what_each_column_contributed(cases: Cases) -> None:
    alone = half(cases, cases.alone)
    sides = alone.sides(cases.values("bank"), {})
    batch, shares = alone.margins(sides), Explainer(alone, alone.names).shares(sides)
    own = OwnTrees(cases.config, cases.encoders["bank"], alone, None)
    for row in range(0, ROWS, 7):
        score = own.score(cases.texts[row])
        assert score.log_odds == pytest.approx(batch[row], abs=1e-9)
        by_column = {part.column: part for part in score.parts}
        assert set(by_column) <= set(COLUMNS)
        jobs = sum(values[row] for name, values in shares.items() if name.startswith("column:job"))
        assert by_column["job"].log_odds == pytest.approx(jobs, abs=1e-9)
        assert all(part.most == max(0.0, -part.log_odds * FACTOR) for part in score.parts)


def test_bits_of_another_model_and_values_that_cannot_be_are_refused(cases: Cases, told: list[bytes]) -> None:
    own = OwnTrees(cases.config, cases.encoders["bank"], half(cases, cases.trees), "platform")
    for bits in (b"", told[0] + b"\0", told[0][:-1], b"\xff" * len(told[0])):
        with pytest.raises(MalformedMessage):
            own.margin(cases.texts[0], bits)
    with pytest.raises(DataError, match="not a number"):
        own.margin(cases.texts[0] | {"debt": "much"}, told[0])


def test_a_model_of_trees_needs_a_bureau_answer_and_the_platforms_bits(cases: Cases, told: list[bytes]) -> None:
    joint = OwnTrees(cases.config, cases.encoders["bank"], half(cases, cases.trees), "platform")
    model = BankModel("m", "r", "platform", None, None, None, None, trees=joint)
    assert model.own_log_odds(None, told[0]) is None and model.own_log_odds(cases.texts[0], None) is None
    assert model.own_log_odds(cases.texts[0], told[0]) == joint.margin(cases.texts[0], told[0])
