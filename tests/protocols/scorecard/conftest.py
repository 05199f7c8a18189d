"""Keys for all trainings of this folder: a pair costs half a second. In the product every training makes its own."""
from __future__ import annotations

import pytest

from protocols.crypto.keys import KeyPair


@pytest.fixture(scope="session")
def bank_keys() -> KeyPair:
    return KeyPair.generate()


@pytest.fixture(scope="session")
def platform_keys() -> KeyPair:
    return KeyPair.generate()
