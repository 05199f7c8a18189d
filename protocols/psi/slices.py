"""Training, calibration and test rows by a keyed hash: a person stays in one slice as long as the key stays."""
from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from protocols.errors import ConfigError
from protocols.psi.identifiers import normalise

TRAIN, CALIBRATION, TEST = 0, 1, 2
_SCALE = 2.0**64


def slice_of(ids: Sequence[str], key: bytes, fractions: Sequence[float], steps: Sequence[str] = ()) -> np.ndarray:
    """int8 (n,): the slice of each id after the normalisation `steps`.

    BLAKE2b keyed with `key` (16 to 64 bytes) gives 64 uniform bits, cut at the running sums of `fractions`, which
    add up to 1. Both sides compute the same from the same id.
    """
    if abs(sum(fractions) - 1) > 1e-9 or min(fractions) < 0:
        raise ConfigError(f"slice fractions must be non-negative and sum to 1, got {tuple(fractions)}")
    if not 16 <= len(key) <= 64:
        raise ConfigError(f"the key of the slices needs 16 to 64 bytes, got {len(key)}")
    base = hashlib.blake2b(key=key, digest_size=8, person=b"sealscore-slice")
    words = np.frombuffer(b"".join(_digest(base, text) for text in normalise(ids, steps)), dtype="<u8")
    cuts = np.cumsum(fractions)[:-1] * _SCALE
    return np.searchsorted(cuts, words.astype(np.float64), side="right").astype(np.int8)


def _digest(base: hashlib.blake2b, text: str) -> bytes:
    hashing = base.copy()
    hashing.update(text.encode())
    return hashing.digest()
