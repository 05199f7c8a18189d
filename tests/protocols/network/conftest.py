"""One key pair serves all tests of this folder."""
from __future__ import annotations

import pytest

from protocols.crypto.keys import KeyPair
from tests.keys import key_pair


@pytest.fixture(scope="session")
def bank_keys() -> KeyPair:
    return key_pair("bank")
