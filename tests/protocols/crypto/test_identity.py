"""Identity keys: files, signatures under a context, fingerprints, and that secrets stay in."""
from __future__ import annotations

import copy
import hashlib
import pickle

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols.crypto.identity import IdentityKey, fingerprint, grouped, public_from_hex, public_pem, verify
from protocols.errors import TrustError

KEY = IdentityKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def test_signature_covers_domain_context_and_body() -> None:
    signature = KEY.sign(b"purpose", b"body")
    verify(KEY.public, b"purpose", b"body", signature)
    signed = b"sealscore signature v1\0" + b"\x00\x07purpose" + b"body"
    Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key().verify(signature, signed)


@pytest.mark.parametrize(("context", "body"), [(b"purposeb", b"ody"), (b"purpos", b"ebody"), (b"other", b"body"),
                                               (b"purpose", b"body "), (b"purpose", b"")])
def test_a_signature_holds_for_nothing_else(context: bytes, body: bytes) -> None:
    with pytest.raises(TrustError, match="does not hold"):
        verify(KEY.public, context, body, KEY.sign(b"purpose", b"body"))


def test_every_changed_bit_of_a_signature_is_noticed() -> None:
    signature = KEY.sign(b"c", b"body")
    for position in range(0, 512, 7):
        changed = bytearray(signature)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(TrustError):
            verify(KEY.public, b"c", b"body", bytes(changed))
    for wrong in (b"", signature[:-1], signature + b"\0"):
        with pytest.raises(TrustError):
            verify(KEY.public, b"c", b"body", wrong)


def test_another_identity_does_not_verify() -> None:
    with pytest.raises(TrustError):
        verify(IdentityKey.generate().public, b"c", b"body", KEY.sign(b"c", b"body"))


@pytest.mark.parametrize("context", [b"", bytes(256)])
def test_a_context_has_bounds(context: bytes) -> None:
    with pytest.raises(ValueError, match="context"):
        KEY.sign(context, b"")


def test_pem_round_trip() -> None:
    again = IdentityKey.from_pem(KEY.to_pem())
    assert again.public == KEY.public
    assert again.sign(b"c", b"x") == KEY.sign(b"c", b"x")
    assert serialization.load_pem_public_key(public_pem(KEY.public)).public_bytes_raw() == KEY.public


def test_other_keys_and_bytes_are_no_identity() -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for pem in (b"", b"hello", KEY.to_pem()[:60], curve):
        with pytest.raises(TrustError, match="identity key"):
            IdentityKey.from_pem(pem)


def test_fingerprint_is_sha256_of_the_raw_key() -> None:
    assert KEY.fingerprint == hashlib.sha256(KEY.public).hexdigest()
    assert grouped("0123456789") == "0123 4567 89"
    with pytest.raises(TrustError, match="32 bytes"):
        fingerprint(KEY.public + b"\0")


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, " " + "0" * 63])
def test_hex_identities_are_read_strictly(text: str) -> None:
    with pytest.raises(TrustError, match="64 lower-case hex"):
        public_from_hex(text)


def test_the_key_is_neither_printed_nor_pickled() -> None:
    assert repr(KEY) == "IdentityKey(REDACTED)"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(KEY)
