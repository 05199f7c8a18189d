"""Bytes at rest under one key: ChaCha20-Poly1305 (RFC 8439 §2.8), random nonce, the name authenticated.

    nonce: 12 bytes | ciphertext | tag: 16 bytes          associated data: the name under which the bytes are kept

What was changed in any bit, or put under another name or another key, does not open. Nonces are random: 2^32 boxes
under one key repeat one with probability 2^-33, and every run has a key of its own.
"""
from __future__ import annotations

import os
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from protocols.errors import TrustError

KEY_BYTES = 32
NONCE_BYTES = 12
OVERHEAD_BYTES = NONCE_BYTES + 16


class Box:
    """Seals and opens under one key of 32 bytes. Unprintable and unpicklable; thread-safe."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes):
        self._cipher = ChaCha20Poly1305(key)

    def seal(self, name: str, data: bytes) -> bytes:
        """`data` under `name`, 28 bytes longer; another result every time."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """What was sealed under `name`; TrustError for anything else, without saying which bit it was."""
        try:
            return self._cipher.decrypt(bytes(sealed[:NONCE_BYTES]), bytes(sealed[NONCE_BYTES:]), name.encode())
        except (InvalidTag, ValueError):  # a nonce that is too short is a ValueError
            raise TrustError(f"{name} does not open: it was changed, kept under another name, or sealed by another "
                             "node") from None

    def __repr__(self) -> str:
        return "Box(REDACTED)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Box cannot be pickled or copied")
