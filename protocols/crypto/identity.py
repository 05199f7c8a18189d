"""Identity keys: the Ed25519 keys that parties pin, and that sealing, agreements and evidence rest on.

Signatures are Ed25519 (RFC 8032 §5.1, pure) over

    "sealscore signature v1" 0x00 | len(context): 2 bytes, big-endian | context | body

so a signature made for one purpose (`context`) never verifies for another. `body` is always the bytes as
transported. A fingerprint is SHA-256 of the raw 32-byte public key, 64 lower-case hex digits.
"""
from __future__ import annotations

import hashlib
from typing import NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols.errors import TrustError

PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
_DOMAIN = b"sealscore signature v1\0"
_DERIVED = b"sealscore key at rest v1\0"


class IdentityKey:
    """A node's private identity. Unprintable and unpicklable; leaves memory only through `to_pem`; keys
    that follow from it through `derived`."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey):
        self._key = key
        self.public: bytes = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> IdentityKey:
        """A new key from the system's random source."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> IdentityKey:
        """Read an unencrypted PKCS8 PEM; TrustError if it is anything but an Ed25519 private key."""
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise TrustError("expected an identity key (Ed25519, PKCS8 PEM), got bytes that are none; "
                             "restore identity.key or make a new identity") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise TrustError(f"expected an Ed25519 identity key, got {type(key).__name__}")
        return cls(key)

    def to_pem(self) -> bytes:
        """The key as unencrypted PKCS8 PEM: for a file of mode 0600, nothing else."""
        return self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                       serialization.NoEncryption())

    @property
    def fingerprint(self) -> str:
        """What other parties pin and confirm by telephone: 64 hex digits."""
        return fingerprint(self.public)

    def sign(self, context: bytes, body: bytes) -> bytes:
        """Sign `body` for the purpose `context` (1 to 255 bytes); 64 bytes."""
        return self._key.sign(_signed(context, body))

    def derived(self, purpose: bytes) -> bytes:
        """A key of 32 bytes for what this node keeps, another one for each purpose (HKDF-SHA256, RFC 5869)."""
        return HKDF(hashes.SHA256(), 32, salt=None, info=_DERIVED + purpose).derive(self._key.private_bytes_raw())

    def __repr__(self) -> str:
        return "IdentityKey(REDACTED)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an IdentityKey cannot be pickled or copied")


def verify(public: bytes, context: bytes, body: bytes, signature: bytes) -> None:
    """Check a signature made by `IdentityKey.sign`; TrustError if it does not hold."""
    try:
        _public_key(public).verify(signature, _signed(context, body))
    except InvalidSignature:
        raise TrustError(f"the signature of identity {fingerprint(public)[:16]}… does not hold for this text") from None


def fingerprint(public: bytes) -> str:
    """SHA-256 of the raw public key (32 bytes), lower-case hex."""
    if len(public) != PUBLIC_BYTES:
        raise TrustError(f"expected an identity of {PUBLIC_BYTES} bytes, got {len(public)}")
    return hashlib.sha256(public).hexdigest()


def grouped(digest: str) -> str:
    """A fingerprint in groups of four, to be read aloud."""
    return " ".join(digest[i:i + 4] for i in range(0, len(digest), 4))


def public_from_hex(text: str) -> bytes:
    """A raw public key from exactly 64 lower-case hex digits."""
    if len(text) != 2 * PUBLIC_BYTES or any(c not in "0123456789abcdef" for c in text):
        raise TrustError("expected an identity as 64 lower-case hex digits; copy it from trust.json")
    return bytes.fromhex(text)


def public_pem(public: bytes) -> bytes:
    """The public key as PEM (SubjectPublicKeyInfo)."""
    return _public_key(public).public_bytes(serialization.Encoding.PEM,
                                            serialization.PublicFormat.SubjectPublicKeyInfo)


def _public_key(public: bytes) -> Ed25519PublicKey:
    if len(public) != PUBLIC_BYTES:
        raise TrustError(f"expected an identity of {PUBLIC_BYTES} bytes, got {len(public)}")
    return Ed25519PublicKey.from_public_bytes(public)


def _signed(context: bytes, body: bytes) -> bytes:
    if not 0 < len(context) < 256:
        raise ValueError("a signature context has 1 to 255 bytes")
    return _DOMAIN + len(context).to_bytes(2, "big") + context + body
