"""What a bank writes beside probabilities of trees: contributions that add up to what was calibrated."""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from parties.bank.trees_side import BATCH, BankTreesSide
from protocols.binning.columns import ColumnData
from protocols.boosting.columns import TreeColumns
from protocols.boosting.halves import FeatureHalf, LabelHalf
from protocols.boosting.messages import sides_bytes
from protocols.boosting.pooled import Labelled, Part, grown
from protocols.boosting.scoring import Sides
from protocols.boosting.settings import BoostingSettings
from protocols.psi.parameters import UNKNOWN
from protocols.scorecard.calibration import Calibration, calibrate

ROWS = 400


class OwnTable:
    """A table in memory."""

    def __init__(self, columns: dict[str, ColumnData]):
        self.columns, self.ids = columns, [f"p{number:03}" for number in range(ROWS)]

    def take(self, rows: np.ndarray) -> OwnTable:
        return OwnTable({name: data.take(rows) for name, data in self.columns.items()})

    def select(self, names: list[str]) -> dict[str, ColumnData]:
        return {name: self.columns[name] for name in names}


@pytest.fixture(scope="module")
def model() -> SimpleNamespace:
    """Trees over both sides' columns, and the bank's half as a vault keeps it."""
    rng, everybody = np.random.default_rng(4), np.ones(ROWS, bool)
    raw = {party: {f"{party}-{at}": ColumnData.of_numbers(np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(
        size=ROWS))) for at in range(3)} for party in ("bank", "platform")}
    labels = (np.nan_to_num(raw["bank"]["bank-0"].values) + np.nan_to_num(raw["platform"]["platform-1"].values)
              + rng.normal(size=ROWS) > 0.8).astype(np.int8)
    encoders = {party: TreeColumns.fit(columns, 4, 20) for party, columns in raw.items()}
    parts = {party: Part(one.codes(raw[party], everybody), one.told) for party, one in encoders.items()}
    trees = grown(BoostingSettings(trees=5, depth=3, bins=4), parts, Labelled(labels, b"x"))
    bank, platform = (LabelHalf.of(trees, "bank", encoders["bank"].edges),
                      FeatureHalf.of(trees, "platform", encoders["platform"].edges))
    theirs = platform.sides(encoders["platform"].values(raw["platform"], everybody))
    margins = bank.margins(bank.sides(encoders["bank"].values(raw["bank"], everybody), {"platform": theirs}))
    calibration = calibrate(margins, labels)
    half = {"trees": bank.model_dump(mode="json"), "encoder": encoders["bank"].model_dump(mode="json"),
            "parties": {"bank": "label", "platform": "feature"}, "calibration": calibration.to_json()}
    return SimpleNamespace(table=OwnTable(raw["bank"]), half=half, theirs=theirs, margins=margins)


def role_of(model: SimpleNamespace, rows: np.ndarray) -> SimpleNamespace:
    sides = Sides(len(model.theirs), {BATCH: len(rows)}, {BATCH: [sides_bytes(model.theirs[:, rows])]})
    return SimpleNamespace(result=lambda: sides)


def test_contributions_add_up_to_the_log_odds(model: SimpleNamespace) -> None:
    rows = np.random.default_rng(1).permutation(ROWS)[:150]
    found = BankTreesSide().scored(role_of(model, rows), model.table, rows, model.half, True)
    order = np.sort(rows)
    assert found["id"] == [model.table.ids[row] for row in order]
    parts = {name: values for name, values in found.items() if name not in ("id", "probability_of_default")}
    assert "party:platform" in parts and all(
        name in ("expected", "party:platform") or name.startswith("column:bank-") for name in parts)
    assert np.allclose(np.sum(list(parts.values()), axis=0), model.margins[order], atol=1e-4 * len(parts))
    probability = Calibration.from_json(model.half["calibration"]).probability(model.margins[order])
    assert np.allclose(found["probability_of_default"], probability, atol=1e-4)


def test_only_who_asks_gets_contributions(model: SimpleNamespace) -> None:
    rows = np.arange(20)
    found = BankTreesSide().scored(role_of(model, rows), model.table, rows, model.half, False)
    assert set(found) == {"id", "probability_of_default"} and UNKNOWN not in rows
