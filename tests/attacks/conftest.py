"""Keys and trainings that several attacks look at: made once."""
from __future__ import annotations

import numpy as np
import pytest

from protocols.crypto.keys import KeyPair, PeerKeys
from tests.attacks.watching import Watched, watch
from tests.keys import key_pair, peer_keys
from tests.protocols.scorecard.problems import Problem, problem


@pytest.fixture(scope="session")
def keys() -> KeyPair:
    return key_pair("bank")


@pytest.fixture(scope="session")
def other_keys() -> KeyPair:
    return key_pair("platform")


@pytest.fixture(scope="session")
def peer() -> PeerKeys:
    return peer_keys("bank")


@pytest.fixture(scope="session")
def training(keys: KeyPair, other_keys: KeyPair) -> Watched:
    """An ordinary strict training: 600 rows, 3 and 4 columns."""
    return watch(problem(600, 3, 4, steps=6, l2=0.0, seed=5), keys, other_keys)


@pytest.fixture(scope="session")
def small_batch(keys: KeyPair, other_keys: KeyPair) -> Watched:
    """A training on fewer rows than the platform has columns; no policy would let its coefficients be released."""
    rng, rows = np.random.default_rng(6), 24
    task = Problem(rng.normal(size=(rows, 2)), 0.3 * rng.normal(size=(rows, 32)),
                   (rng.random(rows) < 0.3).astype(float), 1, 0.001)
    return watch(task, keys, other_keys)


@pytest.fixture(scope="session")
def one_hot(keys: KeyPair, other_keys: KeyPair) -> Watched:
    """The platform's columns are the five levels of a category, and the model starts from zero."""
    rng, rows = np.random.default_rng(7), 240
    level = rng.integers(0, 5, rows)
    labels = (rng.random(rows) < 0.1 + 0.15 * level).astype(float)
    task = Problem(rng.normal(size=(rows, 2)), np.eye(5)[level], labels, 1, 0.001)
    object.__setattr__(task, "own_model", np.zeros(3))
    return watch(task, keys, other_keys)
