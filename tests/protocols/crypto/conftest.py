"""One key pair for all tests of this folder: keys cost half a second."""
from __future__ import annotations

import pytest

from protocols.crypto.keys import KeyPair, PeerKeys


@pytest.fixture(scope="session")
def keys() -> KeyPair:
    return KeyPair.generate()


@pytest.fixture(scope="session")
def peer(keys: KeyPair) -> PeerKeys:
    return PeerKeys.from_bytes(keys.public_bytes())
