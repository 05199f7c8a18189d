"""One key pair for all tests of this folder."""
from __future__ import annotations

import pytest

from protocols.crypto.keys import KeyPair, PeerKeys
from tests.keys import key_pair, peer_keys


@pytest.fixture(scope="session")
def keys() -> KeyPair:
    return key_pair("bank")


@pytest.fixture(scope="session")
def peer() -> PeerKeys:
    return peer_keys("bank")
