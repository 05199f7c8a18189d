"""Made-up trainings for the tests of boosted trees."""
from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from protocols.boosting.candidates import Candidate
from protocols.boosting.grower import Grower
from protocols.boosting.settings import BoostingSettings, Goss
from tests.protocols.boosting.oracle import Oracle

SEED = b"a seed for tests"


def population(rows: int, columns: tuple[Candidate, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes (rows, columns) and labels that depend on them, both of them present."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, column.bins, rows) for column in columns], axis=1)
    slopes = rng.normal(0, 1.2, len(columns))
    labels = (rng.random(rows) < 1 / (1 + np.exp(1 - (codes - 1) @ slopes))).astype(np.int8)
    labels[:2] = (0, 1)
    return codes, labels


def columns_of(bins: int, count: int, rng: np.random.Generator, monotone: bool = True) -> tuple[Candidate, ...]:
    """Columns of the bank and the platform by turns, every other one with missing values."""
    return tuple(Candidate("bank" if at % 2 else "telco", at // 2, int(rng.integers(2, bins + 1)),
                           int(rng.integers(-1, 2)) if monotone else 0, bool(rng.integers(0, 2)))
                 for at in range(count))


def trained(settings: BoostingSettings, columns, codes, labels, validation=None):
    """A finished grower and its oracle."""
    grower, oracle = Grower(settings, labels, columns, SEED, validation), Oracle(codes, columns)
    oracle.train(grower)
    return grower, oracle


@st.composite
def trainings(draw, trees: int = 2):
    """Settings, columns, codes and labels of a small training."""
    bins = draw(st.integers(2, 4))
    goss = draw(st.sampled_from([None, None, Goss(top=0.4, other=0.4)]))
    settings = BoostingSettings(
        trees=draw(st.integers(1, trees)), depth=draw(st.integers(1, 3)), bins=bins, goss=goss,
        learning_rate=draw(st.sampled_from([0.1, 0.5, 1.0])), l2=draw(st.sampled_from([0.0, 1.0, 7.5])),
        gamma=draw(st.sampled_from([0.0, 0.0, 2.0])), minimum_child_weight=draw(st.sampled_from([0.0, 1.0, 8.0])),
        row_share=1.0 if goss else draw(st.sampled_from([1.0, 0.8])), class_weight=draw(st.sampled_from([1.0, 3.5])),
        gradient_bits=draw(st.sampled_from([4, 8])), hessian_bits=draw(st.sampled_from([5, 8])))
    seed = draw(st.integers(0, 2**20))
    columns = columns_of(bins, draw(st.integers(1, 4)), np.random.default_rng(seed))
    codes, labels = population(draw(st.integers(110, 240)), columns, seed)
    return settings, columns, codes, labels
