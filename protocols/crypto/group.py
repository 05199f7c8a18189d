"""ristretto255 (RFC 9496) through libsodium: a group of prime order in which Diffie-Hellman alignment computes.

Points travel as their 32-byte canonical encodings; every other byte string and the identity are refused. Batches are
cut into slices for a `parallel_map` that the caller supplies (libsodium runs without the interpreter's lock, so
threads help).
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import rbcl

from protocols.errors import MalformedMessage

ParallelMap = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

POINT_BYTES = 32
SCALAR_BYTES = 32
IDENTITY = bytes(POINT_BYTES)
_ORDER = 2**252 + 27742317777372353535851937790883648493
_SHA512_BLOCK = bytes(128)
_SLICE = 256  # points per unit of parallel work


class Scalar:
    """A secret exponent in [1, order). Prints as REDACTED, cannot be pickled, and is erased on request."""

    def __init__(self, value: bytes):
        if len(value) != SCALAR_BYTES or not 0 < int.from_bytes(value, "little") < _ORDER:
            raise MalformedMessage(f"expected a scalar of {SCALAR_BYTES} bytes in [1, group order), got another value")
        self._value = bytearray(value)

    @classmethod
    def random(cls) -> Scalar:
        """Uniform, from the operating system's generator."""
        return cls(rbcl.crypto_core_ristretto255_scalar_random())

    def to_bytes(self) -> bytes:
        """32 bytes, little endian: for the vault only. Raises ValueError after `erase`."""
        if not any(self._value):
            raise ValueError("this scalar has been erased")
        return bytes(self._value)

    def erase(self) -> None:
        """Overwrite the value. Copies that the interpreter made for single calls are beyond reach."""
        self._value[:] = bytes(SCALAR_BYTES)

    def __repr__(self) -> str:
        return "Scalar(REDACTED)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret scalar cannot be pickled")


def expand_message(message: bytes, domain: bytes) -> bytes:
    """64 uniform bytes: expand_message_xmd with SHA-512 (RFC 9380 §5.3.1). `domain` has 1 to 255 bytes."""
    if not 1 <= len(domain) <= 255:
        raise ValueError(f"a domain separation tag has 1 to 255 bytes, got {len(domain)}")
    tag = domain + bytes([len(domain)])
    first = hashlib.sha512(_SHA512_BLOCK + message + b"\x00\x40\x00" + tag).digest()
    return hashlib.sha512(first + b"\x01" + tag).digest()


def hash_to_group(message: bytes, domain: bytes) -> bytes:
    """A point nobody knows the logarithm of: RFC 9380 appendix B, one-way map of RFC 9496 §4.3.4."""
    return rbcl.crypto_core_ristretto255_from_hash(expand_message(message, domain))


def decode_point(data: bytes) -> bytes:
    """The same 32 bytes if they are the canonical encoding of a point other than the identity (RFC 9496 §4.3.1)."""
    if len(data) != POINT_BYTES or data == IDENTITY or not rbcl.crypto_core_ristretto255_is_valid_point(data):
        raise MalformedMessage(f"expected the canonical {POINT_BYTES}-byte encoding of a point other than the identity")
    return data


def multiply(point: bytes, scalar: Scalar) -> bytes:
    """scalar * point. Raises MalformedMessage for anything `decode_point` refuses."""
    return _multiply(point, scalar.to_bytes())


def _multiply(point: bytes, scalar: bytes) -> bytes:
    # libsodium itself refuses non-canonical encodings and a product that is the identity; with a scalar in
    # [1, order) the product is the identity only if the point is.
    try:
        return rbcl.crypto_scalarmult_ristretto255(scalar, point)
    except (RuntimeError, ValueError):
        raise MalformedMessage("expected the canonical encoding of a point other than the identity") from None


def hash_and_multiply(messages: Sequence[bytes], domain: bytes, scalar: Scalar, parallel_map: ParallelMap) -> bytes:
    """scalar * hash_to_group(m, domain) of each message, 32 bytes each, joined in order."""
    secret = scalar.to_bytes()

    def work(part: Sequence[bytes]) -> bytes:
        return b"".join(_multiply(hash_to_group(message, domain), secret) for message in part)

    parts = [messages[start:start + _SLICE] for start in range(0, len(messages), _SLICE)]
    return b"".join(parallel_map(work, parts))


def multiply_all(points: bytes, scalar: Scalar, parallel_map: ParallelMap) -> bytes:
    """scalar * point of each of the joined points. Raises MalformedMessage if one of them is refused."""
    if len(points) % POINT_BYTES:
        raise MalformedMessage(f"expected whole points of {POINT_BYTES} bytes, got {len(points)} bytes")
    secret = scalar.to_bytes()

    def work(part: bytes) -> bytes:
        starts = range(0, len(part), POINT_BYTES)
        return b"".join(_multiply(part[start:start + POINT_BYTES], secret) for start in starts)

    size = _SLICE * POINT_BYTES
    return b"".join(parallel_map(work, [points[start:start + size] for start in range(0, len(points), size)]))
