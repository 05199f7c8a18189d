"""A file sealed with a passphrase, written and read as a stream.

    "sealscore backup 1\\n" | salt: 16 bytes | chunks

Key: scrypt (RFC 7914; N = 2^17, r = 8, p = 1: 128 MiB and some tenths of a second) of passphrase and salt. A chunk is
ChaCha20-Poly1305 (RFC 8439) over at most 1 MiB; its nonce is its number in 11 bytes and one byte that is 1 in the last
chunk, so that chunks neither change, move nor vanish, and a file that was cut off is noticed (STREAM). The head is
authenticated with every chunk.
"""
from __future__ import annotations

import io
import secrets
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from protocols.errors import TrustError, UsageError

MAGIC = b"sealscore backup 1\n"
SALT_BYTES, CHUNK_BYTES, TAG_BYTES = 16, 1024 * 1024, 16
MINIMUM_PASSPHRASE_BYTES = 12
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**17, 8, 1


def check_passphrase(passphrase: bytes) -> bytes:
    """The passphrase; UsageError if it is shorter than 12 bytes."""
    if len(passphrase) < MINIMUM_PASSPHRASE_BYTES:
        raise UsageError(f"expected a passphrase of at least {MINIMUM_PASSPHRASE_BYTES} bytes; six random words are "
                         "good")
    return passphrase


class SealingWriter(io.RawIOBase):
    """Seals what is written to it into `sink`; `finish` must be called, or the file does not open."""

    def __init__(self, sink: IO[bytes], passphrase: bytes):
        super().__init__()
        self._sink, self._number, self._pending = sink, 0, bytearray()
        salt = secrets.token_bytes(SALT_BYTES)
        self._head = MAGIC + salt
        self._cipher = _cipher(passphrase, salt)
        sink.write(self._head)

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Take bytes; whole chunks go to the file."""
        self._pending += data
        while len(self._pending) > CHUNK_BYTES:  # the last chunk is sealed by `finish`
            self._seal(bytes(self._pending[:CHUNK_BYTES]), last=False)
            del self._pending[:CHUNK_BYTES]
        return len(data)

    def finish(self) -> None:
        """Seal the last chunk."""
        self._seal(bytes(self._pending), last=True)
        self._pending.clear()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._sink.write(self._cipher.encrypt(_nonce(self._number, last), chunk, self._head))
        self._number += 1


class OpeningReader(io.RawIOBase):
    """Opens a sealed file as a stream; TrustError for a wrong passphrase or any changed or missing byte."""

    def __init__(self, source: IO[bytes], passphrase: bytes, name: str):
        super().__init__()
        self._source, self._name, self._number, self._ended = source, name, 0, False
        self._head = source.read(len(MAGIC) + SALT_BYTES)
        if len(self._head) != len(MAGIC) + SALT_BYTES or not self._head.startswith(MAGIC):
            raise TrustError(f"{name} is not a backup made by `sealscore backup`")
        self._cipher = _cipher(passphrase, self._head[len(MAGIC):])
        self._opened = memoryview(b"")
        self._ahead = source.read(CHUNK_BYTES + TAG_BYTES)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Authenticated bytes; 0 only after the authenticated end."""
        if not self._opened and not self._ended:
            self._open()
        count = min(len(buffer), len(self._opened))
        buffer[:count] = self._opened[:count]
        self._opened = self._opened[count:]
        return count

    def _open(self) -> None:
        sealed, self._ahead = self._ahead, self._source.read(CHUNK_BYTES + TAG_BYTES)
        last = not self._ahead
        try:
            self._opened = memoryview(self._cipher.decrypt(_nonce(self._number, last), sealed, self._head))
        except InvalidTag:
            why = "the passphrase is another one, or the file was changed" if self._number == 0 else \
                "the file was changed or cut off"
            raise TrustError(f"{self._name} does not open: {why}; nothing was restored") from None
        self._number += 1
        self._ended = last


def derived_key(passphrase: bytes, salt: bytes) -> bytes:
    """32 bytes by scrypt, slowly: 128 MiB and some tenths of a second."""
    return Scrypt(salt=salt, length=32, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P).derive(passphrase)


def _cipher(passphrase: bytes, salt: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(derived_key(passphrase, salt))


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
