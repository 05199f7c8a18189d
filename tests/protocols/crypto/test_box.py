"""Bytes at rest: nothing but what was sealed under this name and key opens, and keys do not print."""
from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.crypto.box import OVERHEAD_BYTES, Box
from protocols.crypto.identity import IdentityKey
from protocols.errors import TrustError

KEY = bytes(range(32))
BOX = Box(KEY)


@given(st.text(max_size=40), st.binary(max_size=2000))
def test_what_is_sealed_opens_under_its_name(name: str, data: bytes) -> None:
    sealed = BOX.seal(name, data)
    assert BOX.open(name, sealed) == data and len(sealed) == len(data) + OVERHEAD_BYTES


@given(st.binary(min_size=1, max_size=300), st.data())
def test_no_changed_bit_and_no_cut_opens(data: bytes, draw) -> None:
    sealed = bytearray(BOX.seal("x", data))
    place = draw.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << draw.draw(st.integers(0, 7))
    for wrong in (bytes(sealed), BOX.seal("x", data)[:place], BOX.seal("x", data) + b"\0"):
        with pytest.raises(TrustError, match="does not open"):
            BOX.open("x", wrong)


def test_another_name_or_key_does_not_open() -> None:
    sealed = BOX.seal("m-1", b"half")
    for box, name in ((BOX, "m-2"), (Box(bytes(32)), "m-1")):
        with pytest.raises(TrustError):
            box.open(name, sealed)


def test_the_same_bytes_never_look_the_same() -> None:
    assert len({BOX.seal("x", b"same") for _ in range(200)}) == 200


def test_a_box_neither_prints_nor_travels() -> None:
    assert KEY.hex() not in repr(BOX) and repr(BOX) == "Box(REDACTED)"
    for leave in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leave(BOX)


def test_keys_at_rest_follow_from_the_identity_and_differ_by_purpose() -> None:
    key = IdentityKey.generate()
    derived = {key.derived(purpose) for purpose in (b"vault", b"run r-1", b"run r-2", b"")}
    assert len(derived) == 4 and key.derived(b"vault") == IdentityKey.from_pem(key.to_pem()).derived(b"vault")
    assert key.derived(b"vault") != IdentityKey.generate().derived(b"vault")
    assert not any(part in key.to_pem() for part in derived)


def test_a_derived_key_is_pinned() -> None:
    """HKDF-SHA256 of a known identity, so that what is sealed today opens with tomorrow's software."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    key = IdentityKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    assert key.derived(b"vault").hex() == "ca39bb839e07ab050e7aa3d4e98af0c1469e9ef0c276cbee28634035b3ec6e64"
