"""XGBoost with the same hyper-parameters and the same bins: the same ranking of new applicants, to 0.002 of AUC."""
from __future__ import annotations

import numpy as np
import pytest
import xgboost
from sklearn.metrics import roc_auc_score

from protocols.boosting.candidates import Candidate
from protocols.boosting.grower import Grower
from protocols.boosting.settings import BoostingSettings
from tests.protocols.boosting.made import SEED
from tests.protocols.boosting.oracle import Oracle

BANK, PLATFORM, BINS = 8, 12, 32


def applicants(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Values (rows, 20), a tenth of every third column missing, and labels with effects of pairs of columns."""
    values = rng.normal(size=(rows, BANK + PLATFORM))
    values[:, ::4] = np.exp(values[:, ::4])
    z = (values[:, :10] * np.linspace(0.5, -0.3, 10)).sum(1) + 0.6 * np.abs(values[:, 10])
    z -= 0.5 * values[:, 1] * values[:, 11]
    values[:, ::3] = np.where(rng.random((rows, len(range(0, 20, 3)))) < 0.1, np.nan, values[:, ::3])
    return values, (rng.random(rows) < 1 / (1 + np.exp(2.2 - z))).astype(np.int8)


def codes_of(values: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    """Bins by upper edges, NaN where missing."""
    return np.stack([np.where(np.isnan(column), np.nan, np.searchsorted(edge, column))
                     for column, edge in zip(values.T, edges, strict=True)], axis=1)


def with_missing_last(codes: np.ndarray) -> np.ndarray:
    """(n, columns) bins, the last one for missing values."""
    return np.where(np.isnan(codes), BINS - 1, codes).astype(np.int64)


@pytest.mark.parametrize("depth, extra", [(3, {}), (4, {"class_weight": 3.0, "l2": 5.0, "gamma": 1.0})])
def test_auc_is_within_two_thousandths_of_xgboost(depth, extra):
    rng = np.random.default_rng(7)
    (values, labels), (later, truth) = applicants(20_000, rng), applicants(20_000, rng)
    shares = np.arange(1, BINS - 1) / (BINS - 1)
    edges = [np.nanquantile(column, shares) for column in values.T]
    codes, new = codes_of(values, edges), codes_of(later, edges)
    columns = tuple(Candidate("bank" if at < BANK else "telco", at, BINS, 0, True) for at in range(BANK + PLATFORM))
    settings = BoostingSettings(trees=40, depth=depth, bins=BINS, **extra)
    trees = Oracle(with_missing_last(codes), columns).train(Grower(settings, labels, columns, SEED))
    sides = Oracle(with_missing_last(new), columns).sides(trees.splits)
    ours = roc_auc_score(truth, trees.margins(sides))
    theirs = roc_auc_score(truth, _xgboost(settings, codes, labels).predict_proba(new)[:, 1])
    assert abs(ours - theirs) < 0.002, (ours, theirs)
    assert ours > 0.7


def _xgboost(settings: BoostingSettings, codes: np.ndarray, labels: np.ndarray) -> xgboost.XGBClassifier:
    """Fitted with a bin for each code: of bins of its own it would try other thresholds than we do."""
    model = xgboost.XGBClassifier(
        n_estimators=settings.trees, max_depth=settings.depth, learning_rate=settings.learning_rate, tree_method="hist",
        max_bin=256, reg_lambda=settings.l2, gamma=settings.gamma, scale_pos_weight=settings.class_weight,
        min_child_weight=settings.minimum_child_weight, n_jobs=1)
    return model.fit(codes, labels)
