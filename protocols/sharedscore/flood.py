"""What hides an opened score's last bits: README.md, "Flood", derives the two widths.

One part is a function of the person, of the data that are scored and of the model, with a key that the platform alone
has: asking again gives the same, so nothing averages out. The other part is fresh: without it the difference of two
openings of one row would be that of their errors, bare, a linear equation about the platform's key.
"""
from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protocols.crypto.ring import RING, WORD, reduce_words
from protocols.errors import DataError

VERSION_BITS = 98  # the part that is drawn once for a version of a person's data
FRESH_BITS = 96  # the part that is drawn anew each time
_PERSON = b"sealscore-share"


@dataclass(frozen=True, repr=False)
class Versions:
    """Of m rows: `flood` (2, m) residues below 2^VERSION_BITS; `tags` (m,) uint64, equal for equal data."""

    flood: np.ndarray
    tags: np.ndarray


def versions(secret: bytes, people: Sequence[str], columns: np.ndarray, peer_data: bytes) -> Versions:
    """`secret`: 32 bytes of one model that its platform alone has; `people`: m normalised identifiers; `columns`:
    (m, d) int64, what is scored of them; `peer_data`: 32 bytes that name the data of the bank. BLAKE2b as a PRF."""
    if len(people) != len(columns):
        raise DataError(f"expected as many identifiers as rows, got {len(people)} and {len(columns)}")
    base = hashlib.blake2b(peer_data, key=secret, digest_size=32, person=_PERSON)
    drawn = b"".join(_draw(base, name, row) for name, row in zip(people, columns.astype("<i8"), strict=True))
    words = np.frombuffer(drawn, "<u8").reshape(-1, 4).astype(WORD)
    high = words[:, 0] >> WORD(128 - VERSION_BITS)
    return Versions(reduce_words([high, words[:, 1]], RING.q), words[:, 2].copy())


def _draw(base: hashlib.blake2b, name: str, row: np.ndarray) -> bytes:
    hashing, text = base.copy(), name.encode()
    hashing.update(struct.pack("<I", len(text)) + text + row.tobytes())
    return hashing.digest()


def cover(drawn: Versions) -> np.ndarray:
    """(2, m): both floods, zero on average."""
    rows = len(drawn.tags)
    centre = RING.encode_ints([(1 << (VERSION_BITS - 1)) + (1 << (FRESH_BITS - 1))] * rows)
    return RING.sub(RING.add(drawn.flood, RING.random_below_bits(rows, FRESH_BITS)), centre)
