"""What the online store keeps of one person, and how it looks as bytes: sealed, so that the store learns nothing.

    person 16 | made at, Unix s: 8 | fraud 1 (255: none) | number of lacks 1, each: length 1, name
    | what the model takes, float64 little endian: whitened columns; of trees sides of splits, eight to a number
"""
from __future__ import annotations

import functools
import hashlib
import struct
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from protocols.crypto.box import Box
from protocols.errors import TrustError

PERSON_BYTES = 16
_NO_FRAUD = 255
_HEAD = struct.Struct(">16sQBB")


@dataclass(frozen=True, eq=False, repr=False)
class Features:
    """One person as one model sees it. `columns`: float64 (r,); `fraud`: 0 to 32 or None; `lacks`: names."""

    person: bytes
    made_at_s: int
    columns: np.ndarray
    lacks: tuple[str, ...] = ()
    fraud: int | None = None

    @property
    def version(self) -> bytes:
        """8 bytes that name what the person has: equal for equal columns, fraud score and lacks."""
        told = repr((self.fraud, self.lacks)).encode()
        return hashlib.blake2b(self.columns.astype("<f8").tobytes() + told, digest_size=8).digest()

    @property
    def snapshot(self) -> str:
        """Name of the refresh that made them."""
        return snapshot_name(self.made_at_s)

    def __repr__(self) -> str:
        return f"Features({len(self.columns)} columns)"


@functools.lru_cache(maxsize=64)
def snapshot_name(made_at_s: int) -> str:
    """Of the refresh at this Unix time."""
    return datetime.fromtimestamp(made_at_s, UTC).strftime("%Y%m%dT%H%M%SZ")


class Codec:
    """Seals features of one model under their token."""

    def __init__(self, box: Box, model: str):
        self._box, self._model = box, model

    def seal(self, token: bytes, features: Features) -> bytes:
        """As the store keeps them."""
        fraud = _NO_FRAUD if features.fraud is None else features.fraud
        names = b"".join(bytes([len(name)]) + name.encode() for name in features.lacks)
        head = _HEAD.pack(features.person, features.made_at_s, fraud, len(features.lacks))
        return self._box.seal(self._name(token), head + names + features.columns.astype("<f8").tobytes())

    def open(self, token: bytes, sealed: bytes) -> Features:
        """The inverse; TrustError for bytes that this node did not seal for this model and token."""
        data = self._box.open(self._name(token), sealed)
        if len(data) < _HEAD.size:
            raise TrustError("features that are cut short; run `scoring refresh` again")
        person, made_at_s, fraud, count = _HEAD.unpack_from(data)
        lacks, place = [], _HEAD.size
        for _ in range(count):
            end = place + 1 + data[place]
            lacks.append(data[place + 1:end].decode())
            place = end
        columns = np.frombuffer(data, "<f8", offset=place)
        return Features(person, made_at_s, columns, tuple(lacks), None if fraud == _NO_FRAUD else fraud)

    def _name(self, token: bytes) -> str:
        return f"features {self._model} {token.hex()}"
