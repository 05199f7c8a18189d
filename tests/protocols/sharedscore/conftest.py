"""One training whose weights stay shared, for all tests of this folder."""
from __future__ import annotations

import pytest

from protocols.crypto.keys import KeyPair
from tests.keys import key_pair
from tests.protocols.scorecard.problems import problem
from tests.protocols.sharedscore.shared_models import Trained, train


@pytest.fixture(scope="session")
def all_keys() -> dict[str, KeyPair]:
    return {name: key_pair(name) for name in ("bank", "platform")}


@pytest.fixture(scope="session")
def trained(all_keys) -> Trained:
    """Three columns of the bank and four of the platform."""
    return train(problem(400, 3, 4, steps=3, seed=5), all_keys)
