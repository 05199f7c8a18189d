"""Key pairs for all tests: one costs up to half a second. In the product every training makes its own."""
from __future__ import annotations

from functools import cache

from protocols.crypto.keys import KeyPair, PeerKeys


@cache
def key_pair(party: str) -> KeyPair:
    """The same for the same name, for as long as the tests run."""
    return KeyPair.generate()


@cache
def peer_keys(party: str) -> PeerKeys:
    """What a peer of `party` has of its keys."""
    return PeerKeys.from_bytes(key_pair(party).public_bytes())
