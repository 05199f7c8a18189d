"""Looks for raw data in what leaves a party: rows, ids, hashes of ids, points of ids, labels, scores.

A needle is a byte string that must not appear. Needles are at least `MINIMUM` bytes long: eight bytes appear by chance
in a gigabyte of ciphertext with probability 2^-34. Short values (a label, one small number) are looked for as vectors,
whole columns in several orders and encodings, of which a piece of 16 elements is enough.
"""
from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from protocols.crypto.group import hash_to_group

MINIMUM = 8
PIECE = 16  # elements of a vector that together make a needle
FILTER_BITS = 24
FIXED_BITS = (0, 5, 10, 12, 16, 20, 24, 32, 36)


@dataclass(frozen=True)
class Needle:
    """`what` it is, for the message of a failing test; the bytes are not shown."""

    what: str
    data: bytes


def id_needles(ids: Iterable[str], normalise: Callable[[str], str], domains: Iterable[bytes] = ()) -> Iterator[Needle]:
    """Every id raw and normalised, its usual hashes (raw and hex), and its unblinded points."""
    for raw in ids:
        for text in {raw, normalise(raw)}:
            data = text.encode()
            yield Needle("id", data)
            for hashing in (hashlib.sha256, hashlib.sha1, hashlib.md5, hashlib.sha512, hashlib.blake2b,
                            lambda d: hashlib.blake2b(d, digest_size=16), lambda d: hashlib.blake2b(d, digest_size=32)):
                digest = hashing(data).digest()[:16]
                yield Needle("hash of an id", digest)
                yield Needle("hex hash of an id", digest.hex().encode())
        for domain in domains:
            yield Needle("point of an id", hash_to_group(normalise(raw).encode(), domain))


def row_needles(lines: Iterable[str]) -> Iterator[Needle]:
    """Lines of a CSV file."""
    for line in lines:
        yield Needle("row", line.encode())


def vector_needles(what: str, vector: np.ndarray, orders: dict[str, np.ndarray]) -> Iterator[Needle]:
    """Pieces of a vector (n,) in each of the named orders (index arrays) and in every usual encoding."""
    for name, order in orders.items():
        taken = np.asarray(vector, dtype=float)[order]
        for start in _starts(taken):
            piece = taken[start:start + PIECE]
            for encoding, data in _encodings(piece):
                yield Needle(f"{what} in {name}, {encoding}", data)
        if np.isin(taken, (0, 1)).all():
            for bits in ("big", "little"):
                packed = np.packbits(taken[:128].astype(np.uint8), bitorder=bits)
                yield Needle(f"{what} in {name}, bits", packed.tobytes())


def secret_needles(what: str, secret: bytes) -> Iterator[Needle]:
    """Pieces of a secret as it is, in hex, in base64 at any alignment, and as a list of numbers, as a repr shows it."""
    for start in sorted({0, len(secret) // 2, max(0, len(secret) - 24)}):
        piece = secret[start:start + 24]
        if len(piece) < 16 or len(set(piece)) < 12:
            continue  # zeros and the like are everywhere
        yield Needle(f"{what}, raw", piece)
        yield Needle(f"{what}, hex", piece.hex().encode())
        yield Needle(f"{what}, numbers", ", ".join(map(str, piece)).encode())
        yield Needle(f"{what}, repr", repr(piece)[2:-1].encode())
        for shift in range(3):
            part = piece[shift:]
            yield Needle(f"{what}, base64", base64.b64encode(part[:len(part) // 3 * 3]))


def _starts(vector: np.ndarray) -> list[int]:
    """Five pieces over the whole length, where values change most: a piece of equal values would match by chance."""
    changes = np.r_[0, np.cumsum(vector[1:] != vector[:-1])]
    lively = changes[PIECE - 1:] - changes[:len(changes) - PIECE + 1]
    return [int(part[lively[part].argmax()]) for part in np.array_split(np.arange(len(lively)), 5)
            if len(part) and lively[part].max() >= 4]


def _encodings(piece: np.ndarray) -> Iterator[tuple[str, bytes]]:
    for kind in ("<f8", "<f4", ">f8", ">f4"):
        yield kind, piece.astype(kind).tobytes()
    if np.isfinite(piece).all():
        for bits in FIXED_BITS:
            scaled = np.rint(piece * 2.0**bits)
            for kind in ("<i8", "<i4", "<i2", "|i1"):
                if np.abs(scaled).max() <= np.iinfo(kind).max and len(np.unique(scaled)) > 1:
                    yield f"{kind} with {bits} fractional bits", scaled.astype(kind).tobytes()
        if np.isin(piece, (0, 1)).all():
            yield "text", "".join(str(int(v)) for v in piece).encode()
    yield "JSON", ",".join(f"{v:.10g}" for v in piece).encode()
    yield "spaced JSON", ", ".join(repr(float(v)) for v in piece).encode()


class Detector:
    """Finds any of many needles in large haystacks: by their first 8 bytes at every offset, then the whole needle."""

    def __init__(self, needles: Iterable[Needle]):
        self._by_prefix: dict[int, list[Needle]] = {}
        for needle in needles:
            if len(needle.data) >= MINIMUM:
                self._by_prefix.setdefault(int.from_bytes(needle.data[:8], "little"), []).append(needle)
        self.count = sum(map(len, self._by_prefix.values()))
        self._filter = np.zeros(1 << FILTER_BITS, dtype=bool)
        self._filter[_hashed(np.array(list(self._by_prefix), dtype=np.uint64))] = True

    def find(self, haystack: bytes) -> list[str]:
        """What was found, by name."""
        found = []
        for shift in range(min(8, len(haystack))):
            words = np.frombuffer(haystack, dtype="<u8", offset=shift, count=(len(haystack) - shift) // 8)
            for place in np.flatnonzero(self._filter[_hashed(words)]):
                start = shift + 8 * int(place)
                known = self._by_prefix.get(int(words[place]), ())
                found += [needle.what for needle in known if haystack.startswith(needle.data, start)]
        return found


def _hashed(words: np.ndarray) -> np.ndarray:
    """The top bits of a multiplicative hash, as indices into the filter."""
    return (words * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - FILTER_BITS)
