"""Tokens: how a bank and a platform name a person to each other after an alignment, and nobody else can.

    token i = BLAKE2b-128(key = secret of the pair, i as 8 bytes)        RFC 7693

The secret is a hash of the double-blinded points that both sides share (`psi/aligner.py`): each side of that alignment
has it, nobody else does. i is the position in the joint order. Whoever sees tokens learns nothing of who they are; a
person has another token in every alignment and with every platform.
"""
from __future__ import annotations

import hashlib
from collections.abc import Iterable

from protocols.errors import UsageError
from protocols.scoring.messages import TOKEN_BYTES

SECRET_BYTES = 32


def tokens(secret: bytes, positions: Iterable[int]) -> list[bytes]:
    """One token of 16 bytes for each joint position; UsageError for a secret that is none."""
    if len(secret) != SECRET_BYTES:
        raise UsageError(f"expected an alignment's secret of {SECRET_BYTES} bytes, got {len(secret)}; align anew")
    return [hashlib.blake2b(int(position).to_bytes(8, "big"), digest_size=TOKEN_BYTES, key=secret,
                            person=b"sealscore-token").digest() for position in positions]
