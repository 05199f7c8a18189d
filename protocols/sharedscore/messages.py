"""Messages of scoring with shared weights, and how rows of several slices become one vector.

    bank.part       32 bytes: digest of the model's two uploads | 32 bytes: name of the bank's data | reply
    platform.part   32 bytes: digest of the model's two uploads | reply
    shared.SLICE    16 bytes per row: one share, residues modulo q0, then modulo q1

A reply is `protocols/crypto/product.py`'s in the "column" layout with FULL coding over the rows of all slices.
"""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from protocols.errors import MalformedMessage, TrustError
from protocols.sharedscore.model import fixed_columns

DIGEST_BYTES = 32
BANK_PART, PLATFORM_PART = "bank.part", "platform.part"


def stacked(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """(m, d) int64: the whitened columns of all slices, one below the other, in fixed point."""
    return fixed_columns(np.concatenate(list(columns.values())))


def places(columns: Mapping[str, np.ndarray]) -> dict[str, slice]:
    """Of each slice among the rows of all."""
    ends = np.cumsum([len(part) for part in columns.values()])
    return {name: slice(int(end) - len(part), int(end))
            for (name, part), end in zip(columns.items(), ends, strict=True)}


def take_digest(payload: bytes, expected: bytes) -> bytes:
    """What follows the digest; TrustError when the peer holds another version of the model."""
    if len(payload) < DIGEST_BYTES:
        raise MalformedMessage(f"expected a part of a shared score, got {len(payload)} bytes")
    if payload[:DIGEST_BYTES] != expected:
        raise TrustError("the peer's encrypted weights of this model are not those that the training pinned here; "
                         "restore the vaults of both nodes from backups of the same model, or train again")
    return payload[DIGEST_BYTES:]


def take_data_name(rest: bytes) -> tuple[bytes, bytes]:
    """(name of the bank's data, the reply)."""
    if len(rest) < DIGEST_BYTES:
        raise MalformedMessage(f"expected the name of the bank's data, got {len(rest)} bytes")
    return rest[:DIGEST_BYTES], rest[DIGEST_BYTES:]
