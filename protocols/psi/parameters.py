"""What both sides agree on before they align."""
from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from protocols.errors import ConfigError

MAX_IDS = 2**28
UNKNOWN = -1  # in place of a row: the other side has this person, this side has not


@dataclass(frozen=True)
class AlignmentParams:
    """Checked once, immutable afterwards.

    normalise             steps applied to every id, in order (protocols/psi/identifiers.py)
    minimum_intersection  fewer people in common end the run; a small one would single people out
    own_declared_max      this side never puts more ids in than it declared
    peer_declared_max     nor accepts more from the peer: every id put in is one tested
    session               run and agreement; enters every hash, so that points of two runs never match
    """

    normalise: tuple[str, ...]
    minimum_intersection: int
    own_declared_max: int
    peer_declared_max: int
    session: bytes

    def __post_init__(self) -> None:
        object.__setattr__(self, "normalise", tuple(self.normalise))
        if self.minimum_intersection < 1:
            raise ConfigError(f"minimum_intersection must be at least 1, got {self.minimum_intersection}")
        if not all(1 <= size <= MAX_IDS for size in (self.own_declared_max, self.peer_declared_max)):
            raise ConfigError(f"declared set sizes must lie between 1 and {MAX_IDS}")
        if not self.session:
            raise ConfigError("alignment needs a session that names run and agreement, got none")

    def digest(self) -> bytes:
        """32 bytes over all that must be equal on both sides."""
        shared = [list(self.normalise), self.minimum_intersection, self.session.hex()]
        return hashlib.sha256(b"sealscore alignment v1\0" + json.dumps(shared).encode()).digest()


@dataclass(frozen=True, eq=False, repr=False)
class Alignment:
    """`rows`: int64 (m,), indices into one's own ids; entry i is the same person on all sides.

    slices   int8 (m,), where an alignment has rows that are UNKNOWN to a side, which cannot hash them
    lacking  training rows UNKNOWN to this side; at a bank, to the platform that lacks most
    secret   of a pair: 32 bytes that both sides of it have and nobody else
    """

    rows: np.ndarray
    slices: np.ndarray | None = None
    lacking: int = 0
    secret: bytes = b""

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Alignment({len(self)} rows)"
