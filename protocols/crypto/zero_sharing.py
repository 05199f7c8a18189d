"""What a circle of parties on one side shares: covers that add up to zero over all of them, and common random numbers.

Every two parties share a seed; a party's cover is the sum of what it expands from the seeds with those after it minus
the sum of what it expands from the seeds with those before it (Bonawitz et al., "Practical Secure Aggregation", CCS
2017, section 4.0.1, without drop-out). Two honest parties' covers differ by a seed that only they know, so
whoever pools everything short of all other parties sees one honest party's covered values as uniform, their sum apart.
Common numbers come from one seed that all parties of the circle hold.
"""
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

from protocols.crypto.ring import RING, Array
from protocols.crypto.summed_product import SEED_BYTES, Seed, mask_sum
from protocols.errors import MalformedMessage


class Circle:
    """`names`: all parties in the order of the plan; `party`: whose view this is. Prints as REDACTED."""

    def __init__(self, party: str, names: Sequence[str]):
        self._party, self._names = party, tuple(names)
        self._index = self._names.index(party)
        self._seeds: dict[str, Seed] = {}
        self._group: Seed | None = None

    @property
    def others(self) -> tuple[str, ...]:
        """All but this party."""
        return tuple(name for name in self._names if name != self._party)

    @property
    def first(self) -> str:
        """Who speaks for the circle."""
        return self._names[0]

    @property
    def complete(self) -> bool:
        """Whether every seed is there."""
        return len(self._seeds) == len(self._names) - 1 and self._group is not None

    def draw(self) -> dict[str, bytes]:
        """Draw the seeds that are this party's to draw: what is to be sent, sealed, to each party after it."""
        if self._index == 0:
            self._group = Seed(os.urandom(SEED_BYTES))
        shared = self._group.to_bytes() if self._index == 0 else b""
        out = {}
        for name in self._names[self._index + 1 :]:
            self._seeds[name] = Seed(os.urandom(SEED_BYTES))
            out[name] = self._seeds[name].to_bytes() + shared
        return out

    def take(self, sender: str, payload: bytes) -> None:
        """Seeds of a party before this one; MalformedMessage for anything else, or a second time."""
        due = self._names[: self._index]
        expected = SEED_BYTES * (2 if sender == self.first else 1)
        if sender not in due or sender in self._seeds or len(payload) != expected:
            raise MalformedMessage(f"got {len(payload)} bytes of seeds from {sender}, which were not due")
        self._seeds[sender] = Seed(payload[:SEED_BYTES])
        if sender == self.first:
            self._group = Seed(payload[SEED_BYTES:])

    def cover(self, label: str, n: int) -> Array:
        """(2, n) residues, uniform modulo Q to everyone but all other parties together; Σ over the circle is zero.

        `label` is used for one purpose once: two values under one cover give their difference away.
        """
        before, after = self._names[: self._index], self._names[self._index + 1 :]
        plus = mask_sum((self._seeds[name] for name in after), label, n)
        return RING.sub(plus, mask_sum((self._seeds[name] for name in before), label, n))

    def common(self, label: str, n: int) -> Array:
        """(2, n) residues that all parties of the circle know and nobody else; `label` is used once."""
        return self._group.expand(label, n)

    def part(self, label: str, n: int) -> Array:
        """(2, n): covers that add up to `common(label, n)` over the circle, each uniform by itself."""
        cover = self.cover(label, n)
        return RING.add(cover, self.common(label, n)) if self._index == 0 else cover

    def to_bytes(self) -> bytes:
        """For the vault only."""
        group = b"" if self._group is None else self._group.to_bytes()
        return b"".join([bytes([len(group)]), group,
                         *(bytes([self._names.index(n)]) + s.to_bytes() for n, s in self._seeds.items())])

    @classmethod
    def from_bytes(cls, party: str, names: Sequence[str], data: bytes) -> Circle:
        """The inverse of `to_bytes`; MalformedMessage for anything else."""
        circle, group = cls(party, names), data[1 : 1 + data[0]] if data else b""
        if not data or len(group) != data[0]:
            raise MalformedMessage(f"expected the seeds of a circle, got {len(data)} bytes that are none")
        circle._group = Seed(group) if group else None
        for at in range(1 + len(group), len(data), 1 + SEED_BYTES):
            if data[at] >= len(names) or names[data[at]] in circle._seeds:
                raise MalformedMessage("expected one seed of each party of a circle, got another")
            circle._seeds[names[data[at]]] = Seed(data[at + 1 : at + 1 + SEED_BYTES])
        return circle

    def __repr__(self) -> str:
        return f"Circle({len(self._names)} parties, REDACTED)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a circle's seeds cannot be pickled")
